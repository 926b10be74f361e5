import type { JsonObject } from '../../../ports/json.ts';
import { API } from '../addresses.ts';
import { answerIn, type Exchange, fieldOf, succeeded } from '../exchange.ts';
import { containerOf, variablesOf } from './cloudReader.ts';
import { type Life, type LifeStep, StepFailed } from './life.ts';
import {
  ACCESSOR,
  checkKeyPolicy,
  checkMarks,
  checkPings,
  checkQuiet,
  checkTraffic,
  foreignMembers,
  idsOf,
  servingWith,
  startPings,
} from './rules.ts';

const spec = ({ region }: Life, key: string): JsonObject => ({
  region,
  keys: [{ name: 'openai', secretRef: { external: key }, env: 'OPENAI_API_KEY' }],
  scaling: { minInstances: 0, maxInstances: 10 },
});

/** Makes a raw call, again while a fresh account may not be visible yet. Throws `StepFailed` with the last answer. */
export async function made(life: Life, what: string, ask: () => Promise<Exchange>): Promise<Exchange> {
  let last: Exchange | undefined;
  try {
    return await life.until(what, async () => {
      last = await ask();
      return succeeded(last) ? last : undefined;
    });
  } catch (error) {
    throw new StepFailed(last ? `${what}: ${answerIn(last)}` : String(error));
  }
}

/** Makes a secret with one version that the namespace may use. */
export async function makeSecret(life: Life, id: string, value: string): Promise<void> {
  const { call, project, labels } = life;
  const secret = { replication: { automatic: {} }, labels: { ...labels, 'ai-tenant-namespace': 'default' } };
  const created = await call('POST', `${API.secretmanager}/v1/projects/${project}/secrets?secretId=${id}`, secret);
  if (!succeeded(created)) throw new StepFailed(`secret ${id} cannot be made: ${answerIn(created)}`);
  await addVersion(life, id, value);
}

async function addVersion(life: Life, id: string, value: string): Promise<void> {
  const payload = { data: Buffer.from(value).toString('base64') };
  await made(life, `a version of secret ${id}`, () =>
    life.call('POST', `${life.cloud.url.secret(id)}:addVersion`, { payload }),
  );
}

export async function makeAccount(life: Life, accountId: string, description: string): Promise<void> {
  const created = await life.call('POST', `${API.iam}/v1/projects/${life.project}/serviceAccounts`, {
    accountId,
    serviceAccount: { displayName: 'Acceptance', description },
  });
  if (!succeeded(created)) throw new StepFailed(`account ${accountId} cannot be made: ${answerIn(created)}`);
}

/** Gives somebody else bindings on the key's policy: one plain, one with a condition. */
async function bindOthers(life: Life): Promise<void> {
  const { other, key } = idsOf(life);
  const member = foreignMembers(life, other)[0]?.split(' ')[1] ?? '';
  const condition = { title: 'acceptance', expression: 'request.time < timestamp("2100-01-01T00:00:00Z")' };
  const policy = {
    version: 3,
    bindings: [
      { role: 'roles/secretmanager.viewer', members: [member] },
      { role: ACCESSOR, members: [member], condition },
    ],
  };
  await made(life, `bindings of others on secret ${key}`, () =>
    life.call('POST', `${life.cloud.url.secret(key)}:setIamPolicy`, { policy }),
  );
}

const created: LifeStep = {
  id: 'created',
  text: 'An AiTenant is applied',
  isBase: true,
  async run(life) {
    const { tenant, key, other } = idsOf(life);
    await makeAccount(life, other, life.description);
    await makeSecret(life, key, 'acceptance-1');
    await bindOthers(life);
    await life.operator.apply(tenant, spec(life, key));
    const service = await servingWith(life, 'the service is ready', () => true);
    const account = await life.cloud.account(tenant);
    life.check(
      'the account has the owner mark in its description',
      new RegExp(`ai-tenant-owner=[^ ]+/default/${tenant}( |$)`).test(String(account?.description)),
      account,
    );
    await checkKeyPolicy(life, true);
    checkMarks(life, service, tenant);
    checkTraffic(life, service);
    life.check(
      "the service runs as the tenant's account",
      fieldOf(service, 'template.serviceAccount') === life.cloud.email(`sa-${tenant}`),
      fieldOf(service, 'template.serviceAccount'),
    );
    life.check(
      'the key is pinned to its version',
      variablesOf(service).OPENAI_API_KEY === `${key}:1`,
      variablesOf(service),
    );
    life.check(
      'anyone may call it (access is Public)',
      service.invokerIamDisabled === true,
      service.invokerIamDisabled,
    );
    const limits = containerOf(service).resources;
    life.check(
      'it has 1 CPU and 1Gi, as the spec defaults',
      /^(1|1000m)$/.test(String(fieldOf(limits, 'limits.cpu'))) && fieldOf(limits, 'limits.memory') === '1Gi',
      limits,
    );
    await checkQuiet(life);
  },
};

const called: LifeStep = {
  id: 'called',
  text: 'It is called over HTTP',
  async run(life) {
    const { tenant } = idsOf(life);
    const service = await life.cloud.service(tenant, life.place.region);
    const url = String(service?.uri ?? '');
    const first = await life.pinger.once(url);
    if (first.status === 0) life.skip(`${url} cannot be reached from here: ${first.why}`);
    await life.until('the tenant answers 200', async () =>
      (await life.pinger.once(url)).status === 200 ? true : undefined,
    );
    life.check('the tenant answers 200', true);
    life.place.url = url;
  },
};

const rotated: LifeStep = {
  id: 'rotated',
  text: 'Its key gets a new version',
  async run(life) {
    const { tenant, key } = idsOf(life);
    startPings(life);
    const before = await life.cloud.revisions(tenant, life.place.region);
    await addVersion(life, key, 'acceptance-2');
    await life.operator.checked(tenant, life.waitMs);
    const service = await servingWith(
      life,
      'the service uses version 2',
      one => variablesOf(one).OPENAI_API_KEY === `${key}:2`,
    );
    const after = await life.cloud.revisions(tenant, life.place.region);
    life.check('the new version made exactly one revision', after.length === before.length + 1, { before, after });
    checkTraffic(life, service);
    await checkKeyPolicy(life, true);
    await checkQuiet(life);
    await checkPings(life);
  },
};

/** The steps from nothing to a tenant that has had its first new key. */
export const BIRTH: readonly LifeStep[] = [created, called, rotated];
