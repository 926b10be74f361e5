import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cachedConnectorSecret, cachedNamespace, cachedTenant, keptTenant } from '../../operator/reconcile/kept.ts';
import { NAMESPACE_ANNOTATIONS, TENANT_ANNOTATIONS } from '../../operator/tenant/annotations.ts';
import type { KubeObject } from '../../ports/kube.ts';

/** The caches keep what the operator reads, and of that no more than bounds it; the API server takes objects of 1.5 MiB. */

const long = fc.integer({ min: 0, max: 300_000 }).map(length => 'あ'.repeat(length));
const words = fc.dictionary(fc.constantFrom(...TENANT_ANNOTATIONS, ...NAMESPACE_ANNOTATIONS, 'a', 'b/c'), long);
const object = fc.record({
  annotations: words,
  labels: words,
  managedFields: long,
  ownerReferences: long,
  spec: long,
  status: long,
});
const size = (value: unknown) => Buffer.byteLength(JSON.stringify(value));
const meta = { namespace: 'n', name: 'a', uid: 'u', resourceVersion: '1', generation: 1 };

test('an AiTenant is kept with spec, status and the annotations that the operator obeys, each 256 characters at most', () => {
  fc.assert(
    fc.property(object, ({ spec: _, status: __, ...metadata }) => {
      const given = {
        apiVersion: 'v',
        kind: 'k',
        metadata: { ...meta, ...metadata },
        spec: { a: 1 },
        status: { b: 2 },
        other: 'x',
      };
      const kept = cachedTenant(given as unknown as KubeObject);
      expect(kept).toMatchObject({ apiVersion: 'v', kind: 'k', metadata: meta, spec: { a: 1 }, status: { b: 2 } });
      expect(size(kept)).toBeLessThan(6_000);
      for (const name of TENANT_ANNOTATIONS) {
        const value = metadata.annotations[name];
        if (value !== undefined && value.length <= 256) expect(kept.metadata.annotations?.[name]).toBe(value);
        else expect(kept.metadata.annotations?.[name]).toEqual(value && expect.stringMatching(/^sha256:[0-9a-f]{64}$/));
      }
      expect(keptTenant(kept)).toEqual(kept);
    }),
    { numRuns: 50 },
  );
});

test('Namespaces and secrets of Config Connector are kept without all that others write into them', () => {
  fc.assert(
    fc.property(object, ({ spec, status, ...metadata }) => {
      const conditions = [
        { type: 'Other', message: status },
        { type: 'Ready', status: 'True', reason: 'r', message: status },
      ];
      const given = {
        metadata: { ...meta, ...metadata },
        spec: { resourceID: 'id', spec },
        status: { conditions, status },
      };
      expect(size(cachedNamespace(given as unknown as KubeObject))).toBeLessThan(6_000);
      const secret = cachedConnectorSecret(given as unknown as KubeObject);
      expect(size(secret)).toBeLessThan(6_000);
      expect(secret).toMatchObject({
        spec: { resourceID: 'id' },
        status: { conditions: [{ type: 'Ready', status: 'True' }] },
      });
    }),
    { numRuns: 50 },
  );
});

test('an AiTenant with more than 100 finalizers is not taken: they are needed whole to write them, and nothing else bounds them', () => {
  const finalizers = (count: number) => Array.from({ length: count }, (_, i) => `example.com/${i}`);
  expect(cachedTenant({ metadata: { ...meta, finalizers: finalizers(100) } }).metadata.finalizers).toHaveLength(100);
  expect(() => cachedTenant({ metadata: { ...meta, finalizers: finalizers(101) } })).toThrow('n/a has 101 finalizers');
});
