import type { Json, JsonObject } from '../../../ports/json.ts';
import { answerIn, type Exchange, fieldIn, fieldOf, objectIn, succeeded } from '../exchange.ts';
import type { FactContext } from '../fact.ts';
import { accountOf, accountsOf, emailOf, nameIn, secretOf, secretsOf, serviceOf, servicesOf } from './addresses.ts';

/** What the probes make, and what several of them share. */

/** Google's own page. It listens on PORT. */
const HELLO = 'us-docker.pkg.dev/cloudrun/container/hello';
/** A public image whose command ends at once, so that nothing listens. */
export const EXITS = 'docker.io/library/busybox:stable';

/** How long Google Cloud may take until everybody sees a new account; the longest delay that the documentation names is about a minute. */
const VISIBLE_MS = 120_000;

/** The answer itself. Throws if the call was refused: then the probe can observe nothing. */
export function must(exchange: Exchange): Exchange {
  if (!succeeded(exchange)) throw new Error(`${exchange.method} ${exchange.url}: ${answerIn(exchange)}`);
  return exchange;
}

/** Makes sure that a method is there, before a probe takes its 404 for an answer about something that is not. */
export const mustAnswer = async (context: FactContext, url: string): Promise<Exchange> =>
  must(await context.call('GET', url));

/** The last answer of a call that is made again until its answer fits, or until the time is over. */
export async function untilAnswer(
  context: FactContext,
  call: () => Promise<Exchange>,
  fits: (exchange: Exchange) => boolean,
  timeoutMs = VISIBLE_MS,
): Promise<Exchange> {
  let last = await call();
  if (fits(last)) return last;
  await context.until(async () => {
    last = await call();
    return fits(last) ? true : undefined;
  }, timeoutMs);
  return last;
}

/** Whether a call was refused because not everybody sees a new account yet. */
const isTooEarly = (exchange: Exchange): boolean =>
  [400, 403, 404].includes(exchange.status) &&
  /(does|may) not exist|Unknown service account|not found/.test(String(fieldIn(exchange, 'error.message')));

/** Makes a call for which a new account must be seen by everybody. */
export const onceVisible = (context: FactContext, call: () => Promise<Exchange>): Promise<Exchange> =>
  untilAnswer(context, call, exchange => !isTooEarly(exchange));

/** Waits until four reads in a row find a new resource. Answers with the last one. */
async function visible(context: FactContext, url: string): Promise<Exchange> {
  let last: Exchange | undefined;
  const found = await context.until(async () => {
    for (let read = 0; read < 4; read++) {
      last = await context.call('GET', url);
      if (!succeeded(last)) return undefined;
    }
    return last;
  }, VISIBLE_MS);
  if (!found) throw new Error(`${url} cannot be read${last ? `: ${answerIn(last)}` : ''}`);
  return found;
}

/** Asks for a new account. */
export const askForAccount = (context: FactContext, accountId: string, fields: JsonObject = {}): Promise<Exchange> => {
  const serviceAccount = { displayName: accountId, description: context.description, ...fields };
  return context.call('POST', accountsOf(context), { accountId, serviceAccount });
};

export interface MadeAccount {
  id: string;
  email: string;
  url: string;
  member: string;
  /** The answer to its creation. */
  created: Exchange;
}

/** Makes an account and waits until it can be read. */
export async function makeAccount(context: FactContext, suffix: string): Promise<MadeAccount> {
  const id = context.name('account', suffix);
  const created = must(await askForAccount(context, id));
  const url = accountOf(context, id);
  await visible(context, url);
  const email = emailOf(context, id);
  return { id, email, url, member: `serviceAccount:${email}`, created };
}

/** The account that most probes share. Nobody changes it. */
export const sharedAccount = (context: FactContext): Promise<MadeAccount> =>
  context.shared('account', () => makeAccount(context, 'shared'));

/** Asks for a new secret without versions. */
export const askForSecret = (context: FactContext, id: string, fields: JsonObject = {}): Promise<Exchange> => {
  const labels = { ...context.labels, ...(fields.labels as JsonObject) };
  const secret = { replication: { automatic: {} }, ...fields, labels };
  return context.call('POST', `${secretsOf(context)}?secretId=${id}`, secret);
};

export interface MadeSecret {
  id: string;
  url: string;
}

export async function makeSecret(context: FactContext, suffix: string, fields: JsonObject = {}): Promise<MadeSecret> {
  const id = context.name('secret', suffix);
  must(await askForSecret(context, id, fields));
  const url = secretOf(context, id);
  await visible(context, url);
  return { id, url };
}

/** Adds a version; its value tells nothing. */
export const addVersion = (context: FactContext, { url }: MadeSecret, value = 'acceptance'): Promise<Exchange> =>
  context.call('POST', `${url}:addVersion`, { payload: { data: Buffer.from(value).toString('base64') } });

export const ACCESSOR = 'roles/secretmanager.secretAccessor';

export const grantOf = (member: string, role = ACCESSOR): JsonObject => ({ bindings: [{ role, members: [member] }] });

export const setPolicy = (context: FactContext, url: string, policy: Json): Promise<Exchange> =>
  context.call('POST', `${url}:setIamPolicy`, { policy });

/** A secret of one version that the shared account may read, and one that nobody may. */
export const sharedSecrets = (context: FactContext): Promise<{ granted: MadeSecret; denied: MadeSecret }> =>
  context.shared('secrets', async () => {
    const account = await sharedAccount(context);
    const granted = await makeSecret(context, 'granted');
    const denied = await makeSecret(context, 'denied');
    must(await addVersion(context, granted));
    must(await addVersion(context, denied));
    must(await onceVisible(context, () => setPolicy(context, granted.url, grantOf(account.member))));
    return { granted, denied };
  });

/** An environment variable that carries a secret's version. */
export const secretEnv = (name: string, secret: string, version: string): JsonObject => ({
  name,
  valueSource: { secretKeyRef: { secret, version } },
});

interface Template extends JsonObject {
  /** The fields of the only container, besides its image. */
  container?: JsonObject;
}

/** A service's body: one container of Google's page, as the shared account. */
export async function serviceBody(
  context: FactContext,
  { container, ...template }: Template = {},
  fields: JsonObject = {},
): Promise<JsonObject> {
  const account = await sharedAccount(context);
  return {
    ...fields,
    labels: { ...context.labels, ...(fields.labels as JsonObject) },
    template: { serviceAccount: account.email, containers: [{ image: HELLO, ...container }], ...template },
  };
}

/** Creates a service. A new account may be refused for a minute, so the call is repeated for that long. */
export const askForService = (context: FactContext, id: string, body: JsonObject): Promise<Exchange> =>
  onceVisible(context, () => context.call('POST', `${servicesOf(context)}?serviceId=${id}`, body));

/** Asks whether a service could be created, and makes nothing. */
export async function validate(context: FactContext, template: Template, fields: JsonObject = {}): Promise<Exchange> {
  const body = await serviceBody(context, template, fields);
  const id = context.name('service', 'validated');
  return onceVisible(context, () =>
    context.call('POST', `${servicesOf(context)}?serviceId=${id}&validateOnly=true`, body),
  );
}

/** The service in the answer to a request that was only validated: with its defaults, but made by nobody. */
export function described(validatedOnly: Exchange): Exchange {
  const { response, metadata } = objectIn(validatedOnly);
  const body = response ?? metadata;
  if (succeeded(validatedOnly) && body === undefined)
    throw new Error('the answer to a request that is only validated does not show the service');
  return body === undefined ? validatedOnly : { ...validatedOnly, body };
}

export interface MadeService {
  id: string;
  url: string;
  /** The answer to its creation: an operation. */
  started: Exchange;
  /** The first read after that answer. */
  first: Exchange;
  /** The last read of the operation. */
  ended: Exchange;
  /** The service after the operation. */
  settled: Exchange;
}

/** Makes a service and waits until it is ready or has failed. */
export async function makeService(context: FactContext, suffix: string, body: JsonObject): Promise<MadeService> {
  const id = context.name('service', suffix);
  const started = must(await askForService(context, id, body));
  const url = serviceOf(context, id);
  const first = await context.call('GET', url);
  const ended = await context.wait(started);
  return { id, url, started, first, ended, settled: must(await context.call('GET', url)) };
}

/** The service that most probes read. Nobody changes it. */
export const sharedService = (context: FactContext): Promise<MadeService> =>
  context.shared('service', async () => makeService(context, 'main', await serviceBody(context)));

/** The same for a service with a variable from a secret of the shared account: a new grant may not have reached Cloud Run yet. */
export async function makeServiceWithSecret(
  context: FactContext,
  suffix: string,
  env: JsonObject,
): Promise<MadeService> {
  const body = await serviceBody(context, { container: { env: [env] } });
  const made = await makeService(context, suffix, body);
  const isDenied = ({ body: service }: Exchange) =>
    /Permission denied on secret/.test(String(fieldOf(service, 'terminalCondition.message')));
  let attempt = 0;
  await context.until(async () => {
    if (!isDenied(made.settled)) return true;
    const template = { ...(body.template as JsonObject), labels: { attempt: String(++attempt) } };
    made.settled = await change(context, made.url, 'template', { template });
    return undefined;
  }, VISIBLE_MS);
  return made;
}

/** Changes a service, waits for the operation and answers with the service. Throws if the change was refused. */
export async function change(context: FactContext, url: string, mask: string, body: JsonObject): Promise<Exchange> {
  const started = must(await askForChange(context, url, mask, body));
  await context.wait(started);
  return must(await context.call('GET', url));
}

export const askForChange = (context: FactContext, url: string, mask: string, body: JsonObject): Promise<Exchange> =>
  context.call('PATCH', `${url}?updateMask=${mask}`, { ...body, name: nameIn(url) });

/** The last part of a resource's name in an answer. */
export const lastPart = (exchange: Exchange, path: string): string =>
  String(fieldIn(exchange, path) ?? '')
    .split('/')
    .at(-1) ?? '';

/** The labels of a service with one more. */
export const labelsWith = (exchange: Exchange, more: JsonObject): JsonObject => ({
  ...(objectIn(exchange).labels as JsonObject),
  ...more,
});
