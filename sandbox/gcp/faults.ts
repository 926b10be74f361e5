import type { GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Caller } from './contracts.ts';

/** A call as faults and the log see it. `resource` is the name it is about: itself, or the parent. */
interface CallInfo {
  method: string;
  resource: string;
  request: JsonObject;
  caller: Caller;
}

/** What goes wrong with matching calls. */
interface Fault {
  /** The method's full name or its last part (`GetService`); absent: every method. */
  method?: string;
  /** A part of the resource's name; absent: any. */
  resource?: string;
  match?: (call: CallInfo) => boolean;
  /** How many calls it befalls; default 1. */
  times?: number;
  /** Answered in place of the call, which has no effect. */
  error?: GcpStatus;
  /** Answered after the call has taken effect: the answer got lost. */
  lost?: GcpStatus;
  /** Time before the call takes effect, and between effect and answer, milliseconds. */
  delayMs?: number;
  answerDelayMs?: number;
}

interface Denial {
  permission: string;
  /** A part of the resource's name; absent: any. */
  resource?: string;
  /** Only for this caller; absent: for all. */
  caller?: string;
}

export interface Faults {
  /** Adds a fault; the answer takes it away again. */
  add(fault: Fault): () => void;
  /** Takes a permission away; the answer gives it back. */
  deny(denial: Denial): () => void;
  clear(): void;
  /** The next fault for this call, used up by one. */
  take(call: CallInfo): Fault | undefined;
  denies(permission: string, resource: string, caller: Caller): boolean;
}

/** Faults to order. The first one added that matches befalls a call. */
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
          resource.includes(denial.resource ?? '') &&
          (denial.caller === undefined || denial.caller === caller.email),
      ),
  };
}
