import type { CallEnd } from './gcp/instrument.ts';
import type { Log } from './log.ts';
import type { Runtime } from './ports.ts';
import { part } from './tenant/names.ts';

/** Of one API, project and code at most one line so often; and so long without one more, a success ends the series. */
const QUIET_MS = 60_000;
/** More series than fail at once in any outage; beyond it the oldest are forgotten. */
const REMEMBERED = 1_000;

interface Series {
  api: string;
  project: string;
  code: string;
  since: number;
  loggedAt: number;
  failedAt: number;
  failures: number;
}

/**
 * Logs Google Cloud's answers: each at `debug`; reads that failed at `warn`, at most once a minute for each API, project
 * and code; and once that they succeed again. Writes that fail are logged with their tenant, where they are made.
 */
export function createCallLog(log: Log, runtime: Pick<Runtime, 'now' | 'monotonic'>): (end: CallEnd) => void {
  const failing = new Map<string, Series>();

  function failed(end: CallEnd, project: string): void {
    const { api, code } = end;
    const now = runtime.monotonic();
    const key = `${api} ${project} ${code}`;
    const started = { api, project, code, since: runtime.now(), loggedAt: Number.NEGATIVE_INFINITY, failures: 0 };
    const series: Series = { ...(failing.get(key) ?? started), failedAt: now };
    series.failures++;
    if (now - series.loggedAt >= QUIET_MS) {
      series.loggedAt = now;
      const { method, resource, message = '' } = end;
      log('warn', 'a read of Google Cloud failed', {
        ...told(series),
        method,
        resource,
        error: message,
      });
    }
    failing.set(key, series);
    for (const oldest of failing.keys()) {
      if (failing.size <= REMEMBERED) break;
      failing.delete(oldest);
    }
  }

  function succeeded(api: string, project: string): void {
    for (const [key, series] of failing) {
      if (series.api !== api || series.project !== project) continue;
      if (runtime.monotonic() - series.failedAt < QUIET_MS) continue;
      failing.delete(key);
      log('info', 'reads of Google Cloud succeed again', told(series));
    }
  }

  return end => {
    const { api, method, resource, code, durationMs, write } = end;
    log('debug', 'called Google Cloud', { method, resource, code, ms: Math.round(durationMs) });
    const project = part(resource, 'projects');
    if (code === 'OK' || code === 'NOT_FOUND') succeeded(api, project);
    else if (!write) failed(end, project);
  };
}

const told = ({ api, project, code, since, failures }: Series) => ({
  api,
  project,
  code,
  failures,
  since: new Date(since).toISOString(),
});
