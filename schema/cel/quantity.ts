/**
 * Kubernetes quantities, exactly: a whole number of nanos.
 * Source: k8s.io/apimachinery, pkg/api/resource (`ParseQuantity`).
 */

const NANO = 1_000_000_000n;
const BINARY = ['Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];
const DECIMAL: Record<string, number> = { n: -9, u: -6, m: -3, '': 0, k: 3, M: 6, G: 9, T: 12, P: 15, E: 18 };
const GRAMMAR = /^([+-]?)(\d*)(?:\.(\d*))?(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]?|[eE][+-]?\d{1,4})$/;
const LARGEST = (2n ** 63n - 1n) * NANO;

/** The quantity in nanos, rounded away from zero and cut to what an int64 of units holds; undefined: not a quantity. */
export function parseQuantity(text: string): bigint | undefined {
  const match = GRAMMAR.exec(text);
  if (!match) return undefined;
  const [, sign, whole = '', fraction = '', suffix = ''] = match;
  if (whole === '' && fraction === '') return undefined;
  const exponent = DECIMAL[suffix] ?? (/^[eE]./.test(suffix) ? Number(suffix.slice(1)) : 0);
  const binary = BINARY.indexOf(suffix);
  const factor = binary >= 0 ? 1024n ** BigInt(binary + 1) : 1n;
  const shift = 9 + exponent - fraction.length;
  const digits = BigInt(whole + fraction) * factor;
  const divisor = shift < 0 ? 10n ** BigInt(Math.min(-shift, 10_000)) : 1n;
  const nanos = shift >= 0 ? digits * 10n ** BigInt(shift) : (digits + divisor - 1n) / divisor;
  const bounded = nanos > LARGEST ? LARGEST : nanos;
  return sign === '-' ? -bounded : bounded;
}

/** The units, if they are a whole int64. */
export const wholeUnits = (nanos: bigint): bigint | undefined => (nanos % NANO === 0n ? nanos / NANO : undefined);
export const fromUnits = (units: bigint): bigint => units * NANO;
export const approximately = (nanos: bigint): number => Number(nanos) / 1e9;
