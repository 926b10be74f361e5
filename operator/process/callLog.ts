import type { Runtime } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';
import type { CallEnd } from '../gcp/callHooks.ts';
import { part } from '../tenant/names.ts';
import type { Log } from './log.ts';

/**
 * A series is the failures of one API, project and code. It gets at most one log line in this time, and the first success after
 * this time without another failure ends it.
 */
const QUIET_MS = 60_000;
/** The number of series that are kept, more than an outage causes. The oldest ones are removed if there are more. */
const MOST_SERIES = 1_000;

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
 * Logs Google Cloud's answers: every answer at `debug`, and failed reads at `warn`, at most once a minute for each API, project and
 * code. When the reads succeed again, one line at `info` says so. Failed writes are logged by the reconcile that makes them.
 */
export function createCallLog(log: Log, runtime: Pick<Runtime, 'now' | 'monotonic'>): (end: CallEnd) => void {
  const failing = createRecent<Series>(runtime, { most: MOST_SERIES });

  function failed(end: CallEnd, project: string): void {
    const { api, code } = end;
    const now = runtime.monotonic();
    const key = seriesKey({ api, project, code });
    const started = { api, project, code, since: runtime.now(), loggedAt: Number.NEGATIVE_INFINITY, failures: 0 };
    const series: Series = { ...(failing.get(key) ?? started), failedAt: now };
    series.failures++;
    if (now - series.loggedAt >= QUIET_MS) {
      series.loggedAt = now;
      const { method, resource, message = '' } = end;
      log('warn', 'a read of Google Cloud failed', {
        ...seriesFields(series),
        method,
        resource,
        error: message,
      });
    }
    failing.set(key, series);
  }

  function succeeded(api: string, project: string): void {
    for (const series of failing.values()) {
      if (series.api !== api || series.project !== project) continue;
      if (runtime.monotonic() - series.failedAt < QUIET_MS) continue;
      failing.delete(seriesKey(series));
      log('info', 'reads of Google Cloud succeed again', seriesFields(series));
    }
  }

  return end => {
    const { api, method, resource, code, durationMs, write, tenant } = end;
    log('debug', 'called Google Cloud', {
      method,
      resource,
      code,
      ms: Math.round(durationMs),
      ...(tenant && { tenant }),
    });
    const project = part(resource, 'projects');
    if (code === 'OK' || code === 'NOT_FOUND') succeeded(api, project);
    else if (!write) failed(end, project);
  };
}

const seriesKey = ({ api, project, code }: Pick<Series, 'api' | 'project' | 'code'>) => `${api} ${project} ${code}`;

const seriesFields = ({ api, project, code, since, failures }: Series) => ({
  api,
  project,
  code,
  failures,
  since: new Date(since).toISOString(),
});
