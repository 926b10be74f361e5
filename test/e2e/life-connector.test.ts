import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject, KubeResource, KubeResult, KubeStatus } from '../../ports/kube.ts';
import { SECRET_MANAGER_SECRETS } from '../../ports/kubeResources.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { openCluster } from './support/cluster.ts';
import { createWorld, namespace, PROJECT, spec, until, type World } from './support/world.ts';

/** Beside Config Connector: its secrets are waited for and followed, its services left alone. */

let world: World;
/** What the operator asks the cluster about Config Connector's secrets. */
let asked: string[];
/** What the API server answers to lists and watches of them, if not what is there. */
let refusal: KubeStatus | undefined;
beforeEach(async () => {
  asked = [];
  refusal = undefined;
  const cluster = await openCluster(realRuntime);
  const { operatorKube } = cluster;
  const noted =
    <A extends unknown[], R>(verb: string, call: (resource: KubeResource, ...rest: A) => R) =>
    (resource: KubeResource, ...rest: A): R => {
      if (resource.plural === SECRET_MANAGER_SECRETS.plural) asked.push(verb);
      return call(resource, ...rest);
    };
  const refusing =
    <A extends unknown[], T>(call: (resource: KubeResource, ...rest: A) => Promise<KubeResult<T>>) =>
    async (resource: KubeResource, ...rest: A): Promise<KubeResult<T>> =>
      refusal && resource.plural === SECRET_MANAGER_SECRETS.plural
        ? { ok: false, status: refusal }
        : call(resource, ...rest);
  world = await createWorld({
    connector: true,
    cluster: {
      ...cluster,
      operatorKube: {
        ...operatorKube,
        get: noted('get', operatorKube.get),
        list: noted('list', refusing(operatorKube.list)),
        watch: noted('watch', refusing(operatorKube.watch)),
      },
    },
  });
});
afterEach(() => world.close());

const connectorSecret = (name: string, over: JsonObject = {}, annotations?: Record<string, string>) =>
  world.kube.create(SECRET_MANAGER_SECRETS, 'default', {
    apiVersion: 'secretmanager.cnrm.cloud.google.com/v1beta1',
    kind: SECRET_MANAGER_SECRETS.kind,
    metadata: { name, namespace: 'default', annotations },
    spec: over,
  } as KubeObject);
const turn = (name: string, status: 'True' | 'False', reason: string) =>
  world.kube.patch(
    SECRET_MANAGER_SECRETS,
    'default',
    name,
    { status: { conditions: [{ type: 'Ready', status, reason, message: 'says Config Connector' }] } },
    { subresource: 'status' },
  );
const keyed = (name: string) => spec({ keys: [{ name: 'openai', secretRef: { name }, env: 'OPENAI_API_KEY' }] });

describe('a key that names a SecretManagerSecret', () => {
  test('waits for it, says what Config Connector says, and goes on as soon as it is Ready: by a watch, not by polling', async () => {
    await world.secret('theirs');
    await world.apply('tenant-a', keyed('their-key'));
    expect((await world.reason('tenant-a', 'DependencyNotFound')).message).toContain(
      'kubectl get secretmanagersecret their-key -n default',
    );
    await connectorSecret('their-key', { resourceID: 'theirs' });
    await world.reason('tenant-a', 'DependencyNotReady');
    await turn('their-key', 'False', 'UpdateFailed');
    await until(
      async () =>
        (await world.reason('tenant-a', 'DependencyNotReady')).message.includes('UpdateFailed: says') || undefined,
      () => 'Config Connector’s own words',
    );

    await turn('their-key', 'True', 'UpToDate');
    await world.ready('tenant-a');

    expect(JSON.stringify(await world.service('tenant-a'))).toContain('"secret":"theirs"');
    expect(asked).not.toContain('get');
    expect(asked.filter(verb => verb === 'list')).toHaveLength(1);
  });

  test('stays as it is while that is not Ready for a time', async () => {
    await world.secret('theirs');
    await connectorSecret('theirs');
    await turn('theirs', 'True', 'UpToDate');
    await world.apply('tenant-a', keyed('theirs'));
    const before = await world.ready('tenant-a');
    world.forget();

    await turn('theirs', 'False', 'Updating');
    await world.reason('tenant-a', 'DependencyNotReady');
    expect(world.writes()).toEqual([]);

    await turn('theirs', 'True', 'UpToDate');
    expect((await world.ready('tenant-a')).latestReadyRevision).toBe(before.latestReadyRevision);
  });

  test('may live in the project that its own annotation names', async () => {
    await world.secret('theirs', { project: 'other-project', value: null });
    await connectorSecret('theirs', {}, { 'cnrm.cloud.google.com/project-id': 'other-project' });
    await turn('theirs', 'True', 'UpToDate');
    await world.apply('tenant-a', keyed('theirs'));
    const { message } = await world.reason('tenant-a', 'DependencyNotFound');
    expect(message).toContain('gcloud secrets versions add theirs --project=other-project ');
  });
});

describe('SecretManagerSecrets that the operator may not list', () => {
  test.each([403, 500])('with %i hold back nobody but who refers to one, whose grant stays as it is', async code => {
    await world.secret('theirs');
    await connectorSecret('theirs');
    await turn('theirs', 'True', 'UpToDate');
    await world.apply('tenant-a', keyed('theirs'));
    const before = await world.ready('tenant-a');

    refusal = { code, reason: '', message: 'no' };
    await world.restart();
    expect(world.operator.isSynced()).toBe(true);
    world.forget();
    await world.edit('tenant-a', { scaling: { maxInstances: 7 } });
    const { message } = await world.reason('tenant-a', 'DependencyNotReady');
    expect(message).toContain('whether SecretManagerSecret theirs exists is not known');
    expect(world.writes().filter(write => write.startsWith('SetIamPolicy'))).toEqual([]);
    const keys = [{ name: 'openai', secretRef: { external: 'plain' }, env: 'OPENAI_API_KEY' }];
    await world.secret('plain');
    await world.apply('tenant-b', spec({ keys }));
    await world.ready('tenant-b');

    refusal = undefined;
    const after = await until(
      async () => {
        const status = (await world.tenant('tenant-a'))?.status;
        return status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')
          ? status
          : undefined;
      },
      () => 'the list that succeeds',
      15_000,
    );
    expect(after.url).toBe(before.url);
  });
});

describe('what Config Connector manages', () => {
  test('as a secret may be used like any other', async () => {
    await world.secret('theirs', { labels: { 'managed-by-cnrm': 'true', 'ai-tenant-namespace': 'default' } });
    const keys = [{ name: 'openai', secretRef: { external: 'theirs' }, env: 'OPENAI_API_KEY' }];
    await world.apply('tenant-a', spec({ keys }));
    await world.ready('tenant-a');
  });

  test('its annotation on the Namespace names the project; ours wins', async () => {
    await namespace(world, 'team', {
      'cnrm.cloud.google.com/project-id': 'other-project',
      'ai-platform.dev/project-id': PROJECT,
    });
    await world.secret('ours', { labels: { 'ai-tenant-namespace': 'team' } });
    const keys = [{ name: 'openai', secretRef: { external: 'ours' }, env: 'OPENAI_API_KEY' }];
    await world.apply('tenant-a', spec({ keys }), { namespace: 'team' });
    expect((await world.ready('tenant-a', 'team')).projectId).toBe(PROJECT);
  });
});
