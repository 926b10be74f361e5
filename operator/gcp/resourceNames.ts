import type { JsonObject } from '../../ports/json.ts';
import { part } from '../tenant/names.ts';
import type { Failure } from '../tenant/types.ts';
import { isObject } from './parse.ts';

/**
 * Full resource names are checked here before they reach a URL. Each part has its own alphabet, and none allows a slash, two dots
 * in a row, a percent sign, white space, a control character or anything outside ASCII.
 */

/** A label as in RFC 1035. The ids of locations and services have this form. */
const LABEL = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** The ids that new resources may get. */
const NEW_IDS = { account: /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/, service: LABEL };

const SHAPES = {
  project: { form: 'projects/P', what: 'a project' },
  location: { form: 'projects/P/locations/R', what: 'a location' },
  service: { form: 'projects/P/locations/R/services/S', what: 'a Cloud Run service' },
  secret: { form: 'projects/P/secrets/S', what: 'a secret' },
  secretVersion: { form: 'projects/P/secrets/S/versions/N', what: 'a secret version' },
  account: { form: 'projects/P/serviceAccounts/EMAIL', what: 'a service account' },
} as const;

export type Shape = keyof typeof SHAPES;
/** The collections in a form: `projects/P/secrets/S` has `projects` and `secrets`. */
type CollectionsIn<Form> = Form extends `${infer First}/${string}/${infer Rest}`
  ? First | CollectionsIn<Rest>
  : Form extends `${infer Last}/${string}`
    ? Last
    : never;
type Collection = CollectionsIn<(typeof SHAPES)[Shape]['form']>;

/** The form of the ids in each collection. */
const IDS: Record<Collection, RegExp> = {
  /** A project's id (possibly with a domain, `example.com:p`) or its number. */
  projects: /^(?:(?:[a-z0-9-]+(?:\.[a-z0-9-]+)+:)?[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?|[0-9]{1,25})$/,
  locations: LABEL,
  services: LABEL,
  secrets: /^[A-Za-z0-9_-]{1,255}$/,
  versions: /^(?:latest|[1-9][0-9]{0,17})$/,
  /** The e-mail address, or the unique id. A later account with the same e-mail address has another unique id. */
  serviceAccounts: /^(?:[a-z0-9][a-z0-9-]{0,62}@[a-z0-9]+(?:[.-][a-z0-9]+)*\.gserviceaccount\.com|[0-9]{1,25})$/,
};

/** By form: a pattern for full names, with a group for each id. */
const PATTERNS = Object.fromEntries(
  Object.entries(SHAPES).map(([shape, { form }]) => {
    const collections = form.split('/').filter((_, at) => at % 2 === 0) as Collection[];
    return [shape, new RegExp(`^${collections.map(one => `${one}/(${IDS[one].source.slice(1, -1)})`).join('/')}$`)];
  }),
) as Record<Shape, RegExp>;

/** The ids in a full name, in their order (`projects/p/secrets/s` → `['p', 's']`); undefined if the name has another form. */
export function partsOf(shape: Shape, name: string): string[] | undefined {
  return PATTERNS[shape].exec(name)?.slice(1);
}

/** Splits a full name into its parent's name and its own id; undefined if the name has another form. */
export function parentAndId(shape: Shape, name: string): { parent: string; id: string } | undefined {
  const id = partsOf(shape, name)?.at(-1);
  return id === undefined
    ? undefined
    : { parent: name.slice(0, name.lastIndexOf('/', name.length - id.length - 2)), id };
}

/** The reason why a full name must not be put into a URL; undefined if it may be. */
export function badName(shape: Shape, name: string): Failure | undefined {
  const { form, what } = SHAPES[shape];
  return partsOf(shape, name) ? undefined : refuse(`${quote(name)} is not ${what}: ${form}.`);
}

/** The reason why a new service account or service must not get this id; undefined if it may. */
export const badId = (kind: keyof typeof NEW_IDS, id: string): Failure | undefined =>
  NEW_IDS[kind].test(id) ? undefined : refuse(`${quote(id)} is not an id of a ${kind}.`);

/** True if the text has the form of a service account's e-mail address or unique id. */
export const isAccount = (email: string): boolean => IDS.serviceAccounts.test(email);

/** True if two full names differ at most in the project, which may be an id in one of them and a number in the other. */
export function sameButProject(shape: Shape, a: string, b: string): boolean {
  const [left, right] = [partsOf(shape, a), partsOf(shape, b)];
  return left !== undefined && right !== undefined && left.slice(1).join('/') === right.slice(1).join('/');
}

/** The name in a request: of the resource, or of the parent of a list or of a new resource. Empty if the request has none. */
export function resourceIn({ name, parent, resource, service, serviceAccount }: JsonObject): string {
  const inner = [service, serviceAccount].filter(isObject).map(object => object.name);
  const named = [name, parent, resource, ...inner].find(text => typeof text === 'string');
  return typeof named === 'string' ? named : '';
}

/** The project and the region of that resource; undefined if its name has no project. The region is empty if its name has no location. */
export function placeOf(request: JsonObject): { project: string; region: string } | undefined {
  const resource = resourceIn(request);
  const project = part(resource, 'projects');
  return project === '' ? undefined : { project, region: part(resource, 'locations') };
}

const refuse = (message: string): Failure => ({ kind: 'Invalid', message });

/** Escapes the text and cuts it to 120 characters, so that a hostile name does no harm in a log or a status. */
function quote(text: string): string {
  const shown = text.length > 120 ? `${text.slice(0, 120)}…` : text;
  return JSON.stringify(shown).replace(/[^\x20-\x7e…]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
