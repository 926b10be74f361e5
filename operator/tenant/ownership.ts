import { ownerText, part, serviceId } from './names.ts';
import type { InventoryEntry, ObservedAccount, ObservedSecret, ObservedService, Owner, Read } from './types.ts';

/**
 * The owner of a resource in Google Cloud (rules 2 and 3 of the contract). Owner marks take precedence over consent.
 *
 * A tenant may treat a resource as its own only if both sides agree: the marks in Google Cloud, and either this tenant's
 * inventory or a request for adoption. Marks alone prove nothing, because whoever may create resources in the project can write
 * labels and descriptions.
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
/** The annotation with which an AiTenant asks to adopt existing resources. */
export const ADOPT = 'ai-platform.dev/adopt';
/** IAM v1: a service account's description holds at most 256 bytes. */
export const DESCRIPTION_BYTES = 256;

export type Claim =
  /** The marks are this tenant's, and its inventory has the resource or adoption is asked for. */
  | 'ours'
  /** All marks are this tenant's, but its inventory lacks the resource and adoption is not asked for. */
  | 'unknown'
  /** Some owner labels are missing, the others are this tenant's, and its inventory lacks the service. */
  | 'partial'
  /** The marks are another owner's. */
  | 'theirs'
  /** No marks. The resource consents, and the AiTenant asks for adoption. */
  | 'consented'
  /** No marks. The resource consents, but the AiTenant does not ask for adoption. */
  | 'unasked'
  | 'unclaimed';

export interface ClaimRules {
  owner: Owner;
  policy: 'labelled' | 'any';
  /** The tenant's inventory. */
  inventory: InventoryEntry[];
  /** The cluster's ID is not known (`plan` without `--cluster-id`), so consent for any cluster counts. */
  anyCluster?: boolean;
  /** The UID of the tenant's Namespace. Undefined: not known. */
  namespaceUid?: string;
  /** The AiTenant asks to adopt existing resources. */
  adopt?: boolean;
  /** Full marks are enough, even if the inventory lacks the resource: with `--restore`, and in every deletion. */
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

/** Whether all owner labels are present. */
export const isFullyMarked = (labels: Record<string, string>, owner: Owner): boolean =>
  Object.entries(ownerLabels(owner)).every(([key, value]) => labels[key] === value);

/** The owner that the labels name, with `?` for a missing label. Undefined: there are none. */
export function labelledOwner(labels: Record<string, string>): string | undefined {
  const marks = Object.values(LABELS).map(key => labels[key]);
  return marks.every(mark => mark === undefined) ? undefined : marks.map(mark => mark ?? '?').join('/');
}

export function claimService({ name, labels }: Pick<ObservedService, 'name' | 'labels'>, rules: ClaimRules): Claim {
  // Whoever may write the status can forge it, so only a service with the tenant's name can be the tenant's.
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

/** The cluster that the marks name for the same namespace and name. `plan` uses it if its own cluster's ID is not known. */
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
 * The value of `key` in a description: `[key=value]`, or `key=value` (until 1.0), as a word between spaces. Different values for
 * one key are joined, so that they match no owner.
 */
function described(description: string, key: string): string | undefined {
  const values = description.split(' ').flatMap(word => {
    if (word.startsWith(`[${key}=`) && word.endsWith(']')) return word.slice(key.length + 2, -1);
    return word.startsWith(`${key}=`) ? word.slice(key.length + 1) : [];
  });
  return values.length === 0 ? undefined : [...new Set(values)].join('|');
}

/** The description without the words of these keys and the spaces before them. */
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
  // An entry without a unique ID belongs to a create call whose answer never came.
  const known = rules.inventory.some(
    entry => entry.type === 'ServiceAccount' && (entry.uniqueId === undefined || entry.uniqueId === uniqueId),
  );
  return claimByFullMarks(known, rules);
}

/**
 * The description with the owner's mark added. If there is no room, the words of consent are removed, which are not needed any
 * more. Undefined: there is still no room (256 bytes).
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

/** The namespace, cluster and UID that a resource consents to, by its labels or by its description. */
export type ConsentMarks = Partial<Record<keyof typeof CONSENT, string>>;

const consentMarks = (value: (key: string) => string | undefined): ConsentMarks => ({
  namespace: value(CONSENT.namespace),
  cluster: value(CONSENT.cluster),
  uid: value(CONSENT.uid),
});

export const labelledConsent = (labels: Record<string, string>): ConsentMarks => consentMarks(key => labels[key]);

export const describedConsent = (description: string): ConsentMarks => consentMarks(key => described(description, key));

/** `given`: the marks name this tenant's Namespace. The others say why they do not. */
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
 * Whether a secret's labels let this namespace use it. `standing`: the grant exists already. Another UID then does not matter,
 * because a Namespace that was restored from a backup has another one.
 */
export function secretConsent(labels: Record<string, string>, rules: ClaimRules, standing: boolean): boolean {
  const consent = consentOf(labelledConsent(labels), rules);
  return consent === 'given' || (standing && consent === 'otherUid');
}

/** Whether the secret was read and no longer consents to the tenant's namespace. */
export const lostConsent = (secret: Read<ObservedSecret>, rules: ClaimRules): boolean =>
  secret.state === 'present' && !secretConsent(secret.value.labels, rules, true);

function claimByFullMarks(known: boolean, rules: ClaimRules): Claim {
  return known || rules.restore || rules.adopt || rules.policy === 'any' ? 'ours' : 'unknown';
}

function claimByConsent(marks: ConsentMarks, rules: ClaimRules): Claim {
  if (consentOf(marks, rules) !== 'given') return 'unclaimed';
  return rules.adopt || rules.policy === 'any' ? 'consented' : 'unasked';
}
