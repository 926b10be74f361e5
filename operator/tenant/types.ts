import type { JsonObject } from '../../ports/json.ts';
import type { PolicyAddition } from './policy.ts';

/**
 * The words of the operator's heart: the resource as it is read, what is wanted, what was seen, what to do about it.
 * Pure data. `operator/gcp` turns answers of Google Cloud into the `Observed…` types and steps into calls.
 */

// ---------------------------------------------------------------------------------------------------- the resource

export interface SecretRef {
  /** A secret's id, or `projects/P/secrets/S`. */
  external?: string;
  /** A Config Connector SecretManagerSecret in the same namespace. */
  name?: string;
}

export interface KeySpec {
  name: string;
  secretRef: SecretRef;
  env?: string;
  /** `latest` or a version number. */
  version: string;
  rollout: 'OnNewVersion' | 'OnRestart';
}

export interface TenantSpec {
  region: string;
  keys: KeySpec[];
  image?: string;
  env: { name: string; value: string }[];
  scaling: { minInstances: number; maxInstances: number; concurrency: number };
  /** Kubernetes quantities, as text. */
  resources: { cpu: string; memory: string };
  timeoutSeconds: number;
  access: 'Public' | 'Authenticated';
  invokers: string[];
  suspend: boolean;
}

/** What every inventory entry has. The operator writes an entry before the first call that may create the resource. */
interface Recorded {
  /** Full name of the resource, or of the resource that carries it: a grant's secret, an invoker's or a variable's service. */
  name: string;
  /** Time of the last call that creates it, RFC 3339. */
  time: string;
}

export interface AccountEntry extends Recorded {
  type: 'ServiceAccount';
  /** The account's unique ID. Absent until the answer to the create call is on record. */
  uniqueId?: string;
}

export interface SecretAccessEntry extends Recorded {
  type: 'SecretAccess';
  /** Unique ID of the account that was granted access. */
  uniqueId?: string;
}

export interface ServiceEntry extends Recorded {
  type: 'Service';
  /** When the service of a region that the tenant has left is deleted, RFC 3339. */
  retireAt?: string;
  /** When Cloud Run accepted the call that deletes it, RFC 3339. */
  deletedAt?: string;
}

export interface InvokerEntry extends Recorded {
  type: 'Invoker';
  /** The IAM member. */
  member: string;
}

export interface VariableEntry extends Recorded {
  type: 'Variable';
  /** The environment variable's name. */
  variable: string;
}

/** Something in Google Cloud that is, or may be, this tenant's. A new member is a type error wherever it must be handled. */
export type InventoryEntry = AccountEntry | SecretAccessEntry | ServiceEntry | InvokerEntry | VariableEntry;
export type InventoryType = InventoryEntry['type'];
export type EntryOf<T extends InventoryType> = Extract<InventoryEntry, { type: T }>;

export type ConditionType = 'Ready' | 'ServiceAccountReady' | 'SecretAccessReady' | 'ServiceReady' | 'Stalled';

export interface Condition {
  type: ConditionType;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
  lastTransitionTime: string;
  observedGeneration: number;
}

export interface KeyStatus {
  name: string;
  /** The highest version that was live; only an explicit version lowers it. */
  version?: string;
  /** The secret that `version` is of, as Google Cloud answers it: another secret's versions start anew. */
  secret?: string;
  granted: boolean;
}

/** Fields of a Cloud Run service, as Google Cloud writes them. */
export interface ServiceSettings {
  ingress?: string;
  iapEnabled?: boolean;
  defaultUriDisabled?: boolean;
  customAudiences?: string[];
  binaryAuthorization?: { useDefault?: boolean; policy?: string };
}

export interface TenantStatus {
  observedGeneration?: number;
  conditions: Condition[];
  url?: string;
  serviceAccountEmail?: string;
  /** As whom the operator acted last; absent: as itself. */
  impersonatedServiceAccount?: string;
  latestReadyRevision?: string;
  projectId?: string;
  region?: string;
  keys: KeyStatus[];
  lastHandledReconcileAt?: string;
  /** Stands for the desired state that Google Cloud was last seen to match (`slot.ts`). */
  reconciledHash?: string;
  /** The last container image seen on the tenant's service. */
  image?: string;
  /** What limits access to the tenant's service or what it may run, as last seen: a service made again has it too. */
  serviceSettings?: ServiceSettings;
  inventory: InventoryEntry[];
  /**
   * What a newer version of the operator wrote and this one does not know; written back as it stands. Fields that are not
   * known ride along on the objects that they stand on.
   */
  notUnderstood: { conditions: JsonObject[]; inventory: JsonObject[] };
}

/** An AiTenant, read from the API without trusting it (see `resource.ts`). */
export interface Tenant {
  namespace: string;
  name: string;
  uid: string;
  generation: number;
  resourceVersion: string;
  deletionTimestamp?: string;
  hasFinalizer: boolean;
  annotations: Record<string, string>;
  spec: TenantSpec;
  /** Values of the spec that this version does not know, in words: nothing is changed for a tenant that has one. */
  unknownValues: string[];
  status: TenantStatus;
}

/** Every reason that Ready can have. */
export type Reason =
  | 'UpToDate'
  | 'Updating'
  | 'DependencyNotFound'
  | 'DependencyNotReady'
  | 'UpdateFailed'
  | 'PermissionDenied'
  | 'QuotaExceeded'
  | 'SecretNotAllowed'
  | 'ManagementConflict'
  | 'InvalidSpec'
  | 'Deleting'
  | 'DeleteFailed'
  | 'Suspended'
  /** Somebody disabled the tenant's service account: nothing is created, enabled or changed. */
  | 'Held'
  /** Up to date when Google Cloud last answered; it has not answered for several intervals. */
  | 'NotVerified';

// -------------------------------------------------------------------------------------------------------- settings

/** What the operator's flags say to the pure part. */
export interface Settings {
  /** `--project`: for namespaces that name none. */
  project?: string;
  /** `--projects`: patterns with `*`; empty: all. */
  projects: string[];
  /** `--impersonation-accounts`: patterns with `*` and NAMESPACE; absent or empty: nobody is impersonated. */
  impersonationAccounts?: string[];
  defaultImage: string;
  claimPolicy: 'labelled' | 'any';
  /** `--require-impersonation`: a Namespace that names nobody to act as is refused. */
  requireImpersonation?: boolean;
  /** `--restore`: full owner marks are enough although the inventory is lost. */
  restore?: boolean;
  /** `--consent-uid`: printed commands name the Namespace's UID too. */
  consentUid?: boolean;
  clusterId: string;
  regionMoveGraceMs: number;
  syncIntervalMs: number;
}

export interface Owner {
  cluster: string;
  namespace: string;
  name: string;
}

// --------------------------------------------------------------------------------------------------------- desired

/** A key of the spec, its secret named as far as it is known. */
export interface DesiredKey extends Omit<KeySpec, 'secretRef'> {
  /** `projects/P/secrets/S` as the spec names it (P an id or a number); absent: see `blocked`. */
  secret?: string;
  blocked?: Blocker;
}

export interface Desired {
  owner: Owner;
  project: string;
  /** The UID of the tenant's Namespace, as consent may name it; absent: not known. */
  namespaceUid?: string;
  /** The service account to act as; absent: the operator itself. */
  actAs?: string;
  account: { id: string; email: string; name: string; displayName: string };
  keys: DesiredKey[];
  region: string;
  serviceId: string;
  spec: TenantSpec;
}

// -------------------------------------------------------------------------------------------------------- observed

export type FailureKind =
  /** No answer, or one that says "try again": it may have taken effect. */
  | 'Transient'
  /** Somebody else wrote in between (stale etag), or it exists already: look again. */
  | 'Conflict'
  | 'NotFound'
  | 'PermissionDenied'
  | 'QuotaExceeded'
  /** Refused for what was asked. */
  | 'Invalid'
  /** A fresh identity or grant is not visible everywhere yet. */
  | 'Propagating';

export interface Failure {
  kind: FailureKind;
  /** Google Cloud's own words. */
  message: string;
  /** The reason that the status gets; absent: the usual one of the kind. */
  reason?: Blocker['reason'];
  /** What a person can do about it, empty: nothing; absent: the usual advice of the kind. */
  advice?: string;
  retryAfterMs?: number;
  /** With `Conflict`: a create was refused because something of that name is there. */
  exists?: boolean;
}

export type Read<T> = { state: 'present'; value: T } | { state: 'absent' } | { state: 'failed'; failure: Failure };

export interface ObservedAccount {
  /** `projects/P/serviceAccounts/EMAIL`. */
  name: string;
  email: string;
  uniqueId: string;
  description: string;
  disabled: boolean;
}

export interface ObservedSecret {
  /** Names of versions (`versionAliases`), for `import`; absent: none. */
  aliases?: Record<string, string>;
  /** As Google Cloud answers it: `projects/NUMBER/secrets/S`. */
  name: string;
  labels: Record<string, string>;
}

/** Fields that are not named here are carried along. */
export interface Binding extends JsonObject {
  role: string;
  members: string[];
  condition?: JsonObject;
}

/** google.iam.v1.Policy, read with requestedPolicyVersion 3. Fields that are not named here are carried along. */
export interface Policy extends JsonObject {
  version?: number;
  bindings: Binding[];
  auditConfigs?: JsonObject[];
  etag?: string;
}

export interface SecretVersion {
  version: number;
  state: 'ENABLED' | 'DISABLED' | 'DESTROYED' | 'UNKNOWN';
}

/** A Cloud Run service, its template as raw proto3 JSON so that what we don't manage survives. */
export interface ObservedService {
  /** `projects/P/locations/R/services/S`. */
  name: string;
  region: string;
  etag: string;
  labels: Record<string, string>;
  generation: string;
  observedGeneration: string;
  reconciling: boolean;
  /** Set while it is being deleted. */
  deleteTime?: string;
  /** For how long this process has seen it come up, or seen that it failed, on its own clock; absent: not known. */
  unreadyForMs?: number;
  terminal: { state: 'SUCCEEDED' | 'FAILED' | 'PENDING'; reason: string; message: string };
  latestReadyRevision: string;
  latestCreatedRevision: string;
  uri: string;
  urls: string[];
  traffic: JsonObject[];
  trafficStatuses: JsonObject[];
  invokerIamDisabled: boolean;
  scaling: JsonObject;
  template: JsonObject;
  /** The whole service as Google Cloud answered it. */
  raw: JsonObject;
}

export interface ObservedKey {
  name: string;
  secret: Read<ObservedSecret>;
  /** Read only when the secret is present. */
  policy?: Read<Policy>;
  /**
   * OnNewVersion with `latest`: the newest enabled version; `latest` otherwise: the most recent one; a number: that one.
   * `absent`: there is none.
   */
  version?: Read<SecretVersion>;
  /** Other projects that this very secret can be named with, the spec's own spelling aside; '': the tenant's own. */
  alsoIn?: string[];
}

export interface Observed {
  account: Read<ObservedAccount>;
  keys: ObservedKey[];
  /**
   * By canonical secret name: secrets in the inventory that no key of the spec names any more. `read`: the secret itself, whose
   * labels may have lost their consent; absent: it is of no interest (deletion).
   */
  formerGrants: { secret: string; policy: Read<Policy>; read?: Read<ObservedSecret> }[];
  /** By region: the wanted one first, then every other that the inventory names. */
  services: { name: string; region: string; service: Read<ObservedService>; invokers?: Read<Policy> }[];
}

// ------------------------------------------------------------------------------------------------------------ plan

export type Aspect = 'ServiceAccount' | 'SecretAccess' | 'Service';

/** Something that keeps the tenant from being up to date and that no step of this plan puts right. */
export interface Blocker {
  aspect: Aspect;
  reason: Exclude<Reason, 'UpToDate' | 'Suspended' | 'Deleting' | 'DeleteFailed' | 'NotVerified'>;
  message: string;
  /** Look again after this long; absent: as the reason says. */
  retryAfterMs?: number;
  /** Google Cloud did not answer a read, so whether anything is wrong is not known. */
  unread?: true;
}

/** One field, old → new, for people and for `plan`. */
export interface Change {
  field: string;
  from?: string;
  to?: string;
}

export type Call =
  | {
      kind: 'createAccount';
      project: string;
      accountId: string;
      email: string;
      displayName: string;
      description: string;
    }
  | { kind: 'updateAccount'; name: string; description: string }
  /** `name` by unique id, so that a successor of the same e-mail is never hit. */
  | { kind: 'deleteAccount'; name: string }
  | { kind: 'setSecretPolicy'; secret: string; policy: Policy }
  | { kind: 'createService'; parent: string; serviceId: string; service: JsonObject }
  /** `service` holds name, etag and the masked fields only. */
  | { kind: 'updateService'; service: JsonObject; updateMask: string[] }
  | { kind: 'deleteService'; name: string; etag: string }
  /**
   * `additions`: all that `policy` adds to `base`. Google Cloud refuses a policy for one bad member, so each is then tried
   * alone.
   */
  | {
      kind: 'setServicePolicy';
      service: string;
      policy: Policy;
      additions?: { base: Policy; members: PolicyAddition[] };
    };

/** One write: what, why, and what must have succeeded before it. */
export interface Step {
  id: string;
  aspect: Aspect;
  call: Call;
  /** Ids of steps that must have succeeded in this very run. */
  needs: string[];
  /** It only removes or closes: it comes first, needs no record and is made whatever a status write answers. */
  closes: boolean;
  verb: 'Create' | 'Update' | 'Grant' | 'Revoke' | 'Delete' | 'Adopt' | 'Abandon';
  /** What it is done to, in people's words: `Cloud Run service ai-platform-tenant-a in asia-northeast1`. */
  target: string;
  changes: Change[];
  /** Inventory entries (`entryKey`) that this call may bring into being, and that its success takes away. */
  creates: string[];
  removes: string[];
  /** True if it undoes what somebody did behind the operator's back. */
  drift: boolean;
}

export interface Plan {
  steps: Step[];
  blockers: Blocker[];
  /** What is on its way without a step of ours. */
  waiting: { aspect: Aspect; message: string; retryAfterMs: number }[];
  /** The inventory as it must stand before the first step's call. */
  inventory: InventoryEntry[];
  /** Something of the plan's own falls due then (a former region's service is deleted). */
  recheckAfterMs?: number;
  /** What people should know of although nothing is wrong. */
  notes: string[];
}

/** What came of one step. */
export type Outcome =
  | { step: Step; result: 'done'; response: JsonObject }
  | { step: Step; result: 'failed'; failure: Failure }
  | { step: Step; result: 'skipped' };
