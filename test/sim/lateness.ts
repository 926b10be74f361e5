import type { Limits } from '../../operator/gcp/quota.ts';
import type { Clock } from './clock.ts';
import type { Fault, Script, Step } from './script.ts';

/**
 * How long something may be other than it must be, at every moment of a run and not only once it has come to rest. What the
 * oracle finds wrong of a tenant is timed from when it began; neither an edit nor a touch of anything else begins the time
 * anew. docs/reliability.md states the bounds.
 */

const TICK_MS = 1_000;
/** While nothing is wrong. Every step and every write is judged at once, so only what time alone brings is seen later by this much. */
const CALM_TICK_MS = 10_000;
const INTERVAL_MS = 180_000;
const SETTLE_MS = 120_000;
const EDIT_MS = 5_000;
/** The longest that one server may ask to wait, beyond the backoff. */
const SERVER_ASKED_MS = 60_000;
/** Who takes over waits until the lease has run out, and starts. */
const TAKE_OVER_MS = 45_000;
/** An account that a lost call made is looked for so long. */
const LOST_ACCOUNT_MS = 120_000;
/** A reconcile makes no more calls than this one after the other. */
const CALLS_IN_A_ROW = 12;
const WORKERS = 3;

/** What is wrong of one tenant, as the oracle tells it. */
export interface Watched {
  tenant: string;
  /** With each edit another one. */
  generation: number;
  problems: string[];
}

export interface Lateness {
  /** Something goes wrong until then: what is wrong meanwhile is timed from its end. */
  disturbed(until: number): void;
  step(step: Step): void;
  fault(fault: Fault): void;
  /** To be called whenever something may have come right. */
  check(): void;
  stop(): void;
}

export interface LatenessOptions {
  clock: Clock;
  script: Script;
  watched: () => Watched[];
  onLate: (text: string) => void;
}

/** What one tenant needs of each budget at most to be brought from nothing to Ready, or away. */
const NEEDS: Record<keyof Limits, number> = {
  'secretmanager.read': 12,
  'secretmanager.write': 4,
  'iam.read': 3,
  'iam.write': 2,
  'run.read': 6,
  'run.write': 3,
};
/** The part of a quota that flows in; a tenth and what may go at once aside. */
const FLOW = 0.65;

/** How long every tenant once takes, one budget that binds after the other. */
export function roundMs({ limits = {} }: Script, tenants: number, api = ''): number {
  const minutes = Object.entries(limits).flatMap(([budget, calls]) =>
    budget.startsWith(api) ? (tenants * NEEDS[budget as keyof Limits]) / (FLOW * calls) : [],
  );
  return minutes.reduce((sum, one) => sum + one, 0) * 60_000;
}

/** A setting that an edit writes at once, whatever else is to be waited for. */
const CLOSING = /: public access of \S+ is true, not false/;

/** Steps that take away what other work stands on, so that all of it begins anew. */
const isGround = (step: Step): boolean =>
  step.who === 'admin' ||
  (step.who === 'console' &&
    ['deleteAccount', 'disableAccount', 'unmark', 'unmarkAccount', 'delete'].includes(step.do)) ||
  (step.who === 'secrets' && (step.do === 'delete' || step.do === 'create'));

/** What does not change while the same thing is wrong: how it is worded by a message may. */
const kindOf = (text: string): string =>
  text.replace(/ \(.*\)/s, '').replace(/(is still being deleted|is being brought up).*/s, '$1');

export function createLateness({ clock, script, watched, onLate }: LatenessOptions): Lateness {
  const { cloud, latencyMs, watchLagMs } = script;
  const since = new Map<string, { at: number; edited: boolean; told: boolean }>();
  const generations = new Map<string, number>();
  const hasFaults = script.faults.length > 0;
  /** Cloud Run refuses any update of a service whose account is gone (actAs), closing too, until that has been made anew and is known. */
  const losesAccounts = script.steps.some(({ do: what }) => what === 'deleteAccount');
  let disturbedUntil = 0;
  let stopped = false;

  const slow = () => 2 * watchLagMs + CALLS_IN_A_ROW * latencyMs * (1 + Math.ceil(generations.size / WORKERS));
  /** New things stay unseen, revisions come up and deletions are waited for. */
  const propagation =
    cloud.createVisibleMs + cloud.policyPropagationMs + cloud.accountPropagationMs + 4 * cloud.deployMs;

  function bound(text: string, edited: boolean): number {
    const faults = hasFaults ? INTERVAL_MS + SERVER_ASKED_MS + TAKE_OVER_MS + roundMs(script, generations.size) : 0;
    const tenants = generations.size;
    if (edited && !hasFaults && !losesAccounts && CLOSING.test(text))
      return EDIT_MS + slow() + roundMs(script, tenants, 'run');
    const grace = / has moved|: Ready is |: the inventory still has Service /.test(text)
      ? (script.graceMs ?? 60_000)
      : 0;
    // A field that has left the spec stays on record until a call under way can't set it any more (inventory.ts).
    const settles = text.includes(': the inventory still has Field ') ? SETTLE_MS : 0;
    const lost = hasFaults ? LOST_ACCOUNT_MS : 0;
    return INTERVAL_MS + slow() + propagation + grace + settles + lost + faults + roundMs(script, tenants);
  }

  function check(): void {
    if (stopped) return;
    const now = clock.monotonic();
    const tenants = watched();
    const kinds = new Set(tenants.flatMap(({ problems }) => problems.map(kindOf)));
    for (const kind of since.keys()) if (!kinds.has(kind)) since.delete(kind);
    for (const { tenant, generation, problems } of tenants) {
      const edited = generations.get(tenant) !== generation;
      generations.set(tenant, generation);
      for (const text of problems) {
        const known = since.get(kindOf(text)) ?? { at: now, edited, told: false };
        since.set(kindOf(text), known);
        const from = Math.max(known.at, disturbedUntil);
        if (known.told || now - from <= bound(text, known.edited)) continue;
        known.told = true;
        onLate(`late: for ${Math.round((now - from) / 1000)} s: ${text}`);
      }
    }
  }

  let isCalm = true;
  let cancel = clock.after(TICK_MS, tick);

  function tick(): void {
    if (stopped) return;
    check();
    isCalm = since.size === 0;
    cancel = clock.after(isCalm ? CALM_TICK_MS : TICK_MS, tick);
  }

  /** From the moment at which something is wrong, every second counts. */
  function checkNow(): void {
    check();
    if (!isCalm || since.size === 0) return;
    cancel();
    isCalm = false;
    cancel = clock.after(TICK_MS, tick);
  }

  const disturbed = (until: number) => {
    disturbedUntil = Math.max(disturbedUntil, until);
  };
  return {
    disturbed,
    step(step) {
      if (isGround(step)) disturbed(clock.monotonic());
      checkNow();
    },
    fault(fault) {
      const lasting = 'forMs' in fault ? fault.forMs : 'effectMs' in fault ? fault.effectMs + fault.answerMs : 0;
      disturbed(clock.monotonic() + lasting);
    },
    check: checkNow,
    stop() {
      stopped = true;
    },
  };
}
