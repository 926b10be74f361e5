import { invalid } from '../errors.ts';

const units: Record<string, number> = {
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** Value of a Kubernetes quantity, in its base unit; `field` is named by the error. */
export function quantity(text: string, field: string): number {
  const match = /^([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(m|k|M|G|T|Ki|Mi|Gi|Ti)?$/.exec(text);
  if (match) return Number(match[1]) * (units[match[2] ?? ''] ?? 1);
  throw invalid(
    `${field}: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`,
  );
}
