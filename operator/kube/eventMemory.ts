import type { KubeMeta, KubeObject } from '../../ports/kube.ts';
import { keyOf } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';

/** The first 25 events of an object pass, then one every 5 minutes (client-go's spam filter). */
const BUDGET = { burst: 25, refillMs: 300_000 };
/** After so many different messages of one reason within the span, all further ones are counted as one event (client-go). */
const SIMILAR = { most: 10, spanMs: 600_000 };
/** The most objects and events that are remembered, because an event takes up to 3 KiB of memory. */
const REMEMBERED = { objects: 4_096, events: 4_096 };
/** The longest message that the API accepts. */
export const MESSAGE_BYTES = 1_024;

/** One Event object of the cluster. */
export interface EventEntry {
  /** The name of the Event object. Undefined until the object has been created. */
  name: string | undefined;
  involved: Pick<KubeMeta, 'name' | 'namespace' | 'uid' | 'resourceVersion'> & { apiVersion?: string; kind?: string };
  type: 'Normal' | 'Warning';
  reason: string;
  message: string;
  count: number;
  firstAt: number;
  lastAt: number;
  isWaiting: boolean;
}

/** What is remembered of one object. */
interface Memory {
  uid: string | undefined;
  tokens: number;
  refilledAt: number;
  entries: Map<string, EventEntry>;
  /** By type and reason: since when messages are collected, and which ones. */
  similar: Map<string, { since: number; messages: Set<string> }>;
}

/** The events that were recorded lately, so that a repeated one counts up its Event object and a flood is cut. */
export function createEventMemory(runtime: Runtime) {
  /** In the order of the last use, so that the first one is forgotten first. */
  const memories = new Map<string, Memory>();
  /** Events of all `memories` together. */
  let remembered = 0;

  function forget(key: string): void {
    remembered -= memories.get(key)?.entries.size ?? 0;
    memories.delete(key);
  }

  function memoryOf({ metadata }: KubeObject): Memory {
    const now = runtime.monotonic();
    const key = keyOf(metadata);
    if (memories.get(key)?.uid !== metadata.uid) forget(key);
    const fresh = { uid: metadata.uid, tokens: BUDGET.burst, refilledAt: now, entries: new Map(), similar: new Map() };
    const memory: Memory = memories.get(key) ?? fresh;
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

  function addEntry({ entries }: Memory, key: string, entry: EventEntry): EventEntry {
    entries.set(key, entry);
    remembered++;
    for (const oldest of entries.keys()) {
      if (entries.size <= BUDGET.burst * 2) break;
      entries.delete(oldest);
      remembered--;
    }
    return entry;
  }

  return {
    forget,
    /** Counts an event and returns its entry; undefined if the object has used up its budget. */
    count(object: KubeObject, type: EventEntry['type'], reason: string, text: string): EventEntry | undefined {
      const memory = memoryOf(object);
      if (memory.tokens < 1) return undefined;
      memory.tokens--;
      const message = clipped(text);
      const isOwn = isCountedAlone(memory, runtime.monotonic(), `${type} ${reason}`, message);
      const key = `${type} ${reason} ${isOwn ? message : ''}`;
      const involved = reference(object);
      const now = runtime.now();
      const started = { involved, type, reason, message, count: 0, firstAt: now, lastAt: now, isWaiting: false };
      const entry = memory.entries.get(key) ?? addEntry(memory, key, { name: undefined, ...started });
      entry.involved = involved;
      entry.message = isOwn ? message : clipped(`(combined from similar events): ${text}`);
      entry.count++;
      entry.lastAt = now;
      return entry;
    },
  };
}

/** Whether a message has an Event object of its own, or is one of too many similar ones. */
function isCountedAlone(memory: Memory, now: number, kind: string, message: string): boolean {
  let similar = memory.similar.get(kind);
  if (!similar || now - similar.since > SIMILAR.spanMs) {
    similar = { since: now, messages: new Set() };
    memory.similar.set(kind, similar);
  }
  if (similar.messages.size < SIMILAR.most) similar.messages.add(message);
  return similar.messages.has(message);
}

function reference({ apiVersion, kind, metadata }: KubeObject): EventEntry['involved'] {
  const { name, namespace, uid, resourceVersion } = metadata;
  return { apiVersion, kind, name, namespace, uid, resourceVersion };
}

/** Cuts a message between characters. */
function clipped(message: string): string {
  if (Buffer.byteLength(message) <= MESSAGE_BYTES) return message;
  const { read } = new TextEncoder().encodeInto(message, new Uint8Array(MESSAGE_BYTES - 3));
  return `${message.slice(0, read)}…`;
}
