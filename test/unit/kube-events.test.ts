import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createEventRecorder } from '../../operator/kube/eventRecorder.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { EVENTS } from '../../ports/kubeResources.ts';
import { fakeKube, refused } from './support/fakeKube.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';

const thing = (name: string): KubeObject => ({
  apiVersion: 'test.dev/v1',
  kind: 'Thing',
  metadata: {
    name,
    namespace: 'ns',
    uid: `uid-of-${name}`,
    resourceVersion: '5',
    managedFields: [],
  } as KubeObject['metadata'],
  spec: { large: true },
});

function setUp() {
  const kube = fakeKube();
  const runtime = fakeRuntime();
  const problems: string[] = [];
  const recorder = createEventRecorder({
    api: kube,
    runtime,
    component: 'the-operator',
    instance: 'pod-1',
    onProblem: message => problems.push(message),
  });
  const events = () => [...kube.all(EVENTS).values()];
  return { kube, runtime, recorder, events, problems };
}

test('an event has what kubectl describe and kubectl get events print', async () => {
  const { runtime, recorder, events } = setUp();
  recorder.record(thing('a'), 'Normal', 'Created', 'Created the service.');
  await runtime.settle();
  expect(events()).toEqual([
    {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: {
        name: expect.stringMatching(/^a\.[0-9a-f]{16}$/),
        namespace: 'ns',
        uid: expect.any(String),
        resourceVersion: expect.any(String),
      },
      involvedObject: {
        apiVersion: 'test.dev/v1',
        kind: 'Thing',
        name: 'a',
        namespace: 'ns',
        uid: 'uid-of-a',
        resourceVersion: '5',
      },
      type: 'Normal',
      reason: 'Created',
      message: 'Created the service.',
      count: 1,
      firstTimestamp: '2030-01-01T00:00:00Z',
      lastTimestamp: '2030-01-01T00:00:00Z',
      source: { component: 'the-operator', host: 'pod-1' },
      reportingComponent: 'the-operator',
      reportingInstance: 'pod-1',
    },
  ]);
});

test('repeats count up one event', async () => {
  const { kube, runtime, recorder, events } = setUp();
  for (let i = 0; i < 3; i++) {
    recorder.record(thing('a'), 'Warning', 'Failed', 'It failed.');
    recorder.record(thing('b'), 'Warning', 'Failed', 'It failed.');
    await runtime.advance(60_000);
  }
  expect(events().map(event => [event.involvedObject, event.count, event.firstTimestamp, event.lastTimestamp])).toEqual(
    ['a', 'b'].map(name => [expect.objectContaining({ name }), 3, '2030-01-01T00:00:00Z', '2030-01-01T00:02:00Z']),
  );
  expect(kube.requests.map(request => request.verb)).toEqual(['create', 'create', 'patch', 'patch', 'patch', 'patch']);
});

test('a burst of the same is one request', async () => {
  const { kube, runtime, recorder, events } = setUp();
  for (let i = 0; i < 20; i++) recorder.record(thing('a'), 'Normal', 'Again', 'Again.');
  await runtime.settle();
  expect(kube.requests).toHaveLength(1);
  expect(events()[0]?.count).toBe(20);
});

test('the eleventh message of one reason within ten minutes joins the others like it', async () => {
  const { runtime, recorder, events } = setUp();
  for (let i = 0; i < 14; i++) recorder.record(thing('a'), 'Warning', 'Failed', `Attempt ${i} failed.`);
  await runtime.settle();
  expect(events()).toHaveLength(11);
  expect(events().at(-1)).toMatchObject({ message: '(combined from similar events): Attempt 13 failed.', count: 4 });
});

test('one object that will not be quiet is filtered; others are not, and it is heard again later', async () => {
  const { kube, runtime, recorder, events } = setUp();
  for (let i = 0; i < 1_000; i++) recorder.record(thing('loud'), 'Normal', `Reason${i % 40}`, 'Noise.');
  recorder.record(thing('calm'), 'Normal', 'Created', 'Created.');
  await runtime.settle();
  expect(kube.requests.length).toBeLessThanOrEqual(26);
  expect(recorder.counters.filtered).toBe(975);
  expect(events().some(event => (event.involvedObject as JsonObject).name === 'calm')).toBe(true);
  const before = events().length;
  await runtime.advance(300_000);
  recorder.record(thing('loud'), 'Normal', 'Later', 'Later.');
  recorder.record(thing('loud'), 'Normal', 'TooMuch', 'Too much.');
  await runtime.settle();
  expect(events()).toHaveLength(before + 1);
});

test('a message is cut to 1,024 bytes, between characters', async () => {
  const { runtime, recorder, events } = setUp();
  recorder.record(thing('a'), 'Normal', 'Long', '\u9375'.repeat(1_000));
  recorder.record(thing('b'), 'Normal', 'Long', 'x'.repeat(1_024));
  await runtime.settle();
  const [long, fits] = events().map(event => String(event.message));
  expect(Buffer.byteLength(long ?? '')).toBeLessThanOrEqual(1_024);
  expect(Buffer.byteLength(long ?? '')).toBeGreaterThan(1_020);
  expect(long).toMatch(/^\u9375+\u2026$/);
  expect(fits).toBe('x'.repeat(1_024));
});

describe('when the API server', () => {
  test('is away for a while, the event is written later', async () => {
    const { kube, runtime, recorder, events } = setUp();
    kube.fault = () => 'lost';
    recorder.record(thing('a'), 'Normal', 'Created', 'Created.');
    await runtime.advance(400);
    kube.fault = () => undefined;
    await runtime.advance(1_000);
    expect(events()).toHaveLength(1);
    expect(recorder.counters).toEqual({ written: 1, filtered: 0, dropped: 0 });
  });

  test('is away for long, events are dropped, memory is bounded, and the next one passes', async () => {
    const { kube, runtime, recorder, events, problems } = setUp();
    kube.fault = () => 'lost';
    for (let i = 0; i < 5_000; i++) recorder.record(thing(`t-${i}`), 'Normal', 'Created', 'Created.');
    expect(recorder.counters.dropped).toBe(4_000);
    await runtime.advance(3_600_000 * 10);
    expect(recorder.counters.dropped).toBe(5_000);
    expect(problems).toHaveLength(1_000);
    kube.fault = () => undefined;
    recorder.record(thing('t-0'), 'Normal', 'Created', 'Created.');
    await runtime.settle();
    expect(events()).toHaveLength(1);
  });

  test('refuses an event (its namespace is going), it is dropped at once', async () => {
    const { kube, runtime, recorder } = setUp();
    kube.fault = () => refused(403, 'Forbidden');
    recorder.record(thing('a'), 'Normal', 'Deleted', 'Deleted.');
    await runtime.settle();
    expect(kube.requests).toHaveLength(1);
    expect(recorder.counters.dropped).toBe(1);
    expect(runtime.pending()).toBe(0);
  });

  test('has forgotten an event, its repeat begins anew', async () => {
    const { kube, runtime, recorder, events } = setUp();
    recorder.record(thing('a'), 'Normal', 'Checked', 'Checked.');
    await runtime.settle();
    kube.remove(EVENTS, `ns/${events()[0]?.metadata.name}`);
    await runtime.advance(7_200_000);
    recorder.record(thing('a'), 'Normal', 'Checked', 'Checked.');
    await runtime.settle();
    expect(events()).toMatchObject([{ count: 1, firstTimestamp: '2030-01-01T02:00:00Z' }]);
  });
});

test('nothing that is recorded can throw', async () => {
  const { runtime, recorder, problems } = setUp();
  recorder.record({} as KubeObject, 'Normal', 'Odd', 'Odd.');
  await runtime.settle();
  expect(problems).toHaveLength(1);
  expect(recorder.counters.dropped).toBe(1);
});

test('stop writes what waits, but not for ever', async () => {
  const { kube, runtime, recorder, events } = setUp();
  recorder.record(thing('a'), 'Normal', 'Last', 'Last words.');
  await recorder.stop();
  expect(events()).toHaveLength(1);
  recorder.record(thing('a'), 'Normal', 'Late', 'Too late.');
  await runtime.settle();
  expect(kube.requests).toHaveLength(1);
  expect(runtime.pending()).toBe(0);

  const hung = setUp();
  hung.kube.fault = () => 'lost';
  hung.recorder.record(thing('a'), 'Normal', 'Last', 'Last words.');
  let stopped = false;
  void hung.recorder.stop(2_000).then(() => {
    stopped = true;
  });
  await hung.runtime.advance(1_999);
  expect(stopped).toBe(false);
  await hung.runtime.advance(1);
  expect(stopped).toBe(true);
  expect(hung.runtime.pending()).toBe(0);
});

test('what is remembered is bounded over all objects, not by each of them', async () => {
  const { kube, runtime, recorder } = setUp();
  const count = () => kube.all(EVENTS).size;
  // The message that comes again counts up its Event only while that is remembered.
  recorder.record(thing('first'), 'Normal', 'Created', 'first');
  await runtime.settle();
  for (let object = 0; object < 500; object++) {
    for (let message = 0; message < 9; message++)
      recorder.record(thing(`t${object}`), 'Normal', 'Updated', `m${message}`);
    await runtime.settle();
  }
  const before = count();
  recorder.record(thing('first'), 'Normal', 'Created', 'first');
  await runtime.settle();
  expect(count()).toBe(before + 1);
});

test('whatever an answer looks like, the events after it are written', async () => {
  await fc.assert(
    fc.asyncProperty(fc.anything(), async value => {
      const kube = fakeKube();
      const runtime = fakeRuntime();
      let odd = true;
      const create: typeof kube.create = (...args) => {
        const answersOddly = odd;
        odd = false;
        return answersOddly ? Promise.resolve({ ok: true, value: value as KubeObject }) : kube.create(...args);
      };
      const api = { ...kube, create };
      const recorder = createEventRecorder({ api, runtime, component: 'c', instance: 'i' });
      recorder.record(thing('a'), 'Normal', 'Created', 'one');
      recorder.record(thing('b'), 'Normal', 'Created', 'two');
      await runtime.settle();
      recorder.record(thing('a'), 'Normal', 'Created', 'three');
      await runtime.settle();
      expect([...kube.all(EVENTS).values()].map(({ message }) => message)).toEqual(['two', 'three']);
      await recorder.stop();
    }),
    { numRuns: 100 },
  );
});
