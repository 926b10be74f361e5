import { createHash } from 'node:crypto';
import type { Project } from '../contracts.ts';
import { GcpError, invalid } from '../errors.ts';

/** Cloud Run's regions and how its addresses abbreviate them (https://cloud.google.com/run/docs/locations). */
const regions: Record<string, string> = {
  'africa-south1': 'bq',
  'asia-east1': 'de',
  'asia-east2': 'df',
  'asia-northeast1': 'an',
  'asia-northeast2': 'dt',
  'asia-northeast3': 'du',
  'asia-south1': 'el',
  'asia-south2': 'em',
  'asia-southeast1': 'as',
  'asia-southeast2': 'et',
  'australia-southeast1': 'ts',
  'australia-southeast2': 'km',
  'europe-central2': 'lm',
  'europe-north1': 'lz',
  'europe-north2': 'ma',
  'europe-southwest1': 'no',
  'europe-west1': 'ew',
  'europe-west10': 'oe',
  'europe-west12': 'og',
  'europe-west2': 'nw',
  'europe-west3': 'ey',
  'europe-west4': 'ez',
  'europe-west6': 'oa',
  'europe-west8': 'oc',
  'europe-west9': 'od',
  'me-central1': 'ww',
  'me-central2': 'wx',
  'me-west1': 'zf',
  'northamerica-northeast1': 'nn',
  'northamerica-northeast2': 'pd',
  'northamerica-south1': 'pv',
  'southamerica-east1': 'rj',
  'southamerica-west1': 'tl',
  'us-central1': 'uc',
  'us-east1': 'ue',
  'us-east4': 'uk',
  'us-east5': 'ul',
  'us-south1': 'vp',
  'us-west1': 'uw',
  'us-west2': 'wl',
  'us-west3': 'wm',
  'us-west4': 'wn',
};

/** Every region of Cloud Run, such as `asia-northeast1`. */
export const LOCATIONS: readonly string[] = Object.keys(regions);

/** Checks a location; an unknown one, or the wildcard, is answered as one that the caller may not see. */
export function checkLocation(location: string): string {
  if (Object.hasOwn(regions, location)) return location;
  throw new GcpError({
    code: 'PERMISSION_DENIED',
    message: `Permission denied on 'locations/${location}' (or it may not exist).`,
  });
}

export interface ServiceAddress {
  project: Project;
  location: string;
  id: string;
}

/** The addresses of services: of the real form, or ones that this machine can reach. */
export interface Urls {
  /** Returns the addresses of a new service. It is called before the service's first revision starts. */
  of(service: ServiceAddress): { uri: string; urls: string[] };
  /** Frees the addresses of a deleted service. */
  release(service: ServiceAddress): void;
  /** Returns the address of the revision that a traffic tag names. Default: the service's address with `TAG---` before its host. */
  tagged?(service: ServiceAddress, tag: string): string;
}

export const parentOf = (at: { project: Project; location: string }) =>
  `projects/${at.project.id}/locations/${at.location}`;

export const serviceName = (at: ServiceAddress) => `${parentOf(at)}/services/${at.id}`;

export const revisionName = (at: ServiceAddress, revision: string) => `${serviceName(at)}/revisions/${revision}`;

/** Splits a resource name by its collections; INVALID_ARGUMENT if it is of another form. */
export function parseName(name: unknown, ...collections: string[]): string[] {
  const parts = String(name ?? '').split('/');
  const fits =
    parts.length === collections.length * 2 &&
    collections.every((word, i) => parts[i * 2] === word && (parts[i * 2 + 1] ?? '') !== '');
  if (!fits) {
    const form = collections.map(word => `${word}/*`).join('/');
    throw invalid(`Malformed name: '${String(name ?? '')}'. Expected the form ${form}.`);
  }
  return parts.filter((_, i) => i % 2 === 1);
}

const digest = (text: string) => createHash('sha256').update(text).digest();

/** The ten letters that a project's addresses share in one region. */
export function projectHash(project: Project, location: string): string {
  const letters = 'abcdefghijklmnopqrstuvwxyz234567';
  return [...digest(`${project.number}/${location}`).subarray(0, 10)].map(byte => letters[byte % 32]).join('');
}

/** The two addresses of a service: the one with the hash, which is its `uri`, and the one with the project number. */
export function googleUrls(at: ServiceAddress): { uri: string; urls: string[] } {
  const uri = `https://${at.id}-${projectHash(at.project, at.location)}-${regions[at.location]}.a.run.app`;
  return { uri, urls: [`https://${at.id}-${at.project.number}.${at.location}.run.app`, uri] };
}
