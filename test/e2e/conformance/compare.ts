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
  return JSON.stringify(sandbox) === JSON.stringify(real) ? [] : [{ at, sandbox, real }];
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
