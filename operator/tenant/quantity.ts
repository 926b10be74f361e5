const BINARY: Record<string, number> = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60 };
const DECIMAL: Record<string, number> = { m: 1e-3, '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18 };

/**
 * The value of a Kubernetes quantity (`1`, `1000m`, `512Mi`, `1e3`). Undefined: the text is not a quantity.
 * Source: Kubernetes API conventions, resource.Quantity.
 */
export function quantity(text: string): number | undefined {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([KMGTPE]i)|([mkMGTPE]?))$/.exec(text.trim());
  if (!match) return undefined;
  const [, number = '', exponent, binary, decimal = ''] = match;
  if (exponent) return Number(`${number}${exponent}`);
  return Number(number) * (binary ? (BINARY[binary] ?? 1) : (DECIMAL[decimal] ?? 1));
}

/** Whether two quantities have the same value, also if they are written differently. */
export function sameQuantity(a: string | undefined, b: string | undefined): boolean {
  if (a === b) return true;
  if (a === undefined || b === undefined) return false;
  const [x, y] = [quantity(a), quantity(b)];
  return x !== undefined && y !== undefined && Math.abs(x - y) < 1e-9 * Math.max(1, Math.min(Math.abs(x), Math.abs(y)));
}
