import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createWorld, PROJECT, REGION, spec, until, type World } from './support/world.ts';

/** A revision that does not come up, whatever the reason: the last good one serves. */

let world: World;
beforeEach(async () => {
  world = await createWorld();
  await world.secret('tenant-a-openai-key');
});
afterEach(() => world.close());

const running = async () => {
  await world.apply('tenant-a', spec({ image: 'gcr.io/acme/app:1' }));
  return world.ready('tenant-a');
};
/** The revision that takes the next request. */
const serving = () => world.run.route(`projects/${PROJECT}/locations/${REGION}/services/ai-platform-tenant-a`);

describe('a revision that does not come up', () => {
  test.each([
    ['a bad image', { ok: false, why: 'imageMissing' }, /not found/i],
    ['a crash at start', { ok: false, why: 'notListening' }, /failed to start and listen on the port/],
    ['a bad key binding', undefined, /Permission denied on secret/],
  ] as const)('for %s leaves the last good one serving; the next good spec recovers', async (_, outcome, words) => {
    const before = await running();
    if (outcome) {
      world.images.set('gcr.io/acme/app:2', outcome);
      await world.edit('tenant-a', { image: 'gcr.io/acme/app:2' });
    } else {
      // The grant that was made is not known to Cloud Run for ten minutes.
      world.gcpCore.cloud.settings.policyPropagationMs = 600_000;
      await world.secret('second');
      await world.edit('tenant-a', {
        keys: [{ name: 'openai', secretRef: { external: 'second' }, env: 'OPENAI_API_KEY' }],
      });
    }
    const { message } = await until(
      async () => {
        const { conditions = [] } = (await world.tenant('tenant-a'))?.status ?? {};
        const ready = conditions.find(({ type }) => type === 'Ready');
        return ready && words.test(ready.message) ? ready : undefined;
      },
      () => 'Cloud Run’s own message',
    );

    expect(message).toMatch(words);
    if (outcome === undefined) {
      // A fresh grant may merely not be known yet; later there is no such excuse.
      world.later(180_000);
      await world.check('tenant-a');
    }
    expect((await world.reason('tenant-a', 'UpdateFailed')).message).toMatch(words);
    const { url, latestReadyRevision } = (await world.tenant('tenant-a'))?.status ?? {};
    expect({ url, latestReadyRevision }).toEqual({ url: before.url, latestReadyRevision: before.latestReadyRevision });
    expect(serving()).toBe(before.latestReadyRevision);

    world.gcpCore.cloud.settings.policyPropagationMs = 0;
    await world.edit('tenant-a', { image: 'gcr.io/acme/app:3', keys: spec().keys });
    const after = await world.ready('tenant-a');
    expect(after.latestReadyRevision).not.toBe(before.latestReadyRevision);
    expect(serving()).toBe(after.latestReadyRevision);
  });

  test('keeps the grant of the key that the serving one reads', async () => {
    await running();
    await world.secret('second');
    await world.edit('tenant-a', {
      image: 'gcr.io/acme/app:broken',
      keys: [{ name: 'openai', secretRef: { external: 'second' }, env: 'OPENAI_API_KEY' }],
    });
    await world.reason('tenant-a', 'UpdateFailed');
    const member = `serviceAccount:sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`;
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([member]);

    await world.edit('tenant-a', { image: 'gcr.io/acme/app:3' });
    await world.ready('tenant-a');
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([]);
    expect(await world.secretMembers('second')).toEqual([member]);
  });

  test('is told with Cloud Run’s own message, and tried again without an edit', async () => {
    await running();
    await world.edit('tenant-a', { image: 'gcr.io/acme/app:broken' });
    await world.reason('tenant-a', 'UpdateFailed');
    world.images.set('gcr.io/acme/app:broken', { ok: true });

    world.later(120_000);
    await world.check('tenant-a');

    await world.ready('tenant-a');
  });

  test('is given up for the next good spec while it is still being tried', async () => {
    await world.close();
    world = await createWorld({ cloud: { deployMs: 1_500 } });
    await world.secret('tenant-a-openai-key');
    await running();
    await world.edit('tenant-a', { image: 'gcr.io/acme/app:broken' });
    const service = await until(
      async () => {
        const found = await world.service('tenant-a');
        return found?.reconciling === true ? found : undefined;
      },
      () => 'the bad revision to be on its way',
    );
    expect(JSON.stringify(service.template)).toContain(':broken');

    await world.edit('tenant-a', { image: 'gcr.io/acme/app:3' });
    await world.ready('tenant-a');

    expect(serving()).toMatch(/-00003-/);
    expect((await world.events('tenant-a')).join()).not.toContain('UpdateFailed');
  });
});
