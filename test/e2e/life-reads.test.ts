import { afterEach, expect, test } from 'vitest';
import type { GcpCall, GcpResult } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, REGION, RUN, spec, until, type World } from './support/world.ts';

/** What could not be read is not absent: nothing is created, forgotten or deleted but on an answer about that one resource. */

const TO = 'us-central1';
let world: World;
/** Answers in place of Google Cloud, as far as it has one. */
let instead: (method: string, request: JsonObject) => GcpResult | undefined = () => undefined;
afterEach(() => world.close());

async function start(): Promise<void> {
  instead = () => undefined;
  const operatorGcp =
    (core: GcpCall): GcpCall =>
    async (method, request, options) =>
      instead(method, request) ?? core(method, request, options);
  world = await createWorld({ operatorGcp });
  await world.secret('tenant-a-openai-key');
  await world.apply('tenant-a', spec());
  await world.ready('tenant-a');
}

const unavailable: GcpResult = { ok: false, status: { code: 'UNAVAILABLE', message: 'The service is unavailable.' } };
const about = (request: JsonObject, region: string) => JSON.stringify(request).includes(`locations/${region}`);
const inventory = async () => (await world.tenant('tenant-a'))?.status?.inventory ?? [];
const template = async (region: string) =>
  (await world.service('tenant-a', region))?.template as JsonObject | undefined;

test('lists that lack everything for a while: nothing is made, forgotten or deleted', async () => {
  await start();
  await world.edit('tenant-a', { region: TO });
  await world.ready('tenant-a');
  world.later(300_000);
  const before = await inventory();
  let lists = 0;
  instead = method => {
    if (!/\.List(Services|ServiceAccounts)$/.test(method)) return undefined;
    lists++;
    return { ok: true, response: {} };
  };
  world.forget();
  await world.restart();
  for (let round = 0; round < 3; round++) await world.check('tenant-a');
  expect(lists).toBeGreaterThan(1);
  expect(world.writes()).toEqual([]);
  expect(await inventory()).toEqual(before);
});

test('a move while its predecessor cannot be read waits, and takes its template along afterwards', async () => {
  await start();
  const current = (await template(REGION)) as JsonObject & { containers: JsonObject[] };
  const [container] = current.containers;
  const env = [...((container?.env ?? []) as JsonObject[]), { name: 'FEATURE', value: 'on' }];
  const next = {
    ...current,
    sessionAffinity: true,
    containers: [{ ...container, image: 'registry.example/app:7', env }],
  };
  const name = `projects/demo-project/locations/${REGION}/services/ai-platform-tenant-a`;
  await world.must(`${RUN}.UpdateService`, { service: { name, template: next } as JsonObject, updateMask: 'template' });
  await world.check('tenant-a');

  instead = (method, request) =>
    /\.(Get|List)Services?$/.test(method) && about(request, REGION) ? unavailable : undefined;
  await world.edit('tenant-a', { region: TO });
  await until(
    async () => {
      const ready = (await world.tenant('tenant-a'))?.status?.conditions.find(({ type }) => type === 'Ready');
      return ready?.message.includes('whose settings the new service takes along') || undefined;
    },
    () => 'a message that the move waits for its predecessor',
  );
  expect(await template(TO)).toBeUndefined();

  instead = () => undefined;
  await world.ready('tenant-a');
  expect(await template(TO)).toMatchObject({
    sessionAffinity: true,
    containers: [{ image: 'registry.example/app:7' }],
  });
  expect(JSON.stringify(await template(TO))).toContain('FEATURE');
});

test('a tenant that has left a region which answers no more is Ready; the former service goes once it answers', async () => {
  await start();
  await world.restart({ regionMoveGraceMs: 600_000 });
  await world.edit('tenant-a', { region: TO });
  await world.ready('tenant-a');
  instead = (_method, request) => (about(request, REGION) ? unavailable : undefined);
  world.later(3_600_000);
  await world.edit('tenant-a', { timeoutSeconds: 60 });
  const status = await world.ready('tenant-a');
  expect(status.conditions.find(({ type }) => type === 'Ready')?.message).toContain('deleted once its region answers');
  expect(await world.service('tenant-a', REGION)).toBeDefined();

  instead = () => undefined;
  // The list that failed last answers for it until its backoff is over.
  world.later(60_000);
  await world.check('tenant-a');
  const services = async () => (await inventory()).filter(({ type }) => type === 'Service').length;
  await until(
    async () => (await services()) === 1 || undefined,
    () => 'the former service to be deleted and forgotten',
  );
  expect(await world.service('tenant-a', REGION)).toBeUndefined();
});
