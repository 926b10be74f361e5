import type { Json, JsonObject } from '../../ports/json.ts';
import { API } from './addresses.ts';
import { answerIn, type Call, type Exchange, fieldOf, isObject, objectIn, succeeded, textOf } from './exchange.ts';
import type { NamedKind } from './fact.ts';
import { EXPIRES, expiryIn } from './names.ts';

/** One account, secret or service of the project. */
export interface Item {
  kind: NamedKind;
  id: string;
  /** Of a service. */
  region?: string;
  /** When a clean-up may remove it, if a run made it; seconds since the epoch. */
  expires?: number;
  /** What a change of it would change, as text. */
  state: string;
}

export interface ProjectList {
  items: Item[];
  /** The lists that could not be read. */
  problems: ListProblem[];
}

interface ListProblem {
  kind: NamedKind;
  region?: string;
  /** What could not be listed, and the answer. */
  text: string;
  /** Another try may succeed. */
  again: boolean;
}

/** Most pages of one list. A server that answers with a token for ever would otherwise never end. */
const MOST_PAGES = 1_000;

/** Everything of these kinds in the project. Services are listed in the regions that are given. */
export async function listProject(call: Call, project: string, regions: readonly string[]): Promise<ProjectList> {
  const parts = await Promise.all([
    listed(call, { kind: 'account', url: `${API.iam}/v1/projects/${project}/serviceAccounts?pageSize=100` }),
    listed(call, { kind: 'secret', url: `${API.secretmanager}/v1/projects/${project}/secrets?pageSize=25000` }),
    ...regions.map(region => {
      const url = `${API.run}/v2/projects/${project}/locations/${region}/services?pageSize=100`;
      return listed(call, { kind: 'service', url, region });
    }),
  ]);
  return { items: parts.flatMap(({ items }) => items), problems: parts.flatMap(({ problems }) => problems) };
}

/** The field of an answer that has the items. */
const FIELDS: Record<NamedKind, string> = { account: 'accounts', secret: 'secrets', service: 'services' };

async function listed(call: Call, of: { kind: NamedKind; url: string; region?: string }): Promise<ProjectList> {
  const { kind, url, region } = of;
  const named = `${FIELDS[kind]}${region === undefined ? '' : ` in ${region}`}`;
  const items: Item[] = [];
  let token = '';
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await call(
      'GET',
      token === '' ? url : `${url}&pageToken=${encodeURIComponent(token.toWellFormed())}`,
    );
    if (!succeeded(answer)) {
      const text = `the ${named} cannot be listed: ${answerIn(answer)}`;
      return { items, problems: [{ kind, region, text, again: mayPass(answer) }] };
    }
    const { nextPageToken, ...body } = objectIn(answer);
    const found = body[FIELDS[kind]];
    items.push(...(Array.isArray(found) ? found : []).filter(isObject).map(item => itemOf(kind, item, region)));
    if (typeof nextPageToken !== 'string' || nextPageToken === '') return { items, problems: [] };
    token = nextPageToken;
  }
  return { items, problems: [{ kind, region, text: `the list of ${named} does not end`, again: false }] };
}

/** No answer, a quota, or an outage. */
const mayPass = ({ status }: Exchange): boolean => status === 0 || status === 429 || (status >= 500 && status !== 501);

function itemOf(kind: NamedKind, value: JsonObject, region = ''): Item {
  if (kind === 'account') return accountOf(value);
  return kind === 'secret' ? secretOf(value) : serviceOf(value, region);
}

/** Empty if it is not the form of an id: such a thing is none that a run has made, and it must not become a part of an address. */
function lastPart(value: Json | undefined): string {
  const [, id = ''] = /(?:^|\/)([\w.@-]+)$/.exec(textOf(value)) ?? [];
  return /^\.*$/.test(id) ? '' : id;
}

function accountOf(account: JsonObject): Item {
  const { name, email, description, disabled } = account;
  const id = lastPart(email ?? name).replace(/@.*$/, '');
  return {
    kind: 'account',
    id,
    expires: expiryIn(textOf(description)),
    state: JSON.stringify([account.uniqueId, description, account.displayName, disabled === true]),
  };
}

function secretOf(secret: JsonObject): Item {
  const { name, labels, annotations, createTime, etag } = secret;
  return {
    kind: 'secret',
    id: lastPart(name),
    expires: expiryOf(labels),
    state: JSON.stringify([createTime, labels, annotations, etag]),
  };
}

function serviceOf(service: JsonObject, region: string): Item {
  const { name, labels, uid, generation } = service;
  // The status of somebody's service may change while nobody changes the service.
  return {
    kind: 'service',
    id: lastPart(name),
    region,
    expires: expiryOf(labels),
    state: JSON.stringify([uid, generation]),
  };
}

/** The label of what the acceptance makes, or the cluster in the owner marks of what the operator makes. */
function expiryOf(labels: Json | undefined): number | undefined {
  const own = fieldOf(labels, EXPIRES);
  return expiryIn(typeof own === 'string' ? `${EXPIRES}=${own}` : textOf(fieldOf(labels, 'ai-tenant-owner-cluster')));
}

export const shownItem = ({ kind, id, region }: Pick<Item, 'kind' | 'id' | 'region'>): string =>
  `${kind} ${id}${region ? ` in ${region}` : ''}`;

/**
 * What differs between two lists, one line each, without what `isOurs` says is the run's own, and without what one of the lists could not
 * read.
 */
export function differences(before: ProjectList, after: ProjectList, isOurs: (id: string) => boolean): string[] {
  const unread = [...before.problems, ...after.problems];
  const isRead = (item: Item) => !unread.some(({ kind, region }) => kind === item.kind && region === item.region);
  const others = ({ items }: ProjectList) =>
    new Map(items.filter(item => !isOurs(item.id) && isRead(item)).map(item => [shownItem(item), item.state]));
  const [then, now] = [others(before), others(after)];
  return [
    ...[...then.keys()].filter(item => !now.has(item)).map(item => `${item} is gone`),
    ...[...now.keys()].filter(item => !then.has(item)).map(item => `${item} is new`),
    ...[...now]
      .filter(([item, state]) => then.has(item) && then.get(item) !== state)
      .map(([item]) => `${item} has changed`),
  ];
}
