import type { Json, JsonObject } from '../../../ports/json.ts';
import { type Exchange, fieldOf, isObject } from '../exchange.ts';
import { type Bindings, volatilesIn } from './bindings.ts';
import { isUnderWay } from './course.ts';

/** One difference between a recorded answer and the present one. */
export interface Difference {
  kind: DifferenceKind;
  /** Where: `status`, `header content-type`, or a path in the body such as `error.message` or `conditions[Ready].state`. */
  path: string;
  recorded?: Json;
  present?: Json;
}

export const DIFFERENCE_KINDS = ['status', 'header', 'missing', 'more', 'value', 'text', 'binding'] as const;

export type DifferenceKind = (typeof DIFFERENCE_KINDS)[number];

/** What the differences are called in the summary. */
export const KIND_TITLES: Record<DifferenceKind, string> = {
  status: 'another status',
  header: 'another header',
  missing: 'a field that is missing now',
  more: 'a field that was not there',
  value: 'another value',
  text: 'another text',
  binding: 'a value that does not fit with an earlier answer',
};

type Answer = Pick<Exchange, 'id' | 'url' | 'status' | 'responseHeaders' | 'body'>;

/** All differences of two answers. Volatile values are bound as they are met. With another status nothing else is compared. */
export function differencesOf(recorded: Answer, present: Answer, bindings: Bindings): Difference[] {
  if (recorded.status !== present.status) {
    return [{ kind: 'status', path: 'status', recorded: recorded.status, present: present.status }];
  }
  const out: Difference[] = [];
  for (const name of ['content-type', 'retry-after', 'allow', 'location']) {
    const [before, now] = [headerOf(recorded, name), headerOf(present, name)];
    if (before !== now) out.push({ kind: 'header', path: `header ${name}`, recorded: before, present: now });
  }
  // Of a policy and others without a name, the address tells whose it is.
  const scope = recorded.url.replace(/[?#].*$/, '').replace(/:\w+$/, '');
  // What is only validated is not kept, so no other answer can have its etag.
  const run = recorded.url.includes('validateOnly=true') ? `${recorded.id} ` : '';
  compare(recorded.body, present.body, '', { bindings, out, run, scope: run + scope });
  return out;
}

/** As far as it matters: not the parameters of a type, not the length of a wait. */
function headerOf({ responseHeaders }: Answer, name: string): string | undefined {
  const value = responseHeaders?.[name];
  if (value === undefined) return undefined;
  if (name === 'content-type') return value.split(';')[0]?.trim().toLowerCase();
  return name === 'retry-after' ? 'a time' : volatilesIn(value).form;
}

interface Comparison {
  bindings: Bindings;
  out: Difference[];
  /** The resource that is compared; it begins with `run`. */
  scope: string;
  run: string;
}

function compare(recorded: Json, present: Json, path: string, comparison: Comparison): void {
  const { out } = comparison;
  if (isObject(recorded) && isObject(present)) compareObjects(recorded, present, path, comparison);
  else if (Array.isArray(recorded) && Array.isArray(present)) compareLists(recorded, present, path, comparison);
  else if (typeof recorded === 'string' && typeof present === 'string') {
    const kind = textDifference(recorded, present, comparison);
    if (kind !== undefined) out.push({ kind, path, recorded, present });
  } else if (recorded !== present) out.push({ kind: 'value', path, recorded, present });
}

/** Where the sandbox serves a service and keeps its log, and where Google Cloud does. */
const LOCAL = /https?:\/\/(?:127\.0\.0\.1|[\w.-]+\.localhost):\d+|^text-\d+$/g;
const PUBLIC = /https:\/\/(?:[\w.-]+\.run\.app|console\.cloud\.google\.com\S*)/g;
const ADDRESS = '(address)';

/** Whether the recording is of the sandbox, whose services run on this machine; those of the replay do not run. */
const isLocal = (recorded: string, present: string): boolean =>
  recorded.search(LOCAL) >= 0 && present.search(PUBLIC) >= 0;

function textDifference(
  recorded: string,
  present: string,
  { bindings, scope }: Comparison,
): DifferenceKind | undefined {
  const before = volatilesIn(isLocal(recorded, present) ? recorded.replaceAll(LOCAL, ADDRESS) : recorded);
  const now = volatilesIn(isLocal(recorded, present) ? present.replaceAll(PUBLIC, ADDRESS) : present);
  if (before.form !== now.form) return /\s/.test(`${recorded}${present}`) ? 'text' : 'value';
  const fits = before.volatiles.map((one, index) => bindings.bind(one, now.volatiles[index] ?? one, scope));
  return fits.every(Boolean) ? undefined : 'binding';
}

function compareObjects(recorded: JsonObject, present: JsonObject, path: string, outer: Comparison): void {
  const { out } = outer;
  const name = nameOf(recorded);
  const comparison = typeof name === 'string' ? { ...outer, scope: outer.run + name } : outer;
  // The present one has come to rest already. That it is the same thing is told by its name.
  if (isUnderWay(recorded) && !isUnderWay(present)) {
    compare(nameOf(recorded), nameOf(present), `${path}.name`.replace(/^\./, ''), comparison);
    return;
  }
  for (const [key, value] of Object.entries(recorded)) {
    if (value === undefined) continue;
    const now = present[key];
    const inner = path === '' ? key : `${path}.${key}`;
    if (now === undefined) out.push({ kind: 'missing', path: inner, recorded: value });
    else compare(value, now, inner, comparison);
  }
  for (const [key, value] of Object.entries(present)) {
    if (value === undefined || recorded[key] !== undefined) continue;
    out.push({ kind: 'more', path: path === '' ? key : `${path}.${key}`, present: value });
  }
}

const nameOf = (value: JsonObject): Json => value.name ?? fieldOf(value, 'metadata.name') ?? null;

/** What names the members of a list, where all of them have one. */
const LABELS = ['type', 'role', 'name', 'reason'];

/** Lists whose order says nothing. */
const SETS = /(^|\.)(members|permissions|bindings|conditions|accounts|services|secrets|operations)$/;

function compareLists(recorded: Json[], present: Json[], path: string, comparison: Comparison): void {
  const isSet = SETS.test(path);
  const label = isSet && LABELS.find(one => isLabel(one, recorded) && isLabel(one, present));
  if (label) compareByLabel(label, recorded, present, path, comparison);
  else if (isSet) compareByPlace(sorted(recorded), sorted(present), path, comparison);
  else compareByPlace(recorded, present, path, comparison);
}

const labelOf = (label: string, item: Json): string => (isObject(item) ? volatilesIn(String(item[label])).form : '');

function isLabel(label: string, items: Json[]): boolean {
  const found = items.flatMap(item => (isObject(item) && item[label] !== undefined ? [labelOf(label, item)] : []));
  return found.length === items.length && new Set(found).size === items.length;
}

const sorted = (items: Json[]): Json[] => {
  const key = (item: Json) => volatilesIn(JSON.stringify(item)).form;
  return [...items].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
};

function compareByLabel(label: string, recorded: Json[], present: Json[], path: string, comparison: Comparison): void {
  const { out } = comparison;
  const now = new Map(present.map(item => [labelOf(label, item), item]));
  const before = new Set(recorded.map(item => labelOf(label, item)));
  for (const item of recorded) {
    const key = labelOf(label, item);
    const other = now.get(key);
    if (other === undefined) out.push({ kind: 'missing', path: `${path}[${key}]`, recorded: item });
    else compare(item, other, `${path}[${key}]`, comparison);
  }
  for (const [key, item] of now) {
    if (!before.has(key)) out.push({ kind: 'more', path: `${path}[${key}]`, present: item });
  }
}

function compareByPlace(recorded: Json[], present: Json[], path: string, comparison: Comparison): void {
  for (let index = 0; index < Math.max(recorded.length, present.length); index++) {
    const [before, now] = [recorded[index], present[index]];
    const inner = `${path}[${index}]`;
    if (before === undefined) comparison.out.push({ kind: 'more', path: inner, present: now });
    else if (now === undefined) comparison.out.push({ kind: 'missing', path: inner, recorded: before });
    else compare(before, now, inner, comparison);
  }
}
