import type { GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Caller } from './contracts.ts';

/** The call that a fault is matched against. `resource` is the name of its resource, or of the parent for a create or list. */
interface CallInfo {
  method: string;
  resource: string;
  request: JsonObject;
  caller: Caller;
}

/** A fault for matching calls. */
interface Fault {
  /** The method's full name or its last part (`GetService`); absent: every method. */
  method?: string;
  /** A part of the resource's name; absent: any. */
  resource?: string;
  match?: (call: CallInfo) => boolean;
  /** The number of calls that fail; default 1. */
  times?: number;
  /** The error that is returned instead of making the call. */
  error?: GcpStatus;
  /** The error that is returned after the call has taken effect, as if its answer had been lost. */
  lost?: GcpStatus;
  /** `delayMs` passes before the call takes effect, `answerDelayMs` between its effect and the answer. Milliseconds. */
  delayMs?: number;
  answerDelayMs?: number;
}

interface Denial {
  permission: string;
  /** A part of the resource's name, or a pattern for it; absent: any. */
  resource?: string | RegExp;
  /** Only for this caller; absent: for all. */
  caller?: string;
}

export interface Faults {
  /** Adds a fault. The returned function removes it. */
  add(fault: Fault): () => void;
  /** Takes a permission away. The returned function gives it back. */
  deny(denial: Denial): () => void;
  clear(): void;
  /** Returns the fault for this call and counts it as used once. */
  take(call: CallInfo): Fault | undefined;
  denies(permission: string, resource: string, caller: Caller): boolean;
}

/** Holds the faults that tests and the simulation inject. A call gets the first matching fault in the order of `add`. */
export function createFaults(): Faults {
  const faults: { fault: Fault; left: number }[] = [];
  const denials = new Set<Denial>();
  const drop = (entry: (typeof faults)[number]) => {
    const index = faults.indexOf(entry);
    if (index >= 0) faults.splice(index, 1);
  };
  return {
    add(fault) {
      const entry = { fault, left: fault.times ?? 1 };
      faults.push(entry);
      return () => drop(entry);
    },
    deny(denial) {
      denials.add(denial);
      return () => denials.delete(denial);
    },
    clear() {
      faults.length = 0;
      denials.clear();
    },
    take(call) {
      const entry = faults.find(
        ({ fault }) =>
          (!fault.method || call.method === fault.method || call.method.endsWith(`.${fault.method}`)) &&
          call.resource.includes(fault.resource ?? '') &&
          (fault.match?.(call) ?? true),
      );
      if (entry && --entry.left <= 0) drop(entry);
      return entry?.fault;
    },
    denies: (permission, resource, caller) =>
      [...denials].some(
        denial =>
          denial.permission === permission &&
          (denial.resource instanceof RegExp
            ? denial.resource.test(resource)
            : resource.includes(denial.resource ?? '')) &&
          (denial.caller === undefined || denial.caller === caller.email),
      ),
  };
}
