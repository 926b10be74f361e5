import type { KubeApi, KubeObject, KubeResult, KubeStatus } from '../../ports/kube.ts';
import { EVENTS } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';
import { backoff } from './backoff.ts';
import { createEventMemory, type EventEntry } from './eventMemory.ts';

/**
 * Writes Events of core/v1 and not of events.k8s.io/v1. `kubectl describe` and `kubectl get events` print the count and the times of
 * the former; a series of the latter is shown by `kubectl get events` only.
 *
 * 1. `record` counts the event in the memory (`eventMemory.ts`). A repeated event counts up the Event object that exists, and events
 *    of an object that records too many are dropped.
 * 2. The entry waits in one queue for all objects. A repeat that is recorded while the entry waits needs no write of its own.
 * 3. One writer takes the entries in turn, and creates or patches each Event. It tries a failed write again, four times in all.
 */
export interface EventRecorder {
  /** Never throws and never waits. `reason` is a CamelCase word, `message` a sentence for people. */
  record(object: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** The object `NAMESPACE/NAME` no longer exists: its events are forgotten. Those that wait are still written. */
  forget(key: string): void;
  /** Writes the events that wait, which takes at most `graceMs`, and none afterwards. */
  stop(graceMs?: number): Promise<void>;
  readonly counters: Readonly<{ written: number; filtered: number; dropped: number }>;
}

/** The most events that wait: it bounds the memory while the API server does not answer. */
const WAITING = 1_000;
const ATTEMPTS = 4;
const RETRY_MS = { base: 500, max: 10_000 };

export interface EventRecorderOptions {
  api: KubeApi;
  runtime: Runtime;
  /** Shown as `From` by `kubectl describe`. */
  component: string;
  /** The replica: the name of its pod. */
  instance: string;
  onProblem?: (message: string) => void;
}

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { runtime } = options;
  const memory = createEventMemory(runtime);
  const waiting: EventEntry[] = [];
  const stopping = new AbortController();
  const counters = { written: 0, filtered: 0, dropped: 0 };
  /** The writer, while anything waits. */
  let writing: Promise<void> | undefined;

  function drop(message: string): void {
    counters.dropped++;
    try {
      options.onProblem?.(message);
    } catch {
      // No caller waits for an event, so this error cannot be reported to anyone.
    }
  }

  async function writeAll(): Promise<void> {
    // The first write starts after `record` has returned, so that the reconcile that calls it is not interrupted.
    await undefined;
    for (let entry = waiting.shift(); entry; entry = waiting.shift()) {
      // From now on a repeat needs a write of its own.
      entry.isWaiting = false;
      const failure = await write(options, entry, stopping.signal).catch(
        error => `a bug in the operator, please report it with this line: ${String(error)}`,
      );
      if (failure === undefined) counters.written++;
      else drop(`event ${entry.reason} was not written: ${failure}`);
    }
    writing = undefined;
  }

  return {
    record(object, type, reason, message) {
      if (stopping.signal.aborted) return;
      try {
        const entry = memory.count(object, type, reason, message);
        if (!entry) counters.filtered++;
        else if (entry.isWaiting) return;
        else if (waiting.length >= WAITING) counters.dropped++;
        else {
          entry.isWaiting = true;
          waiting.push(entry);
          writing ??= writeAll();
        }
      } catch (error) {
        drop(`event ${reason} was not recorded: ${String(error)}`);
      }
    },
    forget: memory.forget,
    async stop(graceMs = 2_000) {
      const done = new AbortController();
      const grace = sleep(runtime, graceMs, done.signal);
      await Promise.race([writing, grace]);
      done.abort();
      stopping.abort();
      counters.dropped += waiting.length;
      waiting.length = 0;
    },
    counters,
  };
}

/** Resolves to undefined, or to the reason why the event could not be written. */
async function write(
  options: EventRecorderOptions,
  entry: EventEntry,
  stopped: AbortSignal,
): Promise<string | undefined> {
  const { runtime } = options;
  let failure = 'stopped';
  for (let attempt = 1; attempt <= ATTEMPTS && !stopped.aborted; attempt++) {
    const result = await send(options, entry).catch(bug);
    if (result.ok) {
      // An answer that a proxy made up may have no metadata; the next repeat then creates a new Event.
      const named: unknown = result.value?.metadata?.name;
      entry.name = typeof named === 'string' ? named : undefined;
      return undefined;
    }
    const { code, message, retryAfterMs } = result.status;
    failure = message;
    if (code === 404 && entry.name !== undefined) {
      // The API server deletes Events after an hour; the count starts again with a new one.
      entry.name = undefined;
      entry.count = 1;
      entry.firstAt = entry.lastAt;
      continue;
    }
    if (code !== 0 && code !== 429 && code < 500) return failure;
    await sleep(runtime, backoff(runtime, attempt, RETRY_MS, retryAfterMs), stopped);
  }
  return failure;
}

async function send(
  { api, runtime, component, instance }: EventRecorderOptions,
  entry: EventEntry,
): Promise<KubeResult<KubeObject>> {
  const { involved } = entry;
  // kubectl looks for the events of cluster-wide objects in the namespace `default`.
  const namespace = involved.namespace ?? 'default';
  const changing = { count: entry.count, lastTimestamp: seconds(entry.lastAt), message: entry.message };
  if (entry.name !== undefined) return api.patch(EVENTS, namespace, entry.name, changing);
  return api.create(EVENTS, namespace, {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${involved.name.slice(0, 230)}.${randomHex(runtime)}`, namespace },
    involvedObject: involved,
    type: entry.type,
    reason: entry.reason,
    firstTimestamp: seconds(entry.firstAt),
    ...changing,
    source: { component, host: instance },
    reportingComponent: component,
    reportingInstance: instance,
  });
}

function bug(error: unknown): { ok: false; status: KubeStatus } {
  return { ok: false, status: { code: -1, reason: 'Bug', message: String(error) } };
}

/** metav1.Time has whole seconds. */
function seconds(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}

function randomHex(runtime: Runtime): string {
  const part = () => Math.floor(runtime.random() * 2 ** 32).toString(16);
  return part().padStart(8, '0') + part().padStart(8, '0');
}
