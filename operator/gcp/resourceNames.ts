import type { JsonObject } from '../../ports/json.ts';
import { part } from '../tenant/names.ts';
import type { Failure } from '../tenant/types.ts';
import { isObject } from './parse.ts';

/**
 * Full resource names are checked here before they reach a URL. Each part has its own alphabet, and none allows a slash, two dots
 * in a row, a percent sign, white space, a control character or anything outside ASCII.
 */

/** A label of RFC 1035, as the ids of locations and services are. */
const LABEL = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** What a collection's id looks like. */
const IDS: Record<string, RegExp> = {
  /** A project's id (also scoped by a domain, `example.com:p`) or its number. */
  projects: /^(?:(?:[a-z0-9-]+(?:\.[a-z0-9-]+)+:)?[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?|[0-9]{1,25})$/,
  locations: LABEL,
  services: LABEL,
  secrets: /^[A-Za-z0-9_-]{1,255}$/,
  versions: /^(?:latest|[1-9][0-9]{0,17})$/,
  /** An e-mail, or the unique id, which a later account of the same e-mail does not have. */
  serviceAccounts: /^(?:[a-z0-9][a-z0-9-]{0,62}@[a-z0-9]+(?:[.-][a-z0-9]+)*\.gserviceaccount\.com|[0-9]{1,25})$/,
};
/** The ids that new resources may get. */
const NEW_IDS = { account: /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/, service: LABEL };

const SHAPES = {
  project: { form: 'projects/P', what: 'a project' },
  location: { form: 'projects/P/locations/R', what: 'a location' },
  service: { form: 'projects/P/locations/R/services/S', what: 'a Cloud Run service' },
  secret: { form: 'projects/P/secrets/S', what: 'a secret' },
  secretVersion: { form: 'projects/P/secrets/S/versions/N', what: 'a secret version' },
  account: { form: 'projects/P/serviceAccounts/EMAIL', what: 'a service account' },
};

export type Shape = keyof typeof SHAPES;

/** The ids in a full name, in order (`projects/p/secrets/s` → `['p', 's']`); undefined if the name has another shape. */
export function partsOf(shape: Shape, name: string): string[] | undefined {
  const segments = name.split('/');
  const form = SHAPES[shape].form.split('/');
  const fits = (segment: string, at: number) =>
    at % 2 === 0 ? segment === form[at] : IDS[form[at - 1] ?? '']?.test(segment);
  return segments.length === form.length && segments.every(fits) ? segments.filter((_, at) => at % 2 === 1) : undefined;
}

/** A full name as its parent's name and its own id; undefined if it has another shape. */
export function parentAndId(shape: Shape, name: string): { parent: string; id: string } | undefined {
  const id = partsOf(shape, name)?.at(-1);
  return id === undefined ? undefined : { parent: name.split('/').slice(0, -2).join('/'), id };
}

/** The reason why a full name must not be put into a URL; undefined if it may be. */
export function badName(shape: Shape, name: string): Failure | undefined {
  const { form, what } = SHAPES[shape];
  return partsOf(shape, name) ? undefined : refuse(`${quote(name)} is not ${what}: ${form}.`);
}

/** The reason why a new service account or service must not get this id; undefined if it may. */
export const badId = (kind: keyof typeof NEW_IDS, id: string): Failure | undefined =>
  NEW_IDS[kind].test(id) ? undefined : refuse(`${quote(id)} is not an id of a ${kind}.`);

/** True for what may be the e-mail (or unique id) of a service account. */
export const isAccount = (email: string): boolean => IDS.serviceAccounts?.test(email) === true;

/** True if two full names differ at most in the project, which may be an id in one of them and a number in the other. */
export function sameButProject(shape: Shape, a: string, b: string): boolean {
  const [left, right] = [partsOf(shape, a), partsOf(shape, b)];
  return left !== undefined && right !== undefined && left.slice(1).join('/') === right.slice(1).join('/');
}

/** The resource, or the parent of the list or of the new resource, that a request names; empty if it names none. */
export function resourceIn({ name, parent, resource, service, serviceAccount }: JsonObject): string {
  const inner = [service, serviceAccount].filter(isObject).map(object => object.name);
  const named = [name, parent, resource, ...inner].find(text => typeof text === 'string');
  return typeof named === 'string' ? named : '';
}

/** Where that resource is; undefined if it is in no project. The region is empty where its name has no location. */
export function placeOf(request: JsonObject): { project: string; region: string } | undefined {
  const resource = resourceIn(request);
  const project = part(resource, 'projects');
  return project === '' ? undefined : { project, region: part(resource, 'locations') };
}

const refuse = (message: string): Failure => ({ kind: 'Invalid', message });

/** Escaped and bounded, so that a hostile name does no harm in a log or a status. */
function quote(text: string): string {
  const shown = text.length > 120 ? `${text.slice(0, 120)}…` : text;
  return JSON.stringify(shown).replace(/[^\x20-\x7e…]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
