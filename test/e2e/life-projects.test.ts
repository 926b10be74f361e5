import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GcpCall } from '../../ports/gcp.ts';
import { NAMESPACES } from '../../ports/kubeResources.ts';
import { resourceNamed } from '../../sandbox/gcp/iam/permissions.ts';
import { createWorld, must, namespace, PROJECT, SECRETS, spec, until, type World } from './support/world.ts';

/** Tenants of one cluster in several projects. */

const OTHER = 'other-project';
const OTHER_NUMBER = '210987654321';

let world: World;
/** While set, nothing that is asked of the other project is answered. */
let silence: Promise<void> | undefined;
let endSilence: () => void;
/** Calls that are not answered so far. */
let waiting = 0;
beforeEach(async () => {
  silence = undefined;
  endSilence = () => {};
  waiting = 0;
  const operatorGcp =
    (core: GcpCall): GcpCall =>
    async (method, request, options) => {
      if (silence && new RegExp(`projects/(${OTHER}|${OTHER_NUMBER})/?`).test(`${resourceNamed(request)}/`)) {
        waiting += 1;
        await silence;
        waiting -= 1;
      }
      return core(method, request, options);
    };
  world = await createWorld({ operatorGcp, workers: 4 });
  await namespace(world, 'team', { 'ai-platform.dev/project-id': OTHER });
});
afterEach(async () => {
  endSilence();
  await world.close();
});

async function secret(project: string, id: string, owner: string): Promise<void> {
  await world.secret(id, { project, labels: { 'ai-tenant-namespace': owner }, value: null });
  await world.must(`${SECRETS}.AddSecretVersion`, {
    parent: `projects/${project}/secrets/${id}`,
    payload: { data: 'eA==' },
  });
}
const keyed = (external: string) =>
  spec({ keys: [{ name: 'openai', secretRef: { external }, env: 'OPENAI_API_KEY' }] });
const ours = async () => {
  await secret(PROJECT, 'ours', 'default');
  await world.apply('tenant-a', keyed('ours'));
};
/** More tenants than there are workers. */
const theirs = async (count = 8) => {
  await secret(OTHER, 'theirs', 'team');
  const names = Array.from({ length: count }, (_, i) => `tenant-${i}`);
  for (const name of names) await world.apply(name, keyed('theirs'), { namespace: 'team' });
  return names;
};

describe('tenants in several projects', () => {
  test('live each where its Namespace says', async () => {
    await ours();
    const [name = ''] = await theirs(1);
    expect((await world.ready('tenant-a')).projectId).toBe(PROJECT);
    const status = await world.ready(name, 'team');
    expect(status.projectId).toBe(OTHER);
    expect(status.serviceAccountEmail).toBe(`sa-${name}@${OTHER}.iam.gserviceaccount.com`);
  });

  test('may use a secret of another project, whose owner allows it; its grant goes with the tenant', async () => {
    await secret(OTHER, 'shared', 'default');
    const resource = `projects/${OTHER}/secrets/shared`;
    const members = async () => {
      const { bindings = [] } = await world.must(`${SECRETS}.GetIamPolicy`, { resource });
      return (bindings as { members: string[] }[]).flatMap(binding => binding.members);
    };
    await world.apply('tenant-a', keyed(resource));
    await world.ready('tenant-a');

    expect(await members()).toEqual([`serviceAccount:sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`]);
    expect(JSON.stringify(await world.service('tenant-a'))).toContain(`"secret":"${resource}","version":"1"`);

    // The project's number means the same.
    world.forget();
    const secretRef = { external: `projects/${OTHER_NUMBER}/secrets/shared` };
    await world.edit('tenant-a', { keys: [{ name: 'openai', secretRef, env: 'OPENAI_API_KEY' }] });
    await world.ready('tenant-a');
    expect(world.writes()).toEqual([]);

    await world.remove('tenant-a');
    await world.gone('tenant-a');
    expect(await members()).toEqual([]);
  });

  test('stay in the project of their first day, whatever the Namespace says later, and say so at once', async () => {
    const [name = ''] = await theirs(1);
    await world.ready(name, 'team');
    const annotate = (project: string) =>
      must(
        world.kube.patch(NAMESPACES, undefined, 'team', {
          metadata: { annotations: { 'ai-platform.dev/project-id': project } },
        }),
      );

    // In the middle of a reconcile, which has read the Namespace already.
    silence = new Promise(resolve => {
      endSilence = resolve;
    });
    const asked = world.gcpCore.requestLog.length;
    await world.edit(name, { timeoutSeconds: 60 }, 'team');
    await until(
      async () => (waiting > 0 ? true : undefined),
      () => 'the reconcile to be under way',
    );
    await annotate(PROJECT);
    endSilence();
    expect((await world.reason(name, 'InvalidSpec', 'team')).message).toContain(`lives in project ${OTHER}`);
    const calls = world.gcpCore.requestLog.slice(asked).map(({ resource }) => resource);
    expect(calls.filter(resource => resource.includes(`projects/${PROJECT}/`))).toEqual([]);

    await annotate(OTHER);
    await world.ready(name, 'team');
  });

  test('are where Config Connector’s annotation on the Namespace says, if ours does not', async () => {
    await namespace(world, 'squad', { 'cnrm.cloud.google.com/project-id': OTHER });
    await secret(OTHER, 'squads', 'squad');
    await world.apply('tenant-s', keyed('squads'), { namespace: 'squad' });
    expect((await world.ready('tenant-s', 'squad')).projectId).toBe(OTHER);
  });

  test('do not wait for a project that does not answer', async () => {
    const names = await theirs();
    for (const name of names) await world.ready(name, 'team');
    silence = new Promise(resolve => {
      endSilence = resolve;
    });
    for (const name of names) await world.edit(name, { timeoutSeconds: 60 }, 'team');

    await ours();
    await world.ready('tenant-a');
    await world.edit('tenant-a', { timeoutSeconds: 60 });
    await world.ready('tenant-a');

    endSilence();
    for (const name of names) await world.ready(name, 'team');
  });

  test.each([
    ['is out of order', { code: 'UNAVAILABLE' as const, message: 'The service is currently unavailable.' }],
    ['has taken its rights away', { code: 'PERMISSION_DENIED' as const, message: 'Permission denied on resource.' }],
    ['has used up its quota', { code: 'RESOURCE_EXHAUSTED' as const, message: 'Quota exceeded.' }],
  ])('do not wait for a project that %s; those there recover by themselves', async (_, error) => {
    const names = await theirs();
    for (const name of names) await world.ready(name, 'team');
    const restore = [OTHER, OTHER_NUMBER].map(project =>
      world.gcpCore.faults.add({ resource: `projects/${project}/`, times: Number.POSITIVE_INFINITY, error }),
    );
    for (const name of names) await world.edit(name, { timeoutSeconds: 60 }, 'team');
    await until(
      async () => (world.gcpCore.requestLog.some(({ code }) => code === error.code) ? true : undefined),
      () => 'the fault to be felt',
    );

    await ours();
    await world.ready('tenant-a');

    for (const heal of restore) heal();
    for (const name of names) await world.ready(name, 'team');
  });
});
