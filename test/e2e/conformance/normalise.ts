import { sortedKeys } from '../../../sandbox/kube/verbs/decode.ts';

/**
 * Replaces what no two servers have in common: uids and resourceVersions by numbers in the order in which they are first
 * seen (so that it still shows whether two are the same), times, ages, and addresses.
 */
export function createNormaliser(serverUrl: string): (value: unknown) => unknown {
  const names = new Map<string, string>();
  const counts: Record<string, number> = {};
  const nameOf = (kind: string, value: string) => {
    const known = names.get(`${kind} ${value}`);
    if (known) return known;
    counts[kind] = (counts[kind] ?? 0) + 1;
    const name = `<${kind} ${counts[kind]}>`;
    names.set(`${kind} ${value}`, name);
    return name;
  };
  const host = new URL(serverUrl).host;

  const text = (value: string) =>
    quoted(value)
      .replaceAll(serverUrl, '<server>')
      .replaceAll(host, '<host>')
      .replaceAll(UID, uid => nameOf('uid', uid))
      .replaceAll(TIME, '<time>')
      .replaceAll(/(too old resource version: )\d+ \(\d+\)/g, '$1<version> (<version>)')
      .replaceAll(/(Too large resource version: )\d+, current: \d+/g, '$1<version>, current: <version>')
      .replaceAll(
        /(resource ?version(?: in record)?"?: *"?|ResourceVersion in record \()(\d+)/gi,
        (_, label, version) => {
          return label + nameOf('version', version);
        },
      )
      .replaceAll(AGE, '<age>')
      .replaceAll(/^(\S+ of |)\/tmp\/\S+/g, '<file>');

  /** Objects that a message quotes, with their keys in order. */
  const quoted = (value: string) =>
    value.replaceAll(/"\{(?:[^"\\]|\\.)*\}"/g, json => {
      try {
        const object = JSON.parse(JSON.parse(json) as string) as object;
        return JSON.stringify(JSON.stringify(walk(sortedKeys(object))));
      } catch {
        return json;
      }
    });

  const walk = (value: unknown, key?: string, list = false): unknown => {
    if (Array.isArray(value)) {
      const items = value.map(item => walk(item));
      // Discovery lists the kinds of a group in the order of a Go map.
      if (key === 'resources') return items.sort((a, b) => (named(a) < named(b) ? -1 : 1));
      // Managers are listed by the second of their last write, which is chance.
      return key === 'managedFields' ? items.sort((a, b) => (whose(a) < whose(b) ? -1 : 1)) : items;
    }
    if (typeof value === 'object' && value !== null) {
      const { kind, items, rows } = value as Record<string, unknown>;
      // A bookmark tells how far the server is, whoever moved it on.
      if ((value as { type?: unknown }).type === 'BOOKMARK')
        return { type: 'BOOKMARK', object: walk((value as { object?: unknown }).object, undefined, true) };
      const { causes, ...details } = ((value as { details?: unknown }).details ?? {}) as { causes?: unknown[] };
      // Several faults come in the order of a Go map, which is another one each time.
      if (kind === 'Status' && causes && causes.length > 1) {
        const sorted = causes
          .map(cause => walk(cause))
          .sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
        const message = text(String((value as { message?: unknown }).message)).replace(/\[[\s\S]*\]$/, '<causes>');
        return {
          ...(walk({ ...value, details, message }) as object),
          details: { ...(walk(details) as object), causes: sorted },
        };
      }
      const ofList =
        list || (typeof kind === 'string' && kind.endsWith('List')) || Array.isArray(items) || Array.isArray(rows);
      return Object.fromEntries(
        Object.entries(value).map(([name, child]) => [
          name,
          walk(child, name, name === 'metadata' ? ofList : key === 'metadata' && list),
        ]),
      );
    }
    if (typeof value !== 'string') return value;
    if (key === 'resourceVersion' && value !== '') return list ? '<version>' : nameOf('version', value);
    if (key === 'continue' && value !== '') return '<continue>';
    return text(value);
  };
  return value => walk(value);
}

const named = (item: unknown) => {
  const { name, resource } = (item ?? {}) as { name?: string; resource?: string };
  return name ?? resource ?? '';
};

const whose = (entry: unknown) => {
  const { manager, operation, apiVersion, subresource } = (entry ?? {}) as Record<string, unknown>;
  return [operation, manager, apiVersion, subresource].join(' ');
};

const UID = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g;
const TIME = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/g;
/** As kubectl and Tables print it; a duration within a word or a spec is another thing. */
const AGE = /(?<=^|\s)(\d+[dhms]){1,2}(?=\s|$)|<invalid>/g;
