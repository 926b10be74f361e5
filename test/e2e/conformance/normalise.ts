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
    value
      .replaceAll(serverUrl, '<server>')
      .replaceAll(host, '<host>')
      .replaceAll(UID, uid => nameOf('uid', uid))
      .replaceAll(TIME, '<time>')
      .replaceAll(
        /(resource ?version(?: in record)?"?: *"?|ResourceVersion in record \()(\d+)/gi,
        (_, label, version) => {
          return label + nameOf('version', version);
        },
      )
      .replaceAll(/(too old resource version: )\d+ \(\d+\)/g, '$1<version> (<version>)')
      .replaceAll(/(Too large resource version: )\d+, current: \d+/g, '$1<version>, current: <version>')
      .replaceAll(AGE, '<age>')
      .replaceAll(/^(\S+ of |)\/tmp\/\S+/g, '<file>');

  const walk = (value: unknown, key?: string, list = false): unknown => {
    if (Array.isArray(value)) return value.map(item => walk(item));
    if (typeof value === 'object' && value !== null) {
      const { kind, items, rows } = value as Record<string, unknown>;
      const ofList = (typeof kind === 'string' && kind.endsWith('List')) || Array.isArray(items) || Array.isArray(rows);
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

const UID = /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g;
const TIME = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/g;
/** As kubectl and Tables print it; a duration within a word or a spec is another thing. */
const AGE = /(?<=^|\s)(\d+[dhms]){1,2}(?=\s|$)|<invalid>/g;
