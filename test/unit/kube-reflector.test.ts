import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type ReflectorOptions, startReflector } from '../../operator/kube/reflector.ts';
import { trimmed } from '../../operator/kube/reflectorCache.ts';
import type { KubeObject, KubeWatchEvent } from '../../ports/kube.ts';
import { type FakeKube, fakeKube, refused } from './support/fakeKube.ts';
import { type FakeRuntime, fakeRuntime } from './support/fakeRuntime.ts';

const THINGS = { group: 'test.dev', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true };
const thing = (name: string, spec: unknown = {}, namespace = 'ns') => ({ metadata: { namespace, name }, spec });

function setUp(kube: FakeKube = fakeKube(), options: Partial<ReflectorOptions> = {}, seed = 1) {
  const runtime = fakeRuntime(seed);
  const changes: string[] = [];
  const problems: string[] = [];
  const reflector = startReflector({
    api: kube,
    runtime,
    resource: THINGS,
    onChange: (key, object, old) => changes.push(`${object ? (old ? '~' : '+') : '-'}${key}`),
    onProblem: message => problems.push(message),
    ...options,
  });
  return { kube, runtime, reflector, changes, problems, count: (verb: string) => counted(kube, verb) };
}

/** Lists of one object, which only ask for the resourceVersion, aside. */
const counted = (kube: FakeKube, verb: string) =>
  kube.requests.filter(request => request.verb === verb && request.options?.limit !== 1).length;

/** Ends watches as the server does when their time is up. */
function endsOnTime(kube: FakeKube, runtime: FakeRuntime) {
  const round = () => {
    kube.bookmark();
    kube.end();
    runtime.after(24_000, round);
  };
  runtime.after(24_000, round);
}

const specs = (objects: Iterable<KubeObject>) => [...objects].map(object => [object.metadata.name, object.spec]);

describe('the store', () => {
  test('holds what is listed, page by page, then follows the watch', async () => {
    const kube = fakeKube();
    for (let i = 0; i < 1_201; i++) kube.put(THINGS, thing(`t-${i}`));
    const { runtime, reflector, changes, count } = setUp(kube);
    expect(reflector.isSynced()).toBe(false);
    await reflector.synced;
    expect(reflector.isSynced()).toBe(true);
    expect(count('list')).toBe(3);
    expect(reflector.size).toBe(1_201);
    changes.length = 0;
    await runtime.settle();

    kube.put(THINGS, thing('t-7', { edited: true }));
    kube.put(THINGS, thing('new'));
    kube.remove(THINGS, 'ns/t-8');
    expect(changes).toEqual(['~ns/t-7', '+ns/new', '-ns/t-8']);
    expect(reflector.get('ns/t-7')?.spec).toEqual({ edited: true });
    expect(reflector.get('ns/t-8')).toBeUndefined();
    expect(count('list')).toBe(3);
    await reflector.stop();
  });

  test('lists by namespace', async () => {
    const kube = fakeKube();
    kube.put(THINGS, thing('a', 1, 'one'));
    kube.put(THINGS, thing('b', 2, 'two'));
    kube.put(THINGS, thing('c', 3, 'two'));
    const { runtime, reflector } = setUp(kube);
    await runtime.settle();
    expect(specs(reflector.list('two'))).toEqual([
      ['b', 2],
      ['c', 3],
    ]);
    kube.remove(THINGS, 'two/b');
    expect(specs(reflector.list('two'))).toEqual([['c', 3]]);
    expect(specs(reflector.list('none'))).toEqual([]);
    expect(specs(reflector.list())).toHaveLength(2);
    await reflector.stop();
  });

  test('keeps no managedFields and no last-applied copy, and leaves what it was given alone', () => {
    const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': '{}', mine: 'x' };
    const given = { metadata: { name: 'a', annotations, managedFields: [{}] }, spec: { a: 1 } };
    expect(trimmed(given)).toEqual({ metadata: { name: 'a', annotations: { mine: 'x' } }, spec: { a: 1 } });
    expect(given.metadata).toEqual({ name: 'a', annotations, managedFields: [{}] });
  });
});

describe('watching', () => {
  test('goes on from the last bookmark when a watch ends, without a list', async () => {
    const { kube, runtime, reflector, count } = setUp();
    endsOnTime(kube, runtime);
    await runtime.settle();
    kube.put({ ...THINGS, plural: 'others' }, thing('elsewhere'));
    await runtime.advance(24_000 * 10 + 100);
    expect(count('list')).toBe(1);
    expect(count('watch')).toBe(11);
    expect(kube.requests.at(-1)?.options?.resourceVersion).toBe('101');
    expect(reflector.counters).toMatchObject({ failures: 0, bookmarks: 1 });
    await reflector.stop();
  });

  test('misses nothing that happens between two watches', async () => {
    const { kube, runtime, reflector, changes } = setUp();
    await runtime.advance(2_000);
    kube.end();
    kube.put(THINGS, thing('a'));
    kube.remove(THINGS, 'ns/a');
    kube.put(THINGS, thing('b'));
    await runtime.settle();
    expect(changes).toEqual(['+ns/a', '-ns/a', '+ns/b']);
    await reflector.stop();
  });

  test('takes no notice of what it has already seen: an older state, a deleted object, another one of that name', async () => {
    const past: KubeWatchEvent[] = [];
    const kube = fakeKube();
    const api: FakeKube = {
      ...kube,
      watch: (resource, options, onEvent) =>
        kube.watch(resource, options, event => {
          past.push(structuredClone(event));
          onEvent(event);
        }),
    };
    const { runtime, reflector, changes } = setUp(kube, { api });
    await runtime.settle();
    kube.put(THINGS, thing('kept', 1));
    kube.put(THINGS, thing('kept', 2));
    kube.put(THINGS, thing('gone'));
    kube.remove(THINGS, 'ns/gone');
    kube.put(THINGS, thing('anew', 1));
    kube.remove(THINGS, 'ns/anew');
    kube.put(THINGS, thing('anew', 2));
    const told = changes.length;
    for (const event of past.slice(0, 7)) kube.send(event);
    expect(changes.slice(told)).toEqual([]);
    expect(specs(reflector.list())).toEqual([
      ['kept', 2],
      ['anew', 2],
    ]);
    kube.put(THINGS, thing('kept', 3));
    expect(reflector.get('ns/kept')?.spec).toBe(3);
    await reflector.stop();
  });

  test('a connection that silently lost its other end is noticed within 31 s', async () => {
    const { kube, runtime, reflector, count } = setUp();
    await runtime.settle();
    kube.blackHole();
    kube.put(THINGS, thing('unseen'));
    expect(reflector.size).toBe(0);
    await runtime.advance(31_000);
    expect(specs(reflector.list())).toEqual([['unseen', {}]]);
    expect(reflector.counters.silent).toBe(1);
    expect(count('list')).toBe(1);
    await reflector.stop();
  });

  test('an expired resourceVersion leads to one list, and deletions missed meanwhile are told', async () => {
    for (const how of ['HTTP 410', 'ERROR event'] as const) {
      const kube = fakeKube();
      kube.put(THINGS, thing('stays'));
      kube.put(THINGS, thing('goes'));
      kube.put(THINGS, thing('changes'));
      const { runtime, reflector, changes, count } = setUp(kube);
      await runtime.settle();
      changes.length = 0;
      kube.blackHole();
      kube.remove(THINGS, 'ns/goes');
      kube.put(THINGS, thing('changes', 2));
      kube.compact();
      if (how === 'HTTP 410') kube.end();
      else kube.send({ type: 'ERROR', object: { metadata: { name: '' }, code: 410, reason: 'Expired' } });
      await runtime.advance(1_000);
      expect(changes).toEqual(['-ns/goes', '~ns/changes']);
      expect(count('list')).toBe(2);
      expect(reflector.counters.expired).toBe(1);
      await reflector.stop();
    }
  });

  test('a server that expires every watch is not stormed with lists', async () => {
    const kube = fakeKube();
    kube.fault = request => (request.verb === 'watch' ? refused(410, 'Expired') : undefined);
    const { runtime, reflector, count } = setUp(kube);
    await runtime.advance(10 * 60_000);
    expect(count('list')).toBeLessThan(50);
    expect(count('list')).toBeGreaterThan(20);
    await reflector.stop();
  });

  test('one that closes every watch at once is not stormed with watches', async () => {
    const kube = fakeKube();
    const closing = { ...kube, watch: async () => ({ ok: true as const, value: undefined }) };
    const { runtime, reflector } = setUp(kube, { api: closing });
    await runtime.advance(10 * 60_000);
    expect(reflector.counters.watches).toBeLessThan(400);
    expect(reflector.counters.lists).toBe(1);
    await reflector.stop();
  });

  test('however long the API server was away, an edit is seen within 5 s of its return, with no list', async () => {
    const { kube, runtime, reflector, count } = setUp();
    endsOnTime(kube, runtime);
    await runtime.advance(10_000);
    kube.fault = () => 'lost';
    kube.end(refused(0));
    await runtime.advance(20 * 60_000);
    kube.fault = () => undefined;
    kube.put(THINGS, thing('edit'));
    await runtime.advance(5_000);
    expect(reflector.size).toBe(1);
    expect(count('list')).toBe(1);
    await reflector.stop();
  });

  test('after an outage is over, the next short one is got over as fast as the first', async () => {
    const { kube, runtime, reflector } = setUp();
    endsOnTime(kube, runtime);
    await runtime.settle();
    kube.fault = () => 'lost';
    kube.end(refused(0));
    await runtime.advance(60_000);
    kube.fault = () => undefined;
    await runtime.advance(5_000);
    kube.put(THINGS, thing('a'));
    kube.end(refused(0));
    kube.put(THINGS, thing('b'));
    await runtime.advance(200);
    expect(reflector.size).toBe(2);
    await reflector.stop();
  });

  test('a resourceVersion that the server refuses again and again ends in a list', async () => {
    const { kube, runtime, reflector, count } = setUp();
    await runtime.settle();
    kube.end(refused(504, 'Timeout'));
    kube.fault = request => (request.verb === 'watch' && count('list') === 1 ? refused(504, 'Timeout') : undefined);
    await runtime.advance(30_000);
    expect(count('list')).toBe(2);
    expect(kube.watches()).toBe(1);
    await reflector.stop();
  });

  test('Retry-After is obeyed', async () => {
    const kube = fakeKube();
    kube.fault = () => refused(429, 'TooManyRequests', 20_000);
    const { runtime, reflector, count } = setUp(kube);
    await runtime.advance(19_000);
    expect(count('list')).toBe(1);
    kube.fault = () => undefined;
    await runtime.advance(4_000);
    expect(reflector.isSynced()).toBe(true);
    await reflector.stop();
  });
});

describe('a cache that would be wrong without a sign', () => {
  test('after etcd was restored is right within a minute, whatever was lost, came back or has an old number', async () => {
    const { kube, runtime, reflector, changes } = setUp();
    await runtime.settle();
    kube.put(THINGS, thing('kept', 1));
    kube.put(THINGS, thing('deleted', 1));
    const restore = kube.backup();
    kube.put(THINGS, thing('kept', 2));
    kube.put(THINGS, thing('new', 1));
    kube.remove(THINGS, 'ns/deleted');
    for (let i = 0; i < 50; i++) kube.put({ ...THINGS, plural: 'others' }, thing(`o-${i}`));
    kube.bookmark();
    await runtime.advance(1_000);
    restore();
    // The same object gets the resourceVersion that it had before, with another content.
    kube.put(THINGS, thing('kept', 3));
    changes.length = 0;
    await runtime.advance(60_000);
    expect(new Map(specs(reflector.list()) as [string, unknown][])).toEqual(
      new Map([
        ['kept', 3],
        ['deleted', 1],
      ]),
    );
    expect(changes.sort()).toEqual(['+ns/deleted', '-ns/new', '~ns/kept']);
    kube.put(THINGS, thing('edited'));
    expect(reflector.get('ns/edited')).toBeDefined();
    await reflector.stop();
  });

  test('after etcd was restored and has passed our resourceVersion is right within eight hours', async () => {
    const { kube, runtime, reflector, changes, count } = setUp();
    await runtime.settle();
    kube.put(THINGS, thing('kept', 1));
    kube.put(THINGS, thing('deleted', 1));
    const restore = kube.backup();
    kube.put(THINGS, thing('kept', 2));
    kube.put(THINGS, thing('new', 1));
    kube.remove(THINGS, 'ns/deleted');
    await runtime.advance(1_000);
    restore();
    // The server is past what we know before the next check, so that no resourceVersion gives it away.
    kube.put(THINGS, thing('kept', 3));
    for (let i = 0; i < 50; i++) kube.put({ ...THINGS, plural: 'others' }, thing(`o-${i}`));
    endsOnTime(kube, runtime);
    await runtime.advance(3_600_000);
    expect(reflector.get('ns/new'), 'nothing shows it in the first hour').toBeDefined();
    changes.length = 0;
    await runtime.advance(7 * 3_600_000);
    expect(specs(reflector.list()).sort()).toEqual([
      ['deleted', 1],
      ['kept', 3],
    ]);
    expect(changes.sort()).toEqual(['+ns/deleted', '-ns/new', '~ns/kept']);
    expect(count('list')).toBe(2);
    await reflector.stop();
  });

  test('as all its watches are silent notices an edit within 95 s', async () => {
    for (const ends of ['by time', 'never'] as const) {
      const kube = fakeKube();
      const mute: FakeKube = {
        ...kube,
        watch: (resource, options) => kube.watch(resource, options, () => {}),
      };
      const { runtime, reflector } = setUp(kube, { api: mute });
      if (ends === 'by time') {
        const round = () => {
          kube.end();
          runtime.after(22_000, round);
        };
        runtime.after(22_000, round);
      }
      for (let edit = 0; edit < 20; edit++) {
        await runtime.advance(10_000 + edit * 7_000);
        kube.put(THINGS, thing('a', edit));
        await runtime.advance(95_000);
        expect(specs(reflector.list())).toEqual([['a', edit]]);
      }
      await reflector.stop();
    }
  });

  test('costs a quiet cluster one list of one object every 20 s at most, and no whole list', async () => {
    const { kube, runtime, reflector } = setUp();
    const round = () => {
      kube.end();
      runtime.after(22_000, round);
    };
    runtime.after(22_000, round);
    await runtime.advance(3_600_000);
    const { lists, checks } = reflector.counters;
    expect(lists).toBe(1);
    expect(checks).toBeLessThanOrEqual(180);
    await reflector.stop();
  });
});

describe('bad input', () => {
  test('a handler or a log that throws stops nothing', async () => {
    const throws = () => {
      throw new Error('no');
    };
    const { kube, runtime, reflector } = setUp(fakeKube(), { onChange: throws, onProblem: throws });
    await runtime.settle();
    kube.put(THINGS, thing('a'));
    kube.put(THINGS, thing('b'));
    expect(reflector.size).toBe(2);
    expect(reflector.counters.handlerErrors).toBe(2);
    expect(kube.watches()).toBe(1);
    await reflector.stop();
  });

  test('objects without a name are left out', async () => {
    const { kube, runtime, reflector } = setUp();
    await runtime.settle();
    for (const object of [{}, null, { metadata: {} }, { metadata: { name: 7 } }, 'text']) {
      kube.send({ type: 'ADDED', object: object as unknown as KubeObject });
    }
    kube.put(THINGS, thing('good'));
    expect(specs(reflector.list())).toEqual([['good', {}]]);
    expect(reflector.counters.malformed).toBe(5);
    await reflector.stop();
  });

  test('an API that rejects is a bug, and still not the end', async () => {
    const kube = fakeKube();
    kube.put(THINGS, thing('a'));
    let broken = true;
    const api = {
      ...kube,
      list: (...args: Parameters<typeof kube.list>) => (broken ? Promise.reject(1) : kube.list(...args)),
    };
    const { runtime, reflector, problems } = setUp(kube, { api });
    await runtime.settle();
    expect(problems).toEqual(['things: a bug in the operator, please report it with this line: 1']);
    broken = false;
    await runtime.advance(30_000);
    expect(reflector.size).toBe(1);
    await reflector.stop();
  });
});

describe('a kind that is not installed', () => {
  test('counts as empty if it is optional, and is found within a minute or so', async () => {
    const kube = fakeKube();
    kube.fault = () => refused(404, 'NotFound');
    const { runtime, reflector, problems, count } = setUp(kube, { optional: true });
    await reflector.synced;
    await runtime.advance(10 * 60_000);
    expect(count('list')).toBeLessThanOrEqual(11);
    expect(problems).toEqual([]);
    kube.fault = () => undefined;
    kube.put(THINGS, thing('a'));
    await runtime.advance(66_000);
    expect(reflector.size).toBe(1);
    await reflector.stop();
  });

  test.each([0, 403, 500])(
    'or can’t be listed (%i): nobody waits for it, nothing is known of it, and it is listed in the end',
    async code => {
      const kube = fakeKube();
      kube.fault = () => refused(code);
      const { runtime, reflector, count } = setUp(kube, { optional: true });
      await reflector.synced;
      expect(reflector.isSynced()).toBe(false);
      await runtime.advance(30 * 60_000);
      expect(count('list')).toBeLessThan(60);
      kube.fault = () => undefined;
      kube.put(THINGS, thing('a'));
      await runtime.advance(66_000);
      expect(reflector.isSynced()).toBe(true);
      expect(reflector.size).toBe(1);
      await reflector.stop();
    },
  );

  test('if it is not optional, nothing is synced and what was known stays', async () => {
    const { kube, runtime, reflector } = setUp();
    await runtime.settle();
    kube.put(THINGS, thing('a'));
    kube.fault = () => refused(404, 'NotFound');
    kube.end();
    await runtime.advance(60_000);
    expect(reflector.size).toBe(1);
    await reflector.stop();

    const fresh = setUp(kube);
    await fresh.runtime.advance(60_000);
    expect(fresh.reflector.isSynced()).toBe(false);
    await fresh.reflector.stop();
    await fresh.reflector.synced;
  });
});

test('stop leaves no timer, no watch and no handler behind', async () => {
  const { kube, runtime, reflector, changes } = setUp();
  await runtime.settle();
  await reflector.stop();
  kube.put(THINGS, thing('late'));
  expect(changes).toEqual([]);
  expect(kube.watches()).toBe(0);
  expect(runtime.pending()).toBe(0);
});

describe('torture', () => {
  const name = fc.constantFrom('a', 'b', 'c');
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant('put' as const), name, spec: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('remove' as const), name }) },
    fc.record({ do: fc.constantFrom('compact' as const, 'blackHole' as const, 'end' as const, 'cut' as const) }),
    fc.record({ do: fc.constant('repeat' as const), back: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ do: fc.constant('refuse' as const), code: fc.constantFrom(0, 403, 410, 429, 500, 503) }),
    fc.record({ do: fc.constant('heal' as const) }),
    fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 40_000 }) }),
  );

  test('gaps, repeats, 410, silence and refusals: in the end the store and the handler have what the cluster has', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 50 }), fc.nat(), async (steps, seed) => {
        const kube = fakeKube();
        const told = new Map<string, KubeObject>();
        const past: KubeWatchEvent[] = [];
        const recording: FakeKube = {
          ...kube,
          watch: (resource, options, onEvent) =>
            kube.watch(resource, options, event => {
              past.push(structuredClone(event));
              onEvent(event);
            }),
        };
        const { runtime, reflector } = setUp(
          kube,
          {
            api: recording,
            onChange: (key, object) => (object ? told.set(key, object) : told.delete(key)),
          },
          seed,
        );
        for (const step of steps) {
          if (step.do === 'put') kube.put(THINGS, thing(step.name, step.spec));
          if (step.do === 'remove') kube.remove(THINGS, `ns/${step.name}`);
          if (step.do === 'compact') kube.compact();
          if (step.do === 'blackHole') kube.blackHole();
          if (step.do === 'end') kube.end();
          if (step.do === 'cut') kube.end(refused(0));
          if (step.do === 'repeat')
            for (const event of past.slice(-step.back).slice(0, 1)) kube.send(structuredClone(event));
          if (step.do === 'refuse') kube.fault = () => refused(step.code);
          if (step.do === 'heal') kube.fault = () => undefined;
          await runtime.advance(step.do === 'wait' ? step.ms : 0);
        }
        kube.fault = () => undefined;
        // 60 s: a dead connection found, then the longest wait before a list.
        await runtime.advance(61_000);
        const truth = new Map(kube.all(THINGS));
        expect(new Map([...reflector.list()].map(object => [`ns/${object.metadata.name}`, object]))).toEqual(truth);
        expect(told).toEqual(truth);
        await reflector.stop();
        expect(runtime.pending()).toBe(0);
        expect(kube.watches()).toBe(0);
      }),
      { numRuns: 300 },
    );
  });
});
