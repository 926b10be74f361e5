import assert from 'node:assert/strict';
import type { AccountPlan, AccountToRemove } from './account.ts';
import { askForForeignSecret, askForSecret } from './consent.ts';
import { type Context, emptyPartialPlan, type PartialPlan, readBlocker, step } from './context.ts';
import type { ConnectorSecret } from './desired.ts';
import { usesOf } from './fields/sidecarSpec.ts';
import { absenceCounts, entriesOfType, entryKey, identityOf, iso } from './inventory.ts';
import { liveKey, resolveVersion } from './keyVersion.ts';
import { part, secretName } from './names.ts';
import { claimService, lostConsent, secretConsent } from './ownership.ts';
import { accountMember, deletedMember, editPolicy, hasMember, SECRET_ACCESSOR } from './policy.ts';
import { abandonable, keepUntilSure, type RemovalContext } from './removalContext.ts';
import { mayRead } from './serving.ts';
import { type FieldKeys, mountsSecret, readsSecret, type WantedKey, type WantedVariable } from './template.ts';
import type {
  Blocker,
  Call,
  Desired,
  DesiredKey,
  Failure,
  InventoryEntry,
  KeyStatus,
  Observed,
  ObservedKey,
  ObservedSecret,
  Plan,
  Policy,
  Read,
  SecretAccessEntry,
  SecretRef,
  Step,
  Targets,
  Tenant,
  TenantSpec,
  TenantStatus,
} from './types.ts';

/**
 * The grants: the tenant's account may read the secret of each key of the spec, and no other secret.
 *
 * 1. A secret needs its owner's consent: a label that names the tenant's namespace (`ownership.ts`). A secret of another project
 *    without consent gets the same answer whether it exists or not.
 * 2. The member is added to the secret's policy, and recorded in the inventory before.
 * 3. A grant that has left the spec stays until no revision that reads the secret serves. A grant whose consent was withdrawn
 *    is removed at once.
 * 4. While a key cannot be used, the service's template is frozen, because a new revision would not start without it.
 */

/** Whether a revision that serves may still read a secret. `unknown`: a service that may read it could not be read. */
export type SecretUse = 'used' | 'unused' | 'unknown';

export interface AccessPlan extends PartialPlan {
  /** The variables of the service that contain a key. */
  variables: WantedVariable[];
  /** The files and the sidecars of the service that contain a key. */
  fieldKeys: FieldKeys;
  /** The service's template must not change now. */
  freezesTemplate: boolean;
  /** IDs of the steps that the service's template depends on. */
  needs: string[];
  keys: KeyStatus[];
  /** By key name: the version that is live once the service is ready. */
  versions: Map<string, string>;
}

/** The input of each key's plan. Each plan adds its results to `out`. */
interface Keys {
  ctx: Context;
  account: AccountPlan;
  observed: Observed;
  recorded: SecretAccessEntry[];
  /** Names of the secrets of the usable keys that have been planned so far. */
  wanted: Set<string>;
  out: AccessPlan;
}

export function accessTargets({ keys, spec }: Desired, inventory: InventoryEntry[]): Partial<Targets> {
  return {
    keys: keys.flatMap(key => {
      const { name, secret, version, rollout } = key;
      if (secret === undefined) return [];
      const latest = rollout === 'OnNewVersion' ? 'newestEnabled' : 'latest';
      return [{ name, secret, want: !isUsed(key, spec) ? 'none' : version === 'latest' ? latest : version }];
    }),
    formerGrants: entriesOfType('SecretAccess', inventory).map(({ name }) => name),
    formerConsent: true,
  };
}

export function planAccess(
  ctx: Context,
  account: AccountPlan,
  observed: Observed,
  recorded: SecretAccessEntry[],
  inUse: (secret: string) => SecretUse,
): AccessPlan {
  const out: AccessPlan = {
    ...emptyPartialPlan(),
    variables: [],
    fieldKeys: { files: [], ofSidecars: [] },
    freezesTemplate: account.state === 'blocked' || account.contained,
    needs: [...account.needs],
    keys: [],
    versions: new Map(),
  };
  const keys: Keys = { ctx, account, observed, recorded, wanted: new Set(), out };
  for (const key of ctx.desired.keys) {
    const found = observed.keys.find(other => other.name === key.name);
    const live = found ? liveKey(ctx, key, found, observed) : ctx.status.keys.find(other => other.name === key.name);
    const granted = planKey(keys, key, found);
    out.keys.push({ ...live, name: key.name, granted });
    planVersion(keys, key, found, live);
  }
  for (const entry of recorded) if (!keys.wanted.has(entry.name)) planFormer(keys, entry, inUse);
  return out;
}

// --------------------------------------------------------------------------------------------------------- one key

/** Why a key cannot be used now. */
interface Obstacle {
  blocker: Blocker;
  /** The template is frozen even if no variable contains the key, because a running service may lose access to it. */
  freezes?: true;
  /** The grant was not read, so the key's `granted` in the status stays. */
  unread?: true;
}

/** Plans one key's grant. Returns true if the grant exists already. */
function planKey(keys: Keys, key: DesiredKey, found: ObservedKey | undefined): boolean {
  const { ctx, account, recorded, wanted, out } = keys;
  const obstacle = keyObstacle(keys, key, found);
  if (obstacle) return blockKey(keys, key, obstacle);
  assert(found?.secret.state === 'present', 'a key without an obstacle has a secret that was read');
  const secret = found.secret.value;
  const isRepeated = wanted.has(secret.name);
  wanted.add(secret.name);
  const entry = recorded.find(other => other.name === secret.name);
  if (found.policy?.state !== 'present') {
    if (entry && !isRepeated) out.entries.push(entry);
    const what = `the IAM policy of secret ${part(key.secret ?? '', 'secrets')}`;
    if (found.policy?.state === 'failed') {
      return blockKey(keys, key, { blocker: readBlocker('SecretAccess', what, found.policy.failure), unread: true });
    }
    const gone: Failure = { kind: 'NotFound', message: 'the secret is gone' };
    return blockKey(keys, key, { blocker: readBlocker('SecretAccess', what, gone) });
  }
  const { stands } = standingGrant(ctx, account, found);
  if (account.state === 'blocked') {
    if (entry && !isRepeated) out.entries.push(entry);
  } else {
    planGrant(
      keys,
      secret.name,
      part(key.secret ?? '', 'secrets'),
      found.policy.value,
      isRepeated ? 'repeated' : entry,
    );
  }
  return stands;
}

function blockKey({ ctx, out }: Keys, key: DesiredKey, { blocker, freezes, unread }: Obstacle): boolean {
  out.blockers.push(blocker);
  if (freezes || isUsed(key, ctx.desired.spec)) out.freezesTemplate = true;
  return unread === true && ctx.status.keys.some(({ name, granted }) => name === key.name && granted);
}

function keyObstacle(keys: Keys, key: DesiredKey, found: ObservedKey | undefined): Obstacle | undefined {
  const { ctx, account } = keys;
  const { owner, project } = ctx.desired;
  if (key.blocked) return { blocker: key.blocked, unread: true };
  const asked = key.secret ?? '';
  const id = part(asked, 'secrets');
  const secretProject = isOwnProject(ctx, key, found) ? project : part(asked, 'projects');
  const refusal = (ask: string): Obstacle => {
    const message = `Key ${key.name}: ${lostUse(keys, id)}${ask}`;
    return { blocker: { aspect: 'SecretAccess', reason: 'SecretNotAllowed', message }, freezes: true };
  };
  const { isKnown } = standingGrant(ctx, account, found);
  const consented = found?.secret.state === 'present' && secretConsent(found.secret.value.labels, ctx.rules, isKnown);
  if (secretProject !== project && found && !consented && !isUnread(found.secret)) {
    return refusal(askForForeignSecret(secretProject, id, ctx.rules));
  }
  if (!found || found.secret.state === 'failed') {
    const failure: Failure =
      found?.secret.state === 'failed' ? found.secret.failure : { kind: 'Transient', message: 'not read' };
    return { blocker: readBlocker('SecretAccess', `secret ${asked} of key ${key.name}`, failure), unread: true };
  }
  if (found.secret.state === 'absent') {
    const message =
      `Key ${key.name}: secret ${id} does not exist in project ${secretProject}. Create it: ` +
      `gcloud secrets create ${id} --project=${secretProject} --labels=ai-tenant-namespace=${owner.namespace}`;
    return { blocker: { aspect: 'SecretAccess', reason: 'DependencyNotFound', message } };
  }
  if (consented) return undefined;
  return refusal(askForSecret({ project: secretProject, id, labels: found.secret.value.labels }, ctx.rules));
}

/**
 * Adds the member if the policy lacks it. `repeated`: an earlier key of the spec names the same secret, so the step is planned
 * already.
 */
function planGrant(
  { ctx, account, out }: Keys,
  secret: string,
  id: string,
  policy: Policy,
  entry: SecretAccessEntry | undefined | 'repeated',
): void {
  const { email } = ctx.desired.account;
  const member = accountMember(email);
  const former = recordedIdentities(ctx.status).filter(uid => uid !== account.uniqueId);
  const stale = former.map(uid => deletedMember(email, uid));
  const edited = editPolicy(policy, { role: SECRET_ACCESSOR, add: [member], remove: stale });
  const grant = step(`grant:${secret}`, 'SecretAccess', 'Grant', `secret ${id}`, {
    kind: 'setSecretPolicy',
    secret,
    policy: edited ?? policy,
  });
  if (edited) out.needs.push(grant.id);
  if (entry === 'repeated') return;
  const record: SecretAccessEntry = {
    ...entry,
    type: 'SecretAccess',
    name: secret,
    // The unique ID that was granted before stays on record until its member has left the policy.
    uniqueId: edited ? (entry?.uniqueId ?? account.uniqueId) : account.uniqueId,
    time: edited ? iso(ctx.now) : (entry?.time ?? iso(ctx.now)),
  };
  out.entries.push(record);
  if (!edited) return;
  grant.needs = account.needs;
  grant.changes = [{ field: SECRET_ACCESSOR, from: undefined, to: member }];
  grant.drift = ctx.settled;
  grant.creates = [entryKey(record)];
  out.steps.push(grant);
}

/**
 * The first part of the message if a running service uses a secret that the tenant may no longer use. Empty: no service uses
 * it.
 */
function lostUse({ ctx, observed }: Keys, secretId: string): string {
  const templates = observed.services.flatMap(({ service }) =>
    service.state === 'present' && claimService(service.value, ctx.rules) === 'ours' ? [service.value.template] : [],
  );
  if (!templates.some(template => readsSecret(template, secretId))) return '';
  const file = templates.some(template => mountsSecret(template, secretId))
    ? ', and a file that is mounted from it cannot be read from now on'
    : '';
  return `the running service uses it and has no grant any more: its instances keep the key until they end, new instances cannot start${file}. The reason: `;
}

/**
 * `stands`: the tenant's account is a member of the secret's policy. `isKnown`: this tenant has made that grant, because its
 * inventory has it. A grant that the inventory lacks may have been made for an earlier Namespace of the same name. With
 * `--restore` it counts too, because then the status may have been lost.
 */
function standingGrant(ctx: Context, account: AccountPlan, found: ObservedKey | undefined) {
  const policy = found?.policy?.state === 'present' ? found.policy.value : undefined;
  const member = accountMember(ctx.desired.account.email);
  const stands = policy !== undefined && hasMember(policy, SECRET_ACCESSOR, member) && account.state !== 'pending';
  const name = found?.secret.state === 'present' ? found.secret.value.name : undefined;
  const { inventory, restore } = ctx.rules;
  const isRecorded = entriesOfType('SecretAccess', inventory).some(entry => entry.name === name);
  return { stands, isKnown: stands && (isRecorded || restore === true) };
}

/** Whether the secret is in the tenant's own project, named by its ID or its number. */
const isOwnProject = ({ desired }: Context, { secret = '' }: DesiredKey, found: ObservedKey | undefined): boolean =>
  ['', desired.project].includes(part(secret, 'projects')) || found?.alsoIn?.includes('') === true;

/**
 * Whether the read failed in a way that says nothing about the secret. `Invalid`: the operator itself refused to send the
 * request.
 */
const isUnread = (read: Read<unknown>): boolean =>
  read.state === 'failed' && ['Transient', 'Conflict', 'QuotaExceeded', 'Invalid'].includes(read.failure.kind);

/** Adds the variables and the files that hold the key, with the version that the service is to use. */
function planVersion(
  { ctx, account, out }: Keys,
  key: DesiredKey,
  found: ObservedKey | undefined,
  live: KeyStatus | undefined,
): void {
  if (!isUsed(key, ctx.desired.spec) || found?.secret.state !== 'present') return;
  const secret = found.secret.value;
  if (!secretConsent(secret.labels, ctx.rules, standingGrant(ctx, account, found).isKnown)) return;
  const asked = key.secret ?? '';
  const [id, project] = [part(asked, 'secrets'), part(asked, 'projects')];
  const isSameSecret = live?.secret === undefined || live.secret === secret.name;
  const uses = usesOf(ctx.desired.spec, key.name);
  const resolved = resolveVersion(key, id, project, found.version, isSameSecret ? live : undefined);
  if (!resolved.ok) {
    const isFile = key.file !== undefined || uses.some(({ at }) => at.startsWith('/'));
    out.blockers.push(isFile ? withFile(resolved.blocker) : resolved.blocker);
    out.freezesTemplate = true;
    return;
  }
  if (resolved.number !== undefined) out.versions.set(key.name, resolved.number);
  const isOwn = isOwnProject(ctx, key, found);
  const own = isOwn ? ['', ctx.desired.project] : [];
  const projects = [...own, project, part(secret.name, 'projects'), ...(found.alsoIn ?? [])];
  const wanted: WantedKey = { secret: isOwn ? id : asked, projects, version: resolved.version };
  if (key.env !== undefined) out.variables.push({ name: key.env, key: wanted });
  if (key.file !== undefined) out.fieldKeys.files.push({ path: key.file, key: wanted });
  out.fieldKeys.ofSidecars.push(...uses.map(use => ({ ...use, key: wanted })));
}

/** A key without a variable and a file, in any container, is granted and not used. */
const isUsed = ({ name, env, file }: DesiredKey, spec: TenantSpec): boolean =>
  env !== undefined || file !== undefined || usesOf(spec, name).length > 0;

/** Cloud Run reads a mounted file at each access, so running instances notice at once (Cloud Run, "Configure secrets"). */
const withFile = (blocker: Blocker): Blocker =>
  blocker.unread
    ? blocker
    : { ...blocker, message: `${blocker.message} Until then the running service cannot read its mounted file.` };

// ------------------------------------------------------------------------------------------------- former grants

/** Plans the removal of a recorded grant whose secret no usable key names: it has left the spec, or its consent was withdrawn. */
function planFormer(keys: Keys, entry: SecretAccessEntry, inUse: (secret: string) => SecretUse): void {
  const { ctx, account, observed, out } = keys;
  const key = observed.keys.find(({ secret }) => secret.state === 'present' && secret.value.name === entry.name);
  const former = observed.formerGrants.find(({ secret }) => secret === entry.name);
  const policy = key?.policy ?? former?.policy;
  const consentLost = key !== undefined || (former?.read !== undefined && lostConsent(former.read, ctx.rules));
  if (!policy || (!consentLost && mayBeKey(keys, entry))) {
    out.entries.push(entry);
    return;
  }
  if (policy.state === 'failed') {
    out.entries.push(entry);
    const what = `the IAM policy of ${entry.name}, whose grant is to be removed`;
    out.blockers.push(readBlocker('SecretAccess', what, policy.failure));
    return;
  }
  if (policy.state === 'absent') {
    if (!absenceCounts(entry, ctx.now)) out.entries.push(entry);
    return;
  }
  const revoke = revokeStep(ctx, account.state === 'ours', policy.value, entry);
  if (!revoke) {
    // While the account is not known to be ours its member stays in the policy, so the entry stays too.
    const stands = hasMember(policy.value, SECRET_ACCESSOR, accountMember(ctx.desired.account.email));
    if (stands || !absenceCounts(entry, ctx.now)) out.entries.push(entry);
    return;
  }
  out.entries.push(entry);
  // The template of a contained tenant cannot change, so the grant would never become unused.
  const use = consentLost || account.contained ? 'unused' : inUse(entry.name);
  if (use === 'used') {
    const message = `The grant on ${entry.name} has left the spec and stays until no revision that reads it serves.`;
    out.waiting.push({ aspect: 'SecretAccess', message, retryAfterMs: 2_000 });
  } else if (use === 'unknown') {
    out.notes.push(
      `The grant on ${entry.name} is not in the spec any more. It stays until the service that may still use the secret can be read.`,
    );
  } else {
    out.steps.push(revoke);
  }
}

/** Whether a key that could not be read may name the same secret. */
const mayBeKey = ({ ctx, observed }: Keys, entry: SecretAccessEntry): boolean =>
  ctx.desired.keys.some(
    key =>
      !observed.keys.some(({ name, secret }) => name === key.name && secret.state === 'present') &&
      (key.secret === undefined || part(key.secret, 'secrets') === part(entry.name, 'secrets')),
  );

/** The account whose members are removed from a policy, in every identity that the status records. */
export interface Revoked {
  status: TenantStatus;
  desired: { account: { email: string } };
}

/**
 * The step that removes the tenant's members from a secret's policy. It removes the account's own member only while the account
 * is ours, and always the `deleted:` members of recorded identities. Undefined: the policy has none of them.
 */
export function revokeStep(
  { status, desired: { account } }: Revoked,
  accountIsOurs: boolean,
  policy: Policy,
  entry: SecretAccessEntry,
): Step | undefined {
  const member = accountMember(account.email);
  const members = recordedIdentities(status).map(uid => deletedMember(account.email, uid));
  if (accountIsOurs) members.push(member);
  const edited = editPolicy(policy, { role: SECRET_ACCESSOR, add: [], remove: members });
  if (!edited) return undefined;
  const revoke = step(`revoke:${entry.name}`, 'SecretAccess', 'Revoke', `secret ${part(entry.name, 'secrets')}`, {
    kind: 'setSecretPolicy',
    secret: entry.name,
    policy: edited,
  });
  revoke.changes = [{ field: SECRET_ACCESSOR, from: member, to: undefined }];
  revoke.closes = true;
  if (!hasMember(edited, SECRET_ACCESSOR, member)) revoke.removes = [entryKey(entry)];
  return revoke;
}

/** Every unique ID that the tenant's account is known to have had. */
export const recordedIdentities = ({ inventory }: Pick<TenantStatus, 'inventory'>): string[] => [
  ...new Set(inventory.flatMap(entry => identityOf(entry) ?? [])),
];

// ---------------------------------------------------------------------------------------------------------- remove

/** The recorded grants, and the secrets of the spec's keys. */
export function accessDeletionTargets(
  { spec, status }: Tenant,
  project: string | undefined,
  connectorSecret: (name: string, project: string) => ConnectorSecret,
): Partial<Targets> {
  const formerGrants = [...new Set(entriesOfType('SecretAccess', status.inventory).map(({ name }) => name))];
  if (!project) return { formerGrants };
  const keys = spec.keys.flatMap(({ name, secretRef }) => {
    const secret = namedSecret(secretRef, project, connectorSecret, formerGrants.length === 0);
    return secret === undefined ? [] : [{ name, secret, want: 'none' }];
  });
  return { keys, formerGrants };
}

/**
 * The secret of a key. A SecretManagerSecret names its secret whether it is Ready or not. If the object is gone and no grant is
 * recorded (the status may have been lost), the secret is read by the object's name: Config Connector's default for a secret's id.
 */
function namedSecret(
  { external, name }: SecretRef,
  project: string,
  connectorSecret: (name: string, project: string) => ConnectorSecret,
  noneRecorded: boolean,
): string | undefined {
  if (external !== undefined) return secretName(external, project);
  if (name === undefined) return undefined;
  const found = connectorSecret(name, project);
  if (found.state === 'ready' || found.state === 'notReady') return found.secret;
  return noneRecorded ? secretName(name, project) : undefined;
}

/**
 * Removes every recorded grant, and those of the spec's keys that are not on record. A grant stays if a service that is not this tenant's
 * runs as the account and may read the secret, unless the secret has lost its consent.
 */
export function removeAccess(
  ctx: RemovalContext,
  observed: Pick<Observed, 'keys' | 'formerGrants'>,
  { email, ours, users }: AccountToRemove,
  out: Plan,
): void {
  const recorded = entriesOfType('SecretAccess', ctx.tenant.status.inventory);
  const revoked: Revoked = { status: ctx.tenant.status, desired: { account: { email } } };
  const isLost = (name: string) =>
    observed.keys.some(
      ({ secret }) => secret.state === 'present' && secret.value.name === name && lostConsent(secret, ctx.rules),
    );
  const stays = ({ name }: SecretAccessEntry) =>
    ours !== undefined && users.some(service => mayRead(service, part(name, 'secrets'))) && !isLost(name);
  out.inventory.push(...recorded.filter(stays));
  for (const entry of recorded) {
    if (!stays(entry)) removeRecorded(ctx, observed, entry, revoked, ours !== undefined, out);
  }
  if (ours) removeUnrecorded(ctx, observed, recorded, revoked, stays, out);
}

function removeRecorded(
  ctx: RemovalContext,
  observed: Pick<Observed, 'keys' | 'formerGrants'>,
  entry: SecretAccessEntry,
  revoked: Revoked,
  accountIsOurs: boolean,
  out: Plan,
): void {
  const asKey = observed.keys.find(({ secret }) => secret.state === 'present' && secret.value.name === entry.name);
  const policy = asKey?.policy ?? observed.formerGrants.find(({ secret }) => secret === entry.name)?.policy;
  if (policy === undefined || policy.state === 'failed') {
    const failure: Failure = policy?.failure ?? { kind: 'Transient', message: 'not read' };
    out.inventory.push(entry);
    out.blockers.push(readBlocker('SecretAccess', `the IAM policy of ${entry.name}`, failure));
    return;
  }
  const revoke = policy.state === 'present' ? revokeStep(revoked, accountIsOurs, policy.value, entry) : undefined;
  const secret = `secret ${part(entry.name, 'secrets')}`;
  if (revoke) {
    out.inventory.push(entry);
    out.steps.push(revoke);
  } else if (policy.state === 'absent') {
    keepUntilSure(entry, secret, ctx, out);
  } else if (accountIsOurs) {
    keepUntilSure(entry, `grant on ${secret}`, ctx, out);
  }
}

/**
 * Removes grants of the spec's keys that are not on record. A secret that the operator may not read is skipped: the
 * operator has most likely granted nothing on it, and a grant to a deleted account gives nobody access.
 */
function removeUnrecorded(
  ctx: RemovalContext,
  observed: Pick<Observed, 'keys'>,
  recorded: SecretAccessEntry[],
  revoked: Revoked,
  stays: (entry: SecretAccessEntry) => boolean,
  out: Plan,
): void {
  const known = new Set(recorded.map(({ name }) => name));
  for (const { name: key, secret, policy } of observed.keys) {
    const name = secret.state === 'present' ? secret.value.name : undefined;
    if (name !== undefined && known.has(name)) continue;
    const read = secret.state === 'failed' ? secret : policy;
    if (read?.state === 'failed' && !abandonable(read.failure) && read.failure.kind !== 'Invalid') {
      out.blockers.push(readBlocker('SecretAccess', `the secret of key ${key}`, read.failure));
    }
    if (name === undefined || policy?.state !== 'present') continue;
    known.add(name);
    const entry: SecretAccessEntry = { type: 'SecretAccess', name, time: iso(ctx.now) };
    const revoke = revokeStep(revoked, true, policy.value, entry);
    if (!revoke || stays(entry)) continue;
    out.inventory.push(entry);
    out.steps.push(revoke);
  }
}

// --------------------------------------------------------------------------------------------------------- foresee

/** The observed state with the secret's policy as it will be once the call has succeeded. */
export function foreseeSecretPolicy(
  observed: Observed,
  { secret: name, policy: value }: Extract<Call, { kind: 'setSecretPolicy' }>,
): Observed {
  const policy: Read<Policy> = { state: 'present', value };
  const isSecret = (secret: Read<ObservedSecret>) => secret.state === 'present' && secret.value.name === name;
  return {
    ...observed,
    keys: observed.keys.map(key => (isSecret(key.secret) ? { ...key, policy } : key)),
    formerGrants: observed.formerGrants.map(grant => (grant.secret === name ? { ...grant, policy } : grant)),
  };
}
