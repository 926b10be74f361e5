export type Severity = 'DEBUG' | 'INFO' | 'WARNING' | 'ERROR';
export type LogFields = Record<string, string | number | boolean | undefined>;
/** Writes one line of JSON, in the fields that Cloud Logging reads (`severity`, `message`, `time`). */
export type Log = (severity: Severity, message: string, fields?: LogFields) => void;

// Whatever looks like a vendor's key, in case a text names one that is not ours.
const keyLike = /\b[sr]k-[\w-]{8,}/g;

/** Returns a function that replaces the given secrets, and what looks like a key, by `[redacted]`. */
export function scrubber(secrets: readonly string[]): (text: string) => string {
  const known = secrets.filter(secret => secret !== '');
  return text =>
    known.reduce((rest, secret) => rest.replaceAll(secret, '[redacted]'), text).replace(keyLike, '[redacted]');
}

/** A log that scrubs every text before it is written. */
export function createLog(write: (line: string) => void, scrub: (text: string) => string): Log {
  return (severity, message, fields) => {
    const entry: LogFields = { severity, time: new Date().toISOString(), message: scrub(message) };
    for (const name in fields) {
      const value = fields[name];
      entry[name] = typeof value === 'string' ? scrub(value) : value;
    }
    write(`${JSON.stringify(entry)}\n`);
  };
}

/**
 * Collects the lines of one turn of the event loop, so that requests which end together cost one write to the log. `flush` writes them
 * at once; it is for the end of the process.
 */
export function inOneWrite(write: (lines: string) => void): { write(line: string): void; flush(): void } {
  let lines = '';
  function flush(): void {
    const now = lines;
    lines = '';
    if (now !== '') write(now);
  }
  return {
    write(line) {
      if (lines === '') setImmediate(flush);
      lines += line;
    },
    flush,
  };
}

/**
 * What may be logged of an exception: its name, code and frames. Not its message, which may quote what somebody sent
 * (as JSON.parse does) or a header (as fetch does).
 */
export function errorFields(error: unknown): LogFields {
  if (!(error instanceof Error)) return { error: typeof error };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const frames = (error.stack ?? '').split('\n').filter(line => /^\s+at /.test(line));
  return { error: error.name, errorCode: code, stack: frames.slice(0, 20).join('\n') };
}
