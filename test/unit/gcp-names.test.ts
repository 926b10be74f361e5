import fc from 'fast-check';
import { expect, test } from 'vitest';
import { badId, badName, partsOf, type Shape, sameButProject } from '../../operator/gcp/resourceNames.ts';

test.each<[Shape, string, string[]]>([
  ['project', 'projects/tenants-1', ['tenants-1']],
  ['project', 'projects/example.com:tenants', ['example.com:tenants']],
  ['location', 'projects/123456/locations/asia-northeast1', ['123456', 'asia-northeast1']],
  ['service', 'projects/p-123/locations/us-central1/services/ai-platform-a', ['p-123', 'us-central1', 'ai-platform-a']],
  ['secret', 'projects/123456/secrets/Tenant_A-openai-key', ['123456', 'Tenant_A-openai-key']],
  ['secretVersion', 'projects/p-123/secrets/s/versions/latest', ['p-123', 's', 'latest']],
  ['secretVersion', 'projects/p-123/secrets/s/versions/12', ['p-123', 's', '12']],
  [
    'account',
    'projects/p-123/serviceAccounts/sa-a@p-123.iam.gserviceaccount.com',
    ['p-123', 'sa-a@p-123.iam.gserviceaccount.com'],
  ],
  ['account', 'projects/p-123/serviceAccounts/104857600000000000001', ['p-123', '104857600000000000001']],
])('%s %s is taken', (shape, name, parts) => {
  expect(partsOf(shape, name)).toEqual(parts);
  expect(badName(shape, name)).toBeUndefined();
});

const ENDINGS = [
  '..',
  '%2f',
  '%2F..',
  'a/b',
  'a\\b',
  'a?b',
  'a#b',
  'a b',
  'a\n',
  '\u0000',
  'ａ',
  'é',
  '',
  '.',
  '../x',
  'a%00',
  'a:b',
  '*',
  '-',
];

test.each<[Shape, string]>([
  ['project', 'projects/'],
  ['location', 'projects/p-123/locations/'],
  ['service', 'projects/p-123/locations/us-central1/services/'],
  ['secret', 'projects/p-123/secrets/'],
  ['secretVersion', 'projects/p-123/secrets/s/versions/'],
  ['account', 'projects/p-123/serviceAccounts/'],
])('%s: what does not belong into a URL is refused', (shape, prefix) => {
  for (const ending of ENDINGS) {
    // A lone dash is a secret's id to Secret Manager, and no location or project.
    if (shape === 'secret' && ending === '-') continue;
    const bad = badName(shape, prefix + ending);
    expect(bad?.kind, JSON.stringify(ending)).toBe('Invalid');
    expect(bad?.message).toMatch(/^[\x20-\x7e…]*$/);
  }
});

test.each([
  'projects/P-123/locations/us-central1/services/a',
  'projects/p-123/locations/US/services/a',
  'projects/p-123/locations/us-central1/services/A',
])('%s: upper case is refused', name => {
  expect(badName('service', name)?.kind).toBe('Invalid');
});

test('another shape, or more of it, is refused', () => {
  expect(badName('secret', 'projects/p-123/locations/r/secrets/s')).toBeDefined();
  expect(badName('secret', 'projects/p-123/secrets/s/versions/1')).toBeDefined();
  expect(badName('secret', '/projects/p-123/secrets/s')).toBeDefined();
  expect(badName('secret', 'project/p-123/secrets/s')).toBeDefined();
});

test('no text that passes holds anything but unreserved characters, @ and :', () => {
  const shapes: Shape[] = ['project', 'location', 'service', 'secret', 'secretVersion', 'account'];
  const piece = fc.oneof(
    fc.string(),
    fc.constantFrom('projects', 'p-123', 'secrets', 'locations', 'services', 'versions', '1'),
  );
  fc.assert(
    fc.property(fc.constantFrom(...shapes), fc.array(piece, { maxLength: 8 }), (shape, pieces) => {
      const name = pieces.join('/');
      if (badName(shape, name) === undefined) expect(name).toMatch(/^[A-Za-z0-9_.@:/-]+$/);
      expect(name.includes('..') && badName(shape, name) === undefined).toBe(false);
    }),
    { numRuns: 500 },
  );
});

test('ids of what is to be made', () => {
  expect(badId('account', 'sa-tenant-a')).toBeUndefined();
  expect(badId('account', 'sa-a')).toBeDefined();
  expect(badId('account', 'sa-tenant-')).toBeDefined();
  expect(badId('account', `sa-${'a'.repeat(28)}`)).toBeDefined();
  expect(badId('service', 'ai-platform-a')).toBeUndefined();
  expect(badId('service', '../x')).toBeDefined();
});

test("a secret by its project's id or number is one secret; another secret is not", () => {
  expect(sameButProject('secret', 'projects/p-123/secrets/s', 'projects/123456/secrets/s')).toBe(true);
  expect(sameButProject('secret', 'projects/p-123/secrets/s', 'projects/123456/secrets/s2')).toBe(false);
  expect(sameButProject('secret', 'nonsense', 'nonsense')).toBe(false);
});
