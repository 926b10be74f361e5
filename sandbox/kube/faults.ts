import type { KubeStatus } from '../../ports/kube.ts';
import { failure, reasonOf, type StatusError } from './status.ts';
import type { OpenWatch } from './verbs/watch.ts';

export type KubeVerb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

/** One request, as the log and the fault rules see it. */
export interface RequestInfo {
  verb: KubeVerb;
  /** `plural` or `plural/status`. */
  resource: string;
  group: string;
  namespace?: string;
  name?: string;
}

export interface FaultRule {
  verb?: KubeVerb;
  /** `plural` or `plural/status`. */
  resource?: string;
  /** The number of requests that it affects. Absent: every matching one. */
  times?: number;
  /** Milliseconds before the request is looked at. */
  delayMs?: number;
  /** The answer's code, with `reason`, `message` and `retryAfterMs` as wished; 0: no answer comes. */
  status?: Partial<KubeStatus> & { code: number };
  /** The request takes effect all the same: its answer is what is lost. */
  applied?: boolean;
}

interface LoggedRequest extends RequestInfo {
  code: number;
}

/** Faults to order, and the log of what was asked. `logLimit`: requests kept. */
export function createFaults(logLimit = 1000) {
  let rules: (FaultRule & { left: number })[] = [];
  let log: LoggedRequest[] = [];
  const counts = new Map<string, number>();

  return {
    /** Adds a rule; what it returns takes it away again. */
    inject(rule: FaultRule): () => void {
      const armed = { ...rule, left: rule.times ?? Number.POSITIVE_INFINITY };
      rules.push(armed);
      return () => {
        rules = rules.filter(each => each !== armed);
      };
    },
    clear() {
      rules = [];
    },
    /** The first rule that meets the request; it is used up by one. */
    take(request: RequestInfo): FaultRule | undefined {
      const rule = rules.find(
        each => (!each.verb || each.verb === request.verb) && (!each.resource || each.resource === request.resource),
      );
      if (!rule) return undefined;
      rule.left -= 1;
      if (rule.left <= 0) rules = rules.filter(each => each !== rule);
      return rule;
    },
    record(request: RequestInfo, code: number) {
      log.push({ ...request, code });
      if (log.length > logLimit * 1.25) log = log.slice(-logLimit);
      const key = `${request.verb} ${request.resource}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    },
    log: (): readonly LoggedRequest[] => log,
    /** Requests since the start or the last reset; all of them, or of one verb and resource. */
    count(verb: KubeVerb, resource: string): number {
      return counts.get(`${verb} ${resource}`) ?? 0;
    },
    counts: () => Object.fromEntries(counts),
    reset() {
      log = [];
      counts.clear();
    },
  };
}

export type Faults = ReturnType<typeof createFaults>;

export function faultError({
  code,
  reason,
  message,
  retryAfterMs,
}: Partial<KubeStatus> & { code: number }): StatusError {
  return failure(
    code,
    reason ?? reasonOf(code),
    message ?? 'injected fault',
    retryAfterMs === undefined ? undefined : { retryAfterSeconds: Math.ceil(retryAfterMs / 1000) },
  );
}

/** The watches of one resource, or all. */
export const watchesOf = (watches: OpenWatch[], plural?: string) =>
  watches.filter(({ def }) => !plural || def.plural === plural);
