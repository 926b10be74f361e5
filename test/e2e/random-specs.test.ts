import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Condition, TenantStatus } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject, KubeStatus } from '../../ports/kube.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import { type Hints, randomSpec } from './support/randomSpecs.ts';
import { createWorld, must, until, type World } from './support/world.ts';

const RUNS = Number(process.env.AITENANT_TEST_RUNS ?? 300);
/** Another one: `AITENANT_TEST_SEED=… npx vitest run test/e2e/random-specs.test.ts`. */
const SEED = Number(process.env.AITENANT_TEST_SEED ?? 20_260_101);

/** What lets a spec get far: without these hardly any would name a secret that exists. */
const HINTS: Hints = {
  region: ['asia-northeast1', 'europe-west1', 'us-central1'],
  'keys.name': ['openai', 'backup', 'third'],
  'keys.secretRef': [
    { external: 'good' },
    { external: 'good' },
    { external: 'good' },
    { external: 'other' },
    { external: 'other' },
    { external: 'other' },
    { external: 'projects/demo-project/secrets/good' },
    { external: 'theirs' },
    { external: 'empty' },
    { external: 'nowhere' },
    { name: 'connector' },
  ],
  'keys.env': ['OPENAI_API_KEY', 'SECOND_KEY'],
  'keys.version': ['latest', 1, '2', 7],
  image: ['gcr.io/acme/app:1', 'gcr.io/acme/app:broken', 'Gcr.io/Acme//app'],
  env: [
    [],
    [{ name: 'A', value: '1' }],
    [
      { name: 'A', value: '' },
      { name: 'B', value: 'x'.repeat(2000) },
    ],
  ],
  scaling: [{}, { minInstances: 1, maxInstances: 2 }, { minInstances: 3, maxInstances: 2 }, { concurrency: 1 }],
  resources: [
    {},
    { cpu: 2 },
    { cpu: '4', memory: '2Gi' },
    { memory: '1e9' },
    { cpu: '500m' },
    { cpu: '8', memory: '32Gi' },
  ],
  invokers: [[], ['user:jane@example.com'], ['group:nobody']],
  'labels.KEY': ['red', '', 'Red'],
  customAudiences: [[], ['https://a.example.com']],
  suspend: [false, false, false, true],
};

/** The reasons of the contract's table that a spec can end with. */
const KEYS = ['DependencyNotFound', 'DependencyNotReady', 'SecretNotAllowed'];
const FIELDS: Record<string, RegExp> = {
  ...Object.fromEntries(KEYS.map(reason => [reason, /^Key \S+: /])),
  InvalidSpec:
    /spec\.(?:encryptionKey|network)|image|limits\.(cpu|memory)|env|timeout|concurrency|scaling|spec\.invokers|secret|region|label/i,
  PermissionDenied: /spec\.region|secret/,
  UpdateFailed: /containers\[0\]|PORT|image/i,
  Suspended: /"suspend":false/,
};

interface Case {
  name: string;
  spec: JsonObject;
  refused?: KubeStatus;
  ready?: Condition;
}

let world: World;
beforeAll(async () => {
  world = await createWorld({ workers: 16, accountsPerProject: RUNS + 1 });
  await world.secret('good');
  await world.addVersion('good');
  await world.secret('other');
  await world.secret('theirs', { labels: { 'ai-tenant-namespace': 'another' } });
  await world.secret('empty', { value: null });
});
afterAll(() => world.close());

test(`${RUNS} random specs: refused by the API, up to date, or told what is wrong and where (seed ${SEED})`, async () => {
  const specs = fc.sample(randomSpec(HINTS), { numRuns: RUNS, seed: SEED });
  const cases: Case[] = specs.map((spec, index) => ({ name: `random-${index}`, spec }));
  await inBatches(cases, apply);
  const accepted = cases.filter(({ refused }) => refused === undefined);

  await until(
    async () => {
      await look(accepted);
      return accepted.every(({ ready }) => ready && ready.reason !== 'Updating') ? true : undefined;
    },
    () =>
      `all to come to an end:\n${accepted
        .filter(({ ready }) => !ready || ready.reason === 'Updating')
        .map(shown)
        .join('\n')}`,
    45_000,
  );

  for (const each of cases) expect(complaint(each), shown(each)).toBeUndefined();
  const counts = { refused: 0, upToDate: 0, told: 0 };
  for (const { refused, ready } of cases) {
    counts[refused ? 'refused' : ready?.reason === 'UpToDate' ? 'upToDate' : 'told'] += 1;
  }
  // Each of the three ends is really tried.
  for (const count of Object.values(counts)) expect(count, JSON.stringify(counts)).toBeGreaterThan(RUNS / 30);

  const settled = accepted.filter(({ ready }) => ready?.reason === 'UpToDate').map(({ name }) => name);
  const logged = world.logs.length;
  await inBatches(settled, name => world.check(name));
  const calls = world.logs
    .slice(logged)
    .filter(
      line => !line.includes('"level":"debug"') && settled.some(name => line.includes(`"tenant":"default/${name}"`)),
    );
  expect(calls).toEqual([]);
}, 90_000);

async function inBatches<T>(all: T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = [...all];
  const worker = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: 10 }, worker));
}

async function apply(each: Case): Promise<void> {
  const object = {
    apiVersion: 'ai-platform.dev/v1alpha1',
    kind: 'AiTenant',
    metadata: { name: each.name },
    spec: each.spec,
  };
  const result = await world.kube.create(AI_TENANTS, 'default', object as KubeObject);
  if (!result.ok) each.refused = result.status;
}

async function look(cases: Case[]): Promise<void> {
  await new Promise(resolve => setTimeout(resolve, 250));
  const { items } = await must(world.kube.list(AI_TENANTS, { namespace: 'default' }));
  const byName = new Map(items.map(item => [item.metadata.name, item]));
  for (const each of cases) {
    const tenant = byName.get(each.name);
    const status = tenant?.status as TenantStatus | undefined;
    const ready = status?.conditions?.find(({ type }) => type === 'Ready');
    each.ready = ready?.observedGeneration === tenant?.metadata.generation ? ready : undefined;
  }
}

/** What is wrong with how a spec ended; undefined: nothing. */
function complaint({ refused, ready }: Case): string | undefined {
  if (refused) {
    if (refused.code !== 422 && refused.code !== 400) return `refused with ${refused.code}`;
    return /\bspec\b/.test(refused.message) ? undefined : 'refused without naming the field';
  }
  if (ready?.reason === 'UpToDate') return undefined;
  const names = FIELDS[ready?.reason ?? ''];
  if (!names) return 'no such reason';
  return names.test(ready?.message ?? '') ? undefined : 'the message does not name the field';
}

const shown = ({ name, spec, refused, ready }: Case): string =>
  JSON.stringify({ name, spec, ...(refused ? { refused } : { reason: ready?.reason, message: ready?.message }) });
