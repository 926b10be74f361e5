import type { Aim, Fault } from './script.ts';

type Aimed = Extract<Fault, Aim>;

/** One call as faults see it. `method`: `CreateService`, or `patch aitenants/status`. */
export interface CallInfo {
  cluster: number;
  port: 'gcp' | 'kube';
  kind: 'read' | 'write';
  method: string;
  /** A resource of Google Cloud, or `namespace/name`. */
  target: string;
}

export interface ArmedFaults {
  arm(fault: Aimed): void;
  /** The fault that befalls this call, used up by it. */
  take(call: CallInfo): Aimed | undefined;
  clear(): void;
}

/** Faults that wait for the call that they are about; the first one armed goes first, the next one counts from there. */
export function createFaults(onCall: (call: CallInfo) => void, onStrike: (fault: Aimed) => void): ArmedFaults {
  let armed: { fault: Aimed; skip: number; left: number }[] = [];
  return {
    arm(fault) {
      armed.push({ fault, skip: fault.skip ?? 0, left: fault.fault === 'refused' ? fault.times : 1 });
    },
    take(call) {
      if (!HOUSEKEEPING.test(call.method)) onCall(call);
      const entry = armed.find(({ fault }) => matches(fault, call));
      if (!entry || entry.skip-- > 0) return undefined;
      if (--entry.left <= 0) armed = armed.filter(other => other !== entry);
      onStrike(entry.fault);
      return entry.fault;
    },
    clear() {
      armed = [];
    },
  };
}

/** Calls that keep a replica alive and say nothing of tenants. */
const HOUSEKEEPING = /leases|events|watch /;

function matches(fault: Aimed, call: CallInfo): boolean {
  if (fault.cluster !== call.cluster || fault.port !== call.port) return false;
  if (fault.method !== undefined) return fault.method === call.method;
  return (fault.kind === undefined || fault.kind === call.kind) && !HOUSEKEEPING.test(call.method);
}
