import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { KubeApi } from '../../ports/kube.ts';
import { AI_TENANTS, NAMESPACES } from '../../ports/kubeResources.ts';
import { realRuntime } from '../../ports/runtime.ts';
import { openCluster } from './support/cluster.ts';
import { createWorld, must, namespace, PROJECT, SECRETS, spec, until, type World } from './support/world.ts';

/** Identity per namespace: the operator acts as the service account that the Namespace names. */

/** The operator's own identity: over the wire its credentials would say so. */
const OPERATOR = 'operator@ops.iam.gserviceaccount.com';
const TEAM = `operator-team@${PROJECT}.iam.gserviceaccount.com`;
const ANNOTATION = 'ai-platform.dev/impersonate-service-account';

let world: World;
beforeEach(async () => {
  world = await createWorld({
    settings: { impersonationAccounts: [`operator-NAMESPACE@${PROJECT}.iam.gserviceaccount.com`] },
    operatorGcp: core => (method, request, options) =>
      core(method, request, { ...options, actAs: options?.actAs ?? OPERATOR }),
  });
  await world.secret('team-key', { labels: { 'ai-tenant-namespace': 'team' } });
});
afterEach(() => world.close());

const teamSpec = () => spec({ keys: [{ name: 'openai', secretRef: { external: 'team-key' }, env: 'OPENAI_API_KEY' }] });
const annotate = (value: string | null) =>
  world.kube.patch(NAMESPACES, undefined, 'team', {
    metadata: { annotations: { [ANNOTATION]: value } },
  });
/** Who called Google Cloud since `forget`, this test's own calls aside. */
const callers = () => [...new Set(world.gcpCore.requestLog.flatMap(({ caller }) => caller.email ?? []))];
/** Nobody but `email` may do anything from here on. */
const PERMISSIONS = [
  'iam.serviceAccounts.get',
  'iam.serviceAccounts.create',
  'iam.serviceAccounts.delete',
  'iam.serviceAccounts.actAs',
  'secretmanager.secrets.get',
  'secretmanager.secrets.getIamPolicy',
  'secretmanager.secrets.setIamPolicy',
  'secretmanager.versions.list',
  'run.services.get',
  'run.services.list',
  'run.services.create',
  'run.services.update',
  'run.services.delete',
];
const forbid = (email: string) => {
  for (const permission of PERMISSIONS) world.gcpCore.faults.deny({ permission, caller: email });
};

describe('a Namespace that names a service account', () => {
  test('is served as that account from the first call to the last, with nothing of the operator’s own rights', async () => {
    forbid(OPERATOR);
    await namespace(world, 'team', { [ANNOTATION]: TEAM });
    world.forget();

    await world.apply('tenant-t', teamSpec(), { namespace: 'team' });
    const status = await world.ready('tenant-t', 'team');
    await world.edit('tenant-t', { timeoutSeconds: 60 }, 'team');
    await world.ready('tenant-t', 'team');
    await world.remove('tenant-t', 'team');
    await world.gone('tenant-t', 'team');

    expect(callers()).toEqual([TEAM]);
    expect(status.impersonatedServiceAccount).toBe(TEAM);
    expect(await world.service('tenant-t')).toBeUndefined();
  });

  test('gets none of the operator’s rights where its account has too few', async () => {
    forbid(TEAM);
    await namespace(world, 'team', { [ANNOTATION]: TEAM });

    await world.apply('tenant-t', teamSpec(), { namespace: 'team' });
    await world.reason('tenant-t', 'PermissionDenied', 'team');

    expect(callers()).toEqual([TEAM]);
    expect(await world.account('tenant-t')).toBeUndefined();
  });

  test('leaves every other namespace with the operator’s own identity', async () => {
    await world.secret('tenant-a-openai-key');
    await namespace(world, 'team', { [ANNOTATION]: TEAM });
    world.forget();
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    expect(callers()).toEqual([OPERATOR]);
  });

  test.each([
    ['an account that is not allowed', `admin@${PROJECT}.iam.gserviceaccount.com`, 'is not allowed for it'],
    ['another namespace’s account', `operator-other@${PROJECT}.iam.gserviceaccount.com`, 'is not allowed for it'],
    ['no service account', 'jane@example.com', 'is not the e-mail of a service account'],
    ['nothing at all', '', 'is not the e-mail of a service account'],
  ])('is refused where it names %s: nothing is called, and the message says what to do', async (_, account, why) => {
    await namespace(world, 'team', { [ANNOTATION]: account });
    world.forget();

    await world.apply('tenant-t', teamSpec(), { namespace: 'team' });
    const { message } = await world.reason('tenant-t', 'InvalidSpec', 'team');

    expect(message).toContain(why);
    expect(message).toContain(`kubectl annotate namespace team ${ANNOTATION}=`);
    expect(callers()).toEqual([]);
    await annotate(TEAM);
    await world.ready('tenant-t', 'team');
    expect(callers()).toEqual([TEAM]);
  });

  test('is refused while --impersonation-accounts is not set', async () => {
    await world.restart({ impersonationAccounts: [] });
    await namespace(world, 'team', { [ANNOTATION]: TEAM });
    world.forget();
    await world.apply('tenant-t', teamSpec(), { namespace: 'team' });
    await world.reason('tenant-t', 'InvalidSpec', 'team');
    expect(callers()).toEqual([]);
  });
});

describe('a deletion', () => {
  beforeEach(async () => {
    await namespace(world, 'team', { [ANNOTATION]: TEAM });
    await world.apply('tenant-t', teamSpec(), { namespace: 'team' });
    await world.ready('tenant-t', 'team');
    forbid(OPERATOR);
  });

  test.each([
    ['the annotation is gone', () => annotate(null)],
    ['the annotation names an account that is not allowed', () => annotate(`admin@${PROJECT}.iam.gserviceaccount.com`)],
  ])('is made as whoever made the tenant if %s', async (_, change) => {
    await world.edit('tenant-t', { suspend: true }, 'team');
    await world.reason('tenant-t', 'Suspended', 'team');
    await change();
    await world.remove('tenant-t', 'team');
    world.forget();

    await world.edit('tenant-t', { suspend: false }, 'team');
    await world.gone('tenant-t', 'team');

    expect(callers()).toEqual([TEAM]);
    expect(await world.service('tenant-t')).toBeUndefined();
    expect(await world.account('tenant-t')).toBeUndefined();
    expect(await world.secretMembers('team-key')).toEqual([]);
  });
});

describe('a deletion', () => {
  const VICTIM = `operator-victim@${PROJECT}.iam.gserviceaccount.com`;
  test.each([
    [
      'a status that somebody forged',
      () => forge(VICTIM),
      { impersonationAccounts: [`operator-NAMESPACE@${PROJECT}.iam.gserviceaccount.com`] },
    ],
    ['an account that the flag no longer allows', () => forge(TEAM), { impersonationAccounts: [] }],
  ])('is never made as %s names', async (_, name, settings) => {
    await namespace(world, 'team');
    await world.apply('tenant-t', teamSpec(), { namespace: 'team' });
    await world.ready('tenant-t', 'team');
    await world.edit('tenant-t', { suspend: true }, 'team');
    await world.reason('tenant-t', 'Suspended', 'team');
    await name();
    await world.remove('tenant-t', 'team');
    await world.restart(settings);
    world.forget();

    await world.edit('tenant-t', { suspend: false }, 'team');
    await world.gone('tenant-t', 'team');

    expect(callers()).toEqual([OPERATOR]);
  });

  const forge = (impersonatedServiceAccount: string) =>
    must(
      world.kube.patch(
        AI_TENANTS,
        'team',
        'tenant-t',
        { status: { impersonatedServiceAccount } },
        { subresource: 'status' },
      ),
    );
});

describe('with --require-impersonation', () => {
  test('a Namespace whose annotation is taken off gets nobody’s rights, and the tenant can still be deleted', async () => {
    await world.restart({ requireImpersonation: true });
    await namespace(world, 'team', { [ANNOTATION]: TEAM });
    await world.apply('tenant-t', teamSpec(), { namespace: 'team' });
    await world.ready('tenant-t', 'team');
    world.forget();

    await annotate(null);
    await world.edit('tenant-t', { timeoutSeconds: 60 }, 'team');
    const { message } = await world.reason('tenant-t', 'InvalidSpec', 'team');
    expect(message).toContain(`kubectl annotate namespace team ${ANNOTATION}=ACCOUNT`);
    expect(world.writes()).toEqual([]);

    await world.remove('tenant-t', 'team');
    await world.gone('tenant-t', 'team');
    expect(callers()).toEqual([TEAM]);
  });
});

describe('a Namespace that the watch has not shown yet', () => {
  test('is asked for: the first call is made in its project and as its account', async () => {
    await world.close();
    const cluster = await openCluster(realRuntime);
    const { operatorKube } = cluster;
    const late: KubeApi['watch'] = (resource, options, onEvent) =>
      operatorKube.watch(resource, options, resource.plural === NAMESPACES.plural ? () => {} : onEvent);
    world = await createWorld({
      cluster: { ...cluster, operatorKube: { ...operatorKube, watch: late } },
      settings: { impersonationAccounts: ['*@other-project.iam.gserviceaccount.com'] },
      operatorGcp: core => core,
    });
    const secret = 'projects/other-project/secrets/team-key';
    const labels = { 'ai-tenant-namespace': 'team' };
    await world.secret('team-key', { project: 'other-project', labels, value: null });
    await world.must(`${SECRETS}.AddSecretVersion`, { parent: secret, payload: { data: 'eA==' } });
    const account = 'robot@other-project.iam.gserviceaccount.com';
    await namespace(world, 'team', { [ANNOTATION]: account, 'ai-platform.dev/project-id': 'other-project' });
    world.forget();

    await world.apply('tenant-t', teamSpec(), { namespace: 'team' });
    await until(
      async () => ((await world.tenant('tenant-t', 'team'))?.status?.inventory.length ? true : undefined),
      () => 'the first call',
    );

    expect((await world.tenant('tenant-t', 'team'))?.status?.projectId).toBe('other-project');
    expect(callers()).toEqual([account]);
  });
});
