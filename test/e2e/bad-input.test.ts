import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { JsonObject } from '../../ports/json.ts';
import { NAMESPACES } from '../../ports/kubeResources.ts';
import {
  createWorld,
  must,
  namespace,
  PROJECT,
  REGION,
  RUN,
  SECRETS,
  spec,
  until,
  type World,
} from './support/world.ts';

/** A neighbour lives in the same world all the while: nothing of what goes wrong may reach it. */
let world: World;
let neighbour: unknown;
beforeAll(async () => {
  world = await createWorld({ settings: { project: undefined, projects: ['demo-*'] } });
  const annotations = { 'ai-platform.dev/project-id': PROJECT };
  await must(world.kube.patch(NAMESPACES, undefined, 'default', { metadata: { annotations } }));
  await world.secret('neighbour-key');
  await world.secret('good');
  // Its regular check would report the faults of the whole project: it has none.
  const onlyOnChange = { 'ai-platform.dev/reconcile-interval-in-seconds': '0' };
  await world.apply('neighbour', keyed('neighbour-key'), { annotations: onlyOnChange });
  await world.ready('neighbour');
  neighbour = await everythingOf('neighbour');
  world.forget();
});
afterEach(async () => {
  world.gcpCore.faults.clear();
  world.gcpCore.quotas.limits = {};
  expect(await everythingOf('neighbour')).toEqual(neighbour);
  expect(world.writes().filter(write => write.includes('neighbour'))).toEqual([]);
  world.forget();
});
afterAll(() => world.close());

const key = (over: JsonObject) => ({ name: 'openai', env: 'OPENAI_API_KEY', ...over });
const keyed = (secret: string, over: JsonObject = {}) =>
  spec({ keys: [key({ secretRef: { external: secret } })], ...over });

async function everythingOf(name: string) {
  return [
    (await world.tenant(name))?.status,
    await world.service(name),
    await world.account(name),
    await world.secretMembers(`${name}-key`),
  ];
}

/** Ready is False for that reason, Stalled as the contract's table says, and an event tells it too. */
async function refused(name: string, reason: string, space?: string): Promise<string> {
  const { message } = await world.reason(name, reason, space);
  const { conditions = [] } = (await world.tenant(name, space))?.status ?? {};
  const stalled = ['SecretNotAllowed', 'ManagementConflict', 'InvalidSpec'].includes(reason);
  expect(conditions.filter(({ type }) => type === 'Stalled').map(condition => condition.reason)).toEqual(
    stalled ? [reason] : [],
  );
  expect(conditions.find(({ type }) => type === 'Ready')?.status).toBe('False');
  await until(
    async () => ((await world.events(name)).some(event => event.startsWith(`Warning ${reason}: `)) ? true : undefined),
    () => `an event of ${reason}`,
  );
  return message;
}

describe('a secret', () => {
  test('that is missing: made, the tenant goes on by itself', async () => {
    await world.apply('missing', keyed('missing-key'));

    const message = await refused('missing', 'DependencyNotFound');
    expect(message).toContain('Key openai: secret missing-key does not exist');
    expect(message).toContain(
      `gcloud secrets create missing-key --project=${PROJECT} --labels=ai-tenant-namespace=default`,
    );

    await world.secret('missing-key');
    await world.ready('missing');
  });

  test('that is missing, or: the spec names another one', async () => {
    await world.apply('renamed', keyed('nowhere'));
    await refused('renamed', 'DependencyNotFound');

    await world.edit('renamed', { keys: [key({ secretRef: { external: 'good' } })] });
    await world.ready('renamed');
  });

  test('without a version: the first one added is used', async () => {
    await world.secret('empty-key', { value: null });
    await world.apply('empty', keyed('empty-key'));

    const message = await refused('empty', 'DependencyNotFound');
    expect(message).toContain('Key openai: secret empty-key has no usable version');
    expect(message).toContain('gcloud secrets versions add empty-key');

    await world.addVersion('empty-key');
    await world.ready('empty');
  });

  test.each([
    ['pinned', { version: 1 }],
    ['latest', { rollout: 'OnRestart' }],
    ['only', {}],
  ])('whose %s version is disabled: enabled, it is used', async (name, over) => {
    await world.secret(`${name}-key`);
    const version = `projects/${PROJECT}/secrets/${name}-key/versions/1`;
    await world.must(`${SECRETS}.DisableSecretVersion`, { name: version });
    await world.apply(name, spec({ keys: [key({ secretRef: { external: `${name}-key` }, ...over })] }));

    const message = await refused(name, 'DependencyNotReady');
    expect(message).toMatch(/version 1 of \S+-key is disabled|the newest one, 1, is disabled/);
    expect(message).not.toContain('versions add');
    expect(message).toContain(`gcloud secrets versions enable 1 --secret=${name}-key`);

    await world.must(`${SECRETS}.EnableSecretVersion`, { name: version });
    await world.ready(name);
  });

  test('that has no such version: named another one, it is used', async () => {
    const keys = (version: number) => [key({ secretRef: { external: 'good' }, version })];
    await world.apply('unborn', spec({ keys: keys(7) }));

    expect(await refused('unborn', 'DependencyNotFound')).toContain('secret good has no version 7');

    await world.edit('unborn', { keys: keys(1) });
    await world.ready('unborn');
  });

  test('of another namespace: the message prints no command that takes it from there, and says whom to ask', async () => {
    await world.secret('theirs', { labels: { 'ai-tenant-namespace': 'other' } });
    await world.apply('borrower', keyed('theirs'));

    const message = await refused('borrower', 'SecretNotAllowed');
    expect(message).toContain('Key openai: secret theirs does not let namespace default use it');
    expect(message).toContain('it names namespace "other", and it can name one only');
    expect(message).toContain('ask whoever owns theirs');
    expect(message).not.toContain('gcloud');
    expect(await world.secretMembers('theirs')).toEqual([]);
    expect(await world.service('borrower')).toBeUndefined();

    const secret = { name: `projects/${PROJECT}/secrets/theirs`, labels: { 'ai-tenant-namespace': 'default' } };
    await world.must(`${SECRETS}.UpdateSecret`, { secret, updateMask: 'labels' });
    await world.edit('borrower', { timeoutSeconds: 60 });
    await world.ready('borrower');
  });
});

describe('a project', () => {
  test('that is not set, then is', async () => {
    await namespace(world, 'noproject');
    await world.secret('noproject-key', { labels: { 'ai-tenant-namespace': 'noproject' } });
    await world.apply('projectless', keyed('noproject-key'), { namespace: 'noproject' });

    const message = await refused('projectless', 'InvalidSpec', 'noproject');
    expect(message).toContain('No Google Cloud project is set for namespace noproject');
    expect(message).toContain('kubectl annotate namespace noproject ai-platform.dev/project-id=PROJECT');

    const annotations = { 'ai-platform.dev/project-id': PROJECT };
    await must(world.kube.patch(NAMESPACES, undefined, 'noproject', { metadata: { annotations } }));
    await world.ready('projectless', 'noproject');
  });

  test('that the operator may not use, then one that it may', async () => {
    await namespace(world, 'forbidden', { 'ai-platform.dev/project-id': 'other-project' });
    await world.secret('forbidden-key', { labels: { 'ai-tenant-namespace': 'forbidden' } });
    await world.apply('outsider', keyed('forbidden-key'), { namespace: 'forbidden' });

    const message = await refused('outsider', 'InvalidSpec', 'forbidden');
    expect(message).toContain('Project other-project is not among those the operator may use (--projects=demo-*)');

    const annotations = { 'ai-platform.dev/project-id': PROJECT };
    await must(world.kube.patch(NAMESPACES, undefined, 'forbidden', { metadata: { annotations } }));
    await world.ready('outsider', 'forbidden');
  });

  test('that does not exist: told in Google Cloud’s words', async () => {
    await namespace(world, 'typo', { 'ai-platform.dev/project-id': 'demo-projekt' });
    await world.apply('typo', keyed('good'), { namespace: 'typo' });

    expect(await refused('typo', 'PermissionDenied', 'typo')).toContain('demo-projekt');
  });
});

describe('a spec', () => {
  test('with a region that does not exist: the right one, and it is up', async () => {
    await world.apply('lost', keyed('good', { region: 'mars-central1' }));

    const message = await refused('lost', 'InvalidSpec');
    expect(message).toContain('locations/mars-central1');
    expect(message).toContain('gcloud run regions list');

    await world.edit('lost', { region: REGION });
    await world.ready('lost');
    expect(await world.service('lost')).toBeDefined();
  });

  test('with a region that does not exist on a live tenant: the old one goes on serving', async () => {
    await world.apply('mover', keyed('good'));
    const before = await world.ready('mover');

    await world.edit('mover', { region: 'mars-central1' });
    expect(await refused('mover', 'InvalidSpec')).toContain('Set spec.region to a region');

    const { url, region } = (await world.tenant('mover'))?.status ?? {};
    expect({ url, region }).toEqual({ url: before.url, region: REGION });
    await world.edit('mover', { region: REGION });
    expect((await world.ready('mover')).latestReadyRevision).toBe(before.latestReadyRevision);
  });

  test('with a quantity that Kubernetes takes and Cloud Run does not', async () => {
    await world.apply('huge', keyed('good', { resources: { memory: '1e9' } }));

    const message = await refused('huge', 'InvalidSpec');
    expect(message).toContain('resources.limits.memory');
    expect(message).toContain('If its words name a value of the spec, change that');

    await world.edit('huge', { resources: { memory: '1G' } });
    await world.ready('huge');
  });

  test('with an image that never listens: what served goes on serving until there is a better one', async () => {
    await world.apply('deaf', keyed('good', { image: 'gcr.io/acme/app:1' }));
    const before = await world.ready('deaf');
    const name = `projects/${PROJECT}/locations/${REGION}/services/ai-platform-deaf`;

    await world.edit('deaf', { image: 'gcr.io/acme/app:broken' });
    const message = await refused('deaf', 'UpdateFailed');

    expect(message).toContain('failed to start and listen on the port');
    expect(message).toContain(`${before.latestReadyRevision} goes on serving`);
    expect(message).toContain(`gcloud run services logs read ai-platform-deaf --region=${REGION}`);
    expect(world.run.route(name)).toBe(before.latestReadyRevision);
    expect((await world.tenant('deaf'))?.status).toMatchObject({ url: before.url });

    await world.edit('deaf', { image: 'gcr.io/acme/app:2' });
    const after = await world.ready('deaf');
    expect(world.run.route(name)).toBe(after.latestReadyRevision);
  });

  test('with an image that never listens from the start', async () => {
    await world.apply('stillborn', keyed('good', { image: 'gcr.io/acme/app:broken' }));

    expect(await refused('stillborn', 'UpdateFailed')).toContain('Nothing serves yet');

    await world.edit('stillborn', { image: 'gcr.io/acme/app:2' });
    await world.ready('stillborn');
  });

  test('with an invoker that IAM refuses', async () => {
    const invokers = (member: string) => ({ access: 'Authenticated', invokers: [member] });
    await world.apply('guestlist', keyed('good', invokers('user:nobody')));

    const message = await refused('guestlist', 'InvalidSpec');
    expect(message).toContain('nobody');
    expect(message).toContain('spec.invokers: Google Cloud refuses "user:nobody" as a caller');

    await world.edit('guestlist', invokers('user:jane@example.com'));
    await world.ready('guestlist');
  });
});

describe('a permission that is missing', () => {
  test.each([
    // What has a list is read from it, and alone where the list is refused.
    ['iam.serviceAccounts.get', 'reader', 'iam.serviceAccounts.list'],
    ['iam.serviceAccounts.create', 'founder'],
    ['secretmanager.secrets.get', 'finder', 'secretmanager.secrets.list'],
    ['secretmanager.secrets.getIamPolicy', 'looker'],
    ['secretmanager.secrets.setIamPolicy', 'granter'],
    ['secretmanager.versions.list', 'versioner'],
    ['run.services.get', 'watcher', 'run.services.list'],
    ['run.services.create', 'runner'],
  ])('%s: told, and once it is given the tenant goes on by itself', async (permission, name, list?: string) => {
    await world.secret(`${name}-key`);
    const allow = world.gcpCore.faults.deny({ permission });
    // What was listed a moment ago, for another test, is forgotten.
    if (list) await world.restart();
    const allowList = list ? world.gcpCore.faults.deny({ permission: list }) : undefined;
    await world.apply(name, keyed(`${name}-key`));

    const message = await refused(name, 'PermissionDenied');
    expect(message).toContain(permission);
    expect(message).toContain('The operator tries again by itself');

    allow();
    allowList?.();
    await world.ready(name);
  });

  test('on a live tenant: an edit waits for it, and what is there stays', async () => {
    await world.secret('live-key');
    await world.apply('live', keyed('live-key'));
    const before = await world.ready('live');
    const allow = world.gcpCore.faults.deny({ permission: 'run.services.update' });

    await world.edit('live', { timeoutSeconds: 60 });
    expect(await refused('live', 'PermissionDenied')).toContain('run.services.update');
    expect((await world.tenant('live'))?.status).toMatchObject({ url: before.url });

    allow();
    await world.ready('live');
    expect(await world.service('live')).toMatchObject({ template: { timeout: '60s' } });
  });
});

describe('a quota', () => {
  test('that is used up: told with where to raise it, and the next edit goes on once there is some', async () => {
    await world.secret('greedy-key');
    world.gcpCore.quotas.limits = { run: { write: 0 } };
    await world.apply('greedy', keyed('greedy-key'));

    const message = await refused('greedy', 'QuotaExceeded');
    expect(message).toContain('Quota exceeded');
    expect(message).toContain('https://console.cloud.google.com/iam-admin/quotas');

    world.gcpCore.quotas.limits = {};
    await world.edit('greedy', { timeoutSeconds: 60 });
    await world.ready('greedy');
  });

  test('that is used up for a moment: Retry-After is waited for, and no more', async () => {
    await world.secret('patient-key');
    world.gcpCore.faults.add({
      method: 'CreateService',
      error: { code: 'RESOURCE_EXHAUSTED', message: 'Quota exceeded for a moment.', retryAfterMs: 1_000 },
    });
    await world.apply('patient', keyed('patient-key'));

    await refused('patient', 'QuotaExceeded');
    await world.ready('patient');

    const [first, second] = world.gcpCore.requestLog.filter(({ method }) => method === `${RUN}.CreateService`);
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(1_000);
  });
});

describe('another owner’s service', () => {
  test('in the way: gone, the tenant goes on with the next edit', async () => {
    await world.secret('blocked-key');
    const name = `projects/${PROJECT}/locations/${REGION}/services/ai-platform-blocked`;
    await world.must(`${RUN}.CreateService`, {
      parent: `projects/${PROJECT}/locations/${REGION}`,
      serviceId: 'ai-platform-blocked',
      service: {
        labels: { 'ai-tenant-owner-cluster': 'cluster-2' },
        template: { containers: [{ image: 'gcr.io/acme/theirs' }] },
      },
    });
    await world.apply('blocked', keyed('blocked-key'));

    const message = await refused('blocked', 'ManagementConflict');
    expect(message).toContain('belongs to cluster-2/');
    expect(message).toContain('ai-platform.dev/deletion-policy=abandon');

    await world.must(`${RUN}.DeleteService`, { name });
    await until(
      async () => ((await world.service('blocked')) === undefined ? true : undefined),
      () => 'the other service to be gone',
    );
    await world.edit('blocked', { timeoutSeconds: 60 });
    await world.ready('blocked');
  });
});
