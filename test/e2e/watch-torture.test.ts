import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createEventRecorder } from '../../operator/kube/eventRecorder.ts';
import { createKubeApi } from '../../operator/kube/kubeApi.ts';
import { loadKubeConfig } from '../../operator/kube/kubeconfig.ts';
import { createOperator, type Operator } from '../../operator/operator.ts';
import type { KubeApi } from '../../ports/kube.ts';
import { NAMESPACES } from '../../ports/kubeResources.ts';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { type OwnCluster, openOwnCluster } from './support/cluster.ts';
import { startTcpProxy, type TcpProxy } from './support/tcpProxy.ts';
import { createWorld, spec, until, type World } from './support/world.ts';

/** How soon an edit is noticed once the trouble is over. */
const SOON_MS = 5_000;
/** What is dead and silent is found out by the watch's own time-out, 30 s at most; the contract says 60. */
const WATCH_TIMEOUT_MS = 60_000;

let cluster: OwnCluster;
let world: World;
let proxy: TcpProxy;
let folder: string;
let kube: KubeApi & { close(): Promise<void> };
let operator: Operator;
/** What the operator has asked, such as `list aitenants`. */
let asked: Record<string, number> = {};

beforeAll(async () => {
  cluster = await openOwnCluster(runtime);
  world = await createWorld({ cluster, noOperator: true });
  proxy = await startTcpProxy(cluster.url);
  folder = mkdtempSync(join(tmpdir(), 'aitenant-torture-'));
  cluster.operatorKubeconfig(join(folder, 'kubeconfig'), proxy.url);
  const config = await loadKubeConfig({ KUBECONFIG: join(folder, 'kubeconfig') });
  kube = createKubeApi({ config, runtime, userAgent: 'aitenant-operator/torture' });
  const counted: KubeApi = {
    ...kube,
    // A list of one object only asks where the server is.
    async list(resource, options) {
      const answer = await kube.list(resource, options);
      // How often a server that is away is asked depends on how long it is away.
      const isAnswered = answer.ok || answer.status.code !== 0;
      return count(
        `${isAnswered ? (options.limit === 1 ? 'check' : 'list') : 'unanswered'} ${resource.plural}`,
        answer,
      );
    },
    watch: (resource, ...rest) => count(`watch ${resource.plural}`, kube.watch(resource, ...rest)),
  };
  operator = createOperator({
    kube: counted,
    gcp: world.gcp,
    runtime,
    settings: world.settings,
    events: createEventRecorder({ api: kube, runtime, component: 'aitenant-operator', instance: 'torture' }),
    log: (level, message, fields) => world.logs.push(JSON.stringify({ level, message, ...fields })),
    workers: 4,
    mayAct: () => true,
  });
  await operator.synced;
  operator.start();
  await world.secret('tenant-a-openai-key');
  await world.apply('tenant-a', spec());
  await world.ready('tenant-a');
});
afterAll(async () => {
  await operator.stop();
  await kube.close();
  await proxy.close();
  await world.close();
  rmSync(folder, { recursive: true, force: true });
});
beforeEach(() => {
  asked = {};
});

function count<T>(what: string, call: T): T {
  asked[what] = (asked[what] ?? 0) + 1;
  return call;
}

let instances = 10;
const edit = () => world.edit('tenant-a', { scaling: { maxInstances: ++instances } });

async function noticed(name: string, ms: number) {
  let at: unknown;
  await until(
    async () => {
      const tenant = await world.tenant(name);
      at = [tenant?.status?.observedGeneration, tenant?.metadata.generation];
      return tenant?.status?.observedGeneration === tenant?.metadata.generation || undefined;
    },
    () => `${name} to be noticed: ${at}; ${JSON.stringify(asked)}\n${world.logs.slice(-30).join('\n')}`,
    ms,
  );
}

/** Watching went on from where it was, without a list of everything; and whatever failed was not tried in a loop. */
function expectNoStorm({ least = 0, most = 0 } = {}) {
  expect(asked['list aitenants'] ?? 0).toBeGreaterThanOrEqual(least);
  expect(asked['list aitenants'] ?? 0).toBeLessThanOrEqual(most);
  // No event for a minute, on a kind that is rarely written: it is listed once to be sure.
  expect(asked['list namespaces'] ?? 0).toBeLessThanOrEqual(most + 1);
  // A kind that is not there is looked for once a minute, and again 10 s after a connection that did not come about.
  expect(asked['list secretmanagersecrets'] ?? 0).toBeLessThanOrEqual(5);
  expect(asked['watch aitenants'] ?? 0).toBeLessThanOrEqual(12);
  expect(asked['unanswered aitenants'] ?? 0).toBeLessThanOrEqual(12);
}

describe('the operator notices an edit', { timeout: 120_000 }, () => {
  test('after its connections were reset, five times over', async () => {
    for (let time = 0; time < 5; time++) {
      proxy.reset();
      await edit();
      await noticed('tenant-a', SOON_MS);
    }
    expectNoStorm();
  });

  test('after the server ended its connections', async () => {
    proxy.finish();
    await edit();
    await noticed('tenant-a', SOON_MS);
    expectNoStorm();
  });

  test('with connections that have become a black hole', async () => {
    proxy.blackHole();
    await edit();
    await noticed('tenant-a', WATCH_TIMEOUT_MS);
    await edit();
    await noticed('tenant-a', SOON_MS);
    expectNoStorm();
  });

  test('with connections whose other end has gone without a word', async () => {
    proxy.halfOpen();
    await edit();
    await noticed('tenant-a', WATCH_TIMEOUT_MS);
    await edit();
    await noticed('tenant-a', SOON_MS);
    expectNoStorm();
  });

  test('after 30 s in which nothing got through', async () => {
    const goOn = proxy.stall();
    await edit();
    await sleep(30_000);
    goOn();
    await noticed('tenant-a', SOON_MS);
    expectNoStorm();
  });

  test('after the API server was started anew', async () => {
    await cluster.restart();
    await until(
      async () => (await world.kube.get(NAMESPACES, undefined, 'default')).ok || undefined,
      () => 'the API server to answer',
    );
    await edit();
    await noticed('tenant-a', SOON_MS);
    // A new kube-apiserver may not know what came before it, and says 410 then.
    expectNoStorm({ most: 1 });
  });

  test('after all that it missed has been compacted away: it lists once', async () => {
    const heal = proxy.cut();
    await edit();
    // Another object's history goes on too, so that what the operator knows is out of date for every kind.
    await world.kube.patch(NAMESPACES, undefined, 'default', { metadata: { labels: { edited: 'yes' } } });
    await cluster.restart({ forget: true });
    heal();
    await noticed('tenant-a', SOON_MS);
    await edit();
    await noticed('tenant-a', SOON_MS);
    expectNoStorm({ least: 1, most: 1 });
  });

  test('behind a burst of 1,000 others', async () => {
    const names = Array.from({ length: 10 }, (_, index) => `burst-${index}`);
    for (const name of names) await world.apply(name, spec());
    for (const name of names) await world.ready(name);
    asked = {};
    for (let round = 1; round <= 100; round++) {
      await Promise.all(names.map(name => world.edit(name, { timeoutSeconds: 300 + round })));
    }
    await edit();
    await noticed('tenant-a', SOON_MS);
    for (const name of names) {
      await world.ready(name);
      expect(await world.service(name)).toMatchObject({ template: { timeout: '400s' } });
    }
    expectNoStorm();
  });
});
