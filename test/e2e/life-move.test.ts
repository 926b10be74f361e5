import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { entriesOfType } from '../../operator/tenant/inventory.ts';
import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi } from '../../ports/kube.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { openCluster } from './support/cluster.ts';
import { createWorld, RUN, spec, until, type World } from './support/world.ts';

/** A region move with a crash at every write: before it, and after it took effect but before anybody knew. */

const REGIONS = ['asia-northeast1', 'europe-west1'];

let world: World;
let alive = true;
/** The operator dies at its so-and-so-many-th point from here. */
let fuse = Number.POSITIVE_INFINITY;
const point = (): boolean => {
  if (alive && --fuse <= 0) alive = false;
  return alive;
};
beforeEach(async () => {
  alive = true;
  fuse = Number.POSITIVE_INFINITY;
  const cluster = await openCluster(realRuntime);
  const { operatorKube } = cluster;
  const patch: KubeApi['patch'] = async (...args) => {
    const counts = args[0] === AI_TENANTS;
    if (counts && !point()) return { ok: false, status: { code: 0, reason: '', message: 'crashed' } };
    const result = await operatorKube.patch(...args);
    if (counts) point();
    return result;
  };
  const operatorGcp =
    (core: GcpCall): GcpCall =>
    async (method, request, options) => {
      const lost = { ok: false as const, status: { code: 'UNAVAILABLE' as const, message: 'crashed' } };
      const writes = /\.(Create|Update|Delete|Set|Patch|Enable)/.test(method);
      if (writes && !point()) return lost;
      const result = await core(method, request, options);
      return writes && !point() ? lost : result;
    };
  world = await createWorld({
    cluster: { ...cluster, operatorKube: { ...operatorKube, patch } },
    operatorGcp,
    mayAct: () => alive,
    settings: { regionMoveGraceMs: 0 },
  });
  await world.secret('tenant-a-openai-key');
});
afterEach(() => world.close());

const status = async () => (await world.tenant('tenant-a'))?.status;
const recorded = async () =>
  ((await status())?.inventory ?? []).filter(({ type }) => type === 'Service').map(({ name }) => name);
const services = async () => {
  const found = await Promise.all(REGIONS.map(region => world.service('tenant-a', region)));
  return found.flatMap(service => (service && service.deleteTime === undefined ? (service.name as string) : []));
};
const urls = async () => {
  const found = await Promise.all(REGIONS.map(region => world.service('tenant-a', region)));
  return found.flatMap(service => (service?.uri ?? []) as string);
};
/** The tenant is in `region` alone. */
const moved = async (region: string) => {
  const [only, ...others] = await recorded();
  const { conditions = [], url } = (await status()) ?? {};
  const ready = conditions.find(({ type }) => type === 'Ready');
  const there = url === (await world.service('tenant-a', region))?.uri && ready?.status === 'True';
  return there && only?.includes(`/${region}/`) && others.length === 0 && (await services()).length === 1;
};

describe('a region move', () => {
  test('loses neither service, whatever write the operator crashes at', async () => {
    await world.apply('tenant-a', spec({ image: 'gcr.io/acme/app:1' }));
    await world.ready('tenant-a');
    let crashes = 0;
    for (let at = 1; ; at++) {
      const region = REGIONS[at % 2] ?? '';
      fuse = at;
      await world.edit('tenant-a', { region });
      await until(
        async () => (!alive || (await moved(region)) ? true : undefined),
        () => `the move to ${region} to end, or to crash at point ${at}: ${JSON.stringify(world.writes().slice(-5))}`,
      );
      if (alive) break;
      crashes++;
      await world.operator.stop();

      // The dead operator left a tenant that answers, and everything that exists is on record.
      expect(await urls()).toContain((await status())?.url);
      expect(await recorded()).toEqual(expect.arrayContaining(await services()));

      alive = true;
      fuse = Number.POSITIVE_INFINITY;
      // Until some minutes after a create, a 404 does not count as gone.
      world.later(180_000);
      await world.restart();
      await until(
        async () => ((await moved(region)) ? true : undefined),
        () => `the move to ${region} to end after a crash at point ${at}: ${world.writes().slice(-5).join(', ')}`,
      );
      expect((await world.service('tenant-a', region))?.template).toMatchObject({
        containers: [{ image: 'gcr.io/acme/app:1' }],
      });
    }
    // Of the two services: created and deleted, each before and after; and the status writes around them.
    expect(crashes).toBeGreaterThanOrEqual(8);
  }, 120_000);

  test('waits for the new service to be ready, and says until when the old one stays', async () => {
    await world.restart({ regionMoveGraceMs: 3_600_000 });
    await world.apply('tenant-a', spec());
    const before = await world.ready('tenant-a');
    await world.edit('tenant-a', { region: 'europe-west1', image: 'gcr.io/acme/app:broken' });
    await world.reason('tenant-a', 'UpdateFailed');

    expect((await status())?.url).toBe(before.url);
    expect(await services()).toHaveLength(2);
    expect((await recorded()).length).toBe(2);

    await world.edit('tenant-a', { image: 'gcr.io/acme/app:1' });
    const after = await world.ready('tenant-a');
    const { retireAt } = entriesOfType('Service', after.inventory).find(entry => entry.retireAt !== undefined) ?? {};
    expect(after.url).not.toBe(before.url);
    expect(after.conditions.find(({ type }) => type === 'Ready')?.message).toContain(`stay until ${retireAt}`);
    await until(
      async () => (await world.events('tenant-a')).some(event => event.includes(`stay until ${retireAt}`)) || undefined,
      () => 'an event that says until when',
    );
    expect(await services()).toHaveLength(2);
  });

  test('takes along an image that is not ours', async () => {
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    const { name, template } = (await world.service('tenant-a')) as JsonObject & {
      template: { containers: JsonObject[] };
    };
    const containers = [{ ...template.containers[0], image: 'gcr.io/acme/app:7' }];
    await world.must(`${RUN}.UpdateService`, {
      service: { name, template: { ...template, containers } },
      updateMask: 'template',
    });
    await world.edit('tenant-a', { region: 'europe-west1' });
    await world.ready('tenant-a');
    expect((await world.service('tenant-a', 'europe-west1'))?.template).toMatchObject({
      containers: [{ image: 'gcr.io/acme/app:7' }],
    });
  });

  test('that the new region refuses leaves the old one serving', async () => {
    await world.apply('tenant-a', spec());
    const { url } = await world.ready('tenant-a');
    const error = { code: 'RESOURCE_EXHAUSTED' as const, message: 'Quota exceeded.' };
    const restore = world.gcpCore.faults.add({ method: 'CreateService', times: Number.POSITIVE_INFINITY, error });

    await world.edit('tenant-a', { region: 'europe-west1' });
    await world.reason('tenant-a', 'QuotaExceeded');
    expect(await status()).toMatchObject({ url, region: 'asia-northeast1' });
    expect(await urls()).toEqual([url]);

    restore();
    await world.check('tenant-a');
    await until(
      async () => (await moved('europe-west1')) || undefined,
      () => 'the move to go on',
    );
  });

  test('back within the grace keeps the old service and its URL', async () => {
    await world.restart({ regionMoveGraceMs: 3_600_000 });
    await world.apply('tenant-a', spec());
    const before = await world.ready('tenant-a');
    await world.edit('tenant-a', { region: 'europe-west1' });
    await world.ready('tenant-a');

    await world.edit('tenant-a', { region: 'asia-northeast1' });
    const back = await world.ready('tenant-a');

    expect(back.url).toBe(before.url);
    const staying = entriesOfType('Service', back.inventory).filter(({ retireAt }) => retireAt === undefined);
    expect(staying).toHaveLength(1);
  });

  test('retires a service that somebody has deleted already', async () => {
    await world.restart({ regionMoveGraceMs: 3_600_000 });
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    const { name } = (await world.service('tenant-a')) as JsonObject;
    await world.edit('tenant-a', { region: 'europe-west1' });
    await world.ready('tenant-a');

    await world.must(`${RUN}.DeleteService`, { name });
    await until(
      async () => ((await world.service('tenant-a')) === undefined ? true : undefined),
      () => 'the deletion',
    );
    world.later(180_000);
    await world.check('tenant-a');

    expect(await recorded()).toEqual([expect.stringContaining('/europe-west1/')]);
  });
});
