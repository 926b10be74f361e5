import { type Exchange, fieldIn, succeeded } from '../exchange.ts';
import type { Fact, FactContext, Verdict } from '../fact.ts';
import { accountOf, accountsOf, secretOf, serviceOf, servicesOf } from './addresses.ts';
import { askForAccount, must, onceVisible, serviceBody } from './made.ts';
import { confirmed, fieldFits, isRefusal, judge, notObservable, refuted } from './verdicts.ts';

/** Quotas. Their probes use up what others of the project may need, so that they run only with `--expensive`. */

const section = 'Quotas';

const AT_ONCE = 50;
const MINUTE_MS = 60_000;

const isExhausted = (exchange: Exchange): boolean => exchange.status === 429;

interface Exhausted {
  /** The number of calls that were not refused for the quota before the first one was. */
  taken: number;
  refused?: Exchange;
  /** The seconds from the first answer to the last one. NaN if the answers have no time. */
  seconds: number;
}

/** Makes calls until one is refused for the quota, or until `most` were taken. */
async function exhaust(call: () => Promise<Exchange>, most: number): Promise<Exhausted> {
  const all: Exchange[] = [];
  const isTaken = (answer: Exchange) => answer.status !== 0 && !isExhausted(answer);
  let refused: Exchange | undefined;
  while (!refused && all.length < most) {
    const answers = await Promise.all(Array.from({ length: Math.min(AT_ONCE, most - all.length) }, call));
    all.push(...answers);
    refused = answers.find(isExhausted);
  }
  const times = all.map(({ when }) => Date.parse(when));
  const seconds = (Math.max(...times) - Math.min(...times)) / 1000;
  return { taken: all.filter(isTaken).length, ...(refused && { refused }), seconds };
}

/**
 * Waits for a new minute, so that earlier calls do not count, and makes up to twice as many calls as the quota has: a minute may end while
 * they are made. Fewer than the quota are taken where others use it at the same time, so the fact is refuted only by fewer than half.
 */
async function perMinute(context: FactContext, call: () => Promise<Exchange>, quota: number): Promise<Verdict> {
  await context.until(async () => undefined, MINUTE_MS + 1000);
  const { taken, refused, seconds } = await exhaust(call, 2 * quota + 1);
  await context.until(async () => undefined, MINUTE_MS + 1000);
  if (!refused && seconds * 1000 > MINUTE_MS)
    return notObservable(`${taken} calls took ${Math.round(seconds)} s, too long for a quota of a minute`);
  if (!refused) return refuted(`${taken} calls in a row were taken`);
  if (taken < quota / 2) return refuted(`after ${taken} calls the next one was refused`);
  return judge(isRefusal(refused, { status: 429, code: 'RESOURCE_EXHAUSTED' }), { ...refused, status: 400 });
}

const cost = (calls: number, what: string): string =>
  `uses up a minute's quota of ${calls} ${what}, so that the project's other callers are refused for a minute`;

function quota(
  id: string,
  text: string,
  calls: number,
  what: string,
  call: (context: FactContext) => Promise<Exchange>,
  unsure = false,
): Fact {
  const source = unsure
    ? '?'
    : 'D: https://cloud.google.com/secret-manager/quotas, https://cloud.google.com/iam/quotas';
  return {
    id,
    text,
    source,
    unsure,
    section,
    expensive: cost(calls, what),
    probe: context => perMinute(context, () => call(context), calls),
  };
}

export const quotas: Fact[] = [
  quota('quota-secret-reads', 'Secret Manager: 600 reads a project and minute.', 600, 'reads', context =>
    context.call('GET', secretOf(context, context.name('secret', 'never-made'))),
  ),
  quota('quota-secret-writes', 'Secret Manager: 600 writes a project and minute.', 600, 'writes', context =>
    context.call('DELETE', secretOf(context, context.name('secret', 'never-made'))),
  ),
  {
    id: 'quota-secret-accesses',
    text: 'Secret Manager: 90,000 accesses a project and minute.',
    source: 'D: https://cloud.google.com/secret-manager/quotas',
    unsure: false,
    section,
    probe: async () => notObservable('one client cannot make 90,000 calls in a minute'),
  },
  quota('quota-iam-reads', 'IAM v1: 6,000 reads a project and minute.', 6000, 'reads', context =>
    context.call('GET', accountOf(context, context.name('account', 'never-made'))),
  ),
  quota('quota-iam-writes', 'IAM v1: 600 writes a project and minute.', 600, 'writes', context =>
    context.call('DELETE', accountOf(context, context.name('account', 'never-made'))),
  ),
  quota('quota-deny-reads', 'Deny policies: 5 reads a project and minute.', 5, 'reads of deny policies', context =>
    context.call(
      'GET',
      `https://iam.googleapis.com/v2/policies/cloudresourcemanager.googleapis.com%2Fprojects%2F${context.project}/denypolicies`,
    ),
  ),
  {
    id: 'quota-deny-writes',
    text: 'Deny policies: 5 writes a project and minute.',
    source: 'D: https://cloud.google.com/iam/quotas',
    unsure: false,
    section,
    probe: async () => notObservable('a run writes no deny policy, because it would be one of the project'),
  },
  quota(
    'quota-run-writes',
    'Cloud Run: about 180 writes a region and minute.',
    180,
    'writes in one region',
    context => context.call('DELETE', serviceOf(context, context.name('service', 'never-made'))),
    true,
  ),
  {
    id: 'quota-accounts',
    text: 'A project has at most 100 service accounts unless its quota was raised; one more: 429 RESOURCE_EXHAUSTED.',
    source: 'D: https://cloud.google.com/iam/quotas',
    unsure: false,
    section,
    expensive: 'makes accounts until the project has 100, and keeps everybody else from making one meanwhile',
    probe: async context => {
      const { refused, count } = await fullOfAccounts(context);
      if (!refused) return refuted('more than 100 accounts could be made');
      if (!isRefusal(refused, { status: 429, code: 'RESOURCE_EXHAUSTED' })) return judge(false, refused);
      return count <= 101 ? confirmed : notObservable(`the quota of the project was raised: it has ${count} accounts`);
    },
  },
  {
    id: 'account-list-longest-page',
    text: 'A page of the list of accounts has at most 100 accounts.',
    source: 'P: google/iam/admin/v1/iam.proto',
    unsure: false,
    section,
    expensive: 'needs a project with more than 100 accounts, and makes them',
    probe: async context => {
      await fullOfAccounts(context);
      const page = await context.call('GET', `${accountsOf(context)}?pageSize=1000`);
      const next = fieldIn(page, 'nextPageToken');
      const listed = fieldIn(page, 'accounts');
      const count = Array.isArray(listed) ? listed.length : 0;
      if (count < 100) return notObservable(`the project has only ${count} accounts`);
      if (count === 100 && next === undefined) return notObservable('the project has only 100 accounts');
      return fieldFits(page, 'accounts', list => Array.isArray(list) && list.length === 100);
    },
  },
  {
    id: 'quota-services',
    text: 'Cloud Run has at most 1,000 services a project and region; one more is refused with 429 RESOURCE_EXHAUSTED.',
    source: 'D: https://cloud.google.com/run/quotas',
    unsure: false,
    section,
    expensive: 'makes up to 1,000 services, which takes ten minutes and keeps everybody else from making one meanwhile',
    probe: async context => {
      const body = await serviceBody(context);
      let refused: Exchange | undefined;
      let count = await countOfServices(context);
      for (let at = 0; count < 1001 && !refused; at++) {
        const url = `${servicesOf(context)}?serviceId=${context.name('service', `many-${at}`)}`;
        const made = await within(context, () => onceVisible(context, () => context.call('POST', url, body)));
        if (succeeded(made)) count++;
        else refused = made;
      }
      if (!refused) return refuted(`${count} services could be made`);
      const isFull = isRefusal(refused, { status: 429, code: 'RESOURCE_EXHAUSTED' });
      if (!isFull) return judge(false, refused);
      return count >= 1000 ? confirmed : refuted(`${count} services are the most`);
    },
  },
];

/** Makes a write again while the quota of writes, not that of services, refuses it. */
async function within(context: FactContext, call: () => Promise<Exchange>): Promise<Exchange> {
  let answer = await call();
  const isPaced = () => isExhausted(answer) && /per minute/.test(String(fieldIn(answer, 'error.message')));
  if (!isPaced()) return answer;
  await context.until(async () => {
    answer = await call();
    return isPaced() ? undefined : true;
  }, 3 * MINUTE_MS);
  return answer;
}

async function countOfServices(context: FactContext): Promise<number> {
  let count = 0;
  let token = '';
  do {
    const page = must(
      await context.call('GET', `${servicesOf(context)}?pageSize=1000&pageToken=${encodeURIComponent(token)}`),
    );
    const listed = fieldIn(page, 'services');
    count += Array.isArray(listed) ? listed.length : 0;
    token = String(fieldIn(page, 'nextPageToken') ?? '');
  } while (token !== '');
  return count;
}

/** Makes accounts until one is refused. */
const fullOfAccounts = (context: FactContext): Promise<{ refused?: Exchange; count: number }> =>
  context.shared('full of accounts', async () => {
    let refused: Exchange | undefined;
    for (let at = 0; at < 101 && !refused; at++) {
      const made = await within(context, () => askForAccount(context, context.name('account', `many-${at}`)));
      if (!succeeded(made)) refused = made;
    }
    let count = 0;
    let token = '';
    do {
      const page = must(await context.call('GET', `${accountsOf(context)}?pageSize=100&pageToken=${token}`));
      const listed = fieldIn(page, 'accounts');
      count += Array.isArray(listed) ? listed.length : 0;
      token = String(fieldIn(page, 'nextPageToken') ?? '');
    } while (token !== '');
    return { ...(refused && { refused }), count };
  });
