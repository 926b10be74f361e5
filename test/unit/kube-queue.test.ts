import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createTimerHeap } from '../../operator/collections/timerHeap.ts';
import { createQueue, type Priority, type Queue, type QueueOptions, type Verdict } from '../../operator/kube/queue.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';

const DONE: Verdict = { kind: 'done' };
/** After this long a run lends its place. */
const SLOW_MS = 2_000;

/** A queue whose runs end when the test says so. */
function setUp(options: Partial<QueueOptions> = {}) {
  const runtime = fakeRuntime();
  const started: string[] = [];
  const ends = new Map<string, (verdict: Verdict | Error) => void>();
  const queue = createQueue({
    runtime,
    workers: 1,
    process: key => {
      started.push(key);
      return new Promise((resolve, reject) =>
        ends.set(key, verdict => {
          ends.delete(key);
          if (verdict instanceof Error) reject(verdict);
          else resolve(verdict);
        }),
      );
    },
    ...options,
  });
  queue.start();
  const end = async (key: string, verdict: Verdict | Error = DONE) => {
    const found = ends.get(key);
    if (!found) throw new Error(`${key} does not run`);
    found(verdict);
    await runtime.settle();
  };
  /** Ends runs in the order they began until none is left. */
  const drain = async () => {
    await runtime.advance(0);
    for (let key = ends.keys().next().value; key !== undefined; key = ends.keys().next().value) {
      await end(key);
      await runtime.advance(0);
    }
  };
  return { runtime, queue, started, running: ends, end, drain };
}

describe('a key', () => {
  test('added many times while waiting runs once', async () => {
    const { queue, started, drain } = setUp();
    for (let i = 0; i < 5; i++) queue.add('ns/a');
    await drain();
    expect(started).toEqual(['ns/a']);
  });

  test('added while it runs, runs once more and not at once', async () => {
    const { runtime, queue, started, end, drain } = setUp({ workers: 3 });
    queue.add('ns/a');
    await runtime.settle();
    queue.add('ns/a');
    queue.add('ns/a', 'resync');
    await runtime.settle();
    expect(started).toEqual(['ns/a']);
    await end('ns/a');
    await drain();
    expect(started).toEqual(['ns/a', 'ns/a']);
  });

  test('is collected before the start and handed out after it', async () => {
    const runtime = fakeRuntime();
    const started: string[] = [];
    const process = async (key: string) => {
      started.push(key);
      return DONE;
    };
    const queue = createQueue({ runtime, workers: 1, process });
    queue.add('ns/a');
    await runtime.advance(1000);
    expect(started).toEqual([]);
    queue.start();
    await runtime.settle();
    expect(started).toEqual(['ns/a']);
  });
});

describe('addAfter', () => {
  test('runs at its time; the earliest wins, a later one postpones nothing', async () => {
    const { runtime, queue, started } = setUp();
    queue.addAfter('ns/a', 5_000);
    queue.addAfter('ns/a', 2_000);
    queue.addAfter('ns/a', 9_000);
    await runtime.advance(1_999);
    expect(started).toEqual([]);
    await runtime.advance(1);
    expect(started).toEqual(['ns/a']);
    expect(queue.stats().scheduled).toBe(0);
  });

  test('ten thousand of them need one timer', async () => {
    const { runtime, queue } = setUp();
    for (let i = 0; i < 10_000; i++) queue.addAfter(`ns/${i}`, 1_000 + ((i * 7919) % 10_000));
    expect(queue.stats().scheduled).toBe(10_000);
    expect(runtime.pending()).toBe(1);
  });

  test('forget takes the timer back', async () => {
    const { runtime, queue, started } = setUp();
    queue.addAfter('ns/a', 1_000);
    queue.forget('ns/a');
    expect(runtime.pending()).toBe(0);
    await runtime.advance(5_000);
    expect(started).toEqual([]);
  });
});

describe('verdicts', () => {
  test('failures wait longer each time, up to the limit, until a success', async () => {
    const delays: number[] = [];
    const { runtime, queue, end } = setUp({ hooks: { onRetry: (_key, _failures, ms) => delays.push(ms) } });
    queue.add('ns/a');
    await runtime.settle();
    for (let i = 0; i < 9; i++) {
      await end('ns/a', { kind: 'retry' });
      await runtime.advance(60_000);
    }
    for (const [i, ms] of delays.entries()) {
      const whole = Math.min(60_000, 1_000 * 2 ** i);
      expect(ms).toBeGreaterThanOrEqual(whole / 2);
      expect(ms).toBeLessThanOrEqual(whole);
    }
    expect(new Set(delays.slice(6)).size).toBe(3); // jitter
    await end('ns/a');
    queue.add('ns/a');
    await runtime.settle();
    await end('ns/a', { kind: 'retry' });
    expect(delays.at(-1)).toBeLessThanOrEqual(1_000);
  });

  test('a rejection is told of and tried again', async () => {
    const errors: unknown[] = [];
    const { runtime, queue, started, end } = setUp({ hooks: { onError: (_key, error) => errors.push(error) } });
    queue.add('ns/a');
    await runtime.settle();
    await end('ns/a', new Error('a bug'));
    await runtime.advance(1_000);
    expect(errors).toEqual([new Error('a bug')]);
    expect(started).toEqual(['ns/a', 'ns/a']);
  });

  test('Retry-After is honoured up to one minute beyond the own backoff, and a cap of its own', async () => {
    const delays: number[] = [];
    const { runtime, queue, end } = setUp({ hooks: { onRetry: (_key, _failures, ms) => delays.push(ms) } });
    queue.add('ns/a');
    await runtime.settle();
    await end('ns/a', { kind: 'retry', atLeastMs: 40_000 });
    expect(delays[0]).toBeGreaterThanOrEqual(40_000);
    await runtime.advance(60_000);
    for (let i = 0; i < 8; i++) {
      await end('ns/a', { kind: 'retry', atMostMs: 5_000 });
      await runtime.advance(5_000);
    }
    expect(Math.max(...delays.slice(1))).toBeLessThanOrEqual(5_000);
  });

  test('an edit runs at once in spite of a backoff, and replaces it', async () => {
    const { runtime, queue, started, end } = setUp();
    queue.add('ns/a');
    await runtime.settle();
    for (let i = 0; i < 6; i++) {
      await end('ns/a', { kind: 'retry' });
      await runtime.advance(i < 5 ? 60_000 : 0);
    }
    expect(started).toHaveLength(6);
    queue.add('ns/a', 'edit');
    await runtime.settle();
    expect(started).toHaveLength(7);
    await end('ns/a', DONE);
    await runtime.advance(120_000);
    expect(started).toHaveLength(7);
  });

  test('"again" comes back at its time and keeps no failures', async () => {
    const failures: number[] = [];
    const runtime = fakeRuntime();
    const verdicts: Verdict[] = [{ kind: 'retry' }, { kind: 'again', afterMs: 3_000 }, DONE];
    const process = async (_key: string, run: { failures: number }) => {
      failures.push(run.failures);
      return verdicts.shift() ?? DONE;
    };
    const queue = createQueue({ runtime, workers: 1, process });
    queue.start();
    queue.add('ns/a');
    await runtime.advance(1_000);
    await runtime.advance(3_000);
    expect(failures).toEqual([0, 1, 0]);
    expect(runtime.pending()).toBe(0);
  });
});

describe('order', () => {
  test('edits before retries before resyncs, and an edit raises what waits as a resync', async () => {
    const { runtime, queue, started, end, drain } = setUp();
    queue.add('ns/busy');
    await runtime.settle();
    queue.add('ns/resync', 'resync');
    queue.add('ns/raised', 'resync');
    queue.add('ns/retry', 'retry');
    queue.add('ns/edit', 'edit');
    queue.add('ns/raised', 'edit');
    queue.add('ns/edit', 'resync');
    expect(queue.stats().depth).toEqual({ edit: 2, retry: 1, resync: 1 });
    await end('ns/busy');
    await drain();
    expect(started).toEqual(['ns/busy', 'ns/edit', 'ns/raised', 'ns/retry', 'ns/resync']);
    expect(queue.stats().depth).toEqual({ edit: 0, retry: 0, resync: 0 });
  });

  test('a namespace with one key does not wait behind one with a hundred', async () => {
    const { runtime, queue, started, end, drain } = setUp();
    queue.add('x/busy');
    await runtime.settle();
    for (let i = 0; i < 100; i++) queue.add(`big/${i}`);
    queue.add('small/a');
    queue.add('small/b');
    await end('x/busy');
    await drain();
    expect(started.indexOf('small/a')).toBeLessThanOrEqual(2);
    expect(started.indexOf('small/b')).toBeLessThanOrEqual(4);
    expect(started.filter(key => key.startsWith('big/'))).toEqual(Array.from({ length: 100 }, (_, i) => `big/${i}`));
  });

  test('edits without end do not keep a resync out for ever', async () => {
    const { runtime, queue, started, end } = setUp();
    queue.add('a/0');
    await runtime.settle();
    queue.add('quiet/drift', 'resync');
    queue.add('quiet/failed', 'retry');
    for (let i = 0; i < 40; i++) {
      queue.add(`a/${i + 1}`);
      await end(`${started.at(-1)}`);
    }
    expect(started).toContain('quiet/drift');
    expect(started).toContain('quiet/failed');
  });

  test('however slow resyncs are, an edit finds a free worker', async () => {
    const { runtime, queue, started, running } = setUp({ workers: 4 });
    for (let i = 0; i < 10; i++) queue.add(`ns/${i}`, 'resync');
    await runtime.settle();
    expect(running.size).toBe(3);
    queue.add('ns/edited');
    await runtime.settle();
    expect(started.at(-1)).toBe('ns/edited');
  });

  test('runs that wait for an answer lend their places, up to twice as many in one region', async () => {
    const { runtime, queue, started, running, end } = setUp({ workers: 2 });
    for (let i = 0; i < 20; i++) queue.add(`silent/${i}`);
    await runtime.settle();
    queue.add('other/a');
    await runtime.advance(SLOW_MS - 1);
    expect(started).toEqual(['silent/0', 'silent/1']);

    await runtime.advance(1);
    expect(started).toContain('other/a');
    await end('other/a');
    await runtime.advance(60_000);
    expect(running.size).toBe(4);

    // Once they answer, there are no more at once than workers.
    for (const key of [...running.keys()]) await end(key);
    expect(running.size).toBe(2);
  });
});

test('runs that never wait leave timers and sockets their turn', async () => {
  const runtime = fakeRuntime();
  let runs = 0;
  const process = async () => {
    runs++;
    return DONE;
  };
  const queue = createQueue({ runtime, workers: 8, process });
  for (let i = 0; i < 10_000; i++) queue.add(`ns/${i}`);
  queue.start();
  await runtime.settle();
  expect(runs).toBeLessThan(1_000);
  await runtime.advance(1);
  expect(runs).toBe(10_000);

  for (let i = 0; i < 200; i++) queue.add(`ns/${i}`);
  await runtime.settle();
  expect(queue.stats().depth.edit).toBeGreaterThan(0);
  await queue.stop();
  expect(runtime.pending()).toBe(0);
});

test('stop hands out no more and waits for what runs', async () => {
  const { runtime, queue, started, running, end } = setUp({ workers: 2 });
  for (const key of ['ns/a', 'ns/b', 'ns/c']) queue.add(key);
  queue.addAfter('ns/d', 1_000);
  await runtime.settle();
  let stopped = false;
  void queue.stop().then(() => {
    stopped = true;
  });
  await end('ns/a');
  expect(stopped).toBe(false);
  queue.add('ns/e');
  await end('ns/b', { kind: 'retry' });
  expect(stopped).toBe(true);
  await runtime.advance(100_000);
  expect(started).toEqual(['ns/a', 'ns/b']);
  expect(running.size).toBe(0);
  expect(runtime.pending()).toBe(0);
});

test('hooks and stats tell depth, latency and work', async () => {
  const seen: unknown[] = [];
  const { runtime, queue, end } = setUp({
    hooks: {
      onAdd: priority => seen.push(['add', priority]),
      onStart: (key, priority, waitedMs) => seen.push(['start', key, priority, waitedMs]),
      onEnd: (key, verdict, tookMs) => seen.push(['end', key, verdict.kind, tookMs]),
    },
  });
  queue.add('ns/a');
  await runtime.settle();
  queue.add('ns/b', 'resync');
  await runtime.advance(300);
  expect(queue.stats()).toEqual({
    depth: { edit: 0, retry: 0, resync: 1 },
    running: 1,
    scheduled: 0,
    longestRunMs: 300,
  });
  await end('ns/a');
  await end('ns/b');
  expect(seen).toEqual([
    ['add', 'edit'],
    ['start', 'ns/a', 'edit', 0],
    ['add', 'resync'],
    ['end', 'ns/a', 'done', 300],
    ['start', 'ns/b', 'resync', 300],
    ['end', 'ns/b', 'done', 0],
  ]);
});

describe('a project or region that does not answer', () => {
  const destinationOf = (key: string) => key.split('-')[0] ?? '';

  test('holds up no other one, however many of its keys wait', async () => {
    const { runtime, queue, started, running } = setUp({ workers: 2, destinationOf });
    for (let i = 0; i < 100; i++) queue.add(`hung/eu-x/${i}`);
    await runtime.advance(60_000);
    expect(running.size).toBe(4);
    for (const key of ['hung/us-x/a', 'healthy/eu-x/a', 'healthy/us-x/a']) {
      queue.add(key);
      await runtime.advance(SLOW_MS);
      expect(started.at(-1)).toBe(key);
    }
  });

  test('all regions of one project together take no more than four times the workers', async () => {
    const { runtime, queue, running, started } = setUp({ workers: 2, destinationOf });
    for (let i = 0; i < 100; i++) queue.add(`hung/region${i}-x/a`);
    await runtime.advance(60_000);
    expect(running.size).toBe(8);
    queue.add('healthy/eu-x/a');
    await runtime.settle();
    expect(started.at(-1)).toBe('healthy/eu-x/a');
  });
});

describe('a key that is parked', () => {
  /** A queue whose first run of each key parks it; `wake` grants what it waits for. */
  function given() {
    const wakes = new Map<string, (granted: { release(): void }) => void>();
    const runs: { key: string; priority: Priority; granted: boolean }[] = [];
    const released: string[] = [];
    const runtime = fakeRuntime();
    const queue = createQueue({
      runtime,
      workers: 1,
      process: async (key, { priority, granted }) => {
        runs.push({ key, priority, granted: granted !== undefined });
        if (granted) {
          granted.release();
          return DONE;
        }
        const park = (wake: (granted: { release(): void }) => void) => {
          wakes.set(key, wake);
          return () => wakes.delete(key);
        };
        return { kind: 'park', park };
      },
    });
    queue.start();
    const wake = (key: string) => wakes.get(key)?.({ release: () => released.push(key) });
    return { runtime, queue, runs, wakes, wake, released };
  }

  test('holds no worker, does not poll, and runs with what it was woken with', async () => {
    const { runtime, queue, runs, wake, released } = given();
    queue.add('ns/a', 'resync');
    await runtime.advance(86_400_000);
    expect(runs).toEqual([{ key: 'ns/a', priority: 'resync', granted: false }]);
    expect(queue.stats()).toMatchObject({ running: 0, scheduled: 0 });
    expect(runtime.pending()).toBe(0);
    wake('ns/a');
    await runtime.settle();
    expect(runs.slice(1)).toEqual([{ key: 'ns/a', priority: 'resync', granted: true }]);
    expect(released).toEqual(['ns/a']);
  });

  test('an edit does not wait for the wake of a resync, but for that of an edit', async () => {
    const { runtime, queue, runs, wakes } = given();
    queue.add('ns/a', 'resync');
    await runtime.settle();
    queue.add('ns/a', 'edit');
    await runtime.settle();
    expect(runs.map(({ priority }) => priority)).toEqual(['resync', 'edit']);
    expect(wakes.size).toBe(1);
    for (let i = 0; i < 100; i++) queue.add('ns/a', 'edit');
    await runtime.settle();
    expect(runs).toHaveLength(2);
  });

  test('is forgotten with its place', async () => {
    const { runtime, queue, wakes } = given();
    queue.add('ns/a');
    await runtime.settle();
    queue.forget('ns/a');
    expect(wakes.size).toBe(0);
    queue.add('ns/b');
    await runtime.settle();
    await queue.stop();
    expect(wakes.size).toBe(0);
  });
});

describe('whatever happens', () => {
  const key = fc.constantFrom('a/1', 'a/2', 'a/3', 'b/1', 'b/2', 'c/1');
  const priority = fc.constantFrom<Priority>('edit', 'retry', 'resync');
  const verdict = fc.oneof(
    fc.constant<Verdict>(DONE),
    fc.record({ kind: fc.constant('again' as const), afterMs: fc.integer({ min: 0, max: 5_000 }) }),
    fc.constant<Verdict>({ kind: 'retry' }),
    fc.constant(new Error('a bug')),
  );
  const step = fc.oneof(
    fc.record({ do: fc.constant('add' as const), key, priority }),
    fc.record({ do: fc.constant('addAfter' as const), key, priority, ms: fc.integer({ min: 0, max: 5_000 }) }),
    fc.record({ do: fc.constant('end' as const), nth: fc.nat(5), verdict }),
    fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 0, max: 3_000 }) }),
  );

  test('no key runs twice at once, no worker too many, nothing added is lost', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 60 }), async (workers, steps) => {
        const runtime = fakeRuntime();
        const running = new Map<string, (verdict: Verdict | Error) => void>();
        const begun = new Map<string, number>();
        /** Keys owed a run that starts after this order number. */
        const owed = new Map<string, number>();
        let order = 0;
        const violations: string[] = [];
        const queue: Queue = createQueue({
          runtime,
          workers,
          process: key => {
            if (running.has(key)) violations.push(`${key} runs twice`);
            const slow = [...running.keys()].filter(key => runtime.monotonic() - (begun.get(key) ?? 0) >= SLOW_MS);
            if (running.size - slow.length >= workers || running.size >= 2 * workers) violations.push('too many run');
            begun.set(key, runtime.monotonic());
            owed.delete(key);
            return new Promise((resolve, reject) =>
              running.set(key, verdict => (verdict instanceof Error ? reject(verdict) : resolve(verdict))),
            );
          },
        });
        queue.start();
        const end = async (nth: number, verdict: Verdict | Error) => {
          const key = [...running.keys()][nth % Math.max(1, running.size)];
          if (key === undefined) return;
          const finish = running.get(key);
          running.delete(key);
          finish?.(verdict);
          await runtime.settle();
        };
        for (const step of steps) {
          if (step.do === 'add') queue.add(step.key, step.priority);
          if (step.do === 'addAfter') queue.addAfter(step.key, step.ms, step.priority);
          if (step.do === 'add' || step.do === 'addAfter') owed.set(step.key, order++);
          if (step.do === 'end') await end(step.nth, step.verdict);
          if (step.do === 'advance') await runtime.advance(step.ms);
          await runtime.settle();
        }
        // Everything comes to rest once runs succeed: all timers fire, all that is owed has been paid.
        for (let i = 0; i < 200 && (running.size > 0 || runtime.pending() > 0); i++) {
          await end(0, DONE);
          if (running.size === 0) await runtime.advance(60_000);
        }
        expect(violations).toEqual([]);
        expect([...owed.keys()]).toEqual([]);
        expect(queue.stats()).toEqual({
          depth: { edit: 0, retry: 0, resync: 0 },
          running: 0,
          scheduled: 0,
          longestRunMs: 0,
        });
        expect(runtime.pending()).toBe(0);
      }),
      { numRuns: 150 },
    );
  });

  test('what waits is handed out by priority, two turns in sixteen aside', async () => {
    const adds = fc.uniqueArray(fc.record({ key: fc.nat(200), priority }), { selector: add => add.key, maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(adds, async adds => {
        const { queue, started, drain } = setUp();
        const priorityOf = new Map(adds.map(add => [`ns/${add.key}`, add.priority]));
        for (const [key, priority] of priorityOf) queue.add(key, priority);
        await drain();
        expect([...started].sort()).toEqual([...priorityOf.keys()].sort());
        const expected = ['edit', 'retry', 'resync'].flatMap(priority =>
          [...priorityOf].filter(([, of]) => of === priority).map(([key]) => key),
        );
        const strict = started.filter((_, turn) => turn % 16 !== 7 && turn % 16 !== 15);
        expect(strict).toEqual(expected.filter(key => strict.includes(key)));
      }),
      { numRuns: 60 },
    );
  });

  test('the timer heap fires everything in order of time, whatever is moved or taken out', async () => {
    const ops = fc.array(
      fc.record({ id: fc.nat(40), at: fc.integer({ min: 0, max: 100 }), remove: fc.nat(3).map(n => n === 0) }),
      { minLength: 60, maxLength: 120 },
    );
    await fc.assert(
      fc.asyncProperty(ops, async ops => {
        const runtime = fakeRuntime();
        const fired: { id: number; at: number }[] = [];
        const heap = createTimerHeap<{ id: number; at: number; slot: number }>(runtime, item => {
          fired.push({ id: item.id, at: item.at });
          expect(runtime.monotonic()).toBe(item.at);
        });
        const items = new Map<number, { id: number; at: number; slot: number }>();
        const model = new Map<number, number>();
        for (const { id, at, remove } of ops) {
          const item = items.get(id) ?? { id, at: 0, slot: -1 };
          items.set(id, item);
          if (remove) {
            heap.remove(item);
            model.delete(id);
          } else {
            heap.set(item, at);
            model.set(id, at);
          }
          expect(heap.size).toBe(model.size);
        }
        await runtime.advance(100);
        expect(fired.map(one => one.at)).toEqual([...model.values()].sort((a, b) => a - b));
        expect(new Map(fired.map(one => [one.id, one.at]))).toEqual(model);
        expect(runtime.pending()).toBe(0);
      }),
      { numRuns: 200 },
    );
  });
});
