import { invalid } from '../errors.ts';

/**
 * The etag is, as in captures of the real service, a quoted pair of a serialized google.protobuf.Timestamp (the last
 * change by a client: becoming ready doesn't alter it) and the resource's name. Conflict texts name the same time as
 * microseconds.
 */
export function etagOf(version: number, name: string): string {
  const timestamp = [...varint(1, Math.floor(version / 1e6)), ...varint(2, (version % 1e6) * 1000)];
  const encode = (bytes: Buffer) => bytes.toString('base64url');
  return `"${encode(Buffer.from(timestamp))}/${encode(Buffer.from(name))}"`;
}

/** The microseconds in an etag; INVALID_ARGUMENT if it is none of ours. */
export function versionIn(etag: string): number {
  const bytes = Buffer.from(/^"?([^/"]+)/.exec(etag)?.[1] ?? '', 'base64url');
  let at = 0;
  const read = () => {
    let value = 0;
    for (let scale = 1; at < bytes.length; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
    return Number.NaN;
  };
  let version = 0;
  while (at < bytes.length) {
    const field = read() >> 3;
    const value = read();
    version += field === 1 ? value * 1e6 : Math.floor(value / 1000);
  }
  if (!Number.isSafeInteger(version) || version <= 0) {
    throw invalid('The provided etag is invalid.', { field: 'etag', description: 'invalid' });
  }
  return version;
}

function varint(field: number, value: number): number[] {
  if (value === 0) return [];
  const bytes = [field << 3];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return [...bytes, rest];
}

/** RFC 3339 with microseconds. */
export function timestamp(micros: number): string {
  const date = new Date(Math.floor(micros / 1000)).toISOString().slice(0, -1);
  return `${date}${String(micros % 1000).padStart(3, '0')}Z`;
}
