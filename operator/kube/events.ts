import type { KubeApi, KubeMeta, KubeObject, KubeStatus } from '../../ports/kube.ts';
import { EVENTS, keyOf } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { sleep } from '../../ports/runtime.ts';
import { backoff } from './backoff.ts';

/** An object's first 25 events pass, then one each 5 minutes (client-go's spam filter). */
const BUDGET = { burst: 25, refillMs: 300_000 };
/** So many different messages of one reason within the span, and the rest become one event that counts (client-go). */
const SIMILAR = { most: 10, spanMs: 600_000 };
/** Objects and events remembered (an event takes up to 3 KiB), and events waiting to be written: memory is bounded. */
const REMEMBERED = { objects: 4_096, events: 4_096 };
const WAITING = 1_000;
const MESSAGE_BYTES = 1_024;
const ATTEMPTS = 4;
const RETRY_MS = { base: 500, max: 10_000 };

export interface EventRecorderOptions {
  api: KubeApi;
  runtime: Runtime;
  /** Shown as `From` by `kubectl describe`. */
  component: string;
  /** Which replica: its pod's name. */
  instance: string;
  onProblem?: (message: string) => void;
}

export interface EventRecorder {
  /** Never throws and never waits. `reason` is a CamelCase word, `message` a sentence for people. */
  record(object: KubeObject, type: 'Normal' | 'Warning', reason: string, message: string): void;
  /** The object `NAMESPACE/NAME` is gone: what is remembered of it is released. What waits is still written. */
  forget(key: string): void;
  /** Writes what is waiting, for at most `graceMs`, and then no more. */
  stop(graceMs?: number): Promise<void>;
  readonly counters: Readonly<{ written: number; filtered: number; dropped: number }>;
}

type Reference = Pick<KubeMeta, 'name' | 'namespace' | 'uid' | 'resourceVersion'> & {
  apiVersion?: string;
  kind?: string;
};

/** One Event object in the cluster. */
interface Entry {
  /** Set once it has been created. */
  name: string | undefined;
  involved: Reference;
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  count: number;
  firstAt: number;
  lastAt: number;
  waiting: boolean;
}

/** What is remembered of one object. */
interface Memory {
  uid: string | undefined;
  tokens: number;
  refilledAt: number;
  entries: Map<string, Entry>;
  /** For each reason and type: since when, and which messages. */
  similar: Map<string, { since: number; messages: Set<string> }>;
}

/**
 * Writes core/v1 Events: of the two APIs, the one whose count, first and last time `kubectl describe` and `kubectl get
 * events` print (a series of events.k8s.io/v1 shows up in `get` only). Repeats count up one Event.
 */
export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { api, runtime, component, instance } = options;
  const memories = new Map<string, Memory>();
  /** Events of all `memories` together. */
  let remembered = 0;
  const waiting: Entry[] = [];
  const stopping = new AbortController();
  const counters = { written: 0, filtered: 0, dropped: 0 };
  let writing: Promise<void> | undefined;

  function forget(key: string): void {
    remembered -= memories.get(key)?.entries.size ?? 0;
    memories.delete(key);
  }

  function memoryOf({ metadata }: KubeObject): Memory {
    const now = runtime.monotonic();
    const key = keyOf(metadata);
    if (memories.get(key)?.uid !== metadata.uid) forget(key);
    const memory = memories.get(key) ?? {
      uid: metadata.uid,
      tokens: BUDGET.burst,
      refilledAt: now,
      entries: new Map(),
      similar: new Map(),
    };
    // Last in the map is last used; the first is forgotten.
    memories.delete(key);
    memories.set(key, memory);
    for (const oldest of memories.keys()) {
      if (memories.size <= REMEMBERED.objects && remembered <= REMEMBERED.events) break;
      forget(oldest);
    }
    memory.tokens = Math.min(BUDGET.burst, memory.tokens + (now - memory.refilledAt) / BUDGET.refillMs);
    memory.refilledAt = now;
    return memory;
  }

  /** The message under which this one is counted: its own, or that of all similar ones. */
  function combined(memory: Memory, kind: string, message: string): string {
    const now = runtime.monotonic();
    let similar = memory.similar.get(kind);
    if (!similar || now - similar.since > SIMILAR.spanMs) {
      similar = { since: now, messages: new Set() };
      memory.similar.set(kind, similar);
    }
    if (similar.messages.size < SIMILAR.most) similar.messages.add(message);
    return similar.messages.has(message) ? message : '';
  }

  function record(object: KubeObject, type: Entry['type'], reason: string, text: string) {
    const memory = memoryOf(object);
    if (memory.tokens < 1) {
      counters.filtered++;
      return;
    }
    memory.tokens--;
    const message = clipped(text);
    const kind = `${type} ${reason}`;
    const own = combined(memory, kind, message);
    const key = `${kind} ${own}`;
    const involved = reference(object);
    let entry = memory.entries.get(key);
    if (!entry) {
      const now = runtime.now();
      entry = { name: undefined, involved, type, reason, message, count: 0, firstAt: now, lastAt: now, waiting: false };
      memory.entries.set(key, entry);
      remembered++;
      for (const oldest of memory.entries.keys()) {
        if (memory.entries.size <= BUDGET.burst * 2) break;
        memory.entries.delete(oldest);
        remembered--;
      }
    }
    entry.involved = involved;
    entry.message = own || clipped(`(combined from similar events): ${text}`);
    entry.count++;
    entry.lastAt = runtime.now();
    if (entry.waiting) return;
    if (waiting.length >= WAITING) {
      counters.dropped++;
      return;
    }
    entry.waiting = true;
    waiting.push(entry);
    writing ??= writeAll();
  }

  async function writeAll() {
    // Not within record(): its caller is in the middle of something.
    await undefined;
    for (let entry = waiting.shift(); entry; entry = waiting.shift()) {
      // From here on a repeat is a write of its own.
      entry.waiting = false;
      const failure = await write(entry).catch(
        error => `a bug in the operator, please report it with this line: ${String(error)}`,
      );
      if (failure === undefined) counters.written++;
      else {
        counters.dropped++;
        problem(`event ${entry.reason} was not written: ${failure}`);
      }
    }
    writing = undefined;
  }

  /** Undefined, or why it could not be written. */
  async function write(entry: Entry): Promise<string | undefined> {
    let failure = 'stopped';
    for (let attempt = 1; attempt <= ATTEMPTS && !stopping.signal.aborted; attempt++) {
      const result = await send(entry).catch(bug);
      if (result.ok) {
        // An answer that a proxy made up may have no metadata; the next of the kind is then created anew.
        const named: unknown = result.value?.metadata?.name;
        entry.name = typeof named === 'string' ? named : undefined;
        return undefined;
      }
      const { code, message, retryAfterMs } = result.status;
      failure = message;
      if (code === 404 && entry.name !== undefined) {
        // Events live for an hour; the next of the kind begins anew.
        entry.name = undefined;
        entry.count = 1;
        entry.firstAt = entry.lastAt;
        continue;
      }
      if (code !== 0 && code !== 429 && code < 500) return failure;
      await sleep(runtime, backoff(runtime, attempt, RETRY_MS, retryAfterMs), stopping.signal);
    }
    return failure;
  }

  function send(entry: Entry) {
    const { involved } = entry;
    // Those of cluster-wide objects are kept in `default`, where kubectl looks for them.
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

  function problem(message: string) {
    try {
      options.onProblem?.(message);
    } catch {
      // Nobody waits for an event, so nobody could be told.
    }
  }

  return {
    record(object, type, reason, message) {
      if (stopping.signal.aborted) return;
      try {
        record(object, type, reason, message);
      } catch (error) {
        counters.dropped++;
        problem(`event ${reason} was not recorded: ${String(error)}`);
      }
    },
    forget,
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

function bug(error: unknown): { ok: false; status: KubeStatus } {
  return { ok: false, status: { code: -1, reason: 'Bug', message: String(error) } };
}

function reference({ apiVersion, kind, metadata }: KubeObject): Reference {
  const { name, namespace, uid, resourceVersion } = metadata;
  return { apiVersion, kind, name, namespace, uid, resourceVersion };
}

/** metav1.Time has whole seconds. */
function seconds(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}

function randomHex(runtime: Runtime): string {
  const part = () => Math.floor(runtime.random() * 2 ** 32).toString(16);
  return part().padStart(8, '0') + part().padStart(8, '0');
}

/** At most as many bytes as the API takes, cut between characters. */
function clipped(message: string): string {
  if (Buffer.byteLength(message) <= MESSAGE_BYTES) return message;
  const { read } = new TextEncoder().encodeInto(message, new Uint8Array(MESSAGE_BYTES - 3));
  return `${message.slice(0, read)}…`;
}
