import type { Json, JsonObject } from '../../ports/json.ts';
import { type Call, type Exchange, fieldOf, type HttpMethod, isObject } from './exchange.ts';

/**
 * What a Google Cloud would answer if a fact did not hold: one small lie for each fact, told in the answers to the probe. With them a test
 * shows that every probe can refute its fact, and that none of these lies keeps another probe from finding another one.
 */
export interface Lie {
  /** The id of the fact that does not hold. */
  fact: string;
  /** What holds instead. */
  says: string;
  on: Asked;
  /** Whether the lie is told in this answer; `truth` is what the cloud really answered. Default: in each answer to `on`. */
  when?: (truth: Exchange) => boolean;
  /** The answer with the lie. */
  tell: Tell;
  /** A lie that cannot be told together with this one, and why. */
  notWith?: { fact: string; why: string };
}

/** The requests whose answers carry the lie. */
interface Asked {
  method: HttpMethod;
  url: RegExp;
  /** Matches the body as JSON. */
  body?: RegExp;
}

type Tell = (answer: Exchange) => Exchange;

/** The calls of a cloud that tells these lies. */
export const lying =
  (lies: readonly Lie[]) =>
  (call: Call): Call =>
  async (method, url, body, headers) => {
    const truth = await call(method, url, body, headers);
    const sent = JSON.stringify(body ?? null);
    return lies
      .filter(({ on }) => on.method === method && on.url.test(url) && (on.body?.test(sent) ?? true))
      .filter(({ when }) => when?.(truth) ?? true)
      .reduce((answer, { tell }) => tell(answer), truth);
  };

/** A value with one field set, or without it if `to` is undefined. */
function withField(value: Json | undefined, [step = '', ...rest]: string[], to: Json | undefined): Json {
  if (Array.isArray(value)) {
    const copy = [...value];
    copy[Number(step)] = rest.length === 0 ? (to ?? null) : withField(value[Number(step)], rest, to);
    return copy;
  }
  const copy: JsonObject = isObject(value) ? { ...value } : {};
  if (rest.length > 0) copy[step] = withField(copy[step], rest, to);
  else if (to === undefined) delete copy[step];
  else copy[step] = to;
  return copy;
}

const set =
  (path: string, to: Json | undefined): Tell =>
  answer => ({ ...answer, body: withField(answer.body, path.split('.'), to) });

const drop = (path: string): Tell => set(path, undefined);

/** Another text in a field. */
const say =
  (path: string, from: string | RegExp, to: string): Tell =>
  answer =>
    set(path, String(fieldOf(answer.body, path) ?? '').replaceAll(from, to))(answer);

const sayInError = (from: string | RegExp, to: string): Tell => say('error.message', from, to);

const accept =
  (body: Json = {}): Tell =>
  answer => ({ ...answer, status: 200, body });

const refuse =
  (status: number, code: string, message = 'It is so.'): Tell =>
  answer => ({ ...answer, status, body: { error: { code: status, status: code, message } } });

/** The same error under another code. */
const recode =
  (status: number, code: string): Tell =>
  answer => ({ ...set('error.status', code)(answer), status });

const account = (method: HttpMethod, suffix: string, more = ''): Asked => ({
  method,
  url: new RegExp(`/serviceAccounts/acc-[a-z0-9]{8}-${suffix}@[^/:?]+${more}$`),
});
const newAccount = (suffix: string): Asked => ({
  method: 'POST',
  url: /\/serviceAccounts$/,
  body: new RegExp(`"accountId":"acc-[a-z0-9]{8}-${suffix}"`),
});
const secret = (method: HttpMethod, suffix: string, more = '', body?: RegExp): Asked => ({
  method,
  url: new RegExp(`/secrets/acc-[a-z0-9]{8}-${suffix}${more}$`),
  ...(body && { body }),
});
const service = (method: HttpMethod, suffix: string, more = '', body?: RegExp): Asked => ({
  method,
  url: new RegExp(`/locations/[^/]+/services/acc-[a-z0-9]{8}-${suffix}${more}$`),
  ...(body && { body }),
});
const newService = (suffix: string, body?: RegExp): Asked => ({
  method: 'POST',
  url: new RegExp(`/services\\?serviceId=acc-[a-z0-9]{8}-${suffix}(&validateOnly=true)?$`),
  ...(body && { body }),
});
const validated = (body: RegExp): Asked => newService('validated', body);
const limits = (cpu: string, memory: string): Asked => validated(new RegExp(`"cpu":"${cpu}","memory":"${memory}"`));

const failed = ({ status }: Exchange): boolean => status >= 400;
const has =
  (path: string, value: Json) =>
  ({ body }: Exchange): boolean =>
    fieldOf(body, path) === value;
const lacks =
  (path: string) =>
  ({ body }: Exchange): boolean =>
    fieldOf(body, path) === undefined;
const both =
  (...conditions: ((truth: Exchange) => boolean)[]) =>
  (truth: Exchange): boolean =>
    conditions.every(condition => condition(truth));

const MESSAGE = 'terminalCondition.message';
const REVISION = 'latestCreatedRevision';
const CONTAINER = 'template.containers.0';

const everywhere: Lie[] = [
  {
    fact: 'error-shape',
    says: 'An error has no `status`.',
    on: service('GET', 'error-shape'),
    tell: drop('error.status'),
  },
  {
    fact: 'secret-name-number',
    says: 'Secret Manager echoes the id of the project.',
    on: secret('GET', 'denied'),
    tell: say('name', /^projects\/\d+/g, 'projects/an-id'),
  },
  {
    fact: 'secret-error-number',
    says: 'Errors of Secret Manager have the id of the project.',
    on: secret('GET', 'error-number'),
    tell: sayInError(/projects\/\d+/g, 'projects/an-id'),
  },
  {
    fact: 'deny-policy-name-number',
    says: 'Deny policies have the id of the project in their names.',
    on: { method: 'GET', url: /\/denypolicies$/ },
    tell: say('policies.0.name', /projects%2F\d+/g, 'projects%2Fan-id'),
  },
  {
    fact: 'account-name-id',
    says: 'IAM v1 answers with the number of the project.',
    on: account('GET', 'shared'),
    tell: say('name', /^projects\/[^/]+/g, 'projects/123'),
  },
  {
    fact: 'run-name-id',
    says: 'Cloud Run answers with the number of the project.',
    on: service('GET', 'main'),
    tell: say('name', /^projects\/[^/]+/g, 'projects/123'),
  },
  {
    fact: 'fresh-account-missing',
    says: 'While a new account is missing, its reads are answered with 410.',
    on: account('GET', 'fresh'),
    when: ({ status }) => status === 404,
    tell: recode(410, 'NOT_FOUND'),
  },
  {
    fact: 'fresh-account-forbidden',
    says: 'The 403 about a new account has another text.',
    on: account('GET', 'fresh'),
    when: ({ status }) => status === 403,
    tell: sayInError('(or it may not exist)', 'for now'),
  },
  {
    fact: 'fresh-account-exists',
    says: 'A new account that is made again is refused with 400.',
    on: newAccount('fresh'),
    when: failed,
    tell: recode(400, 'INVALID_ARGUMENT'),
  },
  {
    fact: 'member-missing',
    says: 'The text about a missing member does not name it.',
    on: secret('POST', 'member-missing', ':setIamPolicy'),
    tell: sayInError(/Service account \S+/g, 'A member'),
  },
  {
    fact: 'member-fresh',
    says: 'A new account is refused as a member with another text.',
    on: secret('POST', 'member-fresh', ':setIamPolicy'),
    when: failed,
    tell: sayInError('does not exist', 'is not ready'),
  },
  {
    fact: 'bad-member-refuses-all',
    says: 'The good member of a refused write is taken.',
    on: secret('GET', 'bad-member', ':getIamPolicy'),
    tell: set('bindings.0.role', 'roles/secretmanager.viewer'),
  },
  {
    fact: 'deleted-member',
    says: 'A deleted member has no unique id.',
    on: secret('GET', 'deleted-member', ':getIamPolicy'),
    tell: say('bindings.0.members.0', /\?uid=\d+$/g, ''),
  },
  {
    fact: 'account-again-new-identity',
    says: 'A new account of the same e-mail has the same unique id.',
    on: newAccount('deleted'),
    tell: set('uniqueId', '100000000000000000001'),
  },
  {
    fact: 'account-again-no-grant',
    says: 'A new account of the same e-mail gets the grants of the deleted one.',
    on: secret('GET', 'deleted-member', ':getIamPolicy'),
    tell: answer => {
      const [, email = ''] = /serviceAccount:([^?]+)/.exec(String(fieldOf(answer.body, 'bindings.0.members.0'))) ?? [];
      return set('bindings.0.members.1', `serviceAccount:${email}`)(answer);
    },
  },
];

const policies: Lie[] = [
  {
    fact: 'policy-stale-etag',
    says: 'A stale etag is FAILED_PRECONDITION.',
    on: secret('POST', 'policy', ':setIamPolicy'),
    when: failed,
    tell: recode(412, 'FAILED_PRECONDITION'),
  },
  {
    fact: 'policy-stale-etag-text',
    says: 'The text about a stale etag is another one.',
    on: secret('POST', 'policy', ':setIamPolicy'),
    when: failed,
    tell: sayInError('There were concurrent policy changes.', 'The etag is stale.'),
  },
  {
    fact: 'policy-unset-etag-only',
    says: 'A policy that nobody has set says `version: 1`.',
    on: secret('GET', 'policy', ':getIamPolicy.*'),
    when: lacks('version'),
    tell: set('version', 1),
  },
  {
    fact: 'policy-emptied-version',
    says: 'A policy that was emptied has no version.',
    on: secret('GET', 'policy', ':getIamPolicy.*'),
    when: has('version', 1),
    tell: drop('version'),
  },
  {
    fact: 'policy-condition-version-3',
    says: 'A policy with a condition says `version: 1`.',
    on: secret('GET', 'conditional', ':getIamPolicy\\?.*=3'),
    tell: set('version', 1),
  },
  {
    fact: 'policy-condition-mangled',
    says: 'A role keeps its name when its condition is left out.',
    on: secret('GET', 'conditional', ':getIamPolicy'),
    tell: say('bindings.0.role', /_withcond_.*$/g, ''),
  },
  {
    fact: 'policy-condition-needs-version-3',
    says: 'A condition is taken with `version: 1`.',
    on: secret('POST', 'conditional', ':setIamPolicy', /"version":1/),
    tell: accept(),
  },
  {
    fact: 'policy-version-1-without-condition',
    says: 'A policy without a condition says `version: 3` to a write with it.',
    on: secret('POST', 'conditional', ':setIamPolicy'),
    when: has('version', 1),
    tell: set('version', 3),
  },
  {
    fact: 'policy-most-principals',
    says: 'A policy takes 1,501 principals.',
    on: secret('POST', 'principals', ':setIamPolicy', /\/subject\/s1500"/),
    tell: accept(),
  },
  {
    fact: 'policy-role-of-another-api',
    says: 'A role of another API is taken.',
    on: secret('POST', 'role', ':setIamPolicy'),
    tell: accept(),
  },
  {
    fact: 'policy-member-domains',
    says: 'A member of a forbidden domain is refused with another text.',
    on: secret('POST', 'domains', ':setIamPolicy'),
    when: failed,
    tell: sayInError('permitted customer', 'friendly customer'),
  },
  {
    fact: 'get-policy-is-get',
    says: '`getIamPolicy` is also a POST.',
    on: secret('POST', 'get-policy', ':getIamPolicy'),
    tell: accept({ etag: 'ACAB' }),
  },
  {
    fact: 'set-policy-is-post',
    says: '`setIamPolicy` is no POST.',
    on: secret('POST', 'set-policy', ':setIamPolicy'),
    tell: refuse(404, 'NOT_FOUND'),
  },
];

const accounts: Lie[] = [
  {
    fact: 'account-create',
    says: 'The answer to a creation has no display name.',
    on: newAccount('shared'),
    tell: drop('displayName'),
  },
  {
    fact: 'account-exists-text',
    says: 'The text about an account that exists is another one.',
    on: newAccount('shared'),
    when: failed,
    tell: sayInError('already exists within project', 'stands in'),
  },
  {
    fact: 'account-id-shortest',
    says: 'An account id of 5 characters is taken.',
    on: { method: 'POST', url: /\/serviceAccounts$/, body: /"accountId":".{5}"/ },
    tell: accept(),
  },
  {
    fact: 'account-id-longest',
    says: 'An account id of 31 characters is taken.',
    on: { method: 'POST', url: /\/serviceAccounts$/, body: /"accountId":".{31}"/ },
    tell: accept(),
  },
  {
    fact: 'account-id-pattern',
    says: 'An account id may end with a hyphen.',
    on: newAccount('form-'),
    tell: accept(),
  },
  {
    fact: 'account-display-name-bytes',
    says: 'A displayName has 100 characters, not bytes.',
    on: { ...account('PATCH', 'edited'), body: /"displayName":"ä/ },
    tell: accept(),
  },
  {
    fact: 'account-description-bytes',
    says: 'A description has 256 characters, not bytes.',
    on: { ...account('PATCH', 'edited'), body: /"description":"[^"]*ä/ },
    tell: accept(),
  },
  {
    fact: 'account-no-labels',
    says: 'An account may have labels.',
    on: newAccount('labelled'),
    tell: accept(),
  },
  {
    fact: 'account-no-lock',
    says: 'An etag that is not the account’s own is refused.',
    on: { ...account('PATCH', 'edited'), body: /"etag":/ },
    tell: refuse(409, 'ABORTED'),
  },
  {
    fact: 'account-disabled-output-only',
    says: '`disabled` can be patched.',
    on: account('GET', 'edited'),
    tell: set('disabled', true),
  },
  {
    fact: 'account-disable-enable',
    says: '`:disable` changes nothing.',
    on: account('GET', 'switched'),
    tell: set('disabled', false),
  },
  {
    fact: 'account-missing',
    says: 'A missing account is UNKNOWN.',
    on: { method: 'GET', url: /\/projects\/[^-/][^/]*\/serviceAccounts\/acc-[a-z0-9]{8}-never-made@/ },
    tell: set('error.status', 'UNKNOWN'),
  },
  {
    fact: 'account-missing-reason',
    says: 'The 404 of IAM v1 has no reason of the older form.',
    on: { method: 'GET', url: /\/projects\/[^-/][^/]*\/serviceAccounts\/acc-[a-z0-9]{8}-never-made@/ },
    tell: drop('error.errors'),
  },
  {
    fact: 'account-missing-text',
    says: 'The text about the policy of a missing account is another one.',
    on: account('POST', 'never-made', ':getIamPolicy'),
    tell: sayInError('does not exist', 'is unknown'),
  },
  {
    fact: 'account-missing-wildcard',
    says: 'Under `projects/-` a missing account is 404.',
    on: { method: 'GET', url: /\/projects\/-\/serviceAccounts\// },
    tell: recode(404, 'NOT_FOUND'),
  },
  {
    fact: 'account-patch-mask',
    says: 'A patch changes also what its mask does not name.',
    on: account('GET', 'masked'),
    when: has('displayName', 'masked'),
    tell: set('description', 'changed'),
  },
  {
    fact: 'account-list-pages',
    says: 'The list of accounts has no further page.',
    on: { method: 'GET', url: /\/serviceAccounts\?pageSize=1$/ },
    tell: drop('nextPageToken'),
  },
  {
    fact: 'account-delete-empty',
    says: 'The answer to a deletion is an operation.',
    on: account('DELETE', 'undeleted'),
    tell: accept({ done: true }),
  },
  {
    fact: 'account-undelete',
    says: 'An undeleted account has a new unique id.',
    on: { method: 'POST', url: /\/serviceAccounts\/\d+:undelete$/ },
    tell: set('restoredAccount.uniqueId', '1'),
  },
  {
    fact: 'account-by-unique-id',
    says: 'An account cannot be read by its unique id.',
    on: { method: 'GET', url: /\/serviceAccounts\/\d+$/ },
    tell: refuse(404, 'NOT_FOUND'),
  },
  {
    fact: 'account-patch-answer',
    says: 'The answer to a patch has no name.',
    on: { ...account('PATCH', 'edited'), body: /"displayName":"answered"/ },
    tell: drop('name'),
  },
];

const secrets: Lie[] = [
  {
    fact: 'secret-version-number-in-name',
    says: "A version's name has no number.",
    on: secret('GET', 'versions', '/versions/1'),
    when: has('state', 'ENABLED'),
    tell: say('name', /1$/g, 'first'),
  },
  {
    fact: 'secret-version-states',
    says: 'A disabled version is INACTIVE.',
    on: secret('GET', 'versions', '/versions/1'),
    when: has('state', 'DISABLED'),
    tell: set('state', 'INACTIVE'),
  },
  {
    fact: 'secret-version-no-value',
    says: 'A version has its value.',
    on: secret('GET', 'versions', '/versions/1'),
    when: has('state', 'ENABLED'),
    tell: set('payload', { data: 'bGll' }),
  },
  {
    fact: 'secret-latest-any-state',
    says: '`latest` is the newest enabled version.',
    on: secret('GET', 'versions', '/versions/latest'),
    tell: answer => say('name', /3$/g, '2')(set('state', 'ENABLED')(answer)),
  },
  {
    fact: 'secret-access-disabled',
    says: 'Accessing a disabled version is INVALID_ARGUMENT.',
    on: secret('GET', 'versions', '/versions/latest:access'),
    tell: recode(400, 'INVALID_ARGUMENT'),
  },
  {
    fact: 'secret-access-disabled-text',
    says: 'The text about a disabled version is another one.',
    on: secret('GET', 'versions', '/versions/latest:access'),
    tell: sayInError('is in DISABLED state', 'was disabled'),
  },
  {
    fact: 'secret-newest-enabled-by-list',
    says: 'The filter by state lets a disabled version through.',
    on: secret('GET', 'versions', '/versions\\?filter=.*'),
    tell: say('versions.0.name', /2$/g, '3'),
  },
  {
    fact: 'secret-list-filter',
    says: 'The filter by label finds nothing.',
    on: { method: 'GET', url: /\/secrets\?filter=labels/ },
    tell: accept(),
  },
  {
    fact: 'secret-missing-text',
    says: 'The text about a missing secret is another one.',
    on: secret('GET', 'never-made'),
    tell: sayInError('not found', 'is missing'),
  },
  {
    fact: 'secret-no-versions-text',
    says: 'The text about a secret without versions does not say so.',
    on: secret('GET', 'no-versions', '/versions/latest'),
    tell: sayInError(' or has no versions', ''),
  },
  {
    fact: 'secret-labels-most',
    says: '65 labels are taken.',
    on: secret('PATCH', 'edited', '\\?updateMask=labels', /"l63":/),
    tell: accept(),
  },
  {
    fact: 'secret-label-key-first',
    says: "A label's key may begin with a digit.",
    on: secret('PATCH', 'edited', '\\?updateMask=labels', /"1a":/),
    tell: accept(),
  },
  {
    fact: 'secret-label-key-characters',
    says: "A label's key may have a dot.",
    on: secret('PATCH', 'edited', '\\?updateMask=labels', /"a\.b":/),
    tell: accept(),
  },
  {
    fact: 'secret-label-key-longest',
    says: "A label's key may have 64 characters.",
    on: secret('PATCH', 'edited', '\\?updateMask=labels', /"kx{63}":/),
    tell: accept(),
  },
  {
    fact: 'secret-label-value-longest',
    says: "A label's value may have 64 characters.",
    on: secret('PATCH', 'edited', '\\?updateMask=labels', /"x{64}"/),
    tell: accept(),
  },
  {
    fact: 'secret-label-value-empty',
    says: 'A label without a value is left out.',
    on: secret('PATCH', 'edited', '\\?updateMask=labels', /"empty":/),
    tell: drop('labels.empty'),
  },
  {
    fact: 'secret-annotation-keys',
    says: "An annotation's key may begin with a hyphen.",
    on: secret('PATCH', 'edited', '\\?updateMask=annotations', /"-a":/),
    tell: accept(),
  },
  {
    fact: 'secret-annotations-size',
    says: 'More than 16 KiB of annotations are taken.',
    on: secret('PATCH', 'edited', '\\?updateMask=annotations', /x{16400}/),
    tell: accept(),
  },
  {
    fact: 'secret-rotation-whole',
    says: 'The period of a rotation is not answered.',
    on: secret('GET', 'rotated'),
    tell: drop('rotation.rotationPeriod'),
  },
  {
    fact: 'secret-rotation-mask',
    says: 'A mask cannot name the period of a rotation alone.',
    on: secret('PATCH', 'rotated', '\\?updateMask=rotation.*'),
    tell: refuse(400, 'INVALID_ARGUMENT'),
  },
  {
    fact: 'secret-expired-already',
    says: 'A secret that has already expired is taken.',
    on: { method: 'POST', url: /\/secrets\?secretId=acc-[a-z0-9]{8}-expired$/ },
    tell: accept(),
  },
  {
    fact: 'secret-stale-etag',
    says: 'A stale etag of a secret is taken.',
    on: secret('PATCH', 'etag', '\\?.*', /"etag":/),
    tell: accept(),
  },
];

const runLife: Lie[] = [
  {
    fact: 'run-operation-name',
    says: 'The metadata of the operation is not the service.',
    on: newService('main'),
    tell: set('metadata', {}),
  },
  {
    fact: 'run-operation-response',
    says: 'The response of the operation has no type.',
    on: { method: 'GET', url: /\/operations\/[^/]+$/ },
    when: ({ body }) => String(fieldOf(body, 'response.name')).endsWith('-main'),
    tell: drop('response.@type'),
  },
  {
    fact: 'run-operation-get-wait',
    says: 'Nobody can wait for an operation.',
    on: { method: 'POST', url: /\/operations\/[^/]+:wait$/ },
    tell: refuse(404, 'NOT_FOUND'),
  },
  {
    fact: 'run-operation-list',
    says: 'The list of operations is empty.',
    on: { method: 'GET', url: /\/operations\?pageSize=1$/ },
    tell: accept(),
  },
  {
    fact: 'run-operation-delete',
    says: 'A deleted operation stays.',
    on: { method: 'GET', url: /\/operations\/[^/]+$/ },
    when: failed,
    tell: accept({ done: true }),
  },
  {
    fact: 'run-create-duration',
    says: 'Creating a service takes years.',
    on: service('GET', 'main'),
    tell: set('createTime', '2020-01-01T00:00:00Z'),
  },
  {
    fact: 'run-exists-at-once',
    says: 'A new service is missing at first.',
    on: service('GET', 'main'),
    when: has('reconciling', true),
    tell: refuse(404, 'NOT_FOUND'),
  },
  {
    fact: 'run-reconciling-at-once',
    says: 'A new service is not reconciling.',
    on: service('GET', 'main'),
    when: has('reconciling', true),
    tell: set('reconciling', false),
    notWith: {
      fact: 'run-exists-at-once',
      why: 'a service that cannot be read does not say whether it is reconciling',
    },
  },
  {
    fact: 'run-ready',
    says: 'A ready service has not observed its generation.',
    on: service('GET', 'main'),
    when: has('observedGeneration', '1'),
    tell: set('observedGeneration', '0'),
  },
  {
    fact: 'run-int64-text',
    says: 'A generation is a number.',
    on: service('GET', 'main'),
    tell: set('generation', 1),
  },
  {
    fact: 'run-failed-condition',
    says: 'A failed service goes on reconciling.',
    on: service('GET', 'denied'),
    tell: set('reconciling', true),
  },
  {
    fact: 'run-failed-first-revision',
    says: 'A revision that failed is the latest ready one.',
    on: service('GET', 'denied'),
    tell: set('latestReadyRevision', 'the-first'),
  },
  {
    fact: 'run-failed-update-revision',
    says: 'A revision that failed takes the place of the latest ready one.',
    on: service('GET', 'broken'),
    when: has('terminalCondition.state', 'CONDITION_FAILED'),
    tell: set('latestReadyRevision', 'the-second'),
  },
  {
    fact: 'run-failed-update-generation',
    says: 'A failed generation is observed.',
    on: service('GET', 'broken'),
    when: has('terminalCondition.state', 'CONDITION_FAILED'),
    tell: answer => set('observedGeneration', fieldOf(answer.body, 'generation'))(answer),
  },
  {
    fact: 'run-failed-update-traffic',
    says: 'After a failed update nothing serves.',
    on: service('GET', 'broken'),
    when: has('terminalCondition.state', 'CONDITION_FAILED'),
    tell: set('trafficStatuses', []),
  },
  {
    fact: 'run-failed-text',
    says: 'The text of a failure does not begin with the revision.',
    on: service('GET', 'denied'),
    tell: say(MESSAGE, 'is not ready and cannot serve traffic.', 'has failed.'),
  },
  {
    fact: 'run-secret-denied-text',
    says: 'The text about a secret names another role.',
    on: service('GET', 'denied'),
    tell: say(MESSAGE, 'roles/secretmanager.secretAccessor', 'roles/secretmanager.viewer'),
  },
  {
    fact: 'run-secret-denied-lines',
    says: 'All variables are told of in one line.',
    on: service('GET', 'denied'),
    tell: say(MESSAGE, '\n', ' '),
  },
  {
    fact: 'run-secret-denied-reason',
    says: 'The reason is another one.',
    on: service('GET', 'denied'),
    tell: set('terminalCondition.reason', 'REVISION_FAILED'),
  },
  {
    fact: 'run-secret-missing-text',
    says: 'The text about a missing version is another one.',
    on: service('GET', 'unversioned'),
    tell: say(MESSAGE, 'was not found', 'is missing'),
  },
  {
    fact: 'run-secret-checked-at-deploy',
    says: 'A service with a grant fails too.',
    on: service('GET', 'granted'),
    tell: set('terminalCondition.state', 'CONDITION_FAILED'),
  },
  {
    fact: 'run-not-listening-text',
    says: 'The text about a container that does not listen is another one.',
    on: service('GET', 'exits'),
    tell: say(MESSAGE, 'failed to start and listen', 'did not come up'),
  },
  {
    fact: 'run-account-disabled',
    says: 'A service comes up as a disabled account.',
    on: service('GET', 'contained'),
    tell: set('terminalCondition.state', 'CONDITION_SUCCEEDED'),
  },
  {
    fact: 'run-act-as',
    says: 'The text about a missing account is another one.',
    on: newService('act-as'),
    tell: sayInError('or it may not exist', 'it does not exist'),
  },
  {
    fact: 'run-act-as-every-update',
    says: 'A label can be changed without the right to act as the account.',
    on: service('PATCH', 'act-as-update', '\\?updateMask=labels'),
    tell: accept(),
  },
  {
    fact: 'run-act-as-fresh',
    says: 'A service as a new account is refused with 400.',
    on: newService('act-as-fresh'),
    when: failed,
    tell: recode(400, 'INVALID_ARGUMENT'),
  },
];

/** The states through which the edited service goes. */
const relabelled = both(has('labels.changed', 'labels'), lacks('scaling'));
const rescaled = both(has('scaling.maxInstanceCount', 3), lacks('invokerIamDisabled'), lacks('template.labels'));
const opened = has('invokerIamDisabled', true);
const retemplated = both(has('template.labels.changed', 'template'), lacks('traffic.0.revision'));
const pinned = both(
  has('template.labels.changed', 'template'),
  has('traffic.0.percent', 100),
  truth => !retemplated(truth),
);
const retemplatedAgain = has('template.labels.changed', 'again');

const runUpdates: Lie[] = [
  {
    fact: 'run-revision-name-answered',
    says: 'The name of a revision that was given does not come back.',
    on: service('GET', 'named'),
    tell: drop('template.revision'),
  },
  {
    fact: 'run-revision-name-conflict',
    says: 'The text about a revision of another configuration is another one.',
    on: service('PATCH', 'named', '\\?updateMask=template'),
    tell: sayInError('with different configuration already exists', 'is there'),
  },
  {
    fact: 'run-revision-name-masked',
    says: 'A masked change of one field of the template is taken.',
    on: service('PATCH', 'named', '\\?updateMask=template.scaling'),
    tell: accept(),
  },
  {
    fact: 'run-revision-name-cleared',
    says: 'Clearing the name makes no revision.',
    on: service('GET', 'named'),
    when: lacks('template.revision'),
    tell: say(REVISION, /-00002-...$/g, '-first'),
  },
  {
    fact: 'run-template-makes-revision',
    says: 'A revision is named by its number alone.',
    on: service('GET', 'edited'),
    when: retemplated,
    tell: say(REVISION, /-00002-...$/g, '-2'),
  },
  {
    fact: 'run-labels-make-no-revision',
    says: 'A change of labels makes a revision.',
    on: service('GET', 'edited'),
    when: relabelled,
    tell: say(REVISION, /-00001-...$/g, '-by-labels'),
  },
  {
    fact: 'run-scaling-makes-no-revision',
    says: 'A change of the scaling makes a revision.',
    on: service('GET', 'edited'),
    when: rescaled,
    tell: say(REVISION, /-00001-...$/g, '-by-scaling'),
  },
  {
    fact: 'run-invoker-check-makes-no-revision',
    says: 'A change of `invokerIamDisabled` makes a revision.',
    on: service('GET', 'edited'),
    when: opened,
    tell: say(REVISION, /-00001-...$/g, '-by-opening'),
  },
  {
    fact: 'run-traffic-makes-no-revision',
    says: 'A change of the traffic makes a revision.',
    on: service('GET', 'edited'),
    when: pinned,
    tell: say(REVISION, /-00002-...$/g, '-by-traffic'),
  },
  {
    fact: 'run-pinned-traffic',
    says: 'A new revision gets a share although the traffic names another one.',
    on: service('GET', 'edited'),
    when: retemplatedAgain,
    tell: set('trafficStatuses.0.percent', 50),
  },
  {
    fact: 'run-scaling-twice',
    says: 'The scaling of the service is that of the template.',
    on: service('GET', 'edited'),
    when: rescaled,
    tell: set('template.scaling.maxInstanceCount', 3),
  },
  {
    fact: 'run-mask-only',
    says: 'An update changes also what its mask does not name.',
    on: service('GET', 'edited'),
    when: relabelled,
    tell: set('description', 'not in the mask'),
  },
  {
    fact: 'run-stale-etag-update',
    says: 'An update with a stale etag is FAILED_PRECONDITION.',
    on: service('PATCH', 'edited', '\\?updateMask=labels', /"stale"/),
    tell: recode(412, 'FAILED_PRECONDITION'),
  },
  {
    fact: 'run-stale-etag-text',
    says: 'The text about a stale etag names no versions.',
    on: service('PATCH', 'edited', '\\?updateMask=labels', /"stale"/),
    tell: sayInError(/: version .*/g, '.'),
  },
  {
    fact: 'run-stale-etag-delete',
    says: 'A deletion with a stale etag is taken.',
    on: service('DELETE', 'edited', '\\?etag=.*'),
    tell: accept(),
  },
  {
    fact: 'run-allow-missing',
    says: '`allowMissing` creates nothing.',
    on: service('PATCH', 'allow-missing', '\\?allowMissing=true'),
    tell: refuse(404, 'NOT_FOUND', 'There is no such thing.'),
  },
  {
    fact: 'run-update-missing',
    says: 'An update creates a service without `allowMissing`.',
    on: service('PATCH', 'update-missing'),
    tell: accept(),
  },
  {
    fact: 'run-validate-only',
    says: 'A request that is only to be validated makes a service.',
    on: service('GET', 'validate-only'),
    tell: accept(),
  },
  {
    fact: 'run-public-by-invoker-check',
    says: '`invokerIamDisabled` is not kept.',
    on: newService('public'),
    tell: drop('response.invokerIamDisabled'),
  },
  {
    fact: 'run-require-invoker-iam',
    says: 'The organization policy is not named.',
    on: validated(/"invokerIamDisabled":true/),
    when: failed,
    tell: sayInError('run.managed.requireInvokerIam', 'somebody'),
  },
  {
    fact: 'run-public-by-binding',
    says: 'The binding of allUsers is not kept.',
    on: service('GET', 'edited', ':getIamPolicy'),
    tell: drop('bindings'),
  },
  {
    fact: 'run-knative',
    says: 'The Knative API shows another service of the name.',
    on: { method: 'GET', url: /\/apis\/serving\.knative\.dev\/v1\/namespaces\/[^/]+\/services\// },
    tell: set('metadata.uid', 'another'),
  },
  {
    fact: 'run-method-override',
    says: 'The override of the method is ignored.',
    on: account('POST', 'shared'),
    tell: refuse(404, 'NOT_FOUND'),
  },
];

/** A lie about a field of the service that most probes read. */
const main = (fact: string, path: string, to: Json): Lie => ({
  fact,
  says: `${path} is ${JSON.stringify(to)}.`,
  on: service('GET', 'main'),
  tell: set(path, to),
});

const runDefaults: Lie[] = [
  main('run-default-launch-stage', 'launchStage', 'BETA'),
  main('run-default-ingress', 'ingress', 'INGRESS_TRAFFIC_INTERNAL_ONLY'),
  main('run-default-timeout', 'template.timeout', '60s'),
  main('run-default-concurrency', 'template.maxInstanceRequestConcurrency', 100),
  {
    fact: 'run-default-concurrency-fraction',
    says: 'A fraction of a CPU gets a concurrency of 80.',
    on: validated(/"limits":\{"cpu":"500m"\}/),
    tell: set('response.template.maxInstanceRequestConcurrency', 80),
  },
  {
    fact: 'run-default-account',
    says: 'A service without an account runs as that of App Engine.',
    on: validated(/"serviceAccount":""/),
    tell: set('response.template.serviceAccount', 'demo-project@appspot.gserviceaccount.com'),
  },
  main('run-default-cpu', `${CONTAINER}.resources.limits.cpu`, '2'),
  main('run-default-memory', `${CONTAINER}.resources.limits.memory`, '256Mi'),
  main('run-default-startup-boost', `${CONTAINER}.resources.startupCpuBoost`, false),
  main('run-default-startup-probe', `${CONTAINER}.startupProbe.timeoutSeconds`, 10),
  main('run-default-ports', `${CONTAINER}.ports.0.name`, 'h2c'),
  main('run-default-traffic', 'traffic.0.percent', 0),
  main('run-default-max-instances', 'template.scaling.maxInstanceCount', 1000),
  {
    fact: 'run-cpu-always-allocated',
    says: 'Setting `resources` leaves the CPU allocated during requests only.',
    on: validated(/"limits":\{"cpu":"1"\}/),
    tell: set(`response.${CONTAINER}.resources.cpuIdle`, true),
  },
  main('run-uri', 'uri', 'https://main.example.com'),
  main('run-urls', 'urls', ['https://main.example.com']),
];

const unknown = (fact: string, field: string, body: RegExp): Lie => ({
  fact,
  says: `There is no field ${field}.`,
  on: newService('newer', body),
  tell: set('error.message', `Invalid JSON payload received. Unknown name "${field}" at 'service': Cannot find field.`),
});

const runLimits: Lie[] = [
  { fact: 'run-cpu-values', says: '3 CPUs are taken.', on: limits('3', '4Gi'), tell: accept() },
  { fact: 'run-cpu-four-memory', says: '4 CPUs take 1Gi.', on: limits('4', '1Gi'), tell: accept() },
  { fact: 'run-cpu-six-memory', says: '6 CPUs take 25Gi.', on: limits('6', '25Gi'), tell: accept() },
  {
    fact: 'run-cpu-fraction-concurrency',
    says: 'Half a CPU takes a concurrency of 2.',
    on: validated(/"cpu":"500m".*"maxInstanceRequestConcurrency":2/),
    tell: accept(),
  },
  { fact: 'run-memory-most', says: '33 GiB are taken.', on: limits('8', '33Gi'), tell: accept() },
  {
    fact: 'run-concurrency-most',
    says: 'A concurrency of 1,001 is taken.',
    on: validated(/"maxInstanceRequestConcurrency":1001/),
    tell: accept(),
  },
  {
    fact: 'run-quantity-by-value',
    says: '1000m is refused.',
    on: limits('1000m', '1024Mi'),
    tell: refuse(400, 'INVALID_ARGUMENT'),
  },
  {
    fact: 'run-reserved-variables',
    says: 'K_REVISION can be set.',
    on: validated(/"name":"K_REVISION"/),
    tell: accept(),
  },
  {
    fact: 'run-reserved-variables-text',
    says: 'The text about a reserved variable is another one.',
    on: validated(/"name":"PORT","value":"1"/),
    tell: sayInError('These values are automatically set by the system.', 'They are ours.'),
  },
  {
    fact: 'run-secret-reference-id',
    says: 'A secret comes back with its project.',
    on: validated(/"secret":"acc-[a-z0-9]{8}-referenced"/),
    tell: set(`response.${CONTAINER}.env.0.valueSource.secretKeyRef.secret`, 'projects/1/secrets/x'),
  },
  {
    fact: 'run-secret-reference-project',
    says: 'A secret of another project cannot be named.',
    on: validated(/-elsewhere"/),
    tell: refuse(400, 'INVALID_ARGUMENT', "'projects/1/secrets/x' is not a valid secret name."),
  },
  {
    fact: 'run-no-regional-secret',
    says: 'A regional secret can be named.',
    on: validated(/-regional"/),
    tell: accept(),
  },
  {
    fact: 'run-missing-text',
    says: 'The text about a missing service does not name its kind.',
    on: service('GET', 'never-made'),
    tell: sayInError(" of kind 'SERVICE'", ''),
  },
  {
    fact: 'run-list-pages',
    says: 'The list of services has no further page.',
    on: { method: 'GET', url: /\/services\?pageSize=1$/ },
    tell: drop('nextPageToken'),
  },
  {
    fact: 'run-list-no-wildcard',
    says: 'The services of all regions can be listed.',
    on: { method: 'GET', url: /\/locations\/-\/services$/ },
    tell: accept({ services: [{}] }),
  },
  {
    fact: 'run-name-longest',
    says: 'A name of 50 characters is taken.',
    on: { method: 'POST', url: /serviceId=[^&]{50}&/ },
    tell: accept(),
  },
  {
    fact: 'run-name-pattern',
    says: 'A name may have an underscore.',
    on: newService('form_x'),
    tell: accept(),
  },
  {
    fact: 'run-reserved-label-keys',
    says: 'Labels of Knative are taken.',
    on: validated(/"labels":\{[^}]*"serving\.knative\.dev/),
    tell: accept(),
  },
  {
    fact: 'run-reserved-annotation-keys',
    says: 'Annotations of autoscaling are taken.',
    on: validated(/"annotations":\{"autoscaling\.knative\.dev/),
    tell: accept(),
  },
  unknown('run-newer-template-fields', 'sandboxes', /"sandboxes"/),
  unknown('run-newer-scaling-fields', 'cpuUtilization', /"cpuUtilization"/),
  unknown('run-newer-container-fields', 'sandboxLauncher', /"sandboxLauncher"/),
  unknown('run-newer-volume-fields', 'filestore', /"filestore"/),
  unknown('run-newer-source-fields', 'inlinedSource', /"inlinedSource"/),
  unknown('run-newer-service-fields', 'sshEnabled', /"sshEnabled"/),
  {
    fact: 'run-force-new-revision',
    says: 'The parameter is ignored.',
    on: service('PATCH', 'main', '\\?.*forceNewRevision=.*'),
    tell: accept(),
  },
];

const exhausted = ({ status }: Exchange): boolean => status === 429;

/** A lie about a quota of calls: none is refused. */
const endless = (fact: string, on: Asked): Lie => ({
  fact,
  says: 'There is no quota.',
  on,
  when: exhausted,
  tell: recode(404, 'NOT_FOUND'),
});

const quotas: Lie[] = [
  endless('quota-secret-reads', secret('GET', 'never-made')),
  endless('quota-secret-writes', secret('DELETE', 'never-made')),
  endless('quota-iam-reads', account('GET', 'never-made')),
  endless('quota-iam-writes', account('DELETE', 'never-made')),
  endless('quota-deny-reads', { method: 'GET', url: /\/denypolicies$/ }),
  endless('quota-run-writes', service('DELETE', 'never-made')),
  {
    fact: 'quota-accounts',
    says: 'A project has as many accounts as it likes.',
    on: newAccount('many-\\d+'),
    when: exhausted,
    tell: accept(),
  },
  {
    fact: 'account-list-longest-page',
    says: 'A page has as many accounts as were asked for.',
    on: { method: 'GET', url: /\/serviceAccounts\?pageSize=1000$/ },
    tell: answer => {
      const accounts = fieldOf(answer.body, 'accounts');
      return set('accounts', Array.isArray(accounts) ? [...accounts, {}] : [])(answer);
    },
  },
  {
    fact: 'quota-services',
    says: 'A region has as many services as it likes.',
    on: newService('many-\\d+'),
    when: answer => exhausted(answer) && !/per minute/.test(String(fieldOf(answer.body, 'error.message'))),
    tell: accept(),
  },
];

export const LIES: readonly Lie[] = [
  ...everywhere,
  ...policies,
  ...accounts,
  ...secrets,
  ...runLife,
  ...runUpdates,
  ...runDefaults,
  ...runLimits,
  ...quotas,
];
