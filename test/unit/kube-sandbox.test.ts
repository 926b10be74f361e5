import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createEventRecorder } from '../../operator/kube/eventRecorder.ts';
import { createKubeApi } from '../../operator/kube/kubeApi.ts';
import { loadKubeConfig } from '../../operator/kube/kubeconfig.ts';
import { startLeaderElection } from '../../operator/kube/leaderElection.ts';
import { startReflector } from '../../operator/kube/reflector.ts';
import { addFinalizer, patchStatus, removeFinalizer } from '../../operator/kube/writes.ts';
import { EVENTS, LEASES, NAMESPACES } from '../../ports/kubeResources.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { createKubeCore, startKubeServer, writeKubeconfig } from '../../sandbox/kube/index.ts';

const runtime = realRuntime;
const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** The sandbox's API, straight (as in the simulation) or over HTTP (as in the sandbox). */
async function cluster(face: 'port' | 'http') {
  const core = createKubeCore({ runtime });
  if (face === 'port') return { core, api: core.api, url: '' };
  const server = await startKubeServer({ core });
  closers.push(() => server.close());
  const folder = await mkdtemp(join(tmpdir(), 'kube-sandbox-'));
  closers.push(() => rm(folder, { recursive: true }));
  const path = join(folder, 'kubeconfig');
  await writeKubeconfig(path, server.url);
  const config = await loadKubeConfig({ KUBECONFIG: path });
  const api = createKubeApi({ config, runtime, userAgent: 'the-operator/1.2.3' });
  closers.push(() => api.close());
  return { core, api, url: server.url };
}

describe.each(['port', 'http'] as const)('the sandbox\u2019s API by its %s', face => {
  test('objects: created, read, listed in pages, patched, refused when stale, deleted', async () => {
    const { api } = await cluster(face);
    for (let i = 0; i < 5; i++) {
      const made = await api.create(NAMESPACES, undefined, {
        apiVersion: 'v1',
        kind: 'Namespace',
        metadata: { name: `n-${i}`, labels: { mine: 'yes' } },
      });
      expect(made).toMatchObject({ ok: true, value: { metadata: { name: `n-${i}`, uid: expect.any(String) } } });
    }
    expect(
      await api.create(NAMESPACES, undefined, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'n-0' } }),
    ).toMatchObject({
      ok: false,
      status: { code: 409, reason: 'AlreadyExists' },
    });
    const names: string[] = [];
    let next: string | undefined;
    do {
      const page = await api.list(NAMESPACES, { labelSelector: 'mine=yes', limit: 2, continue: next });
      if (!page.ok) throw new Error(page.status.message);
      expect(page.value.items.length).toBeLessThanOrEqual(2);
      names.push(...page.value.items.map(item => `${item.kind} ${item.metadata.name}`));
      next = page.value.metadata.continue;
    } while (next);
    expect(names).toEqual([0, 1, 2, 3, 4].map(i => `Namespace n-${i}`));

    const read = await api.get(NAMESPACES, undefined, 'n-0');
    if (!read.ok) throw new Error(read.status.message);
    const added = await addFinalizer(api, NAMESPACES, read.value, 'test.dev/held');
    if (added.kind !== 'updated') throw new Error(added.kind);
    expect(await addFinalizer(api, NAMESPACES, read.value, 'test.dev/other')).toEqual({ kind: 'conflict' });
    expect(await api.delete(NAMESPACES, undefined, 'n-0', { uid: 'another' })).toMatchObject({
      ok: false,
      status: { code: 409 },
    });
    expect(await api.delete(NAMESPACES, undefined, 'n-0')).toMatchObject({ ok: true });
    const going = await api.get(NAMESPACES, undefined, 'n-0');
    if (!going.ok) throw new Error(going.status.message);
    expect(going.value.metadata.deletionTimestamp).toBeDefined();
    expect((await removeFinalizer(api, NAMESPACES, going.value, 'test.dev/held')).kind).toBe('updated');
    expect(await removeFinalizer(api, NAMESPACES, going.value, 'test.dev/held')).toEqual({ kind: 'gone' });
    expect(await api.get(NAMESPACES, undefined, 'n-0')).toMatchObject({ ok: false, status: { code: 404 } });
  });

  test('a status is patched on its subresource', async () => {
    const { api } = await cluster(face);
    const made = await api.create(NAMESPACES, undefined, {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: 'n' },
    });
    if (!made.ok) throw new Error(made.status.message);
    const outcome = await patchStatus(api, NAMESPACES, made.value, { phase: 'Active', conditions: [] });
    expect(outcome).toMatchObject({ object: { status: { phase: 'Active' } } });
  });

  test('a reflector follows through cut connections and forgotten history', async () => {
    const { core, api } = await cluster(face);
    const told = new Map<string, () => void>();
    const reflector = startReflector({ api, runtime, resource: NAMESPACES, onChange: key => told.get(key)?.() });
    closers.push(() => reflector.stop());
    await reflector.synced;
    const appears = async (name: string) => {
      const seen = new Promise<void>(resolve => told.set(name, resolve));
      await core.api.create(NAMESPACES, undefined, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
      return seen;
    };
    await appears('one');
    core.dropWatches();
    await appears('two');
    const three = appears('three');
    core.compact();
    core.dropWatches();
    await three;
    await appears('four');
    for (const name of ['one', 'two', 'three', 'four']) expect(reflector.get(name)?.kind).toBe('Namespace');
  });

  test('leases and events are accepted as they are written', async () => {
    const { api } = await cluster(face);
    const elected = Promise.withResolvers<void>();
    const election = startLeaderElection({
      api,
      runtime,
      namespace: 'default',
      name: 'leader',
      identity: 'pod-1',
      onElected: () => elected.resolve(),
    });
    await elected.promise;
    const lease = await api.get(LEASES, 'default', 'leader');
    if (!lease.ok) throw new Error(lease.status.message);
    const problems: string[] = [];
    const onProblem = (message: string) => problems.push(message);
    const recorder = createEventRecorder({ api, runtime, component: 'the-operator', instance: 'pod-1', onProblem });
    recorder.record(lease.value, 'Normal', 'Elected', 'pod-1 leads.');
    await recorder.stop();
    expect(problems).toEqual([]);
    const events = await api.list(EVENTS, { namespace: 'default', fieldSelector: 'involvedObject.name=leader' });
    expect(events).toMatchObject({ ok: true, value: { items: [{ reason: 'Elected', count: 1 }] } });
    await election.stop();
    expect(await api.get(LEASES, 'default', 'leader')).toMatchObject({ value: { spec: { holderIdentity: '' } } });
  });
});

test('what JSON allows in a string, and Go escapes, is whole at the end of a watch and escaped on the wire', async () => {
  const { api, url } = await cluster('http');
  const said = 'one\u2028two\u2029three <b>&</b>';
  const events: unknown[] = [];
  const over = new AbortController();
  const watching = api.watch(
    NAMESPACES,
    { resourceVersion: '0', timeoutSeconds: 60, signal: over.signal },
    ({ object }) => {
      if (object.metadata.name === 'lines') events.push(object.metadata.annotations?.['test.dev/said']);
    },
  );
  const metadata = { name: 'lines', annotations: { 'test.dev/said': said } };
  const made = await api.create(NAMESPACES, undefined, { apiVersion: 'v1', kind: 'Namespace', metadata });
  expect(made).toMatchObject({ ok: true, value: { metadata } });
  await expect.poll(() => events, { timeout: 10_000 }).toEqual([said]);
  over.abort();
  await watching;

  const escaped = String.raw`"one\u2028two\u2029three \u003cb\u003e\u0026\u003c/b\u003e"`;
  const read = await fetch(`${url}/api/v1/namespaces/lines`);
  expect(await read.text()).toContain(escaped);
  const watch = await fetch(`${url}/api/v1/namespaces?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dlines`);
  const lines = (await watch.text()).trimEnd().split(/[\n\u2028\u2029]/);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(escaped);
});
