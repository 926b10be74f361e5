import { ownerText } from './names.ts';
import type { Owner } from './types.ts';

/**
 * Whose something in Google Cloud is. An owner's marks beat everything; without marks only consent given on the Google
 * Cloud side lets a namespace use or adopt what exists already (rules 2 and 3 of the contract).
 */

const LABELS = {
  cluster: 'ai-tenant-owner-cluster',
  namespace: 'ai-tenant-owner-namespace',
  name: 'ai-tenant-owner-name',
} as const;
const OWNER_WORD = 'ai-tenant-owner=';
const CONSENT_NAMESPACE = 'ai-tenant-namespace';
const CONSENT_CLUSTER = 'ai-tenant-cluster';
/** IAM v1: a service account's description holds at most 256 bytes. */
const DESCRIPTION_BYTES = 256;

export type Claim = 'ours' | 'theirs' | 'consented' | 'unclaimed';

export interface ClaimRules {
  owner: Owner;
  policy: 'labelled' | 'any';
  /** The cluster's name is not known (`plan` without `--cluster-id`): consent for one cluster counts for any. */
  anyCluster?: boolean;
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

export function claimByLabels(labels: Record<string, string>, rules: ClaimRules): Claim {
  if (labelledOwner(labels) !== undefined) {
    // A mark that somebody took off does not make it another's: the ones that are left decide.
    const fits = (Object.keys(LABELS) as (keyof typeof LABELS)[]).every(
      key => labels[LABELS[key]] === undefined || labels[LABELS[key]] === rules.owner[key],
    );
    return fits ? 'ours' : 'theirs';
  }
  return consents(labels[CONSENT_NAMESPACE], labels[CONSENT_CLUSTER], rules) ? 'consented' : 'unclaimed';
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

/** Whether a secret's labels let this namespace use it. */
export function secretConsent(labels: Record<string, string>, rules: ClaimRules): boolean {
  return consents(labels[CONSENT_NAMESPACE], labels[CONSENT_CLUSTER], rules);
}

function consents(namespace: string | undefined, cluster: string | undefined, rules: ClaimRules): boolean {
  if (rules.policy === 'any') return true;
  if (namespace !== rules.owner.namespace) return false;
  return cluster === undefined || cluster === rules.owner.cluster || rules.anyCluster === true;
}

// ------------------------------------------------------------------------------------------- description (accounts)

const words = (description: string): string[] => description.split(/\s+/).filter(word => word !== '');

const wordValue = (description: string, key: string): string | undefined =>
  words(description)
    .find(word => word.startsWith(`${key}=`))
    ?.slice(key.length + 1);

export function describedOwner(description: string): string | undefined {
  return words(description)
    .find(word => word.startsWith(OWNER_WORD))
    ?.slice(OWNER_WORD.length);
}

export function claimByDescription(description: string, rules: ClaimRules): Claim {
  const owner = describedOwner(description);
  if (owner !== undefined) {
    return owner === ownerText(rules.owner) ? 'ours' : 'theirs';
  }
  const namespace = wordValue(description, CONSENT_NAMESPACE);
  return consents(namespace, wordValue(description, CONSENT_CLUSTER), rules) ? 'consented' : 'unclaimed';
}

/** The description with the owner's word beside what stands there; undefined if there is no room for it. */
export function markDescription(description: string, owner: Owner): string | undefined {
  const marked = [description.trimEnd(), `${OWNER_WORD}${ownerText(owner)}`].filter(text => text !== '').join(' ');
  return Buffer.byteLength(marked) <= DESCRIPTION_BYTES ? marked : undefined;
}

export function unmarkDescription(description: string): string {
  return description.replace(new RegExp(`(^|\\s+)${OWNER_WORD}\\S*`, 'g'), '').trimStart();
}

// ------------------------------------------------------------------------------------------ how consent is given

/** Commands for whoever administers the project. None of them makes a revision. */
export const consentCommand = {
  secret: (project: string, id: string, owner: Owner): string =>
    `gcloud secrets update ${id} --project=${project} --update-labels=${CONSENT_NAMESPACE}=${owner.namespace}`,

  account: (project: string, email: string, description: string, owner: Owner): string => {
    const described = [description.trim(), `${CONSENT_NAMESPACE}=${owner.namespace}`]
      .filter(text => text !== '')
      .join(' ');
    return `gcloud iam service-accounts update ${email} --project=${project} --description=${shellQuoted(described)}`;
  },

  /** `gcloud run services update --update-labels` labels the template too, which makes a revision; the API call does not. */
  service: (name: string, labels: Record<string, string>, owner: Owner): string => {
    const body = JSON.stringify({ labels: { ...labels, [CONSENT_NAMESPACE]: owner.namespace } });
    return (
      `curl -X PATCH -H "Authorization: Bearer $(gcloud auth print-access-token)" -H 'Content-Type: application/json' ` +
      `'https://run.googleapis.com/v2/${name}?updateMask=labels' -d ${shellQuoted(body)}`
    );
  },
};

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
