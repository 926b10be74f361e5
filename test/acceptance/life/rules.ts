import type { JsonObject } from '../../../ports/json.ts';
import { fieldOf } from '../exchange.ts';
import { isServing } from './cloudReader.ts';
import { type Life, StepFailed } from './life.ts';

/** What several steps do and check. */

export const ACCESSOR = 'roles/secretmanager.secretAccessor';

/** The ids of what the steps share. */
export const idsOf = ({ name }: Pick<Life, 'name'>) => ({
  /** The tenant that the operator makes. */
  tenant: name('a'),
  /** The tenant that is adopted. */
  adopted: name('b'),
  key: name('key'),
  adoptedKey: name('key-b'),
  /** An account that stands for somebody else: its bindings must survive everything. */
  other: name('other'),
});

/** The bindings of somebody else on the key's policy, as `membersIn` shows them. */
export const foreignMembers = ({ cloud }: Life, other: string): string[] => {
  const member = `serviceAccount:${cloud.email(other)}`;
  return [`roles/secretmanager.viewer ${member}`, `${ACCESSOR} ${member} if acceptance`];
};

/** Rule 1: on the key's policy stand the foreign bindings, and the tenant's own member if it may read the key. */
export async function checkKeyPolicy(life: Life, isGranted: boolean): Promise<void> {
  const { tenant, key, other } = idsOf(life);
  const own = `${ACCESSOR} serviceAccount:${life.cloud.email(`sa-${tenant}`)}`;
  const members = (await life.cloud.secretMembers(key)).sort();
  const expected = [...foreignMembers(life, other), ...(isGranted ? [own] : [])].sort();
  life.check(
    `the policy of secret ${key} has the bindings of others unchanged and ${isGranted ? "the tenant's member" : 'no member of the tenant'}`,
    JSON.stringify(members) === JSON.stringify(expected),
    members,
  );
}

/** Waits until the tenant's service is ready on Google Cloud and `fits`, and answers with it. */
export function servingWith(life: Life, what: string, fits: (service: JsonObject) => boolean): Promise<JsonObject> {
  const { tenant } = idsOf(life);
  return life.until(what, async () => {
    const service = await life.cloud.service(tenant, life.place.region);
    return service && isServing(service) && fits(service) ? service : undefined;
  });
}

/** Waits until the operator has finished with the tenant: a full check was made that wrote nothing. */
export async function settled(life: Life, tenant = idsOf(life).tenant): Promise<void> {
  await life.until(`the operator has nothing left to do for ${tenant}`, async () => {
    const from = life.lastExchange();
    if (!(await life.operator.checked(tenant, life.waitMs))) {
      const { reason, message } = (await life.operator.tenant(tenant)) ?? { reason: 'gone', message: '' };
      throw new StepFailed(`the check was not answered; the status says ${reason}: ${message}`);
    }
    return life.writesSince(from).length === 0 && (await life.operator.tenant(tenant))?.reason === 'UpToDate'
      ? true
      : undefined;
  });
}

/** Rule 7: when Google Cloud matches, a full check writes nothing. */
export async function checkQuiet(life: Life, tenant = idsOf(life).tenant): Promise<void> {
  await settled(life, tenant);
  const from = life.lastExchange();
  if (!(await life.operator.checked(tenant, life.waitMs)))
    throw new StepFailed(`A full check of ${tenant} was not answered within ${life.waitMs / 1000} s`);
  const writes = life.writesSince(from).map(({ method, url }) => `${method} ${url}`);
  life.check('a full check of a tenant that is up to date writes nothing', writes.length === 0, writes);
}

/** Rule 2: the service carries the owner marks of its AiTenant. */
export function checkMarks(life: Life, service: JsonObject, tenant: string): void {
  const { labels } = service;
  const isMarked =
    fieldOf(labels, 'ai-tenant-owner-name') === tenant &&
    fieldOf(labels, 'ai-tenant-owner-namespace') === 'default' &&
    typeof fieldOf(labels, 'ai-tenant-owner-cluster') === 'string';
  life.check('the service carries the three owner labels', isMarked, labels);
}

/** All traffic goes to the newest revision. */
export function checkTraffic(life: Life, service: JsonObject): void {
  const statuses = service.trafficStatuses;
  const [first, ...others] = Array.isArray(statuses) ? statuses : [];
  const holds =
    others.length === 0 &&
    fieldOf(first, 'percent') === 100 &&
    fieldOf(first, 'type') === 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST';
  life.check('100 % of the traffic goes to the newest ready revision', holds, statuses);
}

/** From now on the tenant is called all the time, if it can be reached from here. */
export function startPings({ pinger, place }: Life): void {
  if (place.url !== undefined) pinger.start(place.url);
}

/** Rule 6: nobody who called the tenant meanwhile got an error twice. */
export async function checkPings(life: Life): Promise<void> {
  const { calls, failures } = await life.pinger.stop();
  if (calls > 0) life.check(`the tenant answered all the time (${calls} calls)`, failures.length === 0, failures);
}
