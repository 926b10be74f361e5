import type { JsonObject } from '../../ports/json.ts';
import { LOG_LEVELS, type LogLevel } from './options.ts';

export type Log = (level: LogLevel, message: string, fields?: JsonObject) => void;

/** Structured logs: one JSON object a line, in the field names that Cloud Logging knows. Bounded in length. */
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
/** What every line has of its own; a field of that name is written with an underscore behind it. */
const RESERVED: ReadonlySet<string> = new Set(['time', 'severity', 'message']);
