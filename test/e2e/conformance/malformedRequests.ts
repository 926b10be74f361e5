import type { Session } from './session.ts';

/** Requests that hold something odd, as a broken client sends them; all of them dry runs on one AiTenant. */

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Path = (string | number)[];

const TENANTS = '/apis/ai-platform.dev/v1alpha1/namespaces';

const whole = () => ({
  apiVersion: 'ai-platform.dev/v1alpha1',
  kind: 'AiTenant',
  metadata: { name: 'tenant-a' } as Record<string, Json>,
  spec: {
    region: 'asia-northeast1',
    image: 'gcr.io/x/y:1',
    timeoutSeconds: 300,
    access: 'Authenticated',
    invokers: ['user:a@example.com'],
    suspend: false,
    keys: [
      {
        name: 'openai',
        secretRef: { external: 'k' },
        env: 'OPENAI_API_KEY',
        version: 'latest',
        rollout: 'OnNewVersion',
      },
      { name: 'two', secretRef: { name: 'x' } },
    ],
    env: [{ name: 'A', value: 'b' }],
    scaling: { minInstances: 0, maxInstances: 10, concurrency: 80 },
    resources: { cpu: '1', memory: '1Gi' },
  } as Json,
});

const ODD: Json[] = [
  ...[
    null,
    '',
    ' ',
    'x',
    0,
    -1,
    1,
    1.5,
    2,
    '9223372036854775808',
    2147483648,
    true,
    false,
    [],
    {},
    [null],
    [1],
    { a: 1 },
  ],
  ...[
    'latest',
    'é',
    '日本',
    '\u0000',
    '😀'.repeat(10),
    'a'.repeat(70),
    'A',
    'a\nb',
    '1',
    '01',
    '1.0',
    '500m',
    '1Gi',
    '-1',
  ],
  ...['us-central1', 'PORT', 'projects/p-12345/secrets/k', 'allUsers', 'principal://x', 'Public', ['allUsers']],
  [
    { name: 'A', value: 'b' },
    { name: 'A', value: 'c' },
  ],
  [{ name: 'x', secretRef: { external: 'a' } }],
];

const META = [
  'labels',
  'annotations',
  'finalizers',
  'ownerReferences',
  'name',
  'generateName',
  'unknown',
  'creationTimestamp',
];
const MORE_META = ['managedFields', 'namespace', 'resourceVersion', 'generation', 'deletionTimestamp'];
const EXTRA: Path[] = [
  ...[...META, ...MORE_META].map(key => ['metadata', key]),
  ...[['spec', 'unknown'], ['spec', 'keys', 0, 'unknown'], ['spec', 'scaling', 'foo'], ['foo']],
];

const POINTERS = [
  ...[
    '/spec/region',
    '/spec/keys/0',
    '/spec/keys/-',
    '/spec/keys/9',
    '/spec/keys/0/env',
    '/spec',
    '/metadata/labels',
    '',
  ],
  ...[
    '/metadata/labels/a~1b',
    '/',
    '/spec/foo/bar',
    '/spec/scaling/minInstances',
    '/metadata/name',
    '/kind',
    '/apiVersion',
  ],
  ...['/spec/keys/01', '/spec/keys/-1', 'spec', 'x/spec/region'],
];

/** Numbers in [0, 1) that depend on the seed alone (Park and Miller). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 16_807) % 2_147_483_647;
    return state / 2_147_483_647;
  };
}

/** `count` requests in `namespace`; the session writes down each answer under a name that says what was odd. */
export async function malformedRequests(
  session: Session,
  namespace: string,
  seed: number,
  count: number,
): Promise<void> {
  const random = randomFrom(seed);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)] as T;
  const path = `${TENANTS}/${namespace}/aitenants`;
  await session.call('make', 'POST', path, { body: whole() });
  for (let i = 0; i < count; i++) {
    const query = `dryRun=All${pick(['', '&fieldValidation=Strict', '&fieldValidation=Ignore', '&fieldValidation=Warn'])}`;
    if (random() < 0.3) {
      const body = [jsonPatchOperation(random, pick)];
      const type = 'application/json-patch+json';
      await session.call(`${i} ${JSON.stringify(body)} ${query}`, 'PATCH', `${path}/tenant-a?${query}`, { body, type });
      continue;
    }
    const body = whole();
    const odd: string[] = [];
    for (let left = 1 + Math.floor(random() * 2); left > 0; left--) {
      const at = pick([...pathsOf(body.spec, ['spec']), ...EXTRA]);
      const value = random() < 0.2 ? undefined : structuredClone(pick(ODD));
      odd.push(`${at.join('.')}=${JSON.stringify(value)}`);
      setAt(body as unknown as Json, at, value);
    }
    const name = `${i} ${odd.join(' ; ')} ${query}`;
    const method = pick(['POST', 'PUT', 'PATCH']);
    if (method === 'POST') {
      if (body.metadata.name === 'tenant-a') body.metadata.name = 'tenant-b';
      await session.call(name, method, `${path}?${query}`, { body });
    } else {
      const patch = method === 'PATCH' && { type: 'application/merge-patch+json' };
      await session.call(name, method, `${path}/tenant-a?${query}`, { body, ...patch });
    }
  }
}

function jsonPatchOperation(random: () => number, pick: <T>(values: readonly T[]) => T): Record<string, Json> {
  const op = pick(['add', 'remove', 'replace', 'test', 'move', 'copy', 'bad']);
  const needsFrom = op === 'move' || op === 'copy';
  return {
    op,
    path: pick(POINTERS),
    ...(op === 'replace' || random() < 0.8 ? { value: structuredClone(pick(ODD)) } : {}),
    ...(needsFrom ? { from: pick(['/spec/region', '/spec/keys/0', '/spec/keys/-1', '/spec/nothing']) } : {}),
  };
}

function pathsOf(value: Json, at: Path): Path[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [
    at,
    ...Object.entries(value).flatMap(([key, inner]) =>
      pathsOf(inner, [...at, Array.isArray(value) ? Number(key) : key]),
    ),
  ];
}

function setAt(object: Json, path: Path, value: Json | undefined): void {
  let at = object as Record<string | number, Json> | Json[];
  for (const step of path.slice(0, -1)) {
    const next = (at as Record<string | number, Json>)[step];
    if (typeof next !== 'object' || next === null) return;
    at = next as typeof at;
  }
  const last = path.at(-1) as string;
  if (value !== undefined) (at as Record<string, Json>)[last] = value;
  else if (Array.isArray(at)) at.splice(Number(last), 1);
  else delete at[last];
}
