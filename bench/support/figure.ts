export interface Figure {
  /** What was measured, in people's words, with its unit. */
  what: string;
  value: number;
  /** What issue or manual ask for: `≤ 6`, `≥ 0.7`. */
  target?: string;
  /** Part of the plot. */
  plot?: boolean;
}

/** The limit of a target such as `≤ 240`, and whether the value meets it. */
export function limitOf({ value, target }: Figure): { limit: number; met: boolean } | undefined {
  const [, sign, text] = /^([≤≥]) ([\d,.]+)$/.exec(target ?? '') ?? [];
  if (!sign || !text || !Number.isFinite(value)) return undefined;
  const limit = Number(text.replaceAll(',', ''));
  return { limit, met: sign === '≤' ? value <= limit : value >= limit };
}
