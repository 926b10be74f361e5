import { setImmediate as breath } from 'node:timers/promises';
import type { Json } from '../../../ports/json.ts';
import { createGcpCore } from '../../../sandbox/gcp/core.ts';
import { scriptedContainers } from '../../../sandbox/gcp/run/scriptedContainers.ts';
import { startGcpServer } from '../../../sandbox/gcp/wire/http.ts';
import { type FakeRuntime, fakeRuntime } from '../../unit/support/fakeRuntime.ts';
import { addressesFrom } from '../addresses.ts';
import { createCaller } from '../caller.ts';
import { createExchangeLog, type Exchange, isObject, succeeded } from '../exchange.ts';
import { type Bindings, createBindings, volatilesIn } from './bindings.ts';
import { type Cleaner, createCleaner } from './cleaner.ts';
import { holdsUnderWay, overlap, type Part, partsOf } from './course.ts';
import { type Difference, differencesOf } from './differences.ts';
import { failingImages } from './failingImages.ts';
import { NAMES } from './nameBook.ts';
import type { RecordingHead } from './recorder.ts';

/** One exchange of a recording with what the local Google Cloud answers now. */
export interface Replayed {
  recorded: Exchange;
  part: Part;
  /** Cleaned like the recorded one. Absent: it was not sent. */
  present?: Exchange;
  differences: Difference[];
}

/** The number that the local project gets. The recording's own is not in it. */
const NUMBER = '900000000001';
/** How long the local Google Cloud may take to come to rest, and the time between two reads, in virtual milliseconds. */
const REST_MS = 600_000;
const POLL_MS = 1_000;
/** The longest gap between two exchanges that is waited for, in virtual milliseconds. */
const GAP_MS = 3_600_000;

/**
 * Sends the requests of a recording in their order to a local Google Cloud that is made for it, in virtual time, and compares the answers.
 * `wrap` changes an answer of the local Google Cloud before it is compared; it is for tests of the comparison.
 */
export async function replay(
  { head, exchanges }: { head: RecordingHead; exchanges: Exchange[] },
  wrap: (present: Exchange) => Exchange = present => present,
): Promise<Replayed[]> {
  const cloud = await openCloud(head, exchanges);
  const parts = partsOf(exchanges);
  const course: Course = { cloud, exchanges, replayed: [], earlier: new Map(), wrap };
  let last = exchanges[0]?.when;
  try {
    for (const [index, recorded] of exchanges.entries()) {
      const part = parts[index] ?? 'compared';
      const gap = Date.parse(recorded.when) - Date.parse(last ?? recorded.when);
      last = recorded.when;
      // What is made later has a later time and another etag.
      await cloud.runtime.advance(Math.min(Math.max(gap, 2), GAP_MS));
      if (part !== 'compared' && part !== 'ahead') {
        course.replayed.push({ recorded, part, differences: [] });
        continue;
      }
      await readBefore(course, index);
      const present = wrap(await presentAnswer(recorded, cloud));
      course.replayed.push({ recorded, part, present, differences: judged(course, index, part, present) });
      await readAfter(course, index);
    }
  } finally {
    await cloud.close();
  }
  return course.replayed;
}

interface Course {
  cloud: ReplayCloud;
  exchanges: Exchange[];
  replayed: Replayed[];
  /** By the index of a read: what it would have been answered before a write that was under way at the same time. */
  earlier: Map<number, Exchange>;
  wrap(present: Exchange): Exchange;
}

/** Before a write: the reads that were answered after it, and may have been made before it. */
async function readBefore({ cloud, exchanges, earlier, wrap }: Course, index: number): Promise<void> {
  const write = exchanges[index];
  if (write === undefined || write.method === 'GET') return;
  const until = Date.parse(write.when) + 1_000;
  for (let next = index + 1; next < exchanges.length; next++) {
    const read = exchanges[next];
    if (read === undefined || Date.parse(read.when) > until) return;
    if (overlap(read, write) && !earlier.has(next)) {
      earlier.set(next, wrap(await cloud.send(read, cloud.bindings.copy())));
    }
  }
}

/** After a write: the reads that were answered before it, and may have been made after it. */
async function readAfter({ cloud, exchanges, replayed, wrap }: Course, index: number): Promise<void> {
  const write = exchanges[index];
  if (write === undefined || write.method === 'GET') return;
  const open = replayed.filter(({ recorded, differences }) => differences.length > 0 && overlap(recorded, write));
  for (const one of open) {
    const present = wrap(await presentAnswer(one.recorded, cloud));
    const fits = differencesIn(one.recorded, one.part, present, cloud.bindings.copy()).length === 0;
    if (!fits) continue;
    differencesIn(one.recorded, one.part, present, cloud.bindings);
    Object.assign(one, { present, differences: [] });
  }
}

/** The differences of the present answer, none if that of an earlier moment has none. */
function judged({ cloud, earlier, exchanges }: Course, index: number, part: Part, present: Exchange): Difference[] {
  const recorded = exchanges[index] ?? present;
  const { bindings } = cloud;
  const fits = (answer: Exchange) => differencesIn(recorded, part, answer, bindings.copy()).length === 0;
  const other = earlier.get(index);
  if (other !== undefined && !fits(present) && fits(other)) return differencesIn(recorded, part, other, bindings);
  // The answer after the write will tell. What this one would bind may be wrong.
  const isOpen = exchanges.slice(index + 1).some(later => overlap(recorded, later));
  return differencesIn(recorded, part, present, isOpen && !fits(present) ? bindings.copy() : bindings);
}

interface ReplayCloud {
  runtime: FakeRuntime;
  cleaner: Cleaner;
  bindings: Bindings;
  /** Sends the request, without a wait. A copy of the bindings keeps them as they are. */
  send(recorded: Exchange, known?: Bindings): Promise<Exchange>;
  close(): Promise<void>;
}

async function openCloud(head: RecordingHead, exchanges: Exchange[]): Promise<ReplayCloud> {
  const runtime = fakeRuntime(1);
  // What has a date in the recording has it here too.
  runtime.jump(Date.parse(exchanges[0]?.when ?? '') - runtime.now() || 0);
  const core = createGcpCore({
    runtime,
    projects: [{ id: head.project, number: NUMBER }],
    containers: scriptedContainers(runtime, failingImages(exchanges)),
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 100 },
  });
  const server = await startGcpServer({ core });
  const log = createExchangeLog();
  const caller = createCaller({
    addresses: addressesFrom({ CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN: server.url }),
    // The local Google Cloud is made for this replay: there is nothing that must not be touched.
    guard: { check() {}, learn() {}, permit() {} },
    log,
  });
  const cleaner = createCleaner({ project: head.project, projectNumber: NUMBER, prefix: head.prefix });
  const bindings = createBindings();
  return {
    runtime,
    cleaner,
    bindings,
    async send({ method, url, requestBody, requestHeaders = {} }, known = bindings) {
      const restored = restorer(cleaner, known);
      const answer = caller.call(
        method,
        restored(url, encodeURIComponent),
        restoredJson(requestBody, restored),
        requestHeaders,
      );
      return cleaner.exchange(await inVirtualTime(answer, runtime));
    },
    async close() {
      caller.close();
      await server.close();
    },
  };
}

/** Virtual time passes while the server waits, as it does for `:wait`; a call that needs no time takes none. */
async function inVirtualTime<T>(answer: Promise<T>, runtime: FakeRuntime): Promise<T> {
  let isDone = false;
  const settle = () => {
    isDone = true;
  };
  answer.then(settle, settle);
  for (let turn = 0; !isDone; turn++) {
    await breath();
    // Bytes on the way need some turns of the event loop, and no virtual time.
    if (turn > 200 && runtime.pending() > 0) await runtime.advance(100);
  }
  return answer;
}

/** Asks again while the recording had come to rest and the local Google Cloud has not. */
async function presentAnswer(recorded: Exchange, { send, runtime }: ReplayCloud): Promise<Exchange> {
  let present = await send(recorded);
  const isRead = recorded.method === 'GET';
  for (let waited = 0; isRead && waited < REST_MS; waited += POLL_MS) {
    if (!succeeded(recorded) || holdsUnderWay(recorded.body) || !holdsUnderWay(present.body)) break;
    await runtime.advance(POLL_MS);
    present = await send(recorded);
  }
  return present;
}

function differencesIn(recorded: Exchange, part: Part, present: Exchange, bindings: Bindings): Difference[] {
  const isAhead = succeeded(recorded) ? present.status === 404 : succeeded(present);
  if (part === 'ahead' && isAhead) return [];
  return differencesOf(recorded, present, bindings);
}

type Restore = (text: string, encode?: (value: string) => string) => string;

/** Puts present values in the place of the names and other volatile values of a request. */
function restorer(cleaner: Cleaner, bindings: Bindings): Restore {
  return (text, encode = plain => plain) => {
    const { volatiles } = volatilesIn(text);
    let rest = text;
    let out = '';
    for (const { kind, value } of volatiles) {
      const at = rest.indexOf(value);
      const known = bindings.presentOf(value);
      const isNamed = value.match(NAMES)?.[0] === value;
      const sent = known === undefined ? (isNamed ? madeUp(value) : value) : (cleaner.valueOf(known) ?? known);
      // From now on the value stands for what was sent.
      if (known === undefined) bindings.bind({ kind, value }, { kind, value: cleaner.text(sent) }, '');
      out += rest.slice(0, at) + (sent === value ? value : encode(sent));
      rest = rest.slice(at + value.length);
    }
    return out + rest;
  };
}

/** A value of the form that its kind has, for a name that no answer has told. */
function madeUp(name: string): string {
  const [, kind = '', number = ''] = /^([a-z]+)-(\d+)$/.exec(name) ?? [];
  if (kind === 'number') return number === '1' ? NUMBER : `9${number.padStart(11, '0')}`;
  if (kind === 'uniqueid') return `1${number.padStart(20, '0')}`;
  if (kind === 'uuid') return `00000000-0000-4000-8000-${number.padStart(12, '0')}`;
  if (kind === 'hash') return `h${number.padStart(9, 'a')}`;
  return name;
}

function restoredJson(value: Json | undefined, restored: Restore): Json | undefined {
  if (typeof value === 'string') return restored(value);
  if (Array.isArray(value)) return value.map(item => restoredJson(item, restored) ?? null);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [restored(key), restoredJson(inner, restored)]),
  );
}
