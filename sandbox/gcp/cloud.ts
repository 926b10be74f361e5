import type { GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { GcpError } from './errors.ts';
import { type AccountStore, createAccounts } from './iam/accounts.ts';
import { createPolicies, type PolicyStore } from './iam/policies.ts';
import { createOperations, type OperationStore } from './operations.ts';
import { accessAs, createSecrets, type SecretStore } from './secretManager/secrets.ts';

export { GcpError } from './errors.ts';

/**
 * What the rooms of the local Google Cloud share. Each API (Secret Manager, IAM, Cloud Run) is a table of handlers over
 * this; `core.ts` puts them together behind one `GcpCall`, and `http.ts` is the thin REST face over that same call.
 * No handler reads a clock, a timer or chance but through `runtime`.
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

/** Who calls: the identity that the request's credentials name; undefined: no credentials (the sandbox's owner, who may do all). */
export interface Caller {
  email?: string;
}

/** Who calls, as `creator` and `lastModifier` name it. */
export const emailOf = ({ email }: Caller): string => email ?? 'sandbox-owner@example.com';

/** One method of an API: proto3 JSON in, proto3 JSON out, throwing `GcpError`. The request is already checked against its proto. */
export type Handler = (request: JsonObject, caller: Caller) => JsonObject;

/** Handlers by the proto's full method name, such as `google.cloud.run.v2.Services.GetService`. */
export type Handlers = Record<string, Handler>;

export interface ServiceAccountState {
  email: string;
  uniqueId: string;
  projectId: string;
  disabled: boolean;
}

export type SecretAccess =
  | { ok: true; version: string; payload: Buffer }
  | {
      ok: false;
      why: 'denied' | 'missing' | 'noVersion' | 'disabled' | 'destroyed';
      /** With project number and version, as Cloud Run prints it. */
      name: string;
    };

/** How the local cloud behaves; all settable while it runs. Durations are milliseconds. */
export interface CloudSettings {
  /** How long a new account or secret may still answer 404 (in turns) to reads. */
  createVisibleMs: number;
  /** The same for a Cloud Run service. The real one is there from the first answer of CreateService on: 0. */
  serviceVisibleMs: number;
  /** How long a policy change takes until access checks see it. */
  policyPropagationMs: number;
  /** How long a fresh service account is refused as a member and for actAs. */
  accountPropagationMs: number;
  /** How long Cloud Run takes to create or update a service, before instances are started. */
  deployMs: number;
  /** How long a container may take to listen. */
  startupTimeoutMs: number;
  /** Idle instances above the minimum stop after this. */
  idleMs: number;
  /** The template's maximum of instances where a client sends none: 100, less in projects with a small quota. */
  defaultMaxInstances: number;
  /** Organization policy `iam.allowedPolicyMemberDomains`: whose users, groups and domains may be members; empty: all. */
  allowedMemberDomains: string[];
  /** Organization policy `run.managed.requireInvokerIam`: nobody switches the invoker check off. */
  requireInvokerIam: boolean;
}

/** State shared between the APIs. */
export interface Cloud {
  runtime: Runtime;
  settings: CloudSettings;

  /** A project by id or number. A project that does not exist throws what the real service answers (PERMISSION_DENIED or NOT_FOUND). */
  project(idOrNumber: string): Project;

  /** IAM policies by full resource name (project by number for secrets, by id elsewhere). */
  policies: {
    get(resource: string, requestedVersion: number): Policy;
    /** Checks the etag (409 ABORTED), members and versions; answers the new policy. */
    set(resource: string, policy: JsonObject): Policy;
    /** Whether `member` (such as `serviceAccount:x@p.iam.gserviceaccount.com`) has `role` there, as far as it has propagated. */
    has(resource: string, role: string, member: string): boolean;
    /** Forgets the policy of a deleted resource. */
    remove(resource: string): void;
  };

  /** The service account by e-mail; undefined if there is none (or it is not visible yet). */
  account(email: string): ServiceAccountState | undefined;

  /**
   * Reads a secret's value as `email`, as Cloud Run does at deployment and at each instance start.
   * `secret` is an id in `projectId`, or `projects/P/secrets/S`; `version` a number or `latest`.
   */
  accessSecret(projectId: string, secret: string, version: string, email: string): SecretAccess;

  /** Long-running operations (google.longrunning.Operation), for Get, List, Delete and Wait. */
  operations: {
    /** Starts one below `parent` (`projects/P/locations/R`). */
    start(parent: string, metadataType: string, metadata: JsonObject): { name: string };
    /** Ends it. `response` is the message without `@type`. */
    finish(name: string, result: { responseType: string; response: JsonObject } | { error: GcpStatus }): void;
    /** Its Operation as proto3 JSON. */
    get(name: string): JsonObject;
  };

  /**
   * Whether the caller has `permission` on `resource` (its name; an account's e-mail for `iam.serviceAccounts.actAs`). The
   * method's own permission is checked before its handler runs; this is for what a handler needs beside it.
   */
  permitted(permission: string, resource: string, caller: Caller): boolean;
}

/** The cloud with its stores, for the handlers that own them. */
export interface LocalCloud extends Cloud {
  accounts: AccountStore;
  secrets: SecretStore;
  operationStore: OperationStore;
  projects: readonly Project[];
}

/** Short, so that a demonstration does not wait; tests set what they are about. */
export const DEFAULT_SETTINGS: CloudSettings = {
  createVisibleMs: 100,
  serviceVisibleMs: 0,
  policyPropagationMs: 200,
  accountPropagationMs: 300,
  deployMs: 300,
  startupTimeoutMs: 10_000,
  idleMs: 60_000,
  defaultMaxInstances: 100,
  allowedMemberDomains: [],
  requireInvokerIam: false,
};

/** An empty cloud of these projects. `permitted` answers `Cloud.permitted`; absent, everybody may do all. */
export function createCloud(
  runtime: Runtime,
  options: { projects: Project[]; settings?: Partial<CloudSettings>; permitted?: Cloud['permitted'] },
): LocalCloud {
  const settings = { ...DEFAULT_SETTINGS, ...options.settings };
  const byKey = new Map(
    options.projects.flatMap(project => [[project.id, project] as const, [project.number, project]]),
  );
  const accounts = createAccounts(runtime, settings, options.projects, () => policies);
  const policies: PolicyStore = createPolicies(runtime, settings, email => accounts.propagated(email) !== undefined);
  const secrets = createSecrets(runtime, settings);
  const operationStore = createOperations(runtime);

  function project(idOrNumber: string): Project {
    const found = byKey.get(idOrNumber);
    if (found) return found;
    throw new GcpError({
      code: 'PERMISSION_DENIED',
      message: `Permission denied on resource project ${idOrNumber}.`,
      details: [
        {
          '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
          reason: 'CONSUMER_INVALID',
          domain: 'googleapis.com',
          metadata: { consumer: `projects/${idOrNumber}` },
        },
      ],
    });
  }

  return {
    runtime,
    settings,
    project,
    policies,
    account: email => accounts.propagated(email),
    accessSecret: (projectId, secret, version, email) =>
      accessAs(
        secrets,
        { project, enabledAccount: name => accounts.propagated(name)?.disabled === false, has: policies.has },
        { projectId, secret, version, email },
      ),
    operations: operationStore.operations,
    permitted: options.permitted ?? (() => true),
    accounts,
    secrets,
    operationStore,
    projects: options.projects,
  };
}
