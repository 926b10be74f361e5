import type { Json, JsonObject } from '../../ports/json.ts';
import { invalid } from './errors.ts';

/** The items whose resource, as `show` answers it, matches. Throws INVALID_ARGUMENT. */
export function filtered<T>(filter: string, items: T[], show: (item: T) => JsonObject): T[] {
  if (!filter) return items;
  const matches = parseFilter(filter);
  return items.filter(item => matches(show(item)));
}

/**
 * List filters (https://google.aip.dev/160): `state:ENABLED`, `labels.env=prod AND NOT name:x`, `a OR b`, parentheses.
 * OR binds tighter than AND, terms side by side mean AND. Throws INVALID_ARGUMENT on what it does not understand.
 */
function parseFilter(filter: string): (resource: JsonObject) => boolean {
  const tokens = [...filter.matchAll(TOKEN)].map(({ groups = {} }) => groups);
  let at = 0;
  const refuse = () => invalid(`Invalid filter: ${filter}`, { field: 'filter', description: 'cannot be parsed' });
  const taken = (word: string) => tokens[at]?.word === word && ++at > 0;

  type Test = (resource: JsonObject) => boolean;

  function all(): Test {
    const terms = [any()];
    while (at < tokens.length && tokens[at]?.word !== ')') {
      taken('AND');
      terms.push(any());
    }
    return resource => terms.every(term => term(resource));
  }

  function any(): Test {
    const terms = [term()];
    while (taken('OR')) terms.push(term());
    return resource => terms.some(each => each(resource));
  }

  function term(): Test {
    if (taken('NOT') || taken('-')) {
      const negated = term();
      return resource => !negated(resource);
    }
    if (taken('(')) {
      const inner = all();
      if (!taken(')')) throw refuse();
      return inner;
    }
    const { path, operator = '', value = '' } = tokens[at++] ?? {};
    const compare = COMPARISONS[operator];
    if (!path || !compare) throw refuse();
    const wanted = value.startsWith('"') ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value;
    return resource => compare(valueAt(resource, path.split('.')), wanted);
  }

  const test = all();
  if (at < tokens.length) throw refuse();
  return test;
}

const TOKEN =
  /(?<path>[A-Za-z_][\w.-]*)\s*(?<operator><=|>=|!=|[:=<>])\s*(?<value>"(?:[^"\\]|\\.)*"|[^\s()"]+)|(?<word>[()]|-(?=[A-Za-z(])|\S+)/g;

const COMPARISONS: Record<string, (value: Json | undefined, wanted: string) => boolean> = {
  ':': (value, wanted) => {
    if (wanted === '*') return value !== undefined;
    if (typeof value === 'object' && value !== null) return Object.keys(value).includes(wanted);
    if (value === undefined) return false;
    const [whole, part] = [String(value).toLowerCase(), wanted.toLowerCase()];
    // `a*` is a prefix, `*a` a suffix; without a star the text may stand anywhere.
    if (part.endsWith('*')) return whole.startsWith(part.slice(0, -1));
    return part.startsWith('*') ? whole.endsWith(part.slice(1)) : whole.includes(part);
  },
  '=': (value, wanted) => order(value, wanted) === 0,
  '!=': (value, wanted) => order(value, wanted) !== 0,
  '<': (value, wanted) => order(value, wanted) < 0,
  '>': (value, wanted) => order(value, wanted) > 0,
  '<=': (value, wanted) => order(value, wanted) <= 0,
  '>=': (value, wanted) => order(value, wanted) >= 0,
};

/** google.logging.type.LogSeverity, which compare by rank. */
const SEVERITIES = ['DEFAULT', 'DEBUG', 'INFO', 'NOTICE', 'WARNING', 'ERROR', 'CRITICAL', 'ALERT', 'EMERGENCY'];

/** Times compare as times, severities by rank, all else as text; NaN (no comparison holds) where there is no value. */
function order(value: Json | undefined, wanted: string): number {
  if (value === undefined || value === null) return Number.NaN;
  const times = [Date.parse(String(value)), Date.parse(wanted)];
  const isTime = /^\d{4}-\d\d-\d\d/.test(wanted) && times.every(time => !Number.isNaN(time));
  const ranks = [SEVERITIES.indexOf(String(value)), SEVERITIES.indexOf(wanted.toUpperCase())];
  const numbers = isTime ? times : ranks.every(rank => rank >= 0) ? ranks : undefined;
  const [left, right] = numbers ? [numbers[0] ?? 0, numbers[1] ?? 0] : [String(value), wanted];
  return left < right ? -1 : left > right ? 1 : 0;
}

function valueAt(resource: JsonObject, path: string[]): Json | undefined {
  let value: Json | undefined = resource;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    value = value[part] ?? value[part.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())];
  }
  return value;
}
