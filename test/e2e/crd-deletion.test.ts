import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANT_CRD, CUSTOM_RESOURCE_DEFINITIONS } from '../../ports/kubeResources.ts';
import { installCrd } from './support/cluster.ts';
import { createWorld, must, PROJECT, spec, until, type World } from './support/world.ts';

let world: World;
beforeEach(async () => {
  world = await createWorld();
  await world.secret('tenant-a-openai-key');
});
afterEach(() => world.close());

const deleteCrd = () => must(world.kube.delete(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD));
const crdGone = () =>
  until(
    async () => {
      const crd = await world.kube.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, AI_TENANT_CRD);
      return crd.ok ? undefined : true;
    },
    () => `the CRD to be gone\n${world.logs.slice(-15).join('\n')}`,
  );
/** Times in the Kubernetes API have whole seconds. */
const nextSecond = () => sleep(1_000);

const owner = (name: string) => ({
  'ai-tenant-owner-cluster': 'cluster-1',
  'ai-tenant-owner-namespace': 'default',
  'ai-tenant-owner-name': name,
});

describe('kubectl delete crd', () => {
  test('takes the owner marks off, deletes nothing in Google Cloud, and ends', async () => {
    for (const name of ['tenant-a', 'tenant-b']) {
      await world.apply(name, spec());
      await world.ready(name);
    }
    world.forget();
    await nextSecond();

    await deleteCrd();
    await crdGone();

    expect(world.writes().filter(write => !/^(UpdateService|PatchServiceAccount) /.test(write))).toEqual([]);
    for (const name of ['tenant-a', 'tenant-b']) {
      const service = await world.service(name);
      expect(service?.labels).toBeUndefined();
      expect(world.run.route(String(service?.name))).toBeDefined();
      expect(await world.account(name)).not.toHaveProperty('description');
    }
    const members = ['tenant-a', 'tenant-b'].map(
      name => `serviceAccount:sa-${name}@${PROJECT}.iam.gserviceaccount.com`,
    );
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual(members);
  });

  test('leaves a suspended tenant untouched, marks and all, and does not wait for it', async () => {
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    await world.edit('tenant-a', { suspend: true });
    await world.reason('tenant-a', 'Suspended');
    world.forget();
    await nextSecond();

    await deleteCrd();
    await crdGone();

    expect(world.gcpCore.counters.calls).toEqual({});
    expect(await world.service('tenant-a')).toMatchObject({ labels: owner('tenant-a') });
  });

  test('a tenant deleted before it is deleted as asked', async () => {
    await world.apply('tenant-a', spec());
    await world.apply('tenant-b', spec());
    await world.ready('tenant-a');
    await world.ready('tenant-b');
    const allow = world.gcpCore.faults.deny({ permission: 'run.services.delete' });
    await world.remove('tenant-a');
    await world.reason('tenant-a', 'DeleteFailed');
    await nextSecond();

    await deleteCrd();
    await world.gone('tenant-b');
    allow();
    await crdGone();

    expect(await world.service('tenant-a')).toBeUndefined();
    expect(await world.account('tenant-a')).toBeUndefined();
    expect(await world.service('tenant-b')).toBeDefined();
    expect(await world.account('tenant-b')).toBeDefined();
  });

  test('a deletion policy that would hold a tenant does not hold the CRD', async () => {
    await world.apply('tenant-a', spec(), { annotations: { 'ai-platform.dev/deletion-policy': 'keep' } });
    await world.ready('tenant-a');
    await nextSecond();

    await deleteCrd();
    await crdGone();

    expect((await world.service('tenant-a'))?.labels).toBeUndefined();
  });

  test('whether it happens can’t be told: nothing is deleted', async () => {
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    world.forget();
    const answer = world.cluster.refuse('get', 'customresourcedefinitions', {
      code: 503,
      reason: 'ServiceUnavailable',
      message: 'etcd is away',
    });

    await world.remove('tenant-a');
    await until(
      async () => (world.logs.some(line => line.includes('cannot read the CRD')) ? true : undefined),
      () => 'the operator to try',
    );
    expect(world.gcpCore.counters.calls).toEqual({});

    answer();
    await world.gone('tenant-a');
    expect(await world.service('tenant-a')).toBeUndefined();
  });

  test('the CRD comes back: the same operator works on, and adopts by consent', async () => {
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    await nextSecond();
    await deleteCrd();
    await crdGone();

    const crd = parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')) as KubeObject;
    await installCrd(world.kube, crd);
    await world.apply('tenant-a', spec());
    await world.apply('tenant-c', spec());

    await world.reason('tenant-a', 'ManagementConflict');
    await world.ready('tenant-c');
  });
});
