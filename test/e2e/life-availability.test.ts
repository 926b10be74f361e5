import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { entriesOfType } from '../../operator/tenant/inventory.ts';
import { realRuntime, sleep } from '../../ports/runtime.ts';
import { builtInImages } from '../../sandbox/gcp/instances/images.ts';
import { type Instances, startInstances } from '../../sandbox/gcp/instances/instances.ts';
import { type OpenAi, startOpenAi } from '../../sandbox/openai/server.ts';
import { createWorld, spec, until, type World } from './support/world.ts';

/** Services are real processes here, this repository's backend, and somebody calls `/chat` 50 times a second all the while. */

const EVERY_MS = 20;
const IMAGE = 'asia-northeast1-docker.pkg.dev/acme/web/ai-backend';

let world: World;
let instances: Instances;
let openAi: OpenAi;
let stateDir: string;
/** Keys that the model takes. */
let goodKeys: Set<string>;
beforeEach(async () => {
  goodKeys = new Set(['sk-tenant-a-openai-key', 'sk-second', 'sk-backup']);
  openAi = await startOpenAi({ checkKey: key => goodKeys.has(key) });
  stateDir = await mkdtemp(join(tmpdir(), 'availability-'));
  instances = await startInstances({
    runtime: realRuntime,
    stateDir,
    images: builtInImages({ OPENAI_BASE_URL: openAi.url }),
    killAfterMs: 2_000,
  });
  world = await createWorld({
    instances,
    cloud: { startupTimeoutMs: 20_000 },
    settings: { regionMoveGraceMs: 3_000, syncIntervalMs: 500 },
  });
  await world.secret('tenant-a-openai-key');
});
afterEach(async () => {
  await world.close();
  await instances.stop();
  await openAi.close();
  await rm(stateDir, { recursive: true });
});

/** Calls `/chat` at `url()` at a steady pace until stopped; what did not answer well is told. */
function caller(url: () => string) {
  const failed: string[] = [];
  const open = new Set<Promise<void>>();
  let answered = 0;
  async function call(): Promise<void> {
    const at = `${url()}/chat`;
    const { code, body } = await chat(at);
    if (code === 200 && body.includes('"response"')) answered += 1;
    else failed.push(`${at}: ${code} ${body}`);
  }
  const timer = setInterval(() => {
    const running = call();
    open.add(running);
    running.finally(() => open.delete(running));
  }, EVERY_MS);
  return {
    answered: () => answered,
    /** Resolves once so many more calls have been answered. */
    async more(count: number) {
      const target = answered + count;
      await until(
        async () => (answered >= target || failed.length > 0 ? true : undefined),
        () => `${count} more answers`,
      );
    },
    async stop(): Promise<string[]> {
      clearInterval(timer);
      await Promise.all(open);
      return failed;
    },
  };
}

async function chat(url: string): Promise<{ code: number; body: string }> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"message":"hello"}',
    });
    return { code: response.status, body: await response.text() };
  } catch (error) {
    return { code: 0, body: String(error instanceof Error ? (error.cause ?? error) : error) };
  }
}

const running = async () => {
  await world.apply('tenant-a', spec({ image: `${IMAGE}:1`, scaling: { minInstances: 1, maxInstances: 10 } }));
  return world.ready('tenant-a');
};

describe('a client that calls /chat 50 times a second sees no failed request', () => {
  test('during a rotation, a switch to the standby key and a change of the image', async () => {
    const { url = '', latestReadyRevision: first } = await running();
    const client = caller(() => url);
    await client.more(20);

    await world.addVersion('tenant-a-openai-key', 'sk-second');
    const second = await until(
      async () => {
        const { keys: [key] = [], latestReadyRevision } = (await world.tenant('tenant-a'))?.status ?? {};
        return key?.version === '2' ? latestReadyRevision : undefined;
      },
      () => 'the new version to be live, found by the interval alone',
    );
    // The old key is revoked at its vendor: nobody uses it any more.
    goodKeys.delete('sk-tenant-a-openai-key');
    await client.more(20);

    await world.secret('backup');
    const standby = { name: 'backup', secretRef: { external: 'backup' }, env: 'OPENAI_API_KEY' };
    const primary = { name: 'openai', secretRef: { external: 'tenant-a-openai-key' } };
    await world.edit('tenant-a', { keys: [primary, standby] });
    const { latestReadyRevision: third } = await world.ready('tenant-a');
    goodKeys.delete('sk-second');
    await client.more(20);

    await world.edit('tenant-a', { image: `${IMAGE}:2` });
    const { latestReadyRevision: fourth } = await world.ready('tenant-a');
    await client.more(20);

    expect(await client.stop()).toEqual([]);
    expect(client.answered()).toBeGreaterThanOrEqual(80);
    const revisions = [first, second, third, fourth].map(name => /-(\d{5})-/.exec(name ?? '')?.[1]);
    expect(revisions).toEqual(['00001', '00002', '00003', '00004']);
  }, 60_000);

  test('while revisions that do not come up are tried; the next good spec recovers even then', async () => {
    const { url = '', latestReadyRevision } = await running();
    const client = caller(() => url);
    await client.more(10);

    await world.edit('tenant-a', { image: 'gcr.io/acme/nowhere:1' });
    const { message } = await world.reason('tenant-a', 'UpdateFailed');
    expect(message).toContain(`${latestReadyRevision} goes on serving`);
    await client.more(10);
    await world.edit('tenant-a', { image: `${IMAGE}:2`, env: [{ name: 'MAX_OUTPUT_TOKENS', value: 'many' }] });
    expect((await world.reason('tenant-a', 'UpdateFailed')).message).toContain(
      'failed to start and listen on the port',
    );
    await client.more(10);

    await world.edit('tenant-a', { env: [] });
    expect((await world.ready('tenant-a')).url).toBe(url);
    await client.more(10);

    expect(await client.stop()).toEqual([]);
  }, 60_000);

  test('during a region move, neither at status.url nor, within the grace, at the old URL', async () => {
    const { url: oldUrl = '' } = await running();
    let shown = oldUrl;
    const following = caller(() => shown);
    const staying = caller(() => oldUrl);
    const watching = new AbortController();
    const watched = (async () => {
      while (!watching.signal.aborted) {
        shown = (await world.tenant('tenant-a'))?.status?.url ?? shown;
        await sleep(realRuntime, 20);
      }
    })();
    await following.more(10);

    await world.edit('tenant-a', { region: 'europe-west1' });
    const { url: newUrl, inventory } = await world.ready('tenant-a');
    const { retireAt = '' } = entriesOfType('Service', inventory).find(entry => entry.retireAt !== undefined) ?? {};
    expect(newUrl).not.toBe(oldUrl);
    const grace = Date.parse(retireAt) - Date.now();
    expect(grace).toBeGreaterThan(1_000);
    await sleep(realRuntime, grace - 500);
    expect(await staying.stop()).toEqual([]);

    await until(
      async () => ((await world.service('tenant-a')) === undefined ? true : undefined),
      () => 'the old service to go',
    );
    await following.more(20);
    watching.abort();
    await watched;
    expect(await following.stop()).toEqual([]);
    expect(staying.answered()).toBeGreaterThan(50);
    expect((await chat(`${oldUrl}/chat`)).code).not.toBe(200);
  }, 60_000);
});
