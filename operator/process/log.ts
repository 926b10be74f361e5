import type { JsonObject } from '../../ports/json.ts';
import { LOG_LEVELS, type LogLevel } from './options.ts';

export type Log = (level: LogLevel, message: string, fields?: JsonObject) => void;

/** Writes one JSON object a line, with the field names of Cloud Logging. A text field is cut at 2,000 characters. */
export function createLog(level: LogLevel, now: () => number, write: (line: string) => void): Log {
  const least = LOG_LEVELS.indexOf(level);
  return (severity, message, fields = {}) => {
    if (LOG_LEVELS.indexOf(severity) < least) return;
    const bounded = Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [
        RESERVED.has(key) ? `${key}_` : key,
        typeof value === 'string' ? value.slice(0, LONGEST) : value,
      ]),
    );
    const line = { time: new Date(now()).toISOString(), severity: severity.toUpperCase(), message, ...bounded };
    write(`${JSON.stringify(line)}\n`);
  };
}

const LONGEST = 2_000;
/** The names of the fields that every line has. A caller's field of such a name gets an underscore at its end. */
const RESERVED: ReadonlySet<string> = new Set(['time', 'severity', 'message']);
