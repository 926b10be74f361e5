import type { Limits } from '../../operator/gcp/quota.ts';
import type { GcpCode } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';

/**
 * What happens in a run, as plain data: who does what when, and what goes wrong when. A script is all there is to know of
 * a run, so that it can be printed, replayed and made smaller. Times are virtual milliseconds from the start.
 */
export interface Script {
  seed: number;
  /** Operator processes of each cluster; the second one, if there is one, wants the same names. */
  replicas: number[];
  cloud: {
    createVisibleMs: number;
    /** Absent: as long as all else. */
    serviceVisibleMs?: number;
    policyPropagationMs: number;
    accountPropagationMs: number;
    deployMs: number;
    /** The template's maximum of instances where none is sent; absent: 100. */
    defaultMaxInstances?: number;
  };
  /** The longest that a call takes, unless a fault makes it longer. */
  latencyMs: number;
  /** How far the watches are behind. */
  watchLagMs: number;
  /** How long a former region serves on; absent: a minute. */
  graceMs?: number;
  /** Calls a minute, all run long: Google Cloud allows no more, and the operator is told so (`--quotas`). Absent: no quota. */
  limits?: Partial<Limits>;
  /** After this nobody edits and nothing fails any more. */
  spanMs: number;
  steps: Step[];
  faults: Fault[];
}

export type Step = { at: number } & Action;

export interface TenantRef {
  cluster: number;
  namespace: string;
  name: string;
}

export type Action =
  // A person with kubectl, and a GitOps tool: `apply` makes the spec what it says, whatever it is now.
  | ({ who: 'kubectl' | 'gitops'; do: 'apply'; spec: JsonObject } & TenantRef)
  | ({ who: 'kubectl' | 'gitops'; do: 'delete' } & TenantRef)
  | ({ who: 'kubectl'; do: 'patch'; spec: JsonObject } & TenantRef)
  /** A restore that brings the object back without its status. */
  | ({ who: 'kubectl'; do: 'loseStatus' } & TenantRef)
  /** An operator of another version takes over for a moment; `newerJob`: it leaves an inventory entry of its own kind. */
  | ({ who: 'version'; do: 'newer' | 'newerJob' | 'older' } & TenantRef)
  | ({ who: 'kubectl'; do: 'annotate'; key: string; value: string | null } & TenantRef)
  | { who: 'admin'; do: 'project'; cluster: number; namespace: string; project: string | null }
  /** The Namespace names the service account that the operator is to act as; null: none. */
  | { who: 'admin'; do: 'impersonate'; cluster: number; namespace: string; account: string | null }
  /** Config Connector's SecretManagerSecret of the same name as the secret: made, made Ready or not Ready, deleted. */
  | {
      who: 'connector';
      do: 'create' | 'ready' | 'notReady' | 'delete';
      cluster: number;
      namespace: string;
      secret: string;
    }
  | { who: 'admin'; do: 'deleteNamespace' | 'createNamespace'; cluster: number; namespace: string }
  | { who: 'admin'; do: 'deleteCrd' | 'createCrd'; cluster: number }
  // Who owns the secrets: they come and go, consent does, versions rotate.
  | { who: 'secrets'; do: 'create' | 'delete'; secret: string }
  | { who: 'secrets'; do: 'consent'; secret: string; namespace: string | null; cluster?: string }
  | {
      who: 'rotation';
      do: 'add' | 'disable' | 'enable' | 'destroy';
      secret: string /** From the newest back. */;
      back: number;
    }
  // Another tool that writes the same policies.
  | { who: 'iam'; do: 'toggle'; secret: string; member: string; conditional: boolean }
  | { who: 'iam'; do: 'ungrant'; secret: string; account: string }
  // Somebody with the console.
  | {
      who: 'console';
      do:
        | 'variable'
        | 'literal'
        | 'image'
        | 'access'
        | 'scaling'
        | 'traffic'
        | 'label'
        | 'unmark'
        | 'delete'
        | 'invoker'
        | 'public'
        // Settings that the spec does not name: who may reach the service, and a right of somebody else's on it.
        | 'restrict'
        | 'developer';
      tenant: string;
      region: string;
    }
  | { who: 'console'; do: 'deleteAccount' | 'disableAccount' | 'unmarkAccount'; tenant: string };

/** Which calls a fault is about. */
export interface Aim {
  cluster: number;
  port: 'gcp' | 'kube';
  /** Leases and events aside; absent: both. */
  kind?: 'read' | 'write';
  /** The method's last part, or `verb plural` of a call to the cluster. */
  method?: string;
  /** So many matching calls pass first. */
  skip?: number;
}

export type Fault = { at: number } & (
  | ({ fault: 'crashBefore' | 'crashAfter' } & Aim)
  /** The answer is lost: `took` says whether the call has taken effect. */
  | ({ fault: 'lost'; took: boolean } & Aim)
  /** Google Cloud's code, or the API server's as a number; `took` as above. */
  | ({ fault: 'refused'; code: GcpCode | number; took: boolean; times: number } & Aim)
  /** It takes effect so much later, answers so much later, or both; the client gives up in between. */
  | ({ fault: 'late'; effectMs: number; answerMs: number } & Aim)
  /** Somebody else writes the same thing just before this call does. */
  | ({ fault: 'meanwhile' } & Aim)
  | { fault: 'kill'; cluster: number; replica: number; forMs: number }
  /** The API server is gone, and all watches with it. */
  | { fault: 'apiDown'; cluster: number; forMs: number }
  | { fault: 'compact'; cluster: number }
  | { fault: 'dropWatches'; cluster: number }
  /** Open watches say nothing, as dead connections do. */
  | { fault: 'silence'; cluster: number; forMs: number }
  /** Watches are so far behind. */
  | { fault: 'lag'; cluster: number; lagMs: number; forMs: number }
  /** One replica cannot reach the API server: it loses its lease while it writes. */
  | { fault: 'cut'; cluster: number; replica: number; forMs: number }
  | { fault: 'skew'; cluster: number; replica: number; ms: number }
  /** Lists are answered as things were so many writes ago: who starts now starts from the past. */
  | { fault: 'stale'; cluster: number; versions: number; forMs: number }
  /** Watches tell everything twice, the second time late. */
  | { fault: 'repeat'; cluster: number; forMs: number }
  | { fault: 'quota'; api: 'run' | 'secretmanager' | 'iam'; kind: 'read' | 'write'; calls: number; forMs: number }
  | { fault: 'deny'; permission: string; forMs: number }
  /** A region answers nobody, neither for reads nor for writes. */
  | { fault: 'regionDown'; region: string; forMs: number }
  /** Lists of services, accounts and secrets lack everything. */
  | { fault: 'emptyLists'; forMs: number }
  /** Every call that names this (a project, a region, one resource) is refused, maybe with a delay that the server asks for. */
  | { fault: 'outage'; where: string; code: GcpCode; retryAfterMs?: number; forMs: number }
  /** Lists lack every other item, are those of the fault's beginning, or have items without labels, description and etag. */
  | { fault: 'wrongLists'; how: 'short' | 'stale' | 'bare'; forMs: number }
  /** The API server serves reads and refuses writes: of tenants (a policy) or, with 500, of everything. */
  | { fault: 'readOnly'; cluster: number; code: 403 | 422 | 500; forMs: number }
);

/** One line of a step or fault, for people. */
export function shown(entry: Step | Fault): string {
  const { at, ...rest } = entry;
  const words = Object.entries(rest).map(([key, value]) =>
    ['who', 'do', 'fault'].includes(key)
      ? String(value)
      : `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `${time(at)} ${words.join(' ')}`;
}

export const time = (ms: number): string => `${(ms / 1000).toFixed(3).padStart(9)}s`;
