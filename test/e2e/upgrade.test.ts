import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { TenantStatus } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANT_CRD, CUSTOM_RESOURCE_DEFINITIONS } from '../../ports/kubeResources.ts';
import { firstRelease } from './support/firstRelease.ts';
import { createWorld, must, spec, until, type World } from './support/world.ts';

/** docs/operations.md, Upgrade: from the first CRD, and objects stored by it, to the present one and a new operator. */

let world: World;
beforeEach(async () => {
  world = await createWorld({ crd: firstRelease('first-crd.yaml') });
  await world.secret('tenant-a-openai-key');
  await world.secret('backup-key');
});
afterEach(() => world.close());

const SPECS: Record<string, JsonObject> = {
  plain: spec(),
  'two-keys': spec({
    keys: [
      { name: 'openai', secretRef: { external: 'tenant-a-openai-key' }, env: 'OPENAI_API_KEY' },
      { name: 'backup', secretRef: { external: 'backup-key' } },
    ],
    env: [{ name: 'MODE', value: 'b' }],
  }),
  closed: spec({ access: 'Authenticated', invokers: ['group:callers@example.com'], timeoutSeconds: 60 }),
};

/** What `kubectl apply -f crds/aitenants.yaml` makes of the one that is there. */
async function applyCrd(): Promise<void> {
  const crd = parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')) as KubeObject;
  const { metadata, spec } = crd as KubeObject & { spec: JsonObject };
  await must(
    world.kube.patch(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD, {
      metadata: { annotations: metadata.annotations, labels: metadata.labels },
      spec: { versions: spec.versions },
    }),
  );
}

const hashOf = async (name: string) =>
  (await world.tenant(name))?.status as (TenantStatus & { reconciledHash?: string }) | undefined;

test('the new CRD takes what the old one took, and the new operator writes nothing where nothing differs', async () => {
  const before = new Map<string, { generation?: number; status: TenantStatus }>();
  for (const [name, wanted] of Object.entries(SPECS)) {
    await world.apply(name, wanted);
    const status = await world.ready(name);
    // The old schema does not know what the new operator would write.
    expect(status).not.toHaveProperty('reconciledHash');
    before.set(name, { generation: (await world.tenant(name))?.metadata.generation, status });
  }
  world.forget();

  await applyCrd();
  await world.restart();
  for (const name of Object.keys(SPECS)) {
    // The server may serve the old schema for a moment still, and prunes by it.
    await until(
      async () => {
        await world.check(name);
        return (await hashOf(name))?.reconciledHash;
      },
      () => `the new operator has looked at ${name}`,
    );
  }

  expect(world.writes()).toEqual([]);
  for (const [name, { generation, status }] of before) {
    const after = await world.ready(name);
    expect((await world.tenant(name))?.metadata.generation).toBe(generation);
    expect(after.latestReadyRevision).toBe(status.latestReadyRevision);
    expect(after.inventory.map(entry => entry.name)).toEqual(status.inventory.map(entry => entry.name));
  }

  await world.edit('closed', { ...SPECS.closed, timeoutSeconds: 90 });
  await world.ready('closed');
  expect((await world.service('closed'))?.template).toMatchObject({ timeout: '90s' });
  for (const name of Object.keys(SPECS)) {
    await world.remove(name);
    await world.gone(name);
    expect([await world.service(name), await world.account(name)]).toEqual([undefined, undefined]);
  }
});

test('the old CRD put back under the new operator: it goes on, and writes nothing either', async () => {
  await applyCrd();
  await world.restart();
  await world.apply('plain', spec());
  await world.ready('plain');
  await until(
    async () => {
      await world.check('plain');
      return (await hashOf('plain'))?.reconciledHash;
    },
    () => 'a status of the new schema',
  );
  world.forget();

  const first = parse(firstRelease('first-crd.yaml')) as KubeObject;
  const { versions } = first.spec as JsonObject;
  await must(world.kube.patch(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD, { spec: { versions } }));
  await world.restart();
  await world.check('plain');

  await world.ready('plain');
  expect(world.writes()).toEqual([]);
});
