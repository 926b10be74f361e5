import type { GcpResult } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Clock } from './clock.ts';
import type { Fault } from './script.ts';
import type { Count } from './tally.ts';

/** What goes wrong with Google Cloud for a while: whole parts of it that refuse, and lists that are answered and wrong. */

export type Outage = Extract<Fault, { fault: 'regionDown' | 'emptyLists' | 'outage' | 'wrongLists' }>;

export interface Outages {
  begin(fault: Outage): void;
  heal(): void;
  /** What a call is answered with where it does not come through. */
  refusal(method: string, request: JsonObject): GcpResult | undefined;
  /** What its caller is given of an answer. */
  told(method: string, request: JsonObject, result: GcpResult): GcpResult;
}

const LIST = /\.List(Services|ServiceAccounts|Secrets)$/;
const NAMED = { Services: 'services', ServiceAccounts: 'accounts', Secrets: 'secrets' } as const;

export const isOutage = (fault: Fault): fault is Outage =>
  ['regionDown', 'emptyLists', 'outage', 'wrongLists'].includes(fault.fault);

export function createOutages(clock: Clock, count: Count): Outages {
  let going: { fault: Outage; until: number; kept: Map<string, GcpResult> }[] = [];
  const now = () => going.filter(({ until }) => clock.monotonic() < until);

  return {
    begin(fault) {
      going = [...now(), { fault, until: clock.monotonic() + fault.forMs, kept: new Map() }];
    },
    heal() {
      going = [];
    },
    refusal(method, request) {
      for (const { fault } of now()) {
        const text = JSON.stringify(request);
        if (fault.fault === 'regionDown' && text.includes(`/locations/${fault.region}`)) {
          return { ok: false, status: { code: 'UNAVAILABLE', message: 'The service is currently unavailable.' } };
        }
        if (fault.fault !== 'outage' || !text.includes(fault.where)) continue;
        count(`outage, ${fault.code}${fault.retryAfterMs === undefined ? '' : ', with a delay asked for'}`);
        const { code, retryAfterMs } = fault;
        return { ok: false, status: { code, message: `outage ${code}`, ...(retryAfterMs && { retryAfterMs }) } };
      }
      const isList = LIST.test(method);
      return isList && now().some(({ fault }) => fault.fault === 'emptyLists') ? { ok: true, response: {} } : undefined;
    },
    told(method, request, result) {
      const kind = LIST.exec(method)?.[1] as keyof typeof NAMED | undefined;
      const wrong = now().find(({ fault }) => fault.fault === 'wrongLists');
      if (!kind || !result.ok || wrong?.fault.fault !== 'wrongLists') return result;
      count(`wrong list, ${wrong.fault.how}`);
      const field = NAMED[kind];
      const items = (result.response[field] ?? []) as JsonObject[];
      if (wrong.fault.how === 'stale') {
        const key = `${method} ${JSON.stringify(request)}`;
        const first = wrong.kept.get(key) ?? structuredClone(result);
        wrong.kept.set(key, first);
        return structuredClone(first);
      }
      const left =
        wrong.fault.how === 'short'
          ? items.filter((_, index) => index % 2 === 1)
          : items.map(({ labels: _, description: __, etag: ___, ...rest }) => rest);
      return { ok: true, response: { ...result.response, [field]: left } };
    },
  };
}
