import { afterEach, describe, expect, test } from 'vitest';
import type { Settings } from '../../operator/tenant/types.ts';
import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, IAM, NUMBER, PROJECT, SECRETS, spec, until, type World } from './support/world.ts';

/** Consent that was taken back is obeyed at every moment, whatever the tenant's owner has set (rule 3). */

const SECRET = `projects/${PROJECT}/secrets/tenant-a-openai-key`;
const MEMBER = `serviceAccount:sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`;

let world: World;
afterEach(() => world.close());

async function open(settings: Partial<Settings> = {}, operatorGcp?: (core: GcpCall) => GcpCall): Promise<void> {
  world = await createWorld({ settings, operatorGcp });
  await world.secret('tenant-a-openai-key');
}
const withdraw = () =>
  world.must(`${SECRETS}.UpdateSecret`, { secret: { name: SECRET, labels: {} }, updateMask: 'labels' });
const revoked = () =>
  until(
    async () => ((await world.secretMembers('tenant-a-openai-key')).includes(MEMBER) ? undefined : true),
    () => `the grant to be removed\n${world.logs.slice(-15).join('\n')}`,
  );

describe('a secret is read again right after the grant', () => {
  /** What happens to the operator's calls around the grant. */
  const around = (hooks: { before?: () => Promise<unknown>; reread?: () => boolean }) => {
    let granted = false;
    return (core: GcpCall): GcpCall =>
      async (method, request, options) => {
        const isGrant =
          method === `${SECRETS}.SetIamPolicy` && JSON.stringify(request.policy as JsonObject).includes(MEMBER);
        if (isGrant && !granted) await hooks.before?.();
        if (granted && /\.(Get|List)Secrets?$/.test(method) && hooks.reread?.()) {
          return { ok: false, status: { code: 'UNAVAILABLE', message: 'no answer' } };
        }
        if (isGrant) granted = true;
        return core(method, request, options);
      };
  };

  test('and the grant is taken back where the label went between the check and the grant: nothing is made with it', async () => {
    await open({}, around({ before: withdraw }));
    world.forget();
    await world.apply('tenant-a', spec());
    await world.reason('tenant-a', 'SecretNotAllowed');
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([]);
    expect(world.writes().map(line => line.replace(` projects/${NUMBER}/`, ` projects/${PROJECT}/`))).toEqual([
      expect.stringMatching(/^CreateServiceAccount /),
      `UpdateSecret ${SECRET}`,
      `SetIamPolicy ${SECRET}`,
      `SetIamPolicy ${SECRET}`,
    ]);
    const status = (await world.tenant('tenant-a'))?.status;
    expect(status?.keys).toMatchObject([{ name: 'openai', granted: false }]);
    const events = await world.events('tenant-a');
    for (const change of ['Granted', 'Revoked'])
      expect(events.join('\n')).toContain(`${change} secret tenant-a-openai-key: `);
  });

  test('also after a grant whose answer was lost', async () => {
    let lost = false;
    const losing =
      (core: GcpCall): GcpCall =>
      async (method, request, options) => {
        const isGrant = method === `${SECRETS}.SetIamPolicy` && JSON.stringify(request).includes(MEMBER);
        if (!isGrant || lost) return core(method, request, options);
        lost = true;
        await withdraw();
        await core(method, request, options);
        return { ok: false, status: { code: 'DEADLINE_EXCEEDED', message: 'no answer; it may have taken effect' } };
      };
    await open({}, losing);
    world.forget();
    await world.apply('tenant-a', spec());
    await world.reason('tenant-a', 'SecretNotAllowed');
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([]);
    expect(world.writes().join('\n')).not.toContain('CreateService ');
  });

  test('and nothing else is done before that read has succeeded; the grant stays meanwhile', async () => {
    let refusals = 0;
    await open({}, around({ reread: () => ++refusals <= 3 }));
    world.forget();
    await world.apply('tenant-a', spec());
    await until(
      async () => (refusals >= 2 ? true : undefined),
      () => 'the read after the grant to be repeated',
    );
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([MEMBER]);
    await world.ready('tenant-a');
    const calls = world.gcpCore.requestLog.map(({ method }) => method.split('.').at(-1) ?? '');
    const [grant, create] = [calls.indexOf('SetIamPolicy'), calls.indexOf('CreateService')];
    expect(calls.slice(grant, create).some(call => /^(Get|List)Secrets?$/.test(call))).toBe(true);
    expect(refusals).toBeGreaterThan(3);
  });
});

describe('a list of secrets that is not true decides nothing', () => {
  /** ListSecrets answers with these labels on every secret, whatever they have. */
  const listing =
    (labels: () => JsonObject | undefined) =>
    (core: GcpCall): GcpCall =>
    async (method, request, options) => {
      const result = await core(method, request, options);
      const shown = labels();
      if (method !== `${SECRETS}.ListSecrets` || !result.ok || !shown) return result;
      const secrets = ((result.response.secrets ?? []) as JsonObject[]).map(secret => ({ ...secret, labels: shown }));
      return { ok: true, response: { ...result.response, secrets } };
    };

  test('one that shows a consent that was taken back leads to no grant', async () => {
    await open(
      {},
      listing(() => ({ 'ai-tenant-namespace': 'default' })),
    );
    await withdraw();
    world.forget();
    await world.apply('tenant-a', spec());
    await world.reason('tenant-a', 'SecretNotAllowed');
    expect(world.writes().join('\n')).not.toContain('SetIamPolicy');
  });

  test('one that lacks the labels takes no grant away', async () => {
    let shown: JsonObject | undefined;
    await open(
      {},
      listing(() => shown),
    );
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    shown = {};
    world.forget();
    await world.check('tenant-a');
    await world.check('tenant-a');
    expect(world.writes()).toEqual([]);
    expect(await world.secretMembers('tenant-a-openai-key')).toEqual([MEMBER]);
  });
});

describe('a grant whose secret has lost its consent goes, although the tenant', () => {
  const bystanders: [string, () => Promise<unknown>][] = [
    [
      'is suspended',
      async () => {
        await world.edit('tenant-a', { suspend: true });
        await world.reason('tenant-a', 'Suspended');
      },
    ],
    [
      'is Held',
      async () => {
        await world.must(`${IAM}.DisableServiceAccount`, {
          name: `projects/${PROJECT}/serviceAccounts/sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`,
        });
        await world.check('tenant-a');
        await world.reason('tenant-a', 'Held');
      },
    ],
    [
      'is checked only on change',
      () => world.annotate('tenant-a', { 'ai-platform.dev/reconcile-interval-in-seconds': '0' }),
    ],
    [
      'names no project any more',
      async () => {
        await world.restart({ project: undefined });
        await world.annotate('tenant-a', { 'ai-platform.dev/reconcile-requested-at': 'now' });
        await world.reason('tenant-a', 'InvalidSpec');
      },
    ],
  ];

  test.each(bystanders)('%s', async (_why, act) => {
    await open({ syncIntervalMs: 1_000 });
    await world.apply('tenant-a', spec());
    await world.ready('tenant-a');
    await act();
    const before = await world.service('tenant-a');
    await withdraw();
    await revoked();
    const after = await world.service('tenant-a');
    expect(after?.template).toEqual(before?.template);
    expect(after?.invokerIamDisabled).toBe(true);
    await until(
      async () => ((await world.tenant('tenant-a'))?.status?.keys[0]?.granted === false ? true : undefined),
      () => 'the status to say that the key is not granted',
    );
  });
});

test('what an abandoned tenant may still read is told in an event, with the command that ends it', async () => {
  await open();
  await world.apply('tenant-a', spec(), { annotations: { 'ai-platform.dev/deletion-policy': 'abandon' } });
  await world.ready('tenant-a');
  await world.remove('tenant-a');
  await world.gone('tenant-a');
  expect(await world.secretMembers('tenant-a-openai-key')).toEqual([MEMBER]);
  const told = await until(
    async () => (await world.events('tenant-a')).find(event => event.includes('GrantAbandoned')),
    () => 'the event',
  );
  const command = told.slice(told.indexOf('gcloud '));
  expect(command).toBe(
    `gcloud secrets remove-iam-policy-binding tenant-a-openai-key --project=${NUMBER} --member=${MEMBER} ` +
      '--role=roles/secretmanager.secretAccessor',
  );
});
