import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { addFinalizer, mergeDiff, patchStatus, removeFinalizer, sameJson } from '../../operator/kube/writes.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { fakeKube, merged, refused } from './support/fakeKube.ts';

const THINGS = { group: 'test.dev', version: 'v1', plural: 'things', kind: 'Thing', namespaced: true };

function setUp(object: JsonObject = {}) {
  const kube = fakeKube();
  const stored = kube.put(THINGS, { metadata: { namespace: 'ns', name: 'a' }, ...object });
  return { kube, stored, now: () => kube.all(THINGS).get('ns/a') };
}

describe('patchStatus', () => {
  test('sends only what differs, removed fields as null, with the resourceVersion it was computed from', async () => {
    const { kube, stored, now } = setUp({
      status: { url: 'x', keys: [{ name: 'k' }], region: 'r', deep: { a: 1, b: 2 } },
    });
    const outcome = await patchStatus(kube, THINGS, stored, { url: 'y', keys: [{ name: 'k' }], deep: { a: 1 } });
    expect(kube.requests).toMatchObject([
      {
        verb: 'patch',
        options: { subresource: 'status' },
        body: {
          metadata: { resourceVersion: stored.metadata.resourceVersion },
          status: { url: 'y', region: null, deep: { b: null } },
        },
      },
    ]);
    expect(kube.requests[0]?.body?.status).not.toHaveProperty('keys');
    expect(outcome).toEqual({ kind: 'updated', object: now() });
    expect(now()?.status).toEqual({ url: 'y', keys: [{ name: 'k' }], deep: { a: 1 } });
  });

  test('calls nothing when nothing differs, whatever the order of keys', async () => {
    const { kube, stored } = setUp({ status: { a: 1, b: { c: [{ d: 1, e: 2 }] } } });
    const outcome = await patchStatus(kube, THINGS, stored, { b: { c: [{ e: 2, d: 1 }] }, gone: undefined, a: 1 });
    expect(outcome).toEqual({ kind: 'unchanged', object: stored });
    expect(kube.requests).toEqual([]);
  });

  test('writes a first status', async () => {
    const { kube, stored, now } = setUp();
    expect((await patchStatus(kube, THINGS, stored, { ready: true })).kind).toBe('updated');
    expect(now()?.status).toEqual({ ready: true });
  });

  test('is a conflict when somebody else wrote, and changes nothing', async () => {
    const { kube, stored, now } = setUp();
    kube.put(THINGS, { metadata: { namespace: 'ns', name: 'a' }, spec: { edited: true } });
    expect(await patchStatus(kube, THINGS, stored, { ready: true })).toEqual({ kind: 'conflict' });
    expect(now()?.status).toBeUndefined();
  });

  test('says gone, and passes errors on', async () => {
    const { kube, stored } = setUp();
    kube.fault = () => refused(503, 'ServiceUnavailable');
    expect(await patchStatus(kube, THINGS, stored, { ready: true })).toEqual({
      kind: 'error',
      status: refused(503, 'ServiceUnavailable'),
    });
    kube.fault = () => undefined;
    kube.remove(THINGS, 'ns/a');
    expect(await patchStatus(kube, THINGS, stored, { ready: true })).toEqual({ kind: 'gone' });
  });

  test('refuses an object that was never read', async () => {
    const { kube } = setUp();
    const made: KubeObject = { metadata: { name: 'a', namespace: 'ns' } };
    await expect(patchStatus(kube, THINGS, made, { ready: true })).rejects.toThrow('never read');
  });
});

describe('finalizers', () => {
  const metadata = { namespace: 'ns', name: 'a', finalizers: ['other/one'] };

  test('are added and removed beside those of others, once', async () => {
    const { kube, stored, now } = setUp({ metadata });
    const added = await addFinalizer(kube, THINGS, stored, 'our/own');
    expect(now()?.metadata.finalizers).toEqual(['other/one', 'our/own']);
    if (added.kind !== 'updated') throw new Error(added.kind);
    expect((await addFinalizer(kube, THINGS, added.object, 'our/own')).kind).toBe('unchanged');
    expect((await removeFinalizer(kube, THINGS, added.object, 'our/own')).kind).toBe('updated');
    expect(now()?.metadata.finalizers).toEqual(['other/one']);
    expect((await removeFinalizer(kube, THINGS, stored, 'our/own')).kind).toBe('unchanged');
  });

  test('a stale object takes nobody else\u2019s away', async () => {
    const { kube, stored, now } = setUp({ metadata });
    kube.put(THINGS, { metadata: { ...metadata, finalizers: ['other/one', 'other/two'] } });
    expect(await addFinalizer(kube, THINGS, stored, 'our/own')).toEqual({ kind: 'conflict' });
    expect(now()?.metadata.finalizers).toEqual(['other/one', 'other/two']);
  });
});

describe('any two statuses', () => {
  const leaf = fc.oneof(fc.integer(), fc.string(), fc.boolean(), fc.constant(null));
  const { object } = fc.letrec<{ value: unknown; object: JsonObject }>(tie => ({
    value: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('value'), { maxLength: 3 }), tie('object')),
    object: fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('value')) as fc.Arbitrary<JsonObject>,
  }));

  test('the patch turns one into the other, and there is none exactly if they are equal', () => {
    fc.assert(
      fc.property(object, object, (before, to) => {
        // A stored object holds no nulls: a merge patch could not have written them.
        const from = (merged({}, before) ?? {}) as JsonObject;
        const patch = mergeDiff(from, to);
        const result = merged(from, patch ?? {}) as JsonObject;
        expect(mergeDiff(result, to)).toBeUndefined();
        expect(sameJson(result, to)).toBe(true);
        expect(patch === undefined).toBe(sameJson(from, to));
      }),
      { numRuns: 500 },
    );
  });
});
