import type { Json } from '../../../../ports/json.ts';
import type { Codec } from './rows.ts';

/** How values are written in each API. Annotations hold text only. */

export const same: Codec = { toV2: value => value, toV1: value => value };

/** A boolean as text: `true`, `false`, and `True`, `False` of gcloud. */
export const flag: Codec = {
  toV2: value => (/^(true|false)$/i.test(String(value)) ? /^true$/i.test(String(value)) : undefined),
  toV1: value => String(value),
};

/** A whole number as text. */
export const count: Codec = {
  toV2: value => (/^\d{1,9}$/.test(String(value)) ? Number(value) : undefined),
  toV1: value => String(value),
};

/** A list or map as JSON text. */
export const json: Codec = {
  toV2(value) {
    try {
      const parsed: unknown = JSON.parse(String(value));
      return typeof parsed === 'object' ? (parsed as Json) : undefined;
    } catch {
      return undefined;
    }
  },
  toV1: value => JSON.stringify(value),
};

/**
 * Container names by container name as YAML in flow style, of which JSON is a part: names (DNS labels) need no quotes. Such text is
 * answered as JSON, because gcloud reads only that (api_lib/run/container_resource.py).
 */
export const containerNames: Codec = {
  toV2: (value, at) => json.toV2(String(value).replaceAll(/(["']?)([a-z0-9-]+)\1/g, '"$2"'), at),
  toV1: json.toV1,
};

/** A list of texts, separated by commas. */
export const commas: Codec = {
  toV2: value => String(value).split(',').filter(Boolean),
  toV1: value => (Array.isArray(value) ? value.join(',') : undefined),
};

/** Seconds as a number, and as a google.protobuf.Duration. */
export const seconds: Codec = {
  toV2: value => `${value}s`,
  toV1: value => Number(String(value).replace(/s$/, '')),
};

/** Hours as text, and as a google.protobuf.Duration. */
export const hours: Codec = {
  toV2: value => (/^\d{1,6}$/.test(String(value)) ? `${Number(value) * 3600}s` : undefined),
  toV1: value => String(Number(String(value).replace(/s$/, '')) / 3600),
};

/** A word for each value of an enum. `also` are words that mean the same and are only read; `hidden` is the value v1 leaves out. */
export function words(
  table: Record<string, string>,
  options: { also?: Record<string, string>; hidden?: string } = {},
): Codec {
  const all: Record<string, string> = { ...options.also, ...table };
  const back = new Map(Object.entries(table).map(([word, value]) => [value, word]));
  return {
    toV2: value => (Object.hasOwn(all, String(value)) ? all[String(value)] : undefined),
    toV1: value => (value === options.hidden ? undefined : (back.get(String(value)) ?? String(value))),
  };
}
