import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Json } from '../../../ports/json.ts';
import { type Exchange, fieldIn, objectIn, succeeded } from '../exchange.ts';
import type { Fact, FactContext } from '../fact.ts';
import { accountOf, emailOf, secretOf, serviceOf } from './addresses.ts';
import {
  askForAccount,
  grantOf,
  lastPart,
  makeAccount,
  makeSecret,
  must,
  mustAnswer,
  onceVisible,
  setPolicy,
  sharedAccount,
  sharedSecrets,
  sharedService,
  untilAnswer,
} from './made.ts';
import { allOf, confirmed, fieldFits, judge, notObservable, refuses, refuted } from './verdicts.ts';

/** Names, errors, and what is not consistent at once. */

const section = 'Everywhere';

/** The account of the probes below: its creation, a second attempt to create it, and its first reads. */
interface Fresh {
  again: Exchange;
  reads: Exchange[];
  isVisible: boolean;
}

const freshAccount = (context: FactContext): Promise<Fresh> =>
  context.shared('fresh account', async () => {
    const id = context.name('account', 'fresh');
    const url = accountOf(context, id);
    must(await askForAccount(context, id));
    const reads: Exchange[] = [];
    for (let read = 0; read < 4; read++) reads.push(await context.call('GET', url));
    const again = await askForAccount(context, id);
    const isVisible = await context.until(async () => {
      const now = [];
      for (let read = 0; read < 4; read++) now.push(await context.call('GET', url));
      reads.push(...now);
      return now.every(succeeded) ? true : undefined;
    }, 120_000);
    return { again, reads, isVisible: isVisible ?? false };
  });

const numberOf = ({ projectNumber }: FactContext): string => projectNumber ?? '\\d+';

export const everywhere: Fact[] = [
  {
    id: 'error-shape',
    text: 'An error is `{"error": {"code", "message", "status"}}`: `code` is the HTTP status, `status` the name of the google.rpc.Code.',
    source: 'D: https://google.aip.dev/193',
    unsure: false,
    section,
    probe: async context => {
      await mustAnswer(context, (await sharedService(context)).url);
      const missing = await context.call('GET', serviceOf(context, context.name('service', 'error-shape')));
      const { error } = objectIn(missing);
      return allOf(
        () => fieldFits({ ...missing, status: 200 }, 'error.code', missing.status),
        () => fieldFits({ ...missing, status: 200 }, 'error.status', 'NOT_FOUND'),
        () => judge(typeof fieldIn(missing, 'error.message') === 'string', missing, JSON.stringify(error)),
      );
    },
  },
  {
    id: 'secret-name-number',
    text: 'Secret Manager answers with the number of the project also when it was asked by the id: `projects/123456/secrets/x`.',
    source: 'C: captures and bug reports of client projects; their addresses were not kept',
    unsure: false,
    section,
    probe: async context => {
      const { denied } = await sharedSecrets(context);
      const read = await context.call('GET', denied.url);
      return fieldFits(read, 'name', name =>
        new RegExp(`^projects/${numberOf(context)}/secrets/${denied.id}$`).test(String(name)),
      );
    },
  },
  {
    id: 'secret-error-number',
    text: 'The text of an error that names a secret has the number of the project.',
    source: 'C: https://github.com/airbytehq/airbyte/issues/36442',
    unsure: false,
    section,
    probe: async context => {
      const id = context.name('secret', 'error-number');
      const text = new RegExp(`projects/${numberOf(context)}/secrets/${id}`);
      return refuses(await context.call('GET', secretOf(context, id)), { status: 404, text });
    },
  },
  {
    id: 'deny-policy-name-number',
    text: 'The name of a deny policy has the number of the project also when it was asked by the id.',
    source: 'D: https://cloud.google.com/iam/docs/deny-access shows numbers in answers',
    unsure: false,
    section,
    probe: async context => {
      const attached = `policies/cloudresourcemanager.googleapis.com%2Fprojects%2F${context.project}`;
      const listed = await context.call('GET', `https://iam.googleapis.com/v2/${attached}/denypolicies`);
      if (!succeeded(listed)) return judge(false, { ...listed, status: 403 });
      const policies = objectIn(listed).policies;
      if (policies === undefined) return notObservable('the project has no deny policy, and a probe makes none');
      const form = new RegExp(`projects%2F${numberOf(context)}/denypolicies/`, 'i');
      return fieldFits(listed, 'policies.0.name', name => form.test(String(name)));
    },
  },
  {
    id: 'account-name-id',
    text: 'IAM v1 answers with the id of the project: `projects/ID/serviceAccounts/EMAIL`.',
    source: 'D: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts',
    unsure: false,
    section,
    probe: async context => {
      const { url, email } = await sharedAccount(context);
      const read = await context.call('GET', url);
      return fieldFits(read, 'name', `projects/${context.project}/serviceAccounts/${email}`);
    },
  },
  {
    id: 'run-name-id',
    text: 'Cloud Run answers with the id of the project: `projects/ID/locations/R/services/S`.',
    source: 'C: https://github.com/GoogleCloudPlatform/cloud-run-mcp/issues/16',
    unsure: false,
    section,
    probe: async context => {
      const { id, url } = await sharedService(context);
      const read = await context.call('GET', url);
      return fieldFits(read, 'name', `projects/${context.project}/locations/${context.region}/services/${id}`);
    },
  },
  {
    id: 'fresh-account-missing',
    text: 'A new service account can be missing (404) in some reads and there in others, for up to a minute.',
    source:
      'D: https://cloud.google.com/iam/docs/access-change-propagation; C: https://github.com/GoogleCloudPlatform/magic-modules/pull/14447',
    unsure: false,
    section,
    probe: async context => {
      const { reads, isVisible } = await freshAccount(context);
      const odd = reads.find(({ status }) => ![200, 403, 404].includes(status));
      if (odd) return refuted(`a read of a new account answered HTTP ${odd.status}`);
      if (!isVisible) return refuted('the account cannot be read two minutes after its creation');
      if (reads.some(({ status }) => status === 404)) return confirmed;
      return notObservable('each read found the new account');
    },
  },
  {
    id: 'fresh-account-forbidden',
    text: 'A read of a new service account can also answer 403 "Permission \'iam.serviceAccounts.get\' denied on resource (or it may not exist)."',
    source: 'C: https://github.com/hashicorp/terraform-provider-google/issues/15042',
    unsure: false,
    section,
    probe: async context => {
      const { reads } = await freshAccount(context);
      const forbidden = reads.find(({ status }) => status === 403);
      if (!forbidden) return notObservable('no read of the new account was answered with 403');
      const text = "Permission 'iam.serviceAccounts.get' denied on resource (or it may not exist).";
      const message = String(fieldIn(forbidden, 'error.message'));
      return message.includes(text) ? confirmed : refuted(message);
    },
  },
  {
    id: 'fresh-account-exists',
    text: 'While a new service account is missing in reads, creating it again answers 409: a 409 means only that it exists.',
    source: 'C: https://github.com/hashicorp/terraform-provider-google/issues/19112',
    unsure: false,
    section,
    probe: async context => refuses((await freshAccount(context)).again, { status: 409, code: 'ALREADY_EXISTS' }),
  },
  {
    id: 'timeout-outcome-open',
    text: 'After a time-out or a 5xx it is open whether the call took effect.',
    source: 'D: https://google.aip.dev/194',
    unsure: false,
    section,
    probe: async () => notObservable('a probe cannot make Google Cloud lose an answer'),
  },
  {
    id: 'client-timeouts-short',
    text: 'The published Cloud Run client gives up on creating and updating a service after 15 s and on deleting after 10 s, without a retry.',
    source: 'P: services_client_config.json of @google-cloud/run',
    unsure: false,
    section,
    probe: async () => {
      const path = createRequire(import.meta.url).resolve('@google-cloud/run/build/src/v2/services_client_config.json');
      const { methods, retry_codes } = JSON.parse(readFileSync(path, 'utf8')).interfaces[
        'google.cloud.run.v2.Services'
      ];
      const found = Object.entries({ CreateService: 15_000, UpdateService: 15_000, DeleteService: 10_000 }).filter(
        ([name, ms]) =>
          methods[name]?.timeout_millis !== ms || retry_codes[methods[name]?.retry_codes_name]?.length !== 0,
      );
      return found.length === 0 ? confirmed : refuted(JSON.stringify(found.map(([name]) => [name, methods[name]])));
    },
  },
  {
    id: 'member-missing',
    text: 'A policy with a service account that does not exist is refused: 400 INVALID_ARGUMENT "Service account E does not exist."',
    source: 'C: https://github.com/GoogleCloudPlatform/solutions-modern-cicd-anthos/issues/18',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await makeSecret(context, 'member-missing');
      const email = emailOf(context, context.name('account', 'never-made'));
      return refuses(await setPolicy(context, url, grantOf(`serviceAccount:${email}`)), {
        status: 400,
        code: 'INVALID_ARGUMENT',
        text: `Service account ${email} does not exist.`,
      });
    },
  },
  {
    id: 'member-fresh',
    text: 'A policy with a new service account is refused with the same text for up to a minute, and then taken.',
    source: 'C: https://github.com/googleapis/google-cloud-go/issues/11482',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await makeSecret(context, 'member-fresh');
      const id = context.name('account', 'member-fresh');
      must(await askForAccount(context, id));
      const grant = () => setPolicy(context, url, grantOf(`serviceAccount:${emailOf(context, id)}`));
      const first = await grant();
      if (succeeded(first)) return notObservable('the new account was taken at once');
      const text = `Service account ${emailOf(context, id)} does not exist.`;
      return allOf(
        () => refuses(first, { status: 400, code: 'INVALID_ARGUMENT', text }),
        async () => {
          const last = await untilAnswer(context, grant, succeeded);
          return judge(succeeded(last), last);
        },
      );
    },
  },
  {
    id: 'bad-member-refuses-all',
    text: 'One bad member refuses the whole write: the policy stays as it was.',
    source: 'C: captures and bug reports of client projects; their addresses were not kept',
    unsure: false,
    section,
    probe: async context => {
      const { member } = await sharedAccount(context);
      const { url } = await makeSecret(context, 'bad-member');
      must(await onceVisible(context, () => setPolicy(context, url, grantOf(member))));
      const missing = `serviceAccount:${emailOf(context, context.name('account', 'never-made'))}`;
      const role = 'roles/secretmanager.viewer';
      const bindings = [{ role, members: [member, missing] }];
      const written = await setPolicy(context, url, { bindings });
      const read = await context.call('GET', `${url}:getIamPolicy`);
      return allOf(
        () => refuses(written, { status: 400 }),
        () => fieldFits(read, 'bindings.0.role', grantOf(member).bindings ? 'roles/secretmanager.secretAccessor' : ''),
        () => fieldFits(read, 'bindings.1', undefined),
      );
    },
  },
  {
    id: 'deleted-member',
    text: 'When a service account is deleted, its members become `deleted:serviceAccount:EMAIL?uid=UNIQUE_ID`.',
    source: 'D: https://cloud.google.com/iam/docs/principal-identifiers',
    unsure: false,
    section,
    probe: async context => {
      const { email, uniqueId, afterDeletion } = await deletedAccount(context);
      const member = `deleted:serviceAccount:${email}?uid=${uniqueId}`;
      return fieldFits(afterDeletion, 'bindings.0.members.0', member);
    },
  },
  {
    id: 'account-again-new-identity',
    text: 'A new account of a deleted one’s e-mail has another unique id.',
    source: 'D: https://cloud.google.com/iam/docs/service-accounts-delete-undelete',
    unsure: false,
    section,
    probe: async context => {
      const { uniqueId, again } = await deletedAccount(context);
      return fieldFits(must(again), 'uniqueId', value => typeof value === 'string' && value !== uniqueId);
    },
  },
  {
    id: 'account-again-no-grant',
    text: 'A new account of a deleted one’s e-mail does not get its grants: the policy keeps the deleted member.',
    source: 'D: https://cloud.google.com/iam/docs/service-accounts-delete-undelete',
    unsure: false,
    section,
    probe: async context => {
      const { again, afterAgain, email } = await deletedAccount(context);
      must(again);
      const isKept = (members: Json | undefined) =>
        Array.isArray(members) &&
        members.some(member => String(member).startsWith('deleted:')) &&
        !members.includes(`serviceAccount:${email}`);
      return fieldFits(afterAgain, 'bindings.0.members', isKept);
    },
  },
];

interface DeletedAccount {
  email: string;
  uniqueId: string;
  afterDeletion: Exchange;
  /** The answer to the creation of an account of the same e-mail, and the policy after it. */
  again: Exchange;
  afterAgain: Exchange;
}

/** An account that was granted a secret, deleted, and made again. */
const deletedAccount = (context: FactContext): Promise<DeletedAccount> =>
  context.shared('deleted account', async () => {
    const { id, url, email, member, created } = await makeAccount(context, 'deleted');
    const secret = await makeSecret(context, 'deleted-member');
    must(await onceVisible(context, () => setPolicy(context, secret.url, grantOf(member))));
    must(await context.call('DELETE', url));
    const read = () => context.call('GET', `${secret.url}:getIamPolicy`);
    const isRenamed = (policy: Exchange) => fieldIn(policy, 'bindings.0.members.0') !== member;
    const afterDeletion = await untilAnswer(context, read, isRenamed);
    const again = await askForAccount(context, id);
    return { email, uniqueId: lastPart(created, 'uniqueId'), afterDeletion, again, afterAgain: await read() };
  });
