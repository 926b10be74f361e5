import type { Owner, SecretRef } from './types.ts';

/** Names in Google Cloud. The contract defines `sa-NAME` and `ai-platform-NAME`. */

export function serviceAccountId(tenant: string): string {
  return `sa-${tenant}`;
}

/** A project ID may have a domain (`example.com:web`). Its accounts are then in `web.example.com.iam…`. */
export function serviceAccountEmail(accountId: string, project: string): string {
  const [last = '', ...domain] = project.split(':').reverse();
  return `${accountId}@${[last, ...domain].join('.')}.iam.gserviceaccount.com`;
}

export function serviceId(tenant: string): string {
  return `ai-platform-${tenant}`;
}

export function serviceName(project: string, region: string, id: string): string {
  return `projects/${project}/locations/${region}/services/${id}`;
}

/** The service's name in messages: `Cloud Run service ai-platform-tenant-a in asia-northeast1`. */
export const targetOf = (name: string): string =>
  `Cloud Run service ${part(name, 'services')} in ${part(name, 'locations')}`;

export function accountName(project: string, email: string): string {
  return `projects/${project}/serviceAccounts/${email}`;
}

/** The segment after `COLLECTION/` in a full resource name. Empty: there is none. */
export function part(name: string, collection: string): string {
  const before = name.startsWith(`${collection}/`) ? 0 : name.indexOf(`/${collection}/`) + 1;
  if (before === 0 && !name.startsWith(`${collection}/`)) return '';
  const from = before + collection.length + 1;
  const to = name.indexOf('/', from);
  return to < 0 ? name.slice(from) : name.slice(from, to);
}

/** `projects/P/secrets/S` for an external reference. P is the tenant's project, unless the reference names one. */
export function secretName(ref: NonNullable<SecretRef['external']>, project: string): string {
  return ref.startsWith('projects/') ? ref : `projects/${project}/secrets/${ref}`;
}

const PROJECT = /^(?:[a-z0-9][-a-z0-9.]*:)?[a-z][-a-z0-9]{4,28}[a-z0-9]$/;

/** With this length the e-mail of an account in the project still fits into the status (320 characters). */
const PROJECT_LENGTH = 200;

export function isProjectId(text: string): boolean {
  return text.length <= PROJECT_LENGTH && PROJECT.test(text);
}

/** The CRD's rule for `spec.region`. */
export const isRegion = (text: string): boolean => text.length <= 63 && /^[a-z]+(?:-[a-z]+)+[0-9]+$/.test(text);

/** Whether the text is exactly the e-mail of a service account. */
export const isServiceAccount = (text: string): boolean =>
  text.length <= 320 && /^[a-z0-9][-a-z0-9]{0,62}@[a-z0-9]+(?:[.-][a-z0-9]+)*\.gserviceaccount\.com$/.test(text);

/**
 * Whether the text matches one of the patterns, in which `*` stands for any characters. Without patterns everything matches.
 */
export function matchesAny(text: string, patterns: string[]): boolean {
  if (patterns.length === 0) return true;
  return patterns.some(pattern => {
    const literal = pattern.split('*').map(piece => piece.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return new RegExp(`^${literal.join('.*')}$`).test(text);
  });
}

export const ownerText = (owner: Owner): string => `${owner.cluster}/${owner.namespace}/${owner.name}`;
