import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startEnvtest } from '../../sandbox/envtest/envtest.ts';
import { answers, givenPorts, givenState, listenOn, sandbox } from './support/sandboxProcess.ts';

/** `npm run sandbox` on a real kube-apiserver and etcd, which it starts itself or is given. */

const STAYS = 'Ctrl-C stops everything.';
const DEMONSTRATED = [
  /aitenant\/tenant-a is Ready: ai-platform-tenant-a-00001-\w+ serves at http:\/\/127\.0\.0\.1:\d+/,
  '/chat {"message":"Hello"} answered {"response":"gpt-3.5-turbo heard: Hello"}',
];

async function areFree(ports: number[]): Promise<boolean> {
  const servers = await Promise.all(ports.map(listenOn));
  for (const server of servers) server?.close();
  return servers.every(Boolean);
}

describe('npm run sandbox -- --kube=envtest', () => {
  test('--once: the demonstration on a real Kubernetes API; exit code 0, and nothing is left', async () => {
    const [state, base] = [await givenState(), await givenPorts()];

    const run = sandbox(['--kube=envtest', '--once', '--state', state, '--port-base', String(base)]);

    expect(await run.ended, run.output()).toBe(0);
    expect(run.output()).toContain(`Kubernetes API at https://127.0.0.1:${base + 6}`);
    for (const fact of DEMONSTRATED) expect(run.output()).toMatch(fact);
    expect(await areFree([base + 6, base + 7])).toBe(true);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('%s: neither kube-apiserver nor etcd stays', async signal => {
    const [state, base] = [await givenState(), await givenPorts()];
    const run = sandbox(['--kube=envtest', '--no-demo', '--state', state, '--port-base', String(base)]);
    await expect.poll(run.output, { timeout: 40_000 }).toContain(STAYS);
    expect(await areFree([base + 6])).toBe(false);
    expect(await areFree([base + 7])).toBe(false);

    run.child.kill(signal);

    expect(await run.ended).toBe(signal === 'SIGKILL' ? null : 0);
    await expect.poll(() => areFree([base + 3, base + 6, base + 7]), { timeout: 20_000 }).toBe(true);
  });
});

test('npm run sandbox -- --kube=current: the demonstration in a cluster that is there, and nothing of it stays', async () => {
  const [state, base] = [await givenState(), await givenPorts()];
  const cluster = await startEnvtest({ stateDir: join(state, 'cluster') });
  try {
    const env = { ...process.env, KUBECONFIG: cluster.kubeconfigPath };
    const folder = join(state, 'sandbox');
    const run = sandbox(['--kube=current', '--once', '--state', folder, '--port-base', String(base)], env);

    expect(await run.ended, run.output()).toBe(0);
    expect(run.output()).toContain(`Kubernetes API at ${cluster.url}`);
    for (const fact of DEMONSTRATED) expect(run.output()).toMatch(fact);
    const left = await cluster.ask('GET', '/apis/ai-platform.dev/v1alpha1/aitenants');
    expect((JSON.parse(left.body) as { items: unknown[] }).items).toEqual([]);
    expect(await readFile(join(folder, 'operator.log'), 'utf8')).not.toContain('"severity":"ERROR"');
    expect(await answers(cluster.url.replace('https', 'http')), 'the cluster itself goes on').toBe(true);
  } finally {
    await cluster.stop();
  }
});
