import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createWorld, spec, type World } from './support/world.ts';

const RESUME = `kubectl patch aitenant tenant-a -n default --type=merge -p '{"spec":{"suspend":false}}'`;

let world: World;
beforeEach(async () => {
  world = await createWorld();
  await world.secret('tenant-a-openai-key');
});
afterEach(() => world.close());

const conditionsOf = async () => {
  const { conditions = [] } = (await world.tenant('tenant-a'))?.status ?? {};
  return conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`);
};

describe('a suspended tenant', () => {
  test('that was ready stays Ready, and nothing in Google Cloud is called, whatever is edited', async () => {
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');

    await world.edit('tenant-a', { suspend: true });
    const { message, status } = await world.reason('tenant-a', 'Suspended');
    world.forget();
    await world.edit('tenant-a', { image: 'gcr.io/acme/app:2', scaling: { maxInstances: 3 } });
    await world.annotate('tenant-a', { 'ai-platform.dev/reconcile-requested-at': 'now' });
    await world.reason('tenant-a', 'Suspended');

    expect(status).toBe('True');
    expect(message).toContain(RESUME);
    expect(world.gcpCore.counters.calls).toEqual({});
    // A request is answered by a full check only.
    expect((await world.tenant('tenant-a'))?.status?.lastHandledReconcileAt).toBeUndefined();
  });

  test('goes on with what was edited meanwhile once it is resumed', async () => {
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    await world.edit('tenant-a', { suspend: true, timeoutSeconds: 60 });
    await world.reason('tenant-a', 'Suspended');
    expect(await world.service('tenant-a')).toMatchObject({ template: { timeout: '300s' } });

    await world.edit('tenant-a', { suspend: false });
    await world.ready('tenant-a');

    expect(await world.service('tenant-a')).toMatchObject({ template: { timeout: '60s' } });
  });

  test('from the first moment: nothing is made, and Ready is False', async () => {
    world.forget();
    await world.apply('tenant-a', spec({ suspend: true }));

    const { status } = await world.reason('tenant-a', 'Suspended');

    expect(status).toBe('False');
    expect(world.gcpCore.counters.calls).toEqual({});

    await world.edit('tenant-a', { suspend: false });
    await world.ready('tenant-a');
  });

  test('that was refused stays Stalled', async () => {
    await world.secret('not-ours', { labels: {} });
    const keys = [{ name: 'openai', secretRef: { external: 'not-ours' }, env: 'OPENAI_API_KEY' }];
    await world.apply('tenant-a', spec({ keys }));
    await world.reason('tenant-a', 'SecretNotAllowed');
    expect(await conditionsOf()).toContain('Stalled=True SecretNotAllowed');

    await world.edit('tenant-a', { suspend: true });
    await world.reason('tenant-a', 'Suspended');

    expect(await conditionsOf()).toEqual(
      expect.arrayContaining(['Ready=False Suspended', 'Stalled=True SecretNotAllowed']),
    );
  });

  test('is not deleted before it is resumed; the message names the patch', async () => {
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    await world.edit('tenant-a', { suspend: true });
    await world.reason('tenant-a', 'Suspended');
    world.forget();

    await world.remove('tenant-a');
    const { message } = await world.reason('tenant-a', 'Suspended');

    expect(message).toMatch(/^The deletion waits/);
    expect(message).toContain(RESUME);
    expect(world.gcpCore.counters.calls).toEqual({});

    await world.edit('tenant-a', { suspend: false });
    await world.gone('tenant-a');
    expect(await world.service('tenant-a')).toBeUndefined();
    expect(await world.account('tenant-a')).toBeUndefined();
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([]);
  });

  test('is left alone by a restarted operator too', async () => {
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    await world.edit('tenant-a', { suspend: true });
    await world.reason('tenant-a', 'Suspended');
    world.forget();

    await world.restart();
    await world.apply('tenant-b', spec({ suspend: true }));
    await world.reason('tenant-b', 'Suspended');

    // Whether its grants still have their consent is all that is asked.
    expect(Object.keys(world.gcpCore.counters.calls).filter(method => !method.endsWith('.ListSecrets'))).toEqual([]);
  });
});
