import type { JsonObject } from '../../../ports/json.ts';
import { fieldOf, isObject } from '../exchange.ts';
import { made } from './birth.ts';
import { containerOf, isServing, variablesOf } from './cloudReader.ts';
import type { Life, LifeStep } from './life.ts';
import {
  ACCESSOR,
  checkKeyPolicy,
  checkMarks,
  checkPings,
  checkQuiet,
  foreignMembers,
  idsOf,
  servingWith,
  settled,
  startPings,
} from './rules.ts';

/** An image that no registry has. */
const MISSING_IMAGE = 'gcr.io/cloudrun/acceptance-missing';

const imageFailed: LifeStep = {
  id: 'image-failed',
  text: 'It gets an image that does not exist, and the old one again',
  async run(life) {
    const { tenant } = idsOf(life);
    const before = await servingWith(life, 'the service is ready', () => true);
    const image = String(containerOf(before).image);
    startPings(life);
    await life.operator.edit(tenant, { image: MISSING_IMAGE });
    await life.until('the failure is in the status', async () =>
      /^(UpdateFailed|InvalidSpec)$/.test((await life.operator.tenant(tenant))?.reason ?? '') ? true : undefined,
    );
    const failed = await life.cloud.service(tenant, life.place.region);
    life.check(
      'the last good revision serves on',
      fieldOf(failed, 'latestReadyRevision') === before.latestReadyRevision,
      { before: before.latestReadyRevision, after: fieldOf(failed, 'latestReadyRevision') },
    );
    await life.operator.edit(tenant, { image });
    await servingWith(life, 'the good image serves', service => containerOf(service).image === image);
    await checkQuiet(life);
    await checkPings(life);
  },
};

/** Changes the service behind the operator's back, as somebody with gcloud would. */
async function spoil(life: Life, service: JsonObject): Promise<void> {
  const { tenant } = idsOf(life);
  const { template, labels, scaling } = service as { template: JsonObject; labels: JsonObject; scaling?: JsonObject };
  const { revision: _, ...rest } = template;
  const container = containerOf(service);
  const env = [...(Array.isArray(container.env) ? container.env : []), { name: 'BY_HAND', value: 'kept' }];
  const others = Array.isArray(template.containers) ? template.containers.slice(1) : [];
  const body = {
    labels: { ...labels, team: 'blue' },
    scaling: { ...scaling, maxInstanceCount: 9 },
    template: { ...rest, timeout: '17s', containers: [{ ...container, env }, ...others] },
  };
  await made(life, 'the service is changed by hand', () =>
    life.call('PATCH', `${life.cloud.url.service(tenant, life.place.region)}?updateMask=labels,scaling,template`, body),
  );
}

const drifted: LifeStep = {
  id: 'drifted',
  text: 'Somebody changes the service by hand',
  async run(life) {
    const { tenant } = idsOf(life);
    const before = await servingWith(life, 'the service is ready', () => true);
    const [timeout, most] = [fieldOf(before, 'template.timeout'), fieldOf(before, 'scaling.maxInstanceCount')];
    startPings(life);
    await spoil(life, before);
    await life.operator.checked(tenant, life.waitMs);
    const after = await servingWith(
      life,
      'the fields of the spec are put right',
      service =>
        fieldOf(service, 'template.timeout') === timeout && fieldOf(service, 'scaling.maxInstanceCount') === most,
    );
    life.check('a label that the spec never named survives', fieldOf(after, 'labels.team') === 'blue', after.labels);
    life.check(
      'a variable that the spec never named survives',
      variablesOf(after).BY_HAND === 'kept',
      variablesOf(after),
    );
    checkMarks(life, after, tenant);
    await checkQuiet(life);
    await checkPings(life);
  },
};

/** Writes the key's policy with the bindings that `keeps` lets through, and everything else of the policy as it was read. */
async function rewritePolicy(
  life: Life,
  keeps: (role: string, member: string, condition: boolean) => boolean,
): Promise<void> {
  const url = life.cloud.url.secret(idsOf(life).key);
  await made(life, 'the policy of the key is changed by hand', async () => {
    const read = await life.call('GET', `${url}:getIamPolicy?options.requestedPolicyVersion=3`);
    const policy = isObject(read.body) ? read.body : {};
    const bindings = (Array.isArray(policy.bindings) ? policy.bindings : []).filter(isObject).flatMap(binding => {
      const members = (Array.isArray(binding.members) ? binding.members : []).filter(member =>
        keeps(String(binding.role), String(member), binding.condition !== undefined),
      );
      return members.length > 0 ? [{ ...binding, members }] : [];
    });
    return life.call('POST', `${url}:setIamPolicy`, { policy: { ...policy, version: 3, bindings } });
  });
}

const grantTaken: LifeStep = {
  id: 'grant-taken',
  text: 'Somebody takes its grant off the key',
  async run(life) {
    const { tenant } = idsOf(life);
    const own = `serviceAccount:${life.cloud.email(`sa-${tenant}`)}`;
    await rewritePolicy(life, (_, member) => member !== own);
    await checkKeyPolicy(life, false);
    startPings(life);
    await life.operator.checked(tenant, life.waitMs);
    await life.until('the grant is back', async () =>
      (await life.cloud.secretMembers(idsOf(life).key)).includes(`${ACCESSOR} ${own}`) ? true : undefined,
    );
    await checkKeyPolicy(life, true);
    await checkQuiet(life);
    await checkPings(life);
  },
};

/** Sets the key's labels, as the command that the operator prints for consent does. */
async function relabel(life: Life, consents: boolean): Promise<void> {
  const { key } = idsOf(life);
  const labels = { ...life.labels, ...(consents && { 'ai-tenant-namespace': 'default' }) };
  await made(life, `the labels of secret ${key} are changed`, () =>
    life.call('PATCH', `${life.cloud.url.secret(key)}?updateMask=labels`, { labels }),
  );
}

const consentTaken: LifeStep = {
  id: 'consent-taken',
  text: 'The key withdraws its consent, and gives it again',
  async run(life) {
    const { tenant, key, other } = idsOf(life);
    const own = `${ACCESSOR} serviceAccount:${life.cloud.email(`sa-${tenant}`)}`;
    await relabel(life, false);
    await life.operator.checked(tenant, life.waitMs);
    await life.until('the grant is gone', async () =>
      (await life.cloud.secretMembers(key)).includes(own) ? undefined : true,
    );
    await checkKeyPolicy(life, false);
    life.check('the service is still there', isServing(await life.cloud.service(tenant, life.place.region)));
    await relabel(life, true);
    await life.operator.checked(tenant, life.waitMs);
    await life.until('the grant is back', async () =>
      (await life.cloud.secretMembers(key)).includes(own) ? true : undefined,
    );
    const members = await life.cloud.secretMembers(key);
    life.check(
      'the bindings of others survive both',
      foreignMembers(life, other).every(one => members.includes(one)),
      members,
    );
    await checkQuiet(life);
  },
};

const held: LifeStep = {
  id: 'held',
  text: 'Somebody disables its account, and enables it again',
  async run(life) {
    const { tenant } = idsOf(life);
    const account = life.cloud.url.account(tenant);
    await made(life, 'the account is disabled', () => life.call('POST', `${account}:disable`, {}));
    await life.until('the account is read as disabled', async () =>
      (await life.cloud.account(tenant))?.disabled === true ? true : undefined,
    );
    try {
      await checkHeld(life);
    } finally {
      await made(life, 'the account is enabled', () => life.call('POST', `${account}:enable`, {}));
    }
    await life.until('the account is read as enabled', async () =>
      (await life.cloud.account(tenant))?.disabled === true ? undefined : true,
    );
    await life.operator.checked(tenant, life.waitMs);
    await servingWith(life, 'the edit arrives', service => variablesOf(service).HELD === 'no more');
    await settled(life);
  },
};

/** Rule 8: an edit changes nothing while the account is disabled. */
async function checkHeld(life: Life): Promise<void> {
  const { tenant } = idsOf(life);
  const before = await life.cloud.service(tenant, life.place.region);
  await life.operator.edit(tenant, { env: [{ name: 'HELD', value: 'no more' }] });
  await life.until('the tenant is held', async () =>
    (await life.operator.tenant(tenant))?.reason === 'Held' ? true : undefined,
  );
  const from = life.lastExchange();
  await life.operator.checked(tenant, life.waitMs);
  const writes = life.writesSince(from).map(({ method, url }) => `${method} ${url}`);
  const after = await life.cloud.service(tenant, life.place.region);
  life.check('the operator changes nothing', writes.length === 0 && after?.generation === before?.generation, writes);
  life.check('the account stays disabled', (await life.cloud.account(tenant))?.disabled === true);
}

/** What others do to a tenant. */
export const HARM: readonly LifeStep[] = [imageFailed, drifted, grantTaken, consentTaken, held];
