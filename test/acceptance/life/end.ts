import type { Exchange } from '../exchange.ts';
import type { Life, LifeStep } from './life.ts';
import { ACCESSOR, checkKeyPolicy, idsOf } from './rules.ts';

/** The place of the first of the operator's writes that fits; -1: there is none. */
const placeOf = (writes: Exchange[], fits: (exchange: Exchange) => boolean): number => writes.findIndex(fits);

async function gone(life: Life, tenant: string, region: string): Promise<void> {
  const from = life.lastExchange();
  await life.operator.remove(tenant);
  await life.until(`AiTenant ${tenant} has lost its finalizer`, async () =>
    (await life.operator.tenant(tenant)) === undefined ? true : undefined,
  );
  life.check(`the service of ${tenant} is gone`, (await life.cloud.service(tenant, region)) === undefined);
  life.check(`the account of ${tenant} is gone`, (await life.cloud.account(tenant)) === undefined);
  const writes = life.writesSince(from).filter(({ status }) => status < 300);
  const service = placeOf(writes, one => one.method === 'DELETE' && one.url.includes('/services/'));
  const grant = placeOf(writes, one => one.url.includes('/secrets/') && one.url.endsWith(':setIamPolicy'));
  const account = placeOf(writes, one => one.method === 'DELETE' && one.url.includes('/serviceAccounts/'));
  life.check(
    'service, grant and account are removed in this order',
    service >= 0 && service < grant && grant < account,
    writes.map(({ method, url }) => `${method} ${url}`),
  );
}

export const deleted: LifeStep = {
  id: 'deleted',
  text: 'The AiTenants are deleted',
  async run(life) {
    const { tenant, adopted, key, adoptedKey } = idsOf(life);
    await gone(life, tenant, life.place.region);
    await checkKeyPolicy(life, false);
    if (await life.operator.tenant(adopted)) {
      await gone(life, adopted, life.region);
      const members = await life.cloud.secretMembers(adoptedKey);
      life.check(
        'the grant of the adopted tenant is gone',
        !members.some(one => one.startsWith(`${ACCESSOR} serviceAccount:sa-`)),
        members,
      );
    }
    life.check('the secret is still there, with its labels', (await life.cloud.secret(key)) !== undefined);
    const all = life.writesSince(0);
    const touched = all.filter(({ url }) => url.includes('/secrets') && !url.endsWith(':setIamPolicy'));
    life.check(
      'the operator made, changed and deleted no secret',
      touched.length === 0,
      touched.map(({ method, url }) => `${method} ${url}`),
    );
  },
};
