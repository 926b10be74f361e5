import { serviceAccountEmail } from '../../../operator/tenant/names.ts';
import type { Json, JsonObject } from '../../../ports/json.ts';
import { API } from '../addresses.ts';
import { answerIn, type Call, type Exchange, fieldIn, fieldOf, isObject, objectIn, succeeded } from '../exchange.ts';

/** Reads of Google Cloud. `undefined`: Google Cloud answers that it is not there; any other failure throws. */
export interface CloudReader {
  url: { service(tenant: string, region: string): string; account(tenant: string): string; secret(id: string): string };
  /** The address of an account. A tenant's has the id `sa-TENANT`. */
  email(accountId: string): string;
  service(tenant: string, region: string): Promise<JsonObject | undefined>;
  account(tenant: string): Promise<JsonObject | undefined>;
  secret(id: string): Promise<JsonObject | undefined>;
  /** Each member of the secret's policy as `ROLE MEMBER`, with its condition. */
  secretMembers(id: string): Promise<string[]>;
  serviceMembers(tenant: string, region: string): Promise<string[]>;
  /** The names of the service's revisions. */
  revisions(tenant: string, region: string): Promise<string[]>;
}

export function cloudReader(call: Call, project: string): CloudReader {
  const email = (accountId: string) => serviceAccountEmail(accountId, project);
  const url = {
    service: (tenant: string, region: string) =>
      `${API.run}/v2/projects/${project}/locations/${region}/services/ai-platform-${tenant}`,
    account: (tenant: string) => `${API.iam}/v1/projects/${project}/serviceAccounts/${email(`sa-${tenant}`)}`,
    secret: (id: string) => `${API.secretmanager}/v1/projects/${project}/secrets/${id}`,
  };
  const read = async (address: string): Promise<JsonObject | undefined> => found(await call('GET', address));
  const members = async (resource: string): Promise<string[]> =>
    membersIn(await read(`${resource}:getIamPolicy?options.requestedPolicyVersion=3`));
  return {
    url,
    email,
    async service(tenant, region) {
      const service = await read(url.service(tenant, region));
      return service?.deleteTime === undefined ? service : undefined;
    },
    account: tenant => read(url.account(tenant)),
    secret: id => read(url.secret(id)),
    secretMembers: id => members(url.secret(id)),
    serviceMembers: (tenant, region) => members(url.service(tenant, region)),
    async revisions(tenant, region) {
      const list = await read(`${url.service(tenant, region)}/revisions?pageSize=100`);
      const revisions = list?.revisions;
      return (Array.isArray(revisions) ? revisions : [])
        .filter(isObject)
        .map(({ name }) => String(name).split('/').at(-1) ?? '');
    },
  };
}

function found(exchange: Exchange): JsonObject | undefined {
  if (succeeded(exchange)) return objectIn(exchange);
  if (exchange.status === 404 && fieldIn(exchange, 'error.status') === 'NOT_FOUND') return undefined;
  throw new Error(`${exchange.method} ${exchange.url}: ${answerIn(exchange)}`);
}

/** `ROLE MEMBER`, and the title of its condition. */
function membersIn(policy: Json | undefined): string[] {
  const bindings = fieldOf(policy, 'bindings');
  return (Array.isArray(bindings) ? bindings : []).filter(isObject).flatMap(({ role, members, condition }) => {
    const title = fieldOf(condition, 'title');
    const end = title === undefined ? '' : ` if ${String(title)}`;
    return (Array.isArray(members) ? members : []).map(member => `${String(role)} ${String(member)}${end}`);
  });
}

/** Whether Cloud Run has finished with the service, and its newest revision serves all traffic. */
export function isServing(service: JsonObject | undefined): boolean {
  if (!service || service.reconciling === true) return false;
  const isReady = fieldOf(service, 'terminalCondition.state') === 'CONDITION_SUCCEEDED';
  return isReady && service.latestReadyRevision === service.latestCreatedRevision;
}

/** The first container of the service's template. */
export const containerOf = (service: JsonObject | undefined): JsonObject => {
  const container = fieldOf(service, 'template.containers.0');
  return isObject(container) ? container : {};
};

/** The variables of the first container: a value, or `SECRET:VERSION`, the secret by its id. */
export function variablesOf(service: JsonObject | undefined): Record<string, string> {
  const { env } = containerOf(service);
  const variables = (Array.isArray(env) ? env : []).filter(isObject).map(variable => {
    const reference = fieldOf(variable, 'valueSource.secretKeyRef');
    const secret = String(fieldOf(reference, 'secret')).split('/').at(-1);
    const value = reference === undefined ? String(variable.value ?? '') : `${secret}:${fieldOf(reference, 'version')}`;
    return [String(variable.name), value] as const;
  });
  return Object.fromEntries(variables);
}
