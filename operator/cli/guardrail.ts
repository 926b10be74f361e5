import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';
import type { JsonObject } from '../../ports/json.ts';
import { realRuntime as runtime, sleep } from '../../ports/runtime.ts';
import { type Credentials, createCredentials } from '../gcp/credentials.ts';
import { type Endpoint, endpointOf } from '../gcp/endpoints.ts';
import type { HttpRule } from '../gcp/methods.ts';
import { isObject, json, text } from '../gcp/parse.ts';
import { isAccount } from '../gcp/resourceNames.ts';
import { answerOf, httpRequestOf } from '../gcp/rest.ts';
import { CallError, createTransport, type Send } from '../gcp/transport.ts';
import { UsageError } from '../process/options.ts';
import { isProjectId } from '../tenant/names.ts';
import { logLine } from '../tenant/printable.ts';
import { type Command, type Context, checkNoArguments, checkNpm, type Program, parsedFlags } from './command.ts';

/**
 * `aitenant guardrail` writes one IAM deny policy on a project of tenants, so that nobody creates keys for its service accounts or
 * impersonates them. An administrator of the organization runs it. The operator itself must not have the permission for this.
 * Exit codes: 0 the policy is as wanted, 2 it differs (`--check`), 1 error or the change was declined.
 */

const POLICY_ID = 'aitenant-guardrail';

const usage = ({
  start,
}: Program): string => `Usage: ${start('guardrail')} --project P [--operator MEMBER] [--except MEMBER…] [--check | --remove] [--yes]

Puts one IAM deny policy, ${POLICY_ID}, on project P: nobody makes long-lived keys for service accounts there or
impersonates them. It holds for EVERY service account of the project, not only the tenants'. Acting as an account in
a deployment (actAs) stays possible. Shows the change and makes it after a confirmation. Does nothing if the policy is
up to date.

      --project ID        the project the tenants live in
      --operator MEMBER   the operator's identity (serviceAccount:aitenant-operator@P.iam.gserviceaccount.com)
      --except MEMBER     another exempt member; may be repeated: user:…, group:…, serviceAccount:…, principal://…,
                          principalSet://…. A member that the policy exempts and that you do not name again
                          loses its exemption.
      --check             only show the change; exit code 2 if there is one
      --remove            take the policy away
      --yes               make the change without a confirmation; needed if there is no terminal
Google's service agents of the project, such as Cloud Run's, are always exempt.

Needs roles/iam.denyAdmin, which is granted on the organization, and resourcemanager.projects.get on the project.`;

/**
 * The upload of a key also needs `serviceAccountKeys.create`. Source: IAM documentation, "Permissions supported in deny
 * policies".
 */
const DENIED = [
  'serviceAccountKeys.create',
  'serviceAccounts.getAccessToken',
  'serviceAccounts.getOpenIdToken',
  'serviceAccounts.implicitDelegation',
  'serviceAccounts.signBlob',
  'serviceAccounts.signJwt',
].map(permission => `iam.googleapis.com/${permission}`);
const EVERYBODY = 'principalSet://goog/public:all';

/** An IAM member as deny policies write it (IAM documentation, "Principal identifiers"). Throws `UsageError`. */
export function principalOf(member: string): string {
  const [, kind = '', id = ''] = /^(user|group|serviceAccount):([^\s/]+)$/.exec(member) ?? [];
  if (kind === 'user' && id.includes('@')) return `principal://goog/subject/${id.toLowerCase()}`;
  if (kind === 'group' && id.includes('@')) return `principalSet://goog/group/${id.toLowerCase()}`;
  if (kind === 'serviceAccount' && isAccount(id))
    return `principal://iam.googleapis.com/projects/-/serviceAccounts/${id}`;
  if (/^principal(Set)?:\/\/[\x21-\x7e]+$/.test(member) && member !== EVERYBODY) return member;
  throw new UsageError(
    `${JSON.stringify(member)} cannot be left out: write user:EMAIL, group:EMAIL, serviceAccount:EMAIL, principal://… or principalSet://…`,
  );
}

export const guardrailRules = (number: string, exceptions: string[]): JsonObject[] => [
  {
    description: 'No keys for service accounts, no impersonation of them',
    denyRule: {
      deniedPrincipals: [EVERYBODY],
      deniedPermissions: DENIED,
      exceptionPrincipals: [
        ...new Set([
          `principalSet://cloudresourcemanager.googleapis.com/projects/${number}/type/ServiceAgent`,
          ...exceptions,
        ]),
      ],
    },
  },
];

/** The rules of a policy as text, one line for each permission and principal. Equal policies have equal lines. */
function ruleLines(rules: unknown): string[] {
  const each = (Array.isArray(rules) ? rules : []) as JsonObject[];
  return each.flatMap(({ denyRule }, index) => {
    const rule = isObject(denyRule) ? denyRule : {};
    const lines = (field: string, words: string) =>
      (Array.isArray(rule[field]) ? (rule[field] as string[]) : []).map(value => `${words} ${value}`);
    const texts = [
      ...lines('deniedPermissions', 'deny'),
      ...lines('exceptionPermissions', 'but not'),
      ...lines('deniedPrincipals', 'to'),
      ...lines('exceptionPrincipals', 'except for'),
      ...(rule.denialCondition ? [`only if ${JSON.stringify(rule.denialCondition)}`] : []),
    ];
    return index === 0 ? texts : texts.map(line => `rule ${index + 1}: ${line}`);
  });
}

const difference = (from: string[], to: string[]) => ({
  removed: from.filter(line => !to.includes(line)),
  added: to.filter(line => !from.includes(line)),
});

// ------------------------------------------------------------------------------------------------------ Google Cloud

/** The HTTP rules of google.iam.v2.Policies and of its long-running operations. A test compares them with @google-cloud/iam. */
export const DENY_RULES = {
  GetPolicy: { http: 'GET /v2/{name=policies/*/*/*}' },
  CreatePolicy: { http: 'POST /v2/{parent=policies/*/*}', body: 'policy' },
  UpdatePolicy: { http: 'PUT /v2/{policy.name=policies/*/*/*}', body: 'policy' },
  DeletePolicy: { http: 'DELETE /v2/{name=policies/*/*/*}' },
  GetOperation: { http: 'GET /v2/{name=policies/*/*/*/operations/*}' },
} as const satisfies Record<string, HttpRule>;

interface Deny {
  call(method: keyof typeof DENY_RULES, request: JsonObject): Promise<JsonObject>;
  /** Waits until the long-running operation of a change has ended. Throws if it failed, or after 2 min. */
  waitUntilDone(operation: JsonObject): Promise<void>;
}

const WAIT_MS = 120_000;

function denyApi(endpoint: Endpoint, send: Send): Deny {
  const call: Deny['call'] = async (method, request) => {
    const { path, ...rest } = httpRequestOf(DENY_RULES[method], request);
    // A policy's name contains an escaped slash (%2F), which must not be escaped a second time in the URL.
    return answerOf(await send({ ...rest, path: path.replaceAll('%252F', '%2F') }));
  };
  return {
    call,
    async waitUntilDone(started) {
      const until = runtime.monotonic() + WAIT_MS;
      let operation = started;
      while (operation.done !== true) {
        if (runtime.monotonic() > until)
          throw new Error(
            `${text(operation.name)} has not ended after 2 minutes. See whether it has since: run this again with --check.`,
          );
        await sleep(runtime, endpoint.credentials ? 3_000 : 20);
        operation = await call('GetOperation', { name: text(operation.name) });
      }
      if (isObject(operation.error)) throw new Error(text(operation.error.message));
    },
  };
}

async function projectNumber(project: string, send: Send): Promise<string> {
  const answer = json(await send({ method: 'GET', path: `/v3/projects/${encodeURIComponent(project)}` }));
  const [, number] = /^projects\/(\d+)$/.exec(isObject(answer) ? text(answer.name) : '') ?? [];
  if (!number) throw new Error(`Resource Manager did not answer with the number of project ${project}.`);
  return number;
}

// ----------------------------------------------------------------------------------------------------------- command

async function run(argv: string[], context: Context): Promise<number> {
  const { env, program } = context;
  const example = `${program.start('guardrail')} --project my-project --check`;
  checkNpm(context, Object.keys(FLAGS), argv, [], example);
  return changePolicy(readGuardrailOptions(argv), env, createCredentials());
}

async function changePolicy(
  options: GuardrailOptions,
  env: NodeJS.ProcessEnv,
  credentials: Credentials,
): Promise<number> {
  const { project, mode } = options;
  const transport = createTransport(credentials, runtime.now);
  const iam = endpointOf('iam', 'https://iam.googleapis.com', env);
  const resources = endpointOf('cloudresourcemanager', 'https://cloudresourcemanager.googleapis.com', env);
  try {
    const { call, waitUntilDone } = denyApi(iam, transport.send(iam, ''));
    const parent = `policies/cloudresourcemanager.googleapis.com%2Fprojects%2F${encodeURIComponent(project)}/denypolicies`;
    const name = `${parent}/${POLICY_ID}`;
    const found = await call('GetPolicy', { name }).catch(undefinedIfNotFound);
    const rules =
      mode === 'remove'
        ? []
        : guardrailRules(await projectNumber(project, transport.send(resources, '')), options.exceptions);
    const { removed, added } = difference(ruleLines(found?.rules), ruleLines(rules));

    if (mode === 'remove' ? found === undefined : found !== undefined && removed.length + added.length === 0) {
      console.log(`Deny policy ${POLICY_ID} of project ${project}: nothing to change.`);
      return 0;
    }
    const verb = mode === 'remove' ? 'Remove' : found ? 'Change' : 'Create';
    console.log(styleText('bold', `${verb} deny policy ${POLICY_ID} of project ${project}:`));
    for (const line of removed) console.log(styleText('red', logLine(`  - ${line}`)));
    for (const line of added) console.log(styleText('green', logLine(`  + ${line}`)));
    if (mode !== 'remove') console.log(warning(project));
    if (mode === 'check') return 2;
    if (!(await confirmed(options.yes))) {
      console.log('Nothing was changed.');
      return 1;
    }
    const { etag } = found ?? {};
    const policy = { displayName: 'No service account keys, no impersonation', rules };
    if (mode === 'remove') await waitUntilDone(await call('DeletePolicy', { name, etag }));
    else if (!found) await waitUntilDone(await call('CreatePolicy', { parent, policyId: POLICY_ID, policy }));
    else await waitUntilDone(await call('UpdatePolicy', { policy: { ...found, ...policy, name } }));
    console.log('Done. It takes a few minutes until the change is effective everywhere.');
    return 0;
  } finally {
    transport.close();
  }
}

const warning = (project: string): string => `
This applies to EVERY service account of project ${project}, not only to the tenants'. Whoever creates keys for one or
impersonates one (a CI system, Terraform, code that signs URLs, pods with Workload Identity) is refused unless exempt.
An operator whose own account lives in this project and is used by Workload Identity needs
  --except principal://iam.googleapis.com/projects/NUMBER/locations/global/workloadIdentityPools/CLUSTER_PROJECT.svc.id.goog/subject/ns/aitenant-system/sa/aitenant-operator
`;

function undefinedIfNotFound(error: unknown): undefined {
  if (error instanceof CallError && error.status.code === 'NOT_FOUND') return undefined;
  throw error;
}

/** Asks for a confirmation, unless `yes` is set. Throws `UsageError` if there is no terminal to ask at. */
async function confirmed(yes: boolean): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new UsageError('nothing was changed: there is no terminal to ask at. Run it with --yes to make this change.');
  }
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question('Make this change? [y/N] ');
  terminal.close();
  return /^y(es)?$/i.test(answer.trim());
}

interface GuardrailOptions {
  project: string;
  exceptions: string[];
  mode: 'apply' | 'check' | 'remove';
  yes: boolean;
}

const FLAGS = {
  project: { type: 'string' },
  operator: { type: 'string' },
  except: { type: 'string', multiple: true },
  check: { type: 'boolean' },
  remove: { type: 'boolean' },
  yes: { type: 'boolean' },
} as const;

/** Throws `UsageError`. */
export function readGuardrailOptions(argv: string[]): GuardrailOptions {
  const { values, positionals } = parsedFlags(argv, FLAGS);
  checkNoArguments(positionals);
  const { project = '', except = [] } = values;
  if (!isProjectId(project)) throw new UsageError('name the project by its id: --project my-project');
  if (values.check && values.remove) throw new UsageError('--check and --remove exclude each other');
  const operator = values.operator ?? `serviceAccount:aitenant-operator@${project}.iam.gserviceaccount.com`;
  return {
    project,
    exceptions: [operator, ...except].map(principalOf),
    mode: values.check ? 'check' : values.remove ? 'remove' : 'apply',
    yes: values.yes ?? false,
  };
}

/** Google Cloud's message, and what to do about the errors that are to be expected. */
function explained(error: unknown): string {
  if (!(error instanceof CallError)) return error instanceof Error ? error.message : String(error);
  const { code, message } = error.status;
  if (code === 'PERMISSION_DENIED') {
    return (
      `${message}\nYou need roles/iam.denyAdmin, granted on the organization, and resourcemanager.projects.get on the project. ` +
      'Check the id of the project too.'
    );
  }
  if (code === 'RESOURCE_EXHAUSTED') {
    return `${message}\nGoogle Cloud allows 5 reads and 5 writes of deny policies a minute: run this again in a minute.`;
  }
  if (code === 'UNAUTHENTICATED') return `${message}\nLog in: gcloud auth application-default login`;
  if (code === 'ABORTED' || code === 'ALREADY_EXISTS') {
    return `${message}\nSomebody else changed the policy meanwhile: run this again.`;
  }
  return message;
}

export const guardrailCommand: Command = {
  summary: 'protect the service accounts of a project of tenants by an IAM deny policy',
  usage,
  run,
  explained,
};
