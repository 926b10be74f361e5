import { afterEach, beforeEach, expect, test } from 'vitest';
import { entriesOfType } from '../../operator/tenant/inventory.ts';
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, PROJECT, REGION, RUN, spec, until, type World } from './support/world.ts';

/** Settings of a service that the spec does not name: no move and no deletion by hand makes it more open than it was. */

const TO = 'us-central1';
const nameIn = (region: string) => `projects/${PROJECT}/locations/${region}/services/ai-platform-tenant-a`;
const SETTINGS = {
  ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY',
  defaultUriDisabled: true,
  iapEnabled: true,
  customAudiences: ['https://api.example.com'],
  binaryAuthorization: { useDefault: true },
};
const OTHERS = { description: 'by hand', annotations: { 'team/owner': 'x' }, launchStage: 'BETA' };
const JANE = 'user:jane@example.com';

let world: World;
beforeEach(async () => {
  world = await createWorld();
  await world.secret('tenant-a-openai-key');
  await world.apply('tenant-a', spec({ access: 'Authenticated', invokers: ['user:ours@example.com'] }));
  await world.ready('tenant-a');
  const found = (await world.service('tenant-a')) as JsonObject;
  const labels = { ...(found.labels as JsonObject), 'cost-centre': '42' };
  const fields: JsonObject = { ...SETTINGS, ...OTHERS, labels };
  await world.must(`${RUN}.UpdateService`, {
    service: { name: nameIn(REGION), ...fields },
    updateMask: Object.keys(fields).join(','),
  });
  const policy = await world.must(`${RUN}.GetIamPolicy`, { resource: nameIn(REGION) });
  const bindings = [
    ...(policy.bindings as JsonObject[]),
    { role: 'roles/run.developer', members: [JANE] },
    { role: 'roles/run.invoker', members: [JANE] },
  ];
  await world.must(`${RUN}.SetIamPolicy`, { resource: nameIn(REGION), policy: { ...policy, bindings } });
  await world.check('tenant-a');
});
afterEach(() => world.close());

const bindings = async (region: string) =>
  (await world.must(`${RUN}.GetIamPolicy`, { resource: nameIn(region) })).bindings;

test('all of them move along, and what others have in the policy', async () => {
  await world.edit('tenant-a', { region: TO });
  const status = await world.ready('tenant-a');
  expect(entriesOfType('Service', status.inventory).some(({ retireAt }) => retireAt !== undefined)).toBe(true);
  const moved = await world.service('tenant-a', TO);
  expect(moved).toMatchObject({ ...SETTINGS, ...OTHERS, labels: { 'cost-centre': '42' } });
  expect(moved?.invokerIamDisabled).toBeUndefined();
  expect(await bindings(TO)).toEqual(
    expect.arrayContaining([
      { role: 'roles/run.invoker', members: expect.arrayContaining([JANE, 'user:ours@example.com']) },
      { role: 'roles/run.developer', members: [JANE] },
    ]),
  );
  // Whom somebody takes off the new service stays off, although the former one still has them.
  const policy = await world.must(`${RUN}.GetIamPolicy`, { resource: nameIn(TO) });
  const left = (policy.bindings as JsonObject[]).filter(({ role }) => role !== 'roles/run.developer');
  await world.must(`${RUN}.SetIamPolicy`, { resource: nameIn(TO), policy: { ...policy, bindings: left } });
  await world.check('tenant-a');
  expect(JSON.stringify(await bindings(TO))).not.toContain('run.developer');
  expect(JSON.stringify(await bindings(REGION))).toContain('run.developer');
});

test('a service that somebody deletes is made again with what limits access to it', async () => {
  expect((await world.tenant('tenant-a'))?.status?.serviceSettings).toEqual(SETTINGS);
  await world.must(`${RUN}.DeleteService`, { name: nameIn(REGION) });
  await until(
    async () => ((await world.service('tenant-a')) === undefined ? true : undefined),
    () => 'the service to be gone',
  );
  world.later(300_000);
  await world.check('tenant-a');
  await world.ready('tenant-a');
  expect(await world.service('tenant-a')).toMatchObject(SETTINGS);
});

test('a connector of the region stops the move before anything is made; the service serves on and follows the spec', async () => {
  const found = (await world.service('tenant-a')) as { template: JsonObject };
  const connector = `projects/${PROJECT}/locations/${REGION}/connectors/c`;
  const template = { ...found.template, vpcAccess: { connector } };
  await world.must(`${RUN}.UpdateService`, { service: { name: nameIn(REGION), template }, updateMask: 'template' });
  world.forget();
  await world.edit('tenant-a', { region: TO, invokers: [] });
  const ready = await world.reason('tenant-a', 'InvalidSpec');
  expect(ready.message).toContain(`template.vpcAccess.connector (${connector})`);
  expect(world.writes().filter(write => write.startsWith('Create'))).toEqual([]);
  await until(
    async () => (JSON.stringify(await bindings(REGION)).includes('ours@') ? undefined : true),
    () => 'the caller that has left the spec to be taken off',
  );
  expect(await world.service('tenant-a', TO)).toBeUndefined();
  await world.edit('tenant-a', { region: REGION });
  await world.ready('tenant-a');
});
