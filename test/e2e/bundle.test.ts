import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startOpenAi } from '../../sandbox/openai/server.ts';
import { startReplica } from './support/replica.ts';
import { createWorld, spec, until } from './support/world.ts';

/** `npm run bundle`: what the images run, in a folder from which no package can be found. */

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'aitenant-bundle-'));
  const made = spawnSync(process.execPath, ['scripts/bundle.mjs', `--outdir=${folder}`], { encoding: 'utf8' });
  expect(made.stderr).toBe('');
  expect(made.status).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('one file for each process, and the licences of what is in it', () => {
  expect(readdirSync(folder).sort()).toEqual([
    'aitenant.cjs',
    'aitenant.cjs.LEGAL.txt',
    'aitenant.cjs.cdx.json',
    'backend.mjs',
    'backend.mjs.LEGAL.txt',
    'backend.mjs.cdx.json',
    'operator.mjs',
    'operator.mjs.LEGAL.txt',
    'operator.mjs.cdx.json',
  ]);
});

test('the operator makes a tenant', async () => {
  const world = await createWorld({ noOperator: true });
  const kubeconfig = join(folder, 'kubeconfig');
  world.cluster.operatorKubeconfig(kubeconfig);
  const main = join(folder, 'operator.mjs');
  const operator = await startReplica({ name: 'operator', folder, gcpCore: world.gcpCore, kubeconfig, main });
  try {
    await world.secret('tenant-a-openai-key');
    await world.apply('tenant-a', spec());
    const status = await world.ready('tenant-a').catch(error => {
      throw new Error(`${error}\n${operator.log()}`);
    });
    expect(status.keys).toMatchObject([{ name: 'openai', version: '1', granted: true }]);
    // The three APIs: each is reached by a library of its own, loaded when it is first needed.
    const called = operator.calls.map(({ method }) => method.replace(/.*\.(?=\w+\.\w+$)/, ''));
    expect(called).toEqual(
      expect.arrayContaining([
        'IAM.CreateServiceAccount',
        'SecretManagerService.SetIamPolicy',
        'Services.CreateService',
      ]),
    );
  } finally {
    await operator.stop();
    await world.close();
  }
});

test('the backend answers', async () => {
  const model = await startOpenAi();
  const child = spawn(process.execPath, [join(folder, 'backend.mjs')], {
    cwd: folder,
    env: { HOST: '127.0.0.1', PORT: '0', OPENAI_API_KEY: 'sk-bundle', OPENAI_BASE_URL: model.url },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', text => {
      output += text;
    });
  }
  try {
    const port = await until(
      async () => /"port":(\d+)/.exec(output)?.[1],
      () => `the backend to listen\n${output}`,
    );
    const url = `http://127.0.0.1:${port}`;
    expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: 'ok' });
    const body = JSON.stringify({ message: 'Hello' });
    const answer = await fetch(`${url}/chat`, { method: 'POST', body });
    expect(await answer.json()).toEqual({ response: expect.stringContaining('Hello') });
    const stream = await fetch(`${url}/chat`, { method: 'POST', body, headers: { Accept: 'text/event-stream' } });
    expect(await stream.text()).toMatch(/^data: \{"delta":.*\n\nevent: done\ndata: \{\}\n\n$/s);
  } finally {
    child.kill('SIGKILL');
    await model.close();
  }
});
