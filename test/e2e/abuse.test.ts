import { afterEach, beforeEach, expect, test } from 'vitest';
import { EVENTS } from '../../ports/kubeResources.ts';
import { realRuntime, sleep } from '../../ports/runtime.ts';
import { createWorld, must, namespace, spec, type World } from './support/world.ts';

/** One tenant, or one namespace, costs the others nothing worth mentioning, and leaves nothing that grows. */

let world: World;
beforeEach(async () => {
  world = await createWorld();
});
afterEach(() => world.close());

const keyed = (external: string) => [{ name: 'openai', secretRef: { external }, env: 'OPENAI_API_KEY' }];

test('a tenant that flaps 10 times a second: others converge, and what is written about it is bounded', async () => {
  await world.secret('flapping-key');
  await world.secret('calm-key', { labels: { 'ai-tenant-namespace': 'calm' } });
  await namespace(world, 'calm');
  await world.apply('flapping', spec({ keys: keyed('flapping-key') }));
  await world.ready('flapping');
  world.forget();
  world.logs.length = 0;
  const edits = 40;

  let flaps = 0;
  const flapping = (async () => {
    for (; flaps < edits; flaps++) {
      const value = 'x'.repeat(flaps % 2 === 0 ? 1 : 4_000);
      await world.edit('flapping', {
        timeoutSeconds: 60 + flaps,
        env: [{ name: 'FLAP', value: `${flaps}${value}` }],
        access: flaps % 2 === 0 ? 'Public' : 'Authenticated',
      });
      await sleep(realRuntime, 100);
    }
  })();
  await world.apply('calm', spec({ keys: keyed('calm-key') }), { namespace: 'calm' });
  await world.ready('calm', 'calm');
  expect(flaps, 'while the other one flaps').toBeLessThan(edits);
  await flapping;
  await world.ready('flapping');

  const { status } = (await world.tenant('flapping')) ?? {};
  expect(status?.conditions.length).toBeLessThanOrEqual(5);
  expect(status?.inventory.length).toBeLessThan(10);
  expect(JSON.stringify(status).length).toBeLessThan(20_000);
  const { items } = await must(world.kube.list(EVENTS, { fieldSelector: 'involvedObject.name=flapping' }));
  expect(items.length).toBeLessThanOrEqual(25);
  for (const { message } of items) expect(String(message).length).toBeLessThanOrEqual(1_024);
  // Each edit is followed once at most. One that closes access is followed by two writes: what closes comes first and alone,
  // and a newer edit may come before the rest of it.
  const lines = world.logs.filter(line => line.includes('default/flapping') && !line.includes('"level":"debug"'));
  const closings = lines.filter(line => line.includes('"changes":"access: Public → Authenticated"'));
  expect(closings.length).toBeLessThanOrEqual(edits / 2);
  expect(lines.length - closings.length, 'all that it logs but the lines of closings').toBeLessThanOrEqual(edits);
  const writes = world.writes().filter(line => line.includes('flapping'));
  expect(writes.length - closings.length, 'all writes but closings').toBeLessThanOrEqual(edits);
});

test('a tenant that moves on and on with everything it may have: its inventory stays within what the API takes', async () => {
  const regions = ['us-east1', 'us-east4', 'us-west1', 'us-west2', 'europe-west1', 'europe-west4', 'asia-east1'];
  const invokers = Array.from({ length: 100 }, (_, i) => `user:u${i}@example.com`);
  const env = Array.from({ length: 50 }, (_, i) => ({ name: `V${i}`, value: String(i) }));
  await world.secret('nomad-key');
  await world.apply('nomad', spec({ keys: keyed('nomad-key'), access: 'Authenticated', invokers, env }));
  await world.ready('nomad');

  for (const region of regions.slice(0, -1)) {
    await world.edit('nomad', { region });
    await world.ready('nomad');
  }
  await world.edit('nomad', { region: regions.at(-1) });
  const { message } = await world.reason('nomad', 'Updating');

  expect(message).toContain('waits until one of the 6 former regions');
  const { inventory = [], url = '' } = (await world.tenant('nomad'))?.status ?? {};
  expect(inventory.filter(({ type }) => type === 'Service')).toHaveLength(regions.length);
  expect(inventory.length).toBeGreaterThan(500);
  expect(inventory.length).toBeLessThanOrEqual(2_000);
  expect(url).not.toBe('');

  world.later(3_600_001);
  await world.check('nomad');
  const moved = await world.ready('nomad');
  expect(moved.region).toBe(regions.at(-1));
  await world.remove('nomad');
  await world.gone('nomad');
  expect([...world.run.services()]).toEqual([]);
});
