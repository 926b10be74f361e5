import type { Failure } from '../tenant/types.ts';

/**
 * Full resource names, checked before they reach a URL: each part has its own alphabet, and none holds a slash, a dot
 * pair, a percent sign, white space, a control character or anything outside ASCII.
 */

/** A project's id (also domain-scoped, `example.com:p`) or its number. */
const PROJECT = /^(?:(?:[a-z0-9-]+(?:\.[a-z0-9-]+)+:)?[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?|[0-9]{1,25})$/;
const LOCATION = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const SECRET = /^[A-Za-z0-9_-]{1,255}$/;
const VERSION = /^(?:latest|[1-9][0-9]{0,17})$/;
const SERVICE = /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const ACCOUNT_ID = /^[a-z][a-z0-9-]{4,28}[a-z0-9]$/;
/** An e-mail, or the unique id, which a successor of the same e-mail does not share. */
const ACCOUNT = /^(?:[a-z0-9][a-z0-9-]{0,62}@[a-z0-9]+(?:[.-][a-z0-9]+)*\.gserviceaccount\.com|[0-9]{1,25})$/;

const SHAPES = {
  project: [['projects', PROJECT]],
  location: [
    ['projects', PROJECT],
    ['locations', LOCATION],
  ],
  service: [
    ['projects', PROJECT],
    ['locations', LOCATION],
    ['services', SERVICE],
  ],
  secret: [
    ['projects', PROJECT],
    ['secrets', SECRET],
  ],
  secretVersion: [
    ['projects', PROJECT],
    ['secrets', SECRET],
    ['versions', VERSION],
  ],
  account: [
    ['projects', PROJECT],
    ['serviceAccounts', ACCOUNT],
  ],
} as const satisfies Record<string, readonly (readonly [string, RegExp])[]>;

export type Shape = keyof typeof SHAPES;

/** The values of a full name's parts, in order (`projects/p/secrets/s` → `['p', 's']`); undefined if it has another shape. */
export function partsOf(shape: Shape, name: string): string[] | undefined {
  const segments = name.split('/');
  const pairs = SHAPES[shape];
  if (segments.length !== pairs.length * 2) return undefined;
  const parts: string[] = [];
  for (const [index, [collection, pattern]] of pairs.entries()) {
    const value = segments[index * 2 + 1] ?? '';
    if (segments[index * 2] !== collection || !pattern.test(value)) return undefined;
    parts.push(value);
  }
  return parts;
}

/** What is wrong with a full name; undefined if it may be put into a URL. */
export function badName(shape: Shape, name: string): Failure | undefined {
  return partsOf(shape, name) ? undefined : refuse(`${quote(name)} is not ${SAYS[shape]}.`);
}

/** What is wrong with the id of a service account or service that is to be made; undefined if nothing. */
export function badId(kind: 'account' | 'service', id: string): Failure | undefined {
  return (kind === 'account' ? ACCOUNT_ID : SERVICE).test(id)
    ? undefined
    : refuse(`${quote(id)} is not an id of a ${kind}.`);
}

/** Whether this may be the e-mail (or unique id) of a service account. */
export const isAccount = (email: string): boolean => ACCOUNT.test(email);

/**
 * Whether two full names of one shape mean the same thing as far as they can be compared: the project is left out, as
 * it may be an id on one side and a number on the other.
 */
export function sameButProject(shape: Shape, a: string, b: string): boolean {
  const [left, right] = [partsOf(shape, a), partsOf(shape, b)];
  return left !== undefined && right !== undefined && left.slice(1).join('/') === right.slice(1).join('/');
}

const SAYS: Record<Shape, string> = {
  project: 'a project: projects/P',
  location: 'a location: projects/P/locations/R',
  service: 'a Cloud Run service: projects/P/locations/R/services/S',
  secret: 'a secret: projects/P/secrets/S',
  secretVersion: 'a secret version: projects/P/secrets/S/versions/N',
  account: 'a service account: projects/P/serviceAccounts/EMAIL',
};

const refuse = (message: string): Failure => ({ kind: 'Invalid', message });

/** Escaped and bounded, so that a hostile name does no harm in a log or a status. */
function quote(text: string): string {
  const shown = text.length > 120 ? `${text.slice(0, 120)}…` : text;
  return JSON.stringify(shown).replace(/[^\x20-\x7e…]/g, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
