import type { Json, JsonObject } from '../../ports/json.ts';
import { API } from './addresses.ts';
import { answerIn, type Call, fieldOf, isObject, objectIn, succeeded } from './exchange.ts';
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
  /** The lists that could not be read, each with the answer. */
  problems: string[];
}

/** Most pages of one list. A server that answers with a token for ever would otherwise never end. */
const MOST_PAGES = 1_000;

/** Everything of these kinds in the project. Services are listed in the regions that are given. */
export async function listProject(call: Call, project: string, regions: readonly string[]): Promise<ProjectList> {
  const parts = await Promise.all([
    listed(call, `${API.iam}/v1/projects/${project}/serviceAccounts?pageSize=100`, 'accounts', accountOf),
    listed(call, `${API.secretmanager}/v1/projects/${project}/secrets?pageSize=25000`, 'secrets', secretOf),
    ...regions.map(region =>
      listed(
        call,
        `${API.run}/v2/projects/${project}/locations/${region}/services?pageSize=100`,
        'services',
        service => serviceOf(service, region),
        ` in ${region}`,
      ),
    ),
  ]);
  return { items: parts.flatMap(({ items }) => items), problems: parts.flatMap(({ problems }) => problems) };
}

async function listed(
  call: Call,
  url: string,
  field: string,
  itemOf: (value: JsonObject) => Item,
  where = '',
): Promise<ProjectList> {
  const items: Item[] = [];
  let token = '';
  for (let page = 0; page < MOST_PAGES; page++) {
    const answer = await call('GET', token === '' ? url : `${url}&pageToken=${encodeURIComponent(token)}`);
    if (!succeeded(answer)) {
      return { items, problems: [`the ${field}${where} cannot be listed: ${answerIn(answer)}`] };
    }
    const { nextPageToken, ...body } = objectIn(answer);
    const found = body[field];
    items.push(...(Array.isArray(found) ? found : []).filter(isObject).map(itemOf));
    if (typeof nextPageToken !== 'string' || nextPageToken === '') return { items, problems: [] };
    token = nextPageToken;
  }
  return { items, problems: [`the list of ${field}${where} does not end`] };
}

const lastPart = (value: Json | undefined): string =>
  String(value ?? '')
    .split('/')
    .at(-1) ?? '';

function accountOf(account: JsonObject): Item {
  const { name, email, description, disabled } = account;
  const id = lastPart(email ?? name).replace(/@.*$/, '');
  return {
    kind: 'account',
    id,
    expires: expiryIn(String(description ?? '')),
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
  return expiryIn(
    typeof own === 'string' ? `${EXPIRES}=${own}` : String(fieldOf(labels, 'ai-tenant-owner-cluster') ?? ''),
  );
}

export const shownItem = ({ kind, id, region }: Pick<Item, 'kind' | 'id' | 'region'>): string =>
  `${kind} ${id}${region ? ` in ${region}` : ''}`;

/** What differs between two lists, one line each, without what `isOurs` says is the run's own. */
export function differences(before: ProjectList, after: ProjectList, isOurs: (id: string) => boolean): string[] {
  const others = ({ items }: ProjectList) =>
    new Map(items.filter(({ id }) => !isOurs(id)).map(item => [shownItem(item), item.state]));
  const [then, now] = [others(before), others(after)];
  return [
    ...[...then.keys()].filter(item => !now.has(item)).map(item => `${item} is gone`),
    ...[...now.keys()].filter(item => !then.has(item)).map(item => `${item} is new`),
    ...[...now]
      .filter(([item, state]) => then.has(item) && then.get(item) !== state)
      .map(([item]) => `${item} has changed`),
  ];
}
