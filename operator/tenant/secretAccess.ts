import type { AccountPart } from './account.ts';
import { askForForeignSecret, askForSecret } from './consent.ts';
import { type Context, emptyPart, type Part, readBlocker, step } from './context.ts';
import { absenceCounts, entryKey, identityOf, iso } from './inventory.ts';
import { resolveVersion } from './keyVersion.ts';
import { part, secretName } from './names.ts';
import { claimService, lostConsent, secretConsent } from './ownership.ts';
import { accountMember, deletedMember, editPolicy, hasMember, SECRET_ACCESSOR } from './policy.ts';
import { mountsSecret, pinnedVersions, readsSecret, type WantedVariable } from './template.ts';
import type { DesiredKey, KeyStatus, Observed, ObservedKey, Policy, Read, SecretAccessEntry, Step } from './types.ts';

/** Whether a revision that serves may still read a secret; `unknown`: a service that may could not be read. */
export type SecretUse = 'used' | 'unused' | 'unknown';

export interface AccessPart extends Part {
  /** The secret-backed variables of the service; meaningless while `holdTemplate`. */
  variables: WantedVariable[];
  /** Why the template must not change now. */
  holdTemplate: boolean;
  /** Steps that the service's template depends on. */
  needs: string[];
  keys: KeyStatus[];
  /** By key name: the version that a settled service makes the live one. */
  versions: Map<string, string>;
}

/** Grants: the tenant's account may read each key of the spec, and no other secret that it was once given. */
export function planAccess(
  ctx: Context,
  account: AccountPart,
  observed: Observed,
  held: SecretAccessEntry[],
  inUse: (secret: string) => SecretUse,
): AccessPart {
  const out: AccessPart = {
    ...emptyPart(),
    variables: [],
    holdTemplate: account.state === 'blocked' || account.contained,
    needs: [...account.needs],
    keys: [],
    versions: new Map(),
  };
  const wanted = new Set<string>();
  for (const key of ctx.desired.keys) {
    const seen = observed.keys.find(other => other.name === key.name);
    const recorded = ctx.status.keys.find(other => other.name === key.name);
    const live = seen?.secret.state === 'present' ? liveKey(ctx, key, seen, recorded, observed) : recorded;
    const granted = planKey(ctx, account, key, observed, held, wanted, out);
    out.keys.push({ ...live, name: key.name, granted });
    planVersion(ctx, account, key, seen, live, out);
  }
  planFormer(ctx, account, observed, held, wanted, inUse, out);
  return out;
}

/** One key's grant; answers whether it stands already. */
function planKey(
  ctx: Context,
  account: AccountPart,
  key: DesiredKey,
  observed: Observed,
  held: SecretAccessEntry[],
  wanted: Set<string>,
  out: AccessPart,
): boolean {
  const seen = observed.keys.find(other => other.name === key.name);
  const { owner, project, account: ours } = ctx.desired;
  const hold = (blocker: Part['blockers'][number], always: boolean, granted = false) => {
    out.blockers.push(blocker);
    if (always || key.env !== undefined) out.holdTemplate = true;
    return granted;
  };
  // What could not be read is as it was when it was read last.
  const before = ctx.status.keys.some(({ name, granted }) => name === key.name && granted);
  if (key.blocked) return hold(key.blocked, false, before);
  const asked = key.secret ?? '';
  const id = part(asked, 'secrets');
  const secretProject = isOwnProject(ctx, key, seen) ? project : part(asked, 'projects');
  const { member, stands, isKnown } = standingGrant(ctx, account, seen);
  const consented = seen?.secret.state === 'present' && secretConsent(seen.secret.value.labels, ctx.rules, isKnown);
  if (secretProject !== project && seen && !consented && !isUnread(seen.secret)) {
    const message = `Key ${key.name}: ${lostUse(ctx, observed, id)}${askForForeignSecret(secretProject, id, ctx.rules)}`;
    return hold({ aspect: 'SecretAccess', reason: 'SecretNotAllowed', message }, true);
  }
  if (!seen || seen.secret.state === 'failed') {
    const failure =
      seen?.secret.state === 'failed' ? seen.secret.failure : { kind: 'Transient' as const, message: 'not read' };
    return hold(readBlocker('SecretAccess', `secret ${asked} of key ${key.name}`, failure), false, before);
  }
  if (seen.secret.state === 'absent') {
    const message =
      `Key ${key.name}: secret ${id} does not exist in project ${secretProject}. Create it: ` +
      `gcloud secrets create ${id} --project=${secretProject} --labels=ai-tenant-namespace=${owner.namespace}`;
    return hold({ aspect: 'SecretAccess', reason: 'DependencyNotFound', message }, false);
  }
  const secret = seen.secret.value;
  if (!consented) {
    const ask = askForSecret({ project: secretProject, id, labels: secret.labels }, ctx.rules);
    const message = `Key ${key.name}: ${lostUse(ctx, observed, id)}${ask}`;
    return hold({ aspect: 'SecretAccess', reason: 'SecretNotAllowed', message }, true);
  }
  const repeated = wanted.has(secret.name);
  wanted.add(secret.name);
  const entry = held.find(other => other.name === secret.name);
  if (seen.policy?.state !== 'present') {
    if (entry && !repeated) out.entries.push(entry);
    const failure =
      seen.policy?.state === 'failed'
        ? seen.policy.failure
        : { kind: 'NotFound' as const, message: 'the secret is gone' };
    const unread = seen.policy?.state === 'failed';
    return hold(readBlocker('SecretAccess', `the IAM policy of secret ${id}`, failure), false, unread && before);
  }
  const policy = seen.policy.value;
  if (account.state === 'blocked') {
    if (entry && !repeated) out.entries.push(entry);
    return stands;
  }
  const stale = formerIdentities(ctx, account.uniqueId).map(uid => deletedMember(ours.email, uid));
  const edited = editPolicy(policy, { role: SECRET_ACCESSOR, add: [member], remove: stale });
  if (repeated) {
    if (edited) out.needs.push(grantId(secret.name));
    return stands;
  }
  const target = `secret ${id}`;
  let granted: Step | undefined;
  if (edited) {
    const grant = step(grantId(secret.name), 'SecretAccess', 'Grant', target, {
      kind: 'setSecretPolicy',
      secret: secret.name,
      policy: edited,
    });
    grant.needs = account.needs;
    grant.changes = [{ field: SECRET_ACCESSOR, from: undefined, to: member }];
    grant.drift = ctx.settled;
    granted = grant;
    out.steps.push(grant);
    out.needs.push(grant.id);
  }
  const record: SecretAccessEntry = {
    ...entry,
    type: 'SecretAccess',
    name: secret.name,
    // The identity that was granted before stays on record until its member is gone from the policy.
    uniqueId: edited ? (entry?.uniqueId ?? account.uniqueId) : account.uniqueId,
    time: edited ? iso(ctx.now) : (entry?.time ?? iso(ctx.now)),
  };
  out.entries.push(record);
  if (granted) granted.creates = [entryKey(record)];
  return stands;
}

/** What it means for a service that uses a key whose secret is not allowed (any more). */
function lostUse(ctx: Context, observed: Observed, secretId: string): string {
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
 * What is on record of a key, or more: a version that a ready revision of ours has gone live with while nobody wrote it
 * down, as of an operator that died in between, is the highest all the same.
 */
function liveKey(
  ctx: Context,
  key: DesiredKey,
  seen: ObservedKey,
  recorded: KeyStatus | undefined,
  observed: Observed,
): KeyStatus | undefined {
  if (seen.secret.state !== 'present') return recorded;
  const { name } = seen.secret.value;
  const isSecret = (reference: string) => {
    const full = secretName(reference, ctx.desired.project);
    const sameId = part(full, 'secrets') === part(name, 'secrets');
    return full === key.secret || full === name || (sameId && seen.alsoIn?.includes(part(reference, 'projects')));
  };
  const serving = observed.services.flatMap(({ service }) => {
    if (service.state !== 'present' || !['ours', 'consented'].includes(claimService(service.value, ctx.rules)))
      return [];
    const { latestReadyRevision, latestCreatedRevision, reconciling, terminal, template } = service.value;
    const settled = !reconciling && terminal.state === 'SUCCEEDED';
    const isLive = settled && latestReadyRevision !== '' && latestReadyRevision === latestCreatedRevision;
    return isLive ? [...pinnedVersions(template).values()] : [];
  });
  const highest = Math.max(
    0,
    ...serving.flatMap(({ secret, version }) => (isSecret(secret) && /^\d+$/.test(version) ? Number(version) : [])),
  );
  const known = recorded?.secret === undefined || recorded.secret === name ? Number(recorded?.version ?? 0) : 0;
  if (highest <= known) return recorded;
  return { granted: false, ...recorded, name: key.name, version: String(highest), secret: name };
}

/**
 * Whether the tenant's account, if it is ours, is a member already; and whether that grant is this tenant's own. One that its
 * inventory does not know may be of a former Namespace of the same name, unless `--restore` says that the status was lost.
 */
function standingGrant(ctx: Context, account: AccountPart, seen: ObservedKey | undefined) {
  const member = accountMember(ctx.desired.account.email);
  const policy = seen?.policy?.state === 'present' ? seen.policy.value : undefined;
  const stands = policy !== undefined && hasMember(policy, SECRET_ACCESSOR, member) && account.state !== 'pending';
  const name = seen?.secret.state === 'present' ? seen.secret.value.name : undefined;
  const { inventory, restore } = ctx.rules;
  const isRecorded = inventory.some(entry => entry.type === 'SecretAccess' && entry.name === name);
  return { member, stands, isKnown: stands && (isRecorded || restore === true) };
}

/** Whether the secret is in the tenant's own project, by its id or its number. */
const isOwnProject = ({ desired }: Context, { secret = '' }: DesiredKey, seen: ObservedKey | undefined): boolean =>
  ['', desired.project].includes(part(secret, 'projects')) || seen?.alsoIn?.includes('') === true;

/** The read failed for a reason that says nothing about the secret; `Invalid` is the operator's own refusal to ask. */
const isUnread = (read: Read<unknown>): boolean =>
  read.state === 'failed' && ['Transient', 'Conflict', 'QuotaExceeded', 'Invalid'].includes(read.failure.kind);

const grantId = (secret: string): string => `grant:${secret}`;

function planVersion(
  ctx: Context,
  account: AccountPart,
  key: DesiredKey,
  seen: ObservedKey | undefined,
  live: KeyStatus | undefined,
  out: AccessPart,
): void {
  if (
    key.env === undefined ||
    seen?.secret.state !== 'present' ||
    !secretConsent(seen.secret.value.labels, ctx.rules, standingGrant(ctx, account, seen).isKnown)
  ) {
    return;
  }
  const asked = key.secret ?? '';
  const id = part(asked, 'secrets');
  const sameSecret = live?.secret === undefined || live.secret === seen.secret.value.name;
  const resolved = resolveVersion(key, id, part(asked, 'projects'), seen.version, sameSecret ? live : undefined);
  if (!resolved.ok) {
    out.blockers.push(resolved.blocker);
    out.holdTemplate = true;
    return;
  }
  if (resolved.number !== undefined) out.versions.set(key.name, resolved.number);
  const askedProject = part(asked, 'projects');
  const number = part(seen.secret.value.name, 'projects');
  const alsoIn = seen.alsoIn ?? [];
  const own = isOwnProject(ctx, key, seen);
  out.variables.push({
    name: key.env,
    key: {
      secret: own ? id : asked,
      projects: [...(own ? ['', ctx.desired.project] : []), askedProject, number, ...alsoIn],
      version: resolved.version,
    },
  });
}

/** Grants that have left the spec, and those whose secret's owner took consent back. */
function planFormer(
  ctx: Context,
  account: AccountPart,
  observed: Observed,
  held: SecretAccessEntry[],
  wanted: Set<string>,
  inUse: (secret: string) => SecretUse,
  out: AccessPart,
): void {
  for (const entry of held) {
    if (wanted.has(entry.name)) continue;
    const key = observed.keys.find(({ secret }) => secret.state === 'present' && secret.value.name === entry.name);
    const former = observed.formerGrants.find(({ secret }) => secret === entry.name);
    const policy = key?.policy ?? former?.policy;
    const unresolved = ctx.desired.keys.some(
      other =>
        !observed.keys.some(({ name, secret }) => name === other.name && secret.state === 'present') &&
        (other.secret === undefined || part(other.secret, 'secrets') === part(entry.name, 'secrets')),
    );
    const consentLost = key !== undefined || (former?.read !== undefined && lostConsent(former.read, ctx.rules));
    if (!policy || (unresolved && !consentLost)) {
      out.entries.push(entry);
      continue;
    }
    if (policy.state === 'failed') {
      out.entries.push(entry);
      out.blockers.push(
        readBlocker('SecretAccess', `the IAM policy of ${entry.name}, whose grant is to be removed`, policy.failure),
      );
      continue;
    }
    if (policy.state === 'absent') {
      if (!absenceCounts(entry, ctx.now)) out.entries.push(entry);
      continue;
    }
    const revoke = revokeStep(ctx, account.state === 'ours', policy.value, entry);
    if (!revoke) {
      // As long as the account can't be told to be ours its member stays, and so does what is known of it.
      const stands = hasMember(policy.value, SECRET_ACCESSOR, accountMember(ctx.desired.account.email));
      if (stands || !absenceCounts(entry, ctx.now)) out.entries.push(entry);
      continue;
    }
    out.entries.push(entry);
    // A contained tenant's template cannot change, so nothing is waited for.
    const use = consentLost || account.contained ? 'unused' : inUse(entry.name);
    if (use === 'used') {
      const message = `The grant on ${entry.name} has left the spec and stays until no revision that reads it serves.`;
      out.waiting.push({ aspect: 'SecretAccess', message, retryAfterMs: 2_000 });
    } else if (use === 'unknown') {
      out.notes.push(
        `The grant on ${entry.name} has left the spec and stays while a service that may read it is unread.`,
      );
    } else {
      out.steps.push(revoke);
    }
  }
}

/**
 * Takes the tenant's member off a secret: as itself only while its account is ours, else only the `deleted:` member of an
 * identity that was recorded. Undefined: there is nothing of ours on it.
 */
export function revokeStep(
  ctx: Pick<Context, 'status' | 'desired'>,
  accountIsOurs: boolean,
  policy: Policy,
  entry: SecretAccessEntry,
): Step | undefined {
  const { email } = ctx.desired.account;
  const members = recordedIdentities(ctx).map(uid => deletedMember(email, uid));
  if (accountIsOurs) members.push(accountMember(email));
  const edited = editPolicy(policy, { role: SECRET_ACCESSOR, add: [], remove: members });
  if (!edited) return undefined;
  const revoke = step(`revoke:${entry.name}`, 'SecretAccess', 'Revoke', `secret ${part(entry.name, 'secrets')}`, {
    kind: 'setSecretPolicy',
    secret: entry.name,
    policy: edited,
  });
  revoke.changes = [{ field: SECRET_ACCESSOR, from: accountMember(email), to: undefined }];
  revoke.closes = true;
  if (!hasMember(edited, SECRET_ACCESSOR, accountMember(email))) revoke.removes = [entryKey(entry)];
  return revoke;
}

/** Every identity that the tenant's account is known to have had. */
export function recordedIdentities(ctx: Pick<Context, 'status'>): string[] {
  return [...new Set(ctx.status.inventory.flatMap(entry => identityOf(entry) ?? []))];
}

const formerIdentities = (ctx: Context, current: string | undefined): string[] =>
  recordedIdentities(ctx).filter(uid => uid !== current);
