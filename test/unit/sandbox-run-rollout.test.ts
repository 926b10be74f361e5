import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { account, image, name, parent, ready, template, type World, world } from './sandbox-run.support.ts';

const latest = 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST';
const byRevision = 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION';
const keyVariable = (variable: string, secret: string, version = 'latest') => ({
  name: variable,
  valueSource: { secretKeyRef: { secret, version } },
});
const short = (revision: unknown) => String(revision).split('/').pop() ?? '';

async function served(w: World): Promise<string> {
  await w.create({ template: template() });
  await w.runtime.advance(1100);
  return short((await w.get()).latestReadyRevision);
}

describe('secrets at deployment', () => {
  async function withAccount() {
    const w = world();
    await w.addAccount();
    return w;
  }
  const deploy = async (w: World, env: JsonObject[]) => {
    const operation = await w.create({ template: template({ env }, { serviceAccount: account }) });
    await w.runtime.advance(1100);
    return { operation: await w.operation(operation), service: await w.get() };
  };

  it('that may not be read fail it with a line for each variable, the account and the project’s number', async () => {
    const w = await withAccount();
    await w.addSecret('key', 'v1');
    const env = [
      { name: 'PLAIN', value: 'x' },
      keyVariable('A', 'key'),
      keyVariable('B', 'projects/demo/secrets/key', '1'),
    ];
    const { operation, service } = await deploy(w, env);
    const revision = short(service.latestCreatedRevision);
    const line = (i: number, version: string) =>
      `spec.template.spec.containers[0].env[${i}].value_from.secret_key_ref.name: Permission denied on secret: projects/123456/secrets/key/versions/${version} for Revision service account ${account}. The service account used must be granted the 'Secret Manager Secret Accessor' role (roles/secretmanager.secretAccessor) at the secret, project or higher level.`;
    const message = `Revision '${revision}' is not ready and cannot serve traffic. ${line(1, 'latest')}\n${line(2, '1')}`;
    expect(ready(service)).toMatchObject({
      type: 'Ready',
      state: 'CONDITION_FAILED',
      reason: 'SECRETS_ACCESS_CHECK_FAILED',
      severity: 'ERROR',
      message,
    });
    expect(operation).toMatchObject({ done: true, error: { code: 9, message } });
    expect(service.reconciling ?? false).toBe(false);
    expect(service.generation).toBe('1');
    for (const absent of ['observedGeneration', 'latestReadyRevision', 'trafficStatuses'])
      expect(service[absent]).toBeUndefined();
    expect(w.containers.started).toEqual([]);
  });

  it('that do not exist fail it', async () => {
    const w = await withAccount();
    const { service } = await deploy(w, [keyVariable('A', 'other')]);
    const text = 'Secret projects/123456/secrets/other/versions/latest was not found';
    expect(ready(service).message).toContain(`secret_key_ref.name: ${text}`);
  });

  it('without a version, or with a disabled one, fail it', async () => {
    const w = await withAccount();
    await w.addSecret('empty');
    await w.grant('empty');
    const { service } = await deploy(w, [keyVariable('A', 'empty')]);
    expect(ready(service).message).toContain('Secret projects/123456/secrets/empty/versions/latest was not found');

    await w.addSecret('off', 'v1');
    await w.grant('off');
    await w.ok('google.cloud.secretmanager.v1.SecretManagerService.DisableSecretVersion', {
      name: 'projects/demo/secrets/off/versions/1',
    });
    await w.update(
      { template: template({ env: [keyVariable('A', 'off', '1')] }, { serviceAccount: account }) },
      'template',
    );
    await w.runtime.advance(1100);
    expect(ready(await w.get()).message).toContain(
      'Secret Version [projects/123456/secrets/off/versions/1] is in DISABLED state.',
    );
  });

  it('are read anew at each start of an instance', async () => {
    const w = await withAccount();
    await w.addSecret('key', 'v1');
    await w.grant('key');
    const { service } = await deploy(w, [keyVariable('A', 'key'), { name: 'PLAIN', value: 'x' }]);
    expect(ready(service).state).toBe('CONDITION_SUCCEEDED');
    const [started] = w.containers.started;
    expect(started?.spec.instanceEnv()).toMatchObject({ ok: true, env: { A: 'v1', PLAIN: 'x' } });
    await w.grant('key', 'user:other@example.com');
    expect(started?.spec.instanceEnv()).toMatchObject({
      ok: false,
      message: expect.stringContaining('Permission denied on secret'),
    });
  });

  it('granted later don’t bring a failed revision back; the same template with a nonce does', async () => {
    const w = await withAccount();
    await w.addSecret('key', 'v1');
    await deploy(w, [keyVariable('A', 'key')]);
    await w.grant('key');
    await w.update({ labels: { again: '1' } }, 'labels');
    await w.runtime.advance(1100);
    expect(ready(await w.get()).state).toBe('CONDITION_FAILED');
    await w.update({ template: { annotations: { nonce: '1' } } }, 'template.annotations');
    await w.runtime.advance(1100);
    expect(await w.get()).toMatchObject({
      terminalCondition: { state: 'CONDITION_SUCCEEDED' },
      latestReadyRevision: expect.stringMatching(/web-00002-/),
    });
  });
});

describe('a revision that does not come up', () => {
  it.each<[string, 'never' | 'crashes' | 'missing', JsonObject, RegExp]>([
    [
      'never listens',
      'never',
      { revisionReason: 'HEALTH_CHECK_CONTAINER_ERROR' },
      /^Revision 'web-00002-...' is not ready and cannot serve traffic\. The user-provided container failed to start and listen on the port defined provided by the PORT=8081 environment variable within the allocated timeout\./,
    ],
    [
      'crashes',
      'crashes',
      { revisionReason: 'HEALTH_CHECK_CONTAINER_ERROR' },
      /failed to start and listen on the port/,
    ],
    [
      'has no image',
      'missing',
      { reason: 'CONTAINER_MISSING' },
      /^Revision 'web-00002-...' is not ready and cannot serve traffic\. Image 'bad:1' not found\.$/,
    ],
  ])('because it %s leaves the last good one serving', async (_, script, reason, message) => {
    const w = world();
    const good = await served(w);
    w.containers.scripts.set('bad:1', script);
    const operation = await w.update(
      { template: template({ image: 'bad:1', ports: [{ containerPort: 8081 }] }) },
      'template',
    );
    await w.runtime.advance(1000);
    expect(w.run.route(name)).toBe(good);
    await w.runtime.advance(5000);
    const service = await w.get();
    expect(ready(service)).toMatchObject({
      state: 'CONDITION_FAILED',
      message: expect.stringMatching(message),
      ...reason,
    });
    expect(service).toMatchObject({
      generation: '2',
      observedGeneration: '1',
      latestReadyRevision: `${name}/revisions/${good}`,
      latestCreatedRevision: expect.stringMatching(/web-00002-/),
      trafficStatuses: [{ type: latest, percent: 100 }],
      conditions: [
        { type: 'RoutesReady', state: 'CONDITION_SUCCEEDED' },
        { type: 'ConfigurationsReady', state: 'CONDITION_FAILED' },
      ],
    });
    expect(await w.operation(operation)).toMatchObject({ done: true, error: { code: 9 } });
    expect(w.run.route(name)).toBe(good);
    const [newest] = await w.revisions();
    expect(newest?.conditions).toContainEqual(expect.objectContaining({ type: 'Ready', state: 'CONDITION_FAILED' }));
    expect(w.containers.started.map(({ stopped }) => stopped)).toEqual([false, true]);

    await w.update({ template: template({ image: 'good:2' }) }, 'template');
    await w.runtime.advance(1100);
    expect(await w.get()).toMatchObject({
      terminalCondition: { state: 'CONDITION_SUCCEEDED' },
      generation: '3',
      observedGeneration: '3',
    });
    expect(w.runtime.pending()).toBe(0);
  });

  it('gives way to the next one at once, also while it is still being tried', async () => {
    const w = world();
    const good = await served(w);
    w.containers.scripts.set('bad:1', 'never');
    const first = await w.update({ template: template({ image: 'bad:1' }) }, 'template');
    await w.runtime.advance(2000);
    expect(w.run.route(name)).toBe(good);
    const second = await w.update({ template: template({ image: 'good:2' }) }, 'template');
    await w.runtime.advance(1100);
    expect(await w.get()).toMatchObject({
      latestReadyRevision: expect.stringMatching(/web-00003-/),
      observedGeneration: '3',
    });
    for (const operation of [first, second])
      expect(await w.operation(operation)).toMatchObject({ done: true, response: { observedGeneration: '3' } });
    await w.runtime.advance(10_000);
    expect(ready(await w.get()).state).toBe('CONDITION_SUCCEEDED');
    expect(w.containers.started.map(({ stopped }) => stopped)).toEqual([false, true, false]);
  });

  it('is waited for by updates of anything else', async () => {
    const w = world();
    w.containers.scripts.set(image, { listensAfterMs: 4000 });
    await w.create({ template: template() });
    await w.runtime.advance(2000);
    await w.update({ labels: { a: '1' } }, 'labels');
    await w.runtime.advance(2000);
    expect(await w.get()).toMatchObject({ reconciling: true });
    await w.runtime.advance(1000);
    expect(await w.get()).toMatchObject({
      generation: '2',
      observedGeneration: '2',
      latestReadyRevision: expect.stringMatching(/web-00001-/),
    });
    expect(w.containers.started).toHaveLength(1);
  });
});

describe('traffic', () => {
  it('that names a revision leaves a new one without any', async () => {
    const w = world();
    const first = await served(w);
    await w.update({ traffic: [{ type: byRevision, revision: first, percent: 100 }] }, 'traffic');
    await w.update({ template: template({ image: 'new:2' }) }, 'template');
    await w.runtime.advance(1100);
    const service = await w.get();
    expect(service.latestReadyRevision).toMatch(/web-00002-/);
    expect(service.trafficStatuses).toEqual([{ type: byRevision, revision: first, percent: 100 }]);
    expect(w.run.route(name)).toBe(first);
    await w.update({ traffic: [] }, 'traffic');
    await w.runtime.advance(1100);
    expect(w.run.route(name)).toBe(short(service.latestReadyRevision));
    expect(w.containers.started.map(({ scale }) => scale.serving)).toEqual([false, true]);
  });

  it('is split by percentages, and reaches a tagged revision by its tag', async () => {
    const w = world();
    const first = await served(w);
    await w.update(
      {
        template: template({ image: 'new:2' }),
        traffic: [
          { type: latest, percent: 75 },
          { type: byRevision, revision: first, percent: 25, tag: 'old' },
        ],
      },
      'template,traffic',
    );
    await w.runtime.advance(1100);
    const hits = Array.from({ length: 1000 }, () => w.run.route(name)).filter(revision => revision === first).length;
    expect(hits).toBeGreaterThan(200);
    expect(hits).toBeLessThan(300);
    expect(w.run.route(name, 'old')).toBe(first);
    expect(w.run.route(name, 'other')).toBeUndefined();
    const { trafficStatuses } = await w.get();
    expect(trafficStatuses).toContainEqual(
      expect.objectContaining({ tag: 'old', uri: expect.stringMatching(/^https:\/\/old---web-/) }),
    );
  });

  it('to a revision that there is none of is refused, and stays where it was', async () => {
    const w = world();
    const first = await served(w);
    const traffic = [{ type: byRevision, revision: 'web-gone', percent: 100 }];
    const { code, message } = await w.refused('Services.UpdateService', {
      service: { name, traffic },
      updateMask: 'traffic',
    });
    expect([code, message]).toEqual([
      'INVALID_ARGUMENT',
      "spec.traffic[0].revision_name: Revision 'web-gone' does not exist or is deleted. Update all traffic to route to currently available revisions.",
    ]);
    expect(w.run.route(name)).toBe(first);
    const next = {
      template: { ...template(), revision: 'web-next' },
      traffic: [{ ...traffic[0], revision: 'web-next' }],
    };
    await w.update(next, 'template,traffic');
    await w.runtime.advance(5_000);
    expect(w.run.route(name), 'one that the same call makes').toBe('web-next');
  });

  it.each<[string, JsonObject, JsonObject, { min: number; max: number }]>([
    ['the template’s', { minInstanceCount: 1, maxInstanceCount: 7 }, {}, { min: 1, max: 7 }],
    ['the service’s', {}, { minInstanceCount: 2, maxInstanceCount: 3 }, { min: 2, max: 3 }],
    [
      'the larger minimum and the smaller maximum of both',
      { minInstanceCount: 1, maxInstanceCount: 5 },
      { minInstanceCount: 3, maxInstanceCount: 10 },
      { min: 3, max: 5 },
    ],
    [
      'as many as set by hand',
      { maxInstanceCount: 9 },
      { scalingMode: 'MANUAL', manualInstanceCount: 4 },
      { min: 4, max: 4 },
    ],
  ])('has in force %s', async (_, own, shared, expected) => {
    const w = world();
    await w.create({ template: template({}, { scaling: own }), scaling: shared });
    await w.runtime.advance(1100);
    expect(w.containers.started[0]?.scale).toEqual({ ...expected, serving: true });
  });
});

describe('revisions', () => {
  it('are read, listed over services, and deleted once nothing goes there', async () => {
    const w = world();
    const first = `${name}/revisions/${await served(w)}`;
    expect(await w.refused('Revisions.DeleteRevision', { name: first })).toMatchObject({ code: 'FAILED_PRECONDITION' });
    await w.update({ template: template({ image: 'new:2' }) }, 'template');
    await w.runtime.advance(1100);
    expect(await w.ok('Revisions.GetRevision', { name: first })).toMatchObject({
      name: first,
      service: 'web',
      containers: [{ image }],
      observedGeneration: '1',
    });
    const { revisions } = await w.ok('Revisions.ListRevisions', { parent: `${parent}/services/-` });
    expect(revisions).toHaveLength(2);
    expect(await w.ok('Revisions.DeleteRevision', { name: first })).toMatchObject({
      done: true,
      response: { name: first },
    });
    expect(await w.refused('Revisions.GetRevision', { name: first })).toMatchObject({
      code: 'NOT_FOUND',
      message: `Resource '${short(first)}' of kind 'REVISION' in region 'asia-northeast1' in project 'demo' does not exist.`,
    });
  });
});
