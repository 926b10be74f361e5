import { readFileSync } from 'node:fs';
import { glob } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NAMESPACE_ANNOTATIONS, sameAnnotations, TENANT_ANNOTATIONS } from '../../operator/tenant/annotations.ts';

const OURS: readonly string[] = [...TENANT_ANNOTATIONS, ...NAMESPACE_ANNOTATIONS];
const annotations = fc.dictionary(fc.oneof(fc.constantFrom(...OURS), fc.string()), fc.string());

test('only the annotations of the contract make two objects differ', () => {
  fc.assert(
    fc.property(annotations, annotations, (a, b) => {
      const own = (all: Record<string, string>) =>
        TENANT_ANNOTATIONS.map(name => (name in all ? all[name] : undefined));
      expect(sameAnnotations(TENANT_ANNOTATIONS, a, b)).toBe(own(a).every((value, index) => value === own(b)[index]));
    }),
  );
});

test('a foreign annotation never does', () => {
  const foreign = fc.dictionary(
    fc.string().filter(name => !OURS.includes(name)),
    fc.string(),
  );
  fc.assert(fc.property(annotations, foreign, (a, b) => sameAnnotations(OURS, a, { ...a, ...b })));
});

test('no annotation that the operator reads is missing from the lists', async () => {
  for await (const file of glob('operator/{tenant,reconcile}/*.ts')) {
    const source = readFileSync(file, 'utf8');
    const constants = source.matchAll(/(?:ANNOTATIONS?|REQUEST|INTERVAL)\b[^;]*?= ([^;]*);/g);
    for (const [, value = ''] of constants) {
      for (const [, name = ''] of value.matchAll(/'((?:ai-platform\.dev|cnrm\.cloud\.google\.com)\/[a-z-]+)'/g)) {
        if (name !== 'ai-platform.dev/retry') expect(OURS, file).toContain(name);
      }
    }
  }
});
