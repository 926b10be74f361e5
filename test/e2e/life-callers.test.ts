import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { GcpCall, GcpResult } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { createWorld, IAM, PROJECT, REGION, RUN, spec, until, type World } from './support/world.ts';

/** Callers that Google Cloud refuses: they keep nobody in, nobody out, and are named. */

const SERVICE = `projects/${PROJECT}/locations/${REGION}/services/ai-platform-tenant-a`;
const TYPO = 'serviceAccount:caler@demo-project.iam.gserviceaccount.com';
const account = (id: string) => `serviceAccount:${id}@${PROJECT}.iam.gserviceaccount.com`;

let world: World;
let instead: (method: string, request: JsonObject) => GcpResult | undefined;
beforeEach(async () => {
  instead = () => undefined;
  const operatorGcp =
    (core: GcpCall): GcpCall =>
    async (method, request, options) =>
      instead(method, request) ?? core(method, request, options);
  world = await createWorld({ operatorGcp });
  await world.secret('tenant-a-openai-key');
  for (const accountId of ['caller-one', 'caller-two'])
    await world.must(`${IAM}.CreateServiceAccount`, { name: `projects/${PROJECT}`, accountId, serviceAccount: {} });
});
afterEach(() => world.close());

async function callers(): Promise<string[]> {
  const { bindings = [] } = await world.must(`${RUN}.GetIamPolicy`, { resource: SERVICE });
  return (bindings as { members: string[] }[]).flatMap(({ members }) => members);
}

async function told(words: string): Promise<string> {
  return until(
    async () => {
      const ready = (await world.tenant('tenant-a'))?.status?.conditions.find(({ type }) => type === 'Ready');
      return ready?.message.includes(words) ? `${ready.reason}: ${ready.message}` : undefined;
    },
    () => `a message with ${words}`,
  );
}

test('a public service is closed although one of its new callers is mistyped; the good one comes in', async () => {
  await world.apply('tenant-a', spec());
  await world.ready('tenant-a');
  await world.edit('tenant-a', { access: 'Authenticated', invokers: [TYPO, account('caller-one')] });
  await told(TYPO);
  expect((await world.service('tenant-a'))?.invokerIamDisabled).toBeUndefined();
  expect(await callers()).toEqual([account('caller-one')]);
  // For three minutes it may be an account that is too new to be known everywhere.
  world.later(180_000);
  await world.annotate('tenant-a', { 'ai-platform.dev/reconcile-requested-at': 'again' });
  expect(await told('take it out')).toMatch(/^InvalidSpec: .*caler.* does not exist/);
  await world.edit('tenant-a', { invokers: [account('caller-one')] });
  await world.ready('tenant-a');
});

describe('with two callers', () => {
  beforeEach(async () => {
    const invokers = [account('caller-one'), account('caller-two')];
    await world.apply('tenant-a', spec({ access: 'Authenticated', invokers }));
    await world.ready('tenant-a');
  });

  test('one leaves although the other’s account was deleted by its owner', async () => {
    const name = `projects/${PROJECT}/serviceAccounts/caller-one@${PROJECT}.iam.gserviceaccount.com`;
    await world.must(`${IAM}.DeleteServiceAccount`, { name });
    await world.edit('tenant-a', { invokers: [account('caller-one')] });
    await told('caller-one');
    expect((await callers()).filter(member => !member.startsWith('deleted:'))).toEqual([]);
  });

  test('an organization that allows none of the new ones: its words are told, and nobody is asked for permissions', async () => {
    const words = 'One or more users named in the policy do not belong to a permitted customer.';
    instead = (method, request) =>
      method.endsWith('Services.SetIamPolicy') && JSON.stringify(request).includes('@elsewhere.example')
        ? { ok: false, status: { code: 'FAILED_PRECONDITION', message: words } }
        : undefined;
    await world.edit('tenant-a', {
      invokers: [account('caller-one'), 'user:a@elsewhere.example', 'user:b@elsewhere.example'],
    });
    const message = await told('b@elsewhere.example');
    expect(message).toMatch(/^InvalidSpec: /);
    expect(message).toContain('"user:a@elsewhere.example"');
    expect(message).toContain(words);
    expect(message).not.toMatch(/missing permission/);
    expect(await callers()).toEqual([account('caller-one')]);

    // Once the organization allows them they come in by themselves, at the interval.
    instead = () => undefined;
    world.later(600_000);
    await world.check('tenant-a');
    await world.ready('tenant-a');
    expect(await callers()).toEqual([account('caller-one'), 'user:a@elsewhere.example', 'user:b@elsewhere.example']);
  });
});
