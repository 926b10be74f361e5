import { ownerText, part, serviceId } from './names.ts';
import type { InventoryEntry, ObservedAccount, ObservedSecret, ObservedService, Owner, Read } from './types.ts';

/**
 * Whose something in Google Cloud is (rules 2 and 3 of the contract). An owner's marks beat consent. What a tenant may
 * treat as its own needs both sides: the marks in Google Cloud, and either this tenant's inventory or somebody who asks
 * for adoption. Marks and descriptions can be written by whoever may create resources in the project; they prove nothing
 * alone.
 */

const LABELS = {
  cluster: 'ai-tenant-owner-cluster',
  namespace: 'ai-tenant-owner-namespace',
  name: 'ai-tenant-owner-name',
} as const;
const OWNER = 'ai-tenant-owner';
export const CONSENT = {
  namespace: 'ai-tenant-namespace',
  cluster: 'ai-tenant-cluster',
  uid: 'ai-tenant-namespace-uid',
} as const;
/** The annotation by which an AiTenant asks for what already exists. */
export const ADOPT = 'ai-platform.dev/adopt';
/** IAM v1: a service account's description holds at most 256 bytes. */
export const DESCRIPTION_BYTES = 256;

export type Claim =
  /** Marked as this tenant's, and known to its inventory or asked for. */
  | 'ours'
  /** Marked as this tenant's in full, but unknown to its inventory, and nobody asks for it. */
  | 'unknown'
  /** Some of the owner labels are missing, the others are this tenant's; its inventory does not name the service. */
  | 'partial'
  /** Marked as another owner's. */
  | 'theirs'
  /** Unmarked; Google Cloud's side consents and the AiTenant asks for it. */
  | 'consented'
  /** Unmarked; Google Cloud's side consents, the AiTenant does not ask. */
  | 'unasked'
  | 'unclaimed';

export interface ClaimRules {
  owner: Owner;
  policy: 'labelled' | 'any';
  /** What this tenant's status says is or may be its own. */
  inventory: InventoryEntry[];
  /** The cluster's name is not known (`plan` without `--cluster-id`): consent for one cluster counts for any. */
  anyCluster?: boolean;
  /** The UID of the tenant's Namespace; undefined: not known. */
  namespaceUid?: string;
  /** The AiTenant asks for the adoption of what already exists. */
  adopt?: boolean;
  /** Full marks are enough although the inventory is lost: `--restore`, and every deletion. */
  restore?: boolean;
  /** `--consent-uid`: printed commands name the Namespace's UID too. */
  consentUid?: boolean;
}

// ----------------------------------------------------------------------------------------------- labels (services)

export function ownerLabels(owner: Owner): Record<string, string> {
  return { [LABELS.cluster]: owner.cluster, [LABELS.namespace]: owner.namespace, [LABELS.name]: owner.name };
}

export function withoutOwnerLabels(labels: Record<string, string>): Record<string, string> {
  const marks: string[] = Object.values(LABELS);
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !marks.includes(key)));
}

/** Whether all of the owner's marks are there. */
export const isFullyMarked = (labels: Record<string, string>, owner: Owner): boolean =>
  Object.entries(ownerLabels(owner)).every(([key, value]) => labels[key] === value);

/** Who the labels name, as far as they do; undefined without any mark. */
export function labelledOwner(labels: Record<string, string>): string | undefined {
  const marks = Object.values(LABELS).map(key => labels[key]);
  return marks.every(mark => mark === undefined) ? undefined : marks.map(mark => mark ?? '?').join('/');
}

export function claimService({ name, labels }: Pick<ObservedService, 'name' | 'labels'>, rules: ClaimRules): Claim {
  // A status can be forged by who may write it: it makes nothing the tenant's that does not have the tenant's name.
  const known =
    part(name, 'services') === serviceId(rules.owner.name) &&
    rules.inventory.some(entry => entry.type === 'Service' && entry.name === name);
  const marks = (Object.keys(LABELS) as (keyof typeof LABELS)[]).map(key => ({
    found: labels[LABELS[key]],
    own: rules.owner[key],
  }));
  if (marks.some(({ found, own }) => found !== undefined && found !== own)) return 'theirs';
  const count = marks.filter(({ found }) => found !== undefined).length;
  if (count === marks.length) return claimByFullMarks(known, rules);
  if (count > 0) return known ? 'ours' : 'partial';
  return claimByConsent(labelledConsent(labels), rules);
}

/** The cluster that these marks name for the same namespace and name: what `plan` goes by where it is not told its own. */
export function markedCluster(
  labels: Record<string, string>,
  description: string,
  owner: Pick<Owner, 'namespace' | 'name'>,
): string | undefined {
  if (labels[LABELS.namespace] === owner.namespace && labels[LABELS.name] === owner.name) return labels[LABELS.cluster];
  const [cluster, namespace, name] = describedOwner(description)?.split('/') ?? [];
  return namespace === owner.namespace && name === owner.name ? cluster : undefined;
}

// ------------------------------------------------------------------------------------------- description (accounts)

/**
 * What a description says of `key`: `[key=value]`, or `key=value` (until 1.0), as a word of its own between plain spaces
 * or at an end. Words that contradict each other are joined, so that they fit nobody.
 */
function described(description: string, key: string): string | undefined {
  const values = description.split(' ').flatMap(word => {
    if (word.startsWith(`[${key}=`) && word.endsWith(']')) return word.slice(key.length + 2, -1);
    return word.startsWith(`${key}=`) ? word.slice(key.length + 1) : [];
  });
  return values.length === 0 ? undefined : [...new Set(values)].join('|');
}

/** The description without the words of these keys, and without the plain spaces before each. */
function withoutWords(description: string, keys: readonly string[]): string {
  const any = keys.join('|');
  const word = new RegExp(`(^| +)(?:(?:${any})=[^ ]*|\\[(?:${any})=[^ ]*\\])(?= |$)`, 'g');
  return description.replace(word, '').replace(/^ +/, '');
}

export const describedOwner = (description: string): string | undefined => described(description, OWNER);

export function claimAccount(
  { description, uniqueId }: Pick<ObservedAccount, 'description' | 'uniqueId'>,
  rules: ClaimRules,
): Claim {
  const owner = describedOwner(description);
  if (owner === undefined) return claimByConsent(describedConsent(description), rules);
  if (owner !== ownerText(rules.owner)) return 'theirs';
  // Without an identity on record: of a call that made it, whose answer never came.
  const known = rules.inventory.some(
    entry => entry.type === 'ServiceAccount' && (entry.uniqueId === undefined || entry.uniqueId === uniqueId),
  );
  return claimByFullMarks(known, rules);
}

/**
 * The description with the owner's word beside what stands there. Where that needs the room, the words of consent go:
 * they have served. Undefined: there is no room (256 bytes) for the word.
 */
export function markDescription(description: string, owner: Owner): string | undefined {
  const marked = [description, withoutConsent(description)].map(text =>
    [text.replace(/ +$/, ''), `${OWNER}=${ownerText(owner)}`].filter(part => part !== '').join(' '),
  );
  return marked.find(text => Buffer.byteLength(text) <= DESCRIPTION_BYTES);
}

export const unmarkDescription = (description: string): string => withoutWords(description, [OWNER]);

export const withoutConsent = (description: string): string => withoutWords(description, Object.values(CONSENT));

// --------------------------------------------------------------------------------------------------------- consent

/** Whom something in Google Cloud names, by its labels or the words of its description. */
export type ConsentMarks = Partial<Record<keyof typeof CONSENT, string>>;

const consentMarks = (value: (key: string) => string | undefined): ConsentMarks => ({
  namespace: value(CONSENT.namespace),
  cluster: value(CONSENT.cluster),
  uid: value(CONSENT.uid),
});

export const labelledConsent = (labels: Record<string, string>): ConsentMarks => consentMarks(key => labels[key]);

export const describedConsent = (description: string): ConsentMarks => consentMarks(key => described(description, key));

/** Whether the marks name this tenant's Namespace, or what keeps them from it. */
export type Consent = 'given' | 'none' | 'otherNamespace' | 'otherCluster' | 'otherUid';

export function consentOf({ namespace, cluster, uid }: ConsentMarks, rules: ClaimRules): Consent {
  if (rules.policy === 'any') return 'given';
  if (namespace === undefined) return 'none';
  if (namespace !== rules.owner.namespace) return 'otherNamespace';
  if (cluster !== undefined && cluster !== rules.owner.cluster && !rules.anyCluster) return 'otherCluster';
  const unknown = rules.namespaceUid === undefined && rules.anyCluster === true;
  return uid === undefined || uid === rules.namespaceUid || unknown ? 'given' : 'otherUid';
}

/**
 * Whether a secret's labels let this namespace use it. A UID that does not fit refuses a new grant only: `standing`, the
 * grant exists already, and a Namespace that was restored from a backup has another UID.
 */
export function secretConsent(labels: Record<string, string>, rules: ClaimRules, standing: boolean): boolean {
  const consent = consentOf(labelledConsent(labels), rules);
  return consent === 'given' || (standing && consent === 'otherUid');
}

/** Whether a grant's secret was read and does not name the tenant's namespace any more. */
export const lostConsent = (secret: Read<ObservedSecret>, rules: ClaimRules): boolean =>
  secret.state === 'present' && !secretConsent(secret.value.labels, rules, true);

function claimByFullMarks(known: boolean, rules: ClaimRules): Claim {
  return known || rules.restore || rules.adopt || rules.policy === 'any' ? 'ours' : 'unknown';
}

function claimByConsent(marks: ConsentMarks, rules: ClaimRules): Claim {
  if (consentOf(marks, rules) !== 'given') return 'unclaimed';
  return rules.adopt || rules.policy === 'any' ? 'consented' : 'unasked';
}
