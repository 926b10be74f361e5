import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LEASES } from '../../ports/kubeResources.ts';
import { sendRaw } from '../fuzz/targetForms.ts';
import { type Replica, startReplica } from './support/replica.ts';
import { givenPorts } from './support/sandboxProcess.ts';
import { createWorld, until, type World } from './support/world.ts';

/** The operator as a process of its own: what its two ports take, and what a bug in it does. */

let world: World;
let folder: string;
let replica: Replica;
let health: number;
let metrics: number;

async function start(prelude = ''): Promise<void> {
  const main = new URL('../../operator/main.ts', import.meta.url).href;
  const entry = join(folder, 'main.mjs');
  writeFileSync(entry, `${prelude};\nawait import(${JSON.stringify(main)});\n`);
  const kubeconfig = join(folder, 'kubeconfig');
  world.cluster.operatorKubeconfig(kubeconfig);
  health = await givenPorts();
  metrics = health + 1;
  replica = await startReplica({
    name: 'operator',
    folder,
    gcpCore: world.gcpCore,
    kubeconfig,
    flags: [`--health-address=:${health}`, `--metrics-address=127.0.0.1:${metrics}`],
    main: entry,
  });
  await until(
    async () => replica.isLeading() || undefined,
    () => `the operator to lead\n${replica.log()}`,
  );
}

beforeEach(async () => {
  world = await createWorld({ noOperator: true });
  folder = mkdtempSync(join(tmpdir(), 'aitenant-ports-'));
});
afterEach(async () => {
  await replica.stop();
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});

const get = async (port: number, path: string, headers: Record<string, string> = {}) => {
  const lines = Object.entries({ Host: '127.0.0.1', Connection: 'close', ...headers }).map(
    ([k, v]) => `${k}: ${v}\r\n`,
  );
  const answer = await sendRaw(port, `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`, 5_000);
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]), text: answer };
};
const bugs = async (kind: string) =>
  Number(new RegExp(`aitenant_bugs_total\\{kind="${kind}"\\} (\\d+)`).exec((await get(metrics, '/metrics')).text)?.[1]);

describe('the ports', () => {
  test('a request target of any form is answered and leaves the process running', async () => {
    await start();
    for (const port of [health, metrics]) {
      for (const target of ['//', '//[', 'http://[', 'http://a:b', '*', 'a:1', '/%', 'http:///healthz/..']) {
        const { status } = await get(port, target);
        expect([400, 404], target).toContain(status);
      }
      await sendRaw(port, 'CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\n\r\n');
    }
    expect((await get(health, 'http://any.example/healthz?x=1')).status, 'absolute form').toBe(200);
    expect((await get(health, '/healthz')).status).toBe(200);
    expect(await bugs('request')).toBe(0);
  });

  test('two thousand scrapes in one packet are no more work than one', async () => {
    await start();
    const scrape = 'GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
    const answers = await sendRaw(metrics, scrape.repeat(2_000), 3_000);
    expect(answers.split('HTTP/1.1 200').length - 1).toBeLessThan(2);
    expect((await get(metrics, '/metrics')).status).toBe(200);
  });

  test('on an address of this machine it answers to no other name; on every address to any, as kubelet and Prometheus need', async () => {
    await start();
    expect((await get(metrics, '/metrics', { Host: 'evil.example' })).status).toBe(403);
    expect((await get(metrics, '/metrics', { Host: `localhost:${metrics}` })).status).toBe(200);
    expect((await get(health, '/healthz', { Host: '10.0.0.7:8081' })).status).toBe(200);
  });

  test('a flood of half-open requests never keeps a probe out, and each of them is cut off', {
    timeout: 60_000,
  }, async () => {
    await start();
    const flood: Socket[] = [];
    for (let i = 0; i < 300; i++) {
      const socket = connect(health, '127.0.0.1');
      socket.on('error', () => {}).resume();
      socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ');
      flood.push(socket);
      await once(socket, 'connect');
    }
    expect((await get(health, '/healthz')).status).toBe(200);
    // 300 and the probe are more than 200.
    await expect.poll(() => flood.filter(({ destroyed }) => destroyed).length).toBeGreaterThan(99);
    await expect.poll(() => flood.every(({ destroyed }) => destroyed), { timeout: 20_000 }).toBe(true);
  });
});

describe('a bug', () => {
  test('a rejected promise that nobody handles is logged, counted and survived', async () => {
    await start(`process.on('SIGUSR2', () => { Promise.reject(new Error('planted')) })`);
    replica.signal('SIGUSR2');
    await until(
      async () => (await bugs('unhandledRejection')) === 1 || undefined,
      () => replica.log(),
    );
    expect(replica.log()).toMatch(/"severity":"ERROR".*"kind":"unhandledRejection".*planted/);
    expect((await get(health, '/readyz')).status).toBe(200);
  });

  test('an exception outside of any promise is logged and ends the process in order, so that the other replica leads at once', async () => {
    await start(`process.on('SIGUSR2', () => { throw new Error('planted') })`);
    replica.signal('SIGUSR2');
    expect(await replica.exited).toBe(1);
    expect(replica.log()).toMatch(/"kind":"uncaughtException".*planted/);
    expect(replica.log()).toContain('"why":"a bug"');
    const lease = await world.kube.list(LEASES, {});
    // A real kube-apiserver has a lease of its own.
    const holders = (lease.ok ? lease.value.items : [])
      .filter(({ metadata }) => !metadata.name.startsWith('apiserver-'))
      .map(({ spec }) => (spec as { holderIdentity?: string }).holderIdentity);
    expect(holders).toEqual(['']);
  });
});
