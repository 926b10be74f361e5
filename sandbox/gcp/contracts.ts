import type { GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';

/**
 * The types that the APIs of the local Google Cloud share. Each API is a table of handlers over `Cloud`; `cloud.ts` makes the
 * stores, `core.ts` puts the APIs behind one `GcpCall`, and `wire/http.ts` serves that call as REST. No file of a folder imports
 * `cloud.ts`. Handlers take time, timers and chance from `runtime` only, so that a simulation can replay them.
 */

export interface Project {
  id: string;
  /** The project number, a decimal string. */
  number: string;
}

export interface Binding {
  role: string;
  members: string[];
  condition?: JsonObject;
}

/** google.iam.v1.Policy as proto3 JSON. */
export interface Policy {
  version?: number;
  bindings?: Binding[];
  auditConfigs?: JsonObject[];
  etag: string;
}

/** The identity that a request's credentials name. Without `email` there were no credentials: the sandbox's owner, who has every permission. */
export interface Caller {
  email?: string;
}

/** The caller's address for the fields `creator` and `lastModifier`. */
export const emailOf = ({ email }: Caller): string => email ?? 'sandbox-owner@example.com';

/** One method of an API. It takes and returns proto3 JSON and throws `GcpError`. The request has already been checked against its proto. */
export type Handler = (request: JsonObject, caller: Caller) => JsonObject;

/** Makes a call as the caller of the method that is being answered. Throws `GcpError`. */
export type V2Call = (method: string, request: JsonObject) => Promise<JsonObject>;

/**
 * A method of an older API. It makes calls of the newer one, which check permissions and quotas. `region` is the one that the host's
 * name begins with. Throws `GcpError`.
 */
export type Face = (asked: { request: JsonObject; call: V2Call; region?: string }) => Promise<JsonObject>;

/** Faces by the method's id in its discovery document, such as `run.namespaces.services.get`. */
export type Faces = Record<string, Face>;

/** Handlers by the proto's full method name, such as `google.cloud.run.v2.Services.GetService`. */
export type Handlers = Record<string, Handler>;

export interface ServiceAccountState {
  email: string;
  uniqueId: string;
  projectId: string;
  disabled: boolean;
}

/** A line that an instance of Cloud Run has printed. */
export interface LoggedLine {
  /** Greater than that of every line before. */
  sequence: number;
  /** `projects/P/locations/R/services/S`. */
  service: string;
  /** Short name, `S-00001-abc`. */
  revision: string;
  /** The wall clock when the line was seen, in milliseconds. */
  at: number;
  text: string;
}

export type SecretAccess =
  | { ok: true; version: string; payload: Buffer }
  | {
      ok: false;
      why: 'denied' | 'missing' | 'noVersion' | 'disabled' | 'destroyed';
      /** The version's name with the project number, as Cloud Run prints it. */
      name: string;
    };

/** The behaviour of the local cloud. Every setting may be changed while it runs. Durations are milliseconds. */
export interface CloudSettings {
  /** Reads of a new account or secret alternate between 404 and the object for this long. */
  createVisibleMs: number;
  /** The same for a new Cloud Run service. 0 by default: a real service can be read as soon as CreateService has answered. */
  serviceVisibleMs: number;
  /** Access checks apply a policy change after this delay. */
  policyPropagationMs: number;
  /** A new service account is refused as a member and for actAs for this long. */
  accountPropagationMs: number;
  /** The time from a service's creation or update until Cloud Run starts instances. */
  deployMs: number;
  /** A container must listen within this time. */
  startupTimeoutMs: number;
  /** An instance above the minimum stops after being idle for this long. */
  idleMs: number;
  /** The maximum number of instances of a template that names none. Google uses 100, or less in projects with a small quota. */
  defaultMaxInstances: number;
  /** Organization policy `iam.allowedPolicyMemberDomains`: the domains whose users and groups may be members. Empty: every domain. */
  allowedMemberDomains: string[];
  /** Organization policy `run.managed.requireInvokerIam`: a service's invoker check cannot be switched off. */
  requireInvokerIam: boolean;
}

/** The state that the APIs share. */
export interface Cloud {
  runtime: Runtime;
  settings: CloudSettings;

  /** Every project, in the order of its creation. */
  projects: readonly Project[];

  /** Returns a project by its id or number. Throws PERMISSION_DENIED for an unknown one, as the real service does. */
  project(idOrNumber: string): Project;

  /** IAM policies by full resource name. A secret's name has the project number, other names have the project id. */
  policies: {
    get(resource: string, requestedVersion: number): Policy;
    /** Checks etag, members and version, stores the policy and returns it. A stale etag is refused with ABORTED (409). */
    set(resource: string, policy: JsonObject): Policy;
    /** True if `member` (such as `serviceAccount:x@p.iam.gserviceaccount.com`) has `role` on the resource by a policy that has propagated. */
    has(resource: string, role: string, member: string): boolean;
    /** Removes the policy of a deleted resource. */
    remove(resource: string): void;
  };

  /** Returns a service account by e-mail. Undefined if it does not exist or has not propagated yet. */
  account(email: string): ServiceAccountState | undefined;

  /**
   * Reads a secret's value as `email`, as Cloud Run does at deployment and at each instance start.
   * `secret` is an id in `projectId`, or `projects/P/secrets/S`; `version` a number or `latest`.
   */
  accessSecret(projectId: string, secret: string, version: string, email: string): SecretAccess;

  /** Long-running operations (google.longrunning.Operation), for Get, List, Delete and Wait. */
  operations: {
    /** Starts an operation below `parent` (`projects/P/locations/R`). */
    start(parent: string, metadataType: string, metadata: JsonObject): { name: string };
    /** Ends an operation. `response` is the message without `@type`. */
    finish(name: string, result: { responseType: string; response: JsonObject } | { error: GcpStatus }): void;
    /** Returns the Operation as proto3 JSON. */
    get(name: string): JsonObject;
  };

  /**
   * True if the caller has `permission` on `resource` (its name, or an account's e-mail for `iam.serviceAccounts.actAs`). The
   * core checks the method's own permission before it calls the handler. A handler asks here for further permissions.
   */
  permitted(permission: string, resource: string, caller: Caller): boolean;
}
