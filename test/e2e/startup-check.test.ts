import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { realRuntime } from '../../ports/runtime.ts';
import { builtInImages } from '../../sandbox/gcp/instances/images.ts';
import { type Instances, startInstances } from '../../sandbox/gcp/instances/instances.ts';
import { type OpenAi, startOpenAi } from '../../sandbox/openai/server.ts';
import { createWorld, spec, until, type World } from './support/world.ts';

/** A new version of a key that the model's API refuses, with the operator, the local Cloud Run and the backend as a process. */

const IMAGE = 'asia-northeast1-docker.pkg.dev/acme/web/ai-backend';
const GOOD = 'sk-good-0123456789';

let world: World;
let instances: Instances;
let openAi: OpenAi;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'startup-check-'));
  openAi = await startOpenAi({ checkKey: key => key === GOOD });
  instances = await startInstances({
    runtime: realRuntime,
    stateDir: folder,
    images: builtInImages({ OPENAI_BASE_URL: openAi.url }),
    killAfterMs: 1_000,
  });
  world = await createWorld({ instances, cloud: { startupTimeoutMs: 20_000 } });
});
afterEach(async () => {
  await world.close();
  await instances.stop();
  await openAi.close();
  await rm(folder, { recursive: true });
});

const chat = async (url: string) =>
  (await fetch(`${url}/chat`, { method: 'POST', body: JSON.stringify({ message: 'Hello' }) })).status;

async function given(): Promise<string> {
  const example = parse(await readFile(new URL('../../examples/rotation.yaml', import.meta.url), 'utf8')) as {
    spec: { env: { name: string; value: string }[] };
  };
  await world.secret('rotating-key', { value: GOOD });
  const keys = [{ name: 'openai', secretRef: { external: 'rotating-key' }, env: 'OPENAI_API_KEY' }];
  await world.apply('rotating', spec({ keys, image: IMAGE, env: example.spec.env }));
  const { url = '' } = await world.ready('rotating');
  expect(await chat(url)).toBe(200);
  return url;
}

async function addVersion(value: string): Promise<void> {
  await world.addVersion('rotating-key', value);
  await world.check('rotating');
}

test('STARTUP_CHECK_KEY: a refused key does not replace the good one, callers notice nothing, and the status says so', {
  timeout: 90_000,
}, async () => {
  const url = await given();

  await addVersion('sk-revoked-0123456789');

  const { message } = await world.reason('rotating', 'UpdateFailed');
  expect(message).toMatch(/OPENAI_API_KEY|version 2|failed to start/);
  for (let i = 0; i < 5; i++) expect(await chat(url)).toBe(200);
  expect((await world.tenant('rotating'))?.status?.keys[0]).toMatchObject({ version: '1' });
});

test('STARTUP_CHECK_KEY: an outage of the vendor holds no rollout up', { timeout: 90_000 }, async () => {
  const url = await given();
  openAi.settings.fault = { kind: 'error', status: 503 };

  await addVersion(GOOD);

  await until(
    async () => ((await world.tenant('rotating'))?.status?.keys[0]?.version === '2' ? true : undefined),
    () => 'version 2 to be live',
  );
  await world.ready('rotating');
  openAi.settings.fault = undefined;
  expect(await chat(url)).toBe(200);
});
