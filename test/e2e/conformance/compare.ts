/** One place where the two servers answered differently. */
export interface Difference {
  /** `scenario › step: path.in.the.answer`. */
  at: string;
  sandbox: unknown;
  real: unknown;
}

/** Everything that differs between two transcripts, each at the highest place where it shows. */
export function differences(at: string, sandbox: unknown, real: unknown): Difference[] {
  if (isObject(sandbox) && isObject(real)) {
    const keys = [...new Set([...Object.keys(sandbox), ...Object.keys(real)])].sort();
    return keys.flatMap(key => differences(`${at}.${key}`, sandbox[key], real[key]));
  }
  if (Array.isArray(sandbox) && Array.isArray(real) && sandbox.length === real.length) {
    return sandbox.flatMap((item, index) => differences(`${at}.${index}`, item, real[index]));
  }
  if (Array.isArray(sandbox) && Array.isArray(real)) {
    const [left, right] = [byName(sandbox), byName(real)];
    if (left && right) return differences(at, left, right);
  }
  return JSON.stringify(sandbox) === JSON.stringify(real) ? [] : [{ at, sandbox, real }];
}

/** So that one item too many does not hide what the others differ in. */
function byName(list: unknown[]): Record<string, unknown> | undefined {
  const entries = list.map(item => [nameOf(item), item] as const);
  const names = new Set(entries.map(([name]) => name));
  return names.size === list.length && !names.has(undefined) ? Object.fromEntries(entries) : undefined;
}

function nameOf(item: unknown): string | undefined {
  if (!isObject(item)) return undefined;
  const name =
    item.name ??
    item.resource ??
    item.subresource ??
    (isObject(item.metadata) ? (item.metadata.name ?? 'core') : undefined);
  return typeof name === 'string' ? name : undefined;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
