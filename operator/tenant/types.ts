import type { Json, JsonObject } from '../../ports/json.ts';

/**
 * The data that the operator decides about: the resource as it is read, the desired state, the observed state, and the plan.
 * `operator/gcp` turns answers of Google Cloud into the `Observed…` types, and steps into calls.
 */

// ---------------------------------------------------------------------------------------------------- the resource

export interface SecretRef {
  /** A secret's ID, or `projects/P/secrets/S`. */
  external?: string;
  /** A Config Connector SecretManagerSecret in the same namespace. */
  name?: string;
}

export interface KeySpec {
  name: string;
  secretRef: SecretRef;
  env?: string;
  /** The path at which the key is mounted as a file. */
  file?: string;
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
  /** Kubernetes quantities, as strings. */
  resources: { cpu: string; memory: string };
  timeoutSeconds: number;
  access: 'Public' | 'Authenticated';
  invokers: string[];
  suspend: boolean;
  /** The optional fields of Cloud Run that the spec names (`fields/`). Absent: it names none. */
  fields?: FieldValues;
}

/** Values of optional fields by their path: `ingress`, `labels.team`. */
export type FieldValues = Record<string, Json>;

/** The fields of every inventory entry. The operator writes an entry before the first call that may create the resource. */
interface Recorded {
  /** Full name of the resource. For a grant it is the name of the secret, for an invoker, a variable or a field that of the service. */
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

export interface FieldEntry extends Recorded {
  type: 'Field';
  /** The path of an optional field that the operator has set: `ingress`, `labels.team`. */
  field: string;
}

/** Something in Google Cloud that is, or may be, this tenant's. A new member is a type error wherever it must be handled. */
export type InventoryEntry =
  | AccountEntry
  | SecretAccessEntry
  | ServiceEntry
  | InvokerEntry
  | VariableEntry
  | FieldEntry;
export type InventoryType = InventoryEntry['type'];
export type EntryOf<T extends InventoryType> = Extract<InventoryEntry, { type: T }>;

/** One for each resource, and two that summarize them. */
export type ConditionType = 'Ready' | `${Aspect}Ready` | 'Stalled';

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
  /** The highest version that was live. Only an explicit version in the spec lowers it. */
  version?: string;
  /**
   * Name of the secret that `version` belongs to, as Google Cloud answers it. If the key names another secret, its version
   * starts anew.
   */
  secret?: string;
  granted: boolean;
}

/** Fields of a Cloud Run service, with Google Cloud's names and values: those of the rows with `recorded` (`fields/`). */
export type ServiceSettings = JsonObject;

export interface TenantStatus {
  observedGeneration?: number;
  conditions: Condition[];
  url?: string;
  serviceAccountEmail?: string;
  /** The service account that the operator last impersonated. Absent: it acted as itself. */
  impersonatedServiceAccount?: string;
  latestReadyRevision?: string;
  projectId?: string;
  region?: string;
  keys: KeyStatus[];
  lastHandledReconcileAt?: string;
  /** Hash of the desired state that Google Cloud matched at the last reconcile (`slot.ts`). */
  reconciledHash?: string;
  /** The last container image that was read from the tenant's service. */
  image?: string;
  /**
   * Settings that limit access to the service or what it may run, as last read. The operator creates a deleted service again
   * with them.
   */
  serviceSettings?: ServiceSettings;
  inventory: InventoryEntry[];
  /** Conditions and inventory entries of a newer version of the operator, which are written back unchanged. */
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
  /**
   * Descriptions of values in the spec that this version does not know. If there is one, the operator changes nothing for the
   * tenant.
   */
  unknownValues: string[];
  status: TenantStatus;
}

/** Every reason of the condition Ready. */
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
  /** The tenant's service account is disabled, so nothing is created, enabled or changed. */
  | 'Held'
  /** The tenant was up to date when Google Cloud last answered, which is several sync intervals ago. */
  | 'NotVerified';

// -------------------------------------------------------------------------------------------------------- settings

/** The operator's flags that decisions depend on. */
export interface Settings {
  /** `--project`: the project of namespaces without an annotation. */
  project?: string;
  /** `--projects`: patterns with `*`. Empty: all projects are allowed. */
  projects: string[];
  /** `--impersonation-accounts`: patterns with `*` and NAMESPACE. Absent or empty: no account may be impersonated. */
  impersonationAccounts?: string[];
  defaultImage: string;
  claimPolicy: 'labelled' | 'any';
  /** `--require-impersonation`: a Namespace that names no service account to impersonate is refused. */
  requireImpersonation?: boolean;
  /** `--restore`: a resource with full owner marks counts as the tenant's, even if the inventory lacks it. */
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

/** A key of the spec with the name of its secret. */
export interface DesiredKey extends Omit<KeySpec, 'secretRef'> {
  /** `projects/P/secrets/S`, where P is an ID or a number as in the spec. Absent: not known, for the reason in `blocked`. */
  secret?: string;
  blocked?: Blocker;
}

export interface Desired {
  owner: Owner;
  project: string;
  /** The UID of the tenant's Namespace, which consent may name. Absent: not known. */
  namespaceUid?: string;
  /** The service account to impersonate. Absent: the operator acts as itself. */
  actAs?: string;
  account: { id: string; email: string; name: string; displayName: string };
  keys: DesiredKey[];
  region: string;
  serviceId: string;
  spec: TenantSpec;
}

// -------------------------------------------------------------------------------------------------------- observed

export type FailureKind =
  /** No answer, or one that asks to retry. The call may have taken effect. */
  | 'Transient'
  /** The etag is stale because somebody else has written, or the resource exists already. A new read resolves it. */
  | 'Conflict'
  | 'NotFound'
  | 'PermissionDenied'
  | 'QuotaExceeded'
  /** The request itself is refused. */
  | 'Invalid'
  /** A new identity or grant is not visible everywhere yet. */
  | 'Propagating';

export interface Failure {
  kind: FailureKind;
  /** Google Cloud's message. */
  message: string;
  /** The reason for the status. Absent: the kind's usual one. */
  reason?: Blocker['reason'];
  /** The advice for a person. Empty: there is none. Absent: the kind's usual advice. */
  advice?: string;
  retryAfterMs?: number;
  /** With `Conflict`: the create failed because a resource of that name exists. */
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
  /** The secret's aliases of versions (`versionAliases`). Only the command `import` uses them. */
  aliases?: Record<string, string>;
  /** As Google Cloud answers it: `projects/NUMBER/secrets/S`. */
  name: string;
  labels: Record<string, string>;
}

/** Unknown fields are kept. */
export interface Binding extends JsonObject {
  role: string;
  members: string[];
  condition?: JsonObject;
}

/** google.iam.v1.Policy, read with requestedPolicyVersion 3. Unknown fields are kept. */
export interface Policy extends JsonObject {
  version?: number;
  bindings: Binding[];
  auditConfigs?: JsonObject[];
  etag?: string;
}

/** One member of one binding. */
export interface PolicyAddition {
  role: string;
  member: string;
  condition?: JsonObject;
}

export interface SecretVersion {
  version: number;
  state: 'ENABLED' | 'DISABLED' | 'DESTROYED' | 'UNKNOWN';
}

/** A Cloud Run service. The template is raw proto3 JSON, so that fields that the operator does not manage survive. */
export interface ObservedService {
  /** `projects/P/locations/R/services/S`. */
  name: string;
  region: string;
  etag: string;
  labels: Record<string, string>;
  generation: string;
  observedGeneration: string;
  reconciling: boolean;
  /** Set while the service is being deleted. */
  deleteTime?: string;
  /** Milliseconds since this process first observed the present rollout, or its failure. Absent: not known. */
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
  /** The service as Google Cloud answered it. */
  raw: JsonObject;
}

/** The resources to read in Google Cloud: everything that is wanted, and everything that is on record. */
export interface Targets {
  /** `projects/P/serviceAccounts/EMAIL`. Absent: the account is not read. */
  account?: string;
  keys: { name: string; secret: string; want: 'newestEnabled' | 'latest' | 'none' | (string & {}) }[];
  formerGrants: string[];
  /** Also read the secrets of former grants, whose consent may have been withdrawn. */
  formerConsent?: boolean;
  services: string[];
  /** Services whose IAM policy is read in any case. */
  invokersOf: string[];
  /** Also read the policy of a service with an invoker check, because an `allUsers` member may make it public. */
  isPublic: boolean;
}

export interface ObservedKey {
  name: string;
  secret: Read<ObservedSecret>;
  /** Read only when the secret is present. */
  policy?: Read<Policy>;
  /**
   * The version that the spec selects: for `latest` with OnNewVersion the newest enabled version, for `latest` with OnRestart the
   * newest version in any state, for a number the version with that number.
   */
  version?: Read<SecretVersion>;
  /**
   * The project in other references to the same secret that the service contains: its ID or number, or '' for a bare ID, which
   * means the tenant's own project.
   */
  alsoIn?: string[];
}

export interface Observed {
  account: Read<ObservedAccount>;
  keys: ObservedKey[];
  /**
   * Secrets in the inventory that no key of the spec names any more. `read`: the secret itself, to check whether its consent was
   * withdrawn. A deletion does not read it, because it removes every grant.
   */
  formerGrants: { secret: string; policy: Read<Policy>; read?: Read<ObservedSecret> }[];
  /** The wanted region's service first, then those of every other region in the inventory. */
  services: { name: string; region: string; service: Read<ObservedService>; invokers?: Read<Policy> }[];
}

// ------------------------------------------------------------------------------------------------------------ plan

/** The resources that a tenant has in Google Cloud. A new member is a type error wherever it must be handled. */
export type Aspect = 'ServiceAccount' | 'SecretAccess' | 'Service';

/** Something that prevents the tenant from being up to date and that no step of this plan resolves. */
export interface Blocker {
  aspect: Aspect;
  reason: Exclude<Reason, 'UpToDate' | 'Suspended' | 'Deleting' | 'DeleteFailed' | 'NotVerified'>;
  message: string;
  /** Milliseconds until the next retry. Absent: the delay depends on the reason (`again` in report.ts). */
  retryAfterMs?: number;
  /** Google Cloud did not answer a read, so it is not known whether anything is wrong. */
  unread?: true;
}

/** A change of one field, for events and for the command `plan`. */
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
  /** `name` has the unique ID, so that a later account of the same e-mail is never deleted. */
  | { kind: 'deleteAccount'; name: string }
  | { kind: 'setSecretPolicy'; secret: string; policy: Policy }
  | { kind: 'createService'; parent: string; serviceId: string; service: JsonObject }
  /** `service` has the name, the etag and the fields of the mask only. */
  | { kind: 'updateService'; service: JsonObject; updateMask: string[] }
  | { kind: 'deleteService'; name: string; etag: string }
  /**
   * `additions`: what `policy` adds to `base`. If Google Cloud refuses the policy because of one member, each is added
   * alone.
   */
  | {
      kind: 'setServicePolicy';
      service: string;
      policy: Policy;
      additions?: { base: Policy; members: PolicyAddition[] };
    };

/** One write, with its reason and with the steps that must have succeeded before. */
export interface Step {
  id: string;
  aspect: Aspect;
  call: Call;
  /** IDs of steps that must have succeeded in the same run. */
  needs: string[];
  /** The step only removes or closes access. It is made first, before the inventory is written, and even if that write fails. */
  closes: boolean;
  verb: 'Create' | 'Update' | 'Grant' | 'Revoke' | 'Delete' | 'Adopt' | 'Abandon';
  /** The resource as messages call it: `Cloud Run service ai-platform-tenant-a in asia-northeast1`. */
  target: string;
  changes: Change[];
  /** Keys (`entryKey`) of the inventory entries that this call may create, and of those that its success removes. */
  creates: string[];
  removes: string[];
  /** The step reverts a change that somebody made in Google Cloud. */
  drift: boolean;
}

export interface Plan {
  steps: Step[];
  blockers: Blocker[];
  /** Operations that are in progress without a step of this plan. */
  waiting: { aspect: Aspect; message: string; retryAfterMs: number }[];
  /** The inventory as it must be recorded before the first call. */
  inventory: InventoryEntry[];
  /** When a planned deletion of a former region's service is due. */
  recheckAfterMs?: number;
  /** Messages that are shown although nothing is wrong. */
  notes: string[];
}

/** The result of one step. */
export type Outcome =
  | { step: Step; result: 'done'; response: JsonObject }
  | { step: Step; result: 'failed'; failure: Failure }
  | { step: Step; result: 'skipped' };

/** A member that Google Cloud has refused. */
export interface Refusal {
  /** Google Cloud's message. */
  message: string;
  /** The advice, if it is more than to correct or remove the member. */
  advice?: string;
  /** The member may be an account that was created too recently to be known everywhere. */
  propagating: boolean;
  /** Times of the first and of the last refusal in a row, in milliseconds since the epoch. */
  since: number;
  at: number;
  /** Generation of the spec that named the member. After an edit the member is retried at once. */
  generation: number;
}
/** By `refusalKey`. */
export type Refusals = ReadonlyMap<string, Refusal>;

// ---------------------------------------------------------------------------------------------------------- report

/**
 * When to reconcile again. `changed`: soon, to observe the effect of the calls. `after`: after `ms`. `backoff`: after a delay
 * that grows up to `capMs`. `interval`: at the periodic check.
 */
export type Again =
  | { kind: 'changed' }
  | { kind: 'after'; ms: number }
  | { kind: 'backoff'; capMs: number; atLeastMs?: number }
  | { kind: 'interval' };

export interface Report {
  status: TenantStatus;
  again: Again;
  /** Google Cloud could not be read, so `status` is the one of the last reconcile. */
  unread?: true;
  /** With `unread`: the message of the first failure. */
  failure?: string;
}
