import { type Exchange, fieldIn, objectIn, succeeded } from '../exchange.ts';
import type { Fact, FactContext } from '../fact.ts';
import { accountOf, accountsOf, emailOf, nameIn } from './addresses.ts';
import { askForAccount, lastPart, makeAccount, must, mustAnswer, sharedAccount, untilAnswer } from './made.ts';
import { allOf, fieldFits, judge, notObservable, refuses, refusesInput } from './verdicts.ts';

/** IAM v1, service accounts. */

const section = 'IAM v1, service accounts';

/** The account that the probes below change. Each probe sets what it reads. */
const editedAccount = (context: FactContext) => context.shared('edited account', () => makeAccount(context, 'edited'));

const askToPatch = (context: FactContext, url: string, fields: Record<string, string | boolean>, updateMask: string) =>
  context.call('PATCH', url, { serviceAccount: { name: nameIn(url), ...fields }, updateMask });

/** An account that nobody has made. */
const neverMade = (context: FactContext): string => accountOf(context, context.name('account', 'never-made'));

interface Undeleted {
  uniqueId: string;
  deleted: Exchange;
  undeleted: Exchange;
}

const undeletedAccount = (context: FactContext): Promise<Undeleted> =>
  context.shared('undeleted account', async () => {
    const { url, created } = await makeAccount(context, 'undeleted');
    const uniqueId = lastPart(created, 'uniqueId');
    const deleted = await context.call('DELETE', url);
    const byId = `${accountsOf(context)}/${uniqueId}:undelete`;
    const undeleted = await untilAnswer(context, () => context.call('POST', byId, {}), succeeded, 30_000);
    return { uniqueId, deleted, undeleted };
  });

export const accounts: Fact[] = [
  {
    id: 'account-create',
    text: '`POST serviceAccounts {accountId, serviceAccount}` answers with the account: name, e-mail, unique id, displayName and description.',
    source: 'D: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/create',
    unsure: false,
    section,
    probe: async context => {
      const { created, email, id } = await sharedAccount(context);
      return allOf(
        () => fieldFits(created, 'email', email),
        () => fieldFits(created, 'uniqueId', uniqueId => /^\d{15,}$/.test(String(uniqueId))),
        () => fieldFits(created, 'displayName', id),
        () => fieldFits(created, 'description', context.description),
      );
    },
  },
  {
    id: 'account-exists-text',
    text: 'Creating an account that exists is refused: 409 ALREADY_EXISTS "Service account ID already exists within project projects/P."',
    source: 'C: https://github.com/GoogleCloudPlatform/java-docs-samples/issues/3605',
    unsure: false,
    section,
    probe: async context => {
      const { id } = await sharedAccount(context);
      const text = `Service account ${id} already exists within project projects/${context.project}.`;
      return refuses(await askForAccount(context, id), { status: 409, code: 'ALREADY_EXISTS', text });
    },
  },
  {
    id: 'account-id-shortest',
    text: 'An account id of fewer than 6 characters is refused with 400.',
    source: 'D: https://cloud.google.com/iam/docs/service-accounts-create',
    unsure: false,
    section,
    probe: async context => refusesInput(await askForAccount(context, 'acc-5')),
  },
  {
    id: 'account-id-longest',
    text: 'An account id of more than 30 characters is refused with 400.',
    source: 'D: https://cloud.google.com/iam/docs/service-accounts-create',
    unsure: false,
    section,
    probe: async context => {
      const id = context.name('account', 'too-long').padEnd(31, 'x');
      return refusesInput(await askForAccount(context, id));
    },
  },
  {
    id: 'account-id-pattern',
    text: 'An account id has lower-case letters, digits and hyphens, begins with a letter and does not end with a hyphen; any other is refused with 400.',
    source: 'D: https://cloud.google.com/iam/docs/service-accounts-create',
    unsure: false,
    section,
    probe: async context => {
      const id = context.name('account', 'form');
      return allOf(
        async () => refusesInput(await askForAccount(context, `${id}-`)),
        async () => refusesInput(await askForAccount(context, `${id}-X`)),
      );
    },
  },
  {
    id: 'account-display-name-bytes',
    text: 'A displayName has at most 100 bytes of UTF-8, not characters.',
    source: 'D: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await editedAccount(context);
      const patch = (displayName: string) => askToPatch(context, url, { displayName }, 'displayName');
      const most = must(await patch('x'.repeat(100)));
      return allOf(
        () => judge(succeeded(most), most),
        async () => refusesInput(await patch('ä'.repeat(51))),
      );
    },
  },
  {
    id: 'account-description-bytes',
    text: 'A description has at most 256 bytes of UTF-8, not characters.',
    source: 'D: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await editedAccount(context);
      const patch = (more: string) => {
        const description = `${context.description} ${more}`;
        return askToPatch(context, url, { description }, 'description');
      };
      const room = 256 - Buffer.byteLength(`${context.description} `);
      must(await patch('x'.repeat(room)));
      return refusesInput(await patch('ä'.repeat(Math.ceil((room + 1) / 2))));
    },
  },
  {
    id: 'account-no-labels',
    text: 'An account has no labels: the field is unknown.',
    source: 'D: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts',
    unsure: false,
    section,
    probe: async context => {
      const id = context.name('account', 'labelled');
      return refusesInput(await askForAccount(context, id, { labels: { a: 'b' } }), /Unknown name "labels"/);
    },
  },
  {
    id: 'account-no-lock',
    text: 'An account has no optimistic lock: a change with an etag that is not its own is taken.',
    source: 'P: google/iam/admin/v1/iam.proto calls the etag deprecated',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await editedAccount(context);
      const etag = Buffer.from('another').toString('base64');
      const patched = await askToPatch(context, url, { displayName: 'no lock', etag }, 'displayName');
      return judge(succeeded(patched), patched);
    },
  },
  {
    id: 'account-disabled-output-only',
    text: '`disabled` cannot be patched: it is output only.',
    source: 'P: google/iam/admin/v1/iam.proto',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await editedAccount(context);
      await askToPatch(context, url, { displayName: 'output only', disabled: true }, 'displayName');
      await askToPatch(context, url, { disabled: true }, 'disabled');
      return fieldFits(await context.call('GET', url), 'disabled', value => value !== true);
    },
  },
  {
    id: 'account-disable-enable',
    text: '`:disable` and `:enable` change `disabled`.',
    source: 'D: https://cloud.google.com/iam/docs/service-accounts-disable-enable',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await context.shared('switched account', () => makeAccount(context, 'switched'));
      const after = async (verb: string, disabled: boolean) => {
        must(await context.call('POST', `${url}:${verb}`, {}));
        const read = () => context.call('GET', url);
        return untilAnswer(context, read, answer => (fieldIn(answer, 'disabled') === true) === disabled, 30_000);
      };
      return allOf(
        async () => fieldFits(await after('disable', true), 'disabled', true),
        async () => fieldFits(await after('enable', false), 'disabled', value => value !== true),
      );
    },
  },
  {
    id: 'account-missing',
    text: 'An account that does not exist is answered with 404 NOT_FOUND.',
    source: 'D: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/get',
    unsure: false,
    section,
    probe: async context => {
      await mustAnswer(context, (await sharedAccount(context)).url);
      return refuses(await context.call('GET', neverMade(context)), { status: 404, code: 'NOT_FOUND' });
    },
  },
  {
    id: 'account-missing-reason',
    text: 'The 404 of IAM v1 has `errors[0].reason: "notFound"` beside the google.rpc.Status.',
    source: 'C: https://github.com/GoogleCloudPlatform/java-docs-samples/issues/3605, which shows the form in a 409',
    unsure: false,
    section,
    probe: async context => {
      const missing = await context.call('GET', neverMade(context));
      const reason = fieldIn(missing, 'error.errors.0.reason');
      return judge(reason === 'notFound', missing, `errors[0].reason is ${JSON.stringify(reason)}`);
    },
  },
  {
    id: 'account-missing-text',
    text: 'The policy of a missing account is answered with 404 "Service account projects/P/serviceAccounts/E does not exist."',
    source: 'C: quoted in public repositories: an audit log with code 5 and this text',
    unsure: false,
    section,
    probe: async context => {
      const url = neverMade(context);
      const text = `Service account ${nameIn(url)} does not exist.`;
      return refuses(await context.call('POST', `${url}:getIamPolicy`), { status: 404, text });
    },
  },
  {
    id: 'account-missing-wildcard',
    text: 'Under `projects/-` a missing account is answered with 403, not 404.',
    source: 'D: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/get',
    unsure: false,
    section,
    probe: async context => {
      const email = emailOf(context, context.name('account', 'never-made'));
      const missing = await context.call('GET', accountsOf({ project: '-' }).concat(`/${email}`));
      return refuses(missing, { status: 403, code: 'PERMISSION_DENIED' });
    },
  },
  {
    id: 'account-patch-mask',
    text: '`PATCH {serviceAccount, updateMask}` changes only what the mask names.',
    source: 'D: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/patch',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await context.shared('masked account', () => makeAccount(context, 'masked'));
      const description = `${context.description} changed`;
      must(await askToPatch(context, url, { displayName: 'masked', description }, 'displayName'));
      const read = await untilAnswer(
        context,
        () => context.call('GET', url),
        answer => fieldIn(answer, 'displayName') === 'masked',
        30_000,
      );
      return allOf(
        () => fieldFits(read, 'displayName', 'masked'),
        () => fieldFits(read, 'description', context.description),
      );
    },
  },
  {
    id: 'account-list-pages',
    text: 'The list of accounts has pages: `pageSize=1` answers with one account and a `nextPageToken`.',
    source: 'D: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/list',
    unsure: false,
    section,
    probe: async context => {
      await sharedAccount(context);
      await editedAccount(context);
      const page = await context.call('GET', `${accountsOf(context)}?pageSize=1`);
      return allOf(
        () => fieldFits(page, 'accounts', list => Array.isArray(list) && list.length === 1),
        () => fieldFits(page, 'nextPageToken', token => typeof token === 'string' && token !== ''),
      );
    },
  },
  {
    id: 'account-delete-empty',
    text: 'Deleting an account answers with `{}`.',
    source: 'D: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/delete',
    unsure: false,
    section,
    probe: async context => {
      const { deleted } = await undeletedAccount(context);
      return judge(succeeded(deleted) && Object.keys(objectIn(deleted)).length === 0, deleted);
    },
  },
  {
    id: 'account-undelete',
    text: 'A deleted account can be undeleted by its unique id, and keeps it.',
    source: 'D: https://cloud.google.com/iam/docs/service-accounts-delete-undelete',
    unsure: false,
    section,
    probe: async context => {
      const { undeleted, uniqueId } = await undeletedAccount(context);
      return fieldFits(undeleted, 'restoredAccount.uniqueId', uniqueId);
    },
  },
  {
    id: 'account-undelete-30-days',
    text: 'An account can be undeleted for 30 days.',
    source: 'D: https://cloud.google.com/iam/docs/service-accounts-delete-undelete',
    unsure: false,
    section,
    probe: async () => notObservable('a run does not last 30 days'),
  },
  {
    id: 'account-by-unique-id',
    text: 'An account may be named by its e-mail or by its unique id, in reads, changes and policies.',
    source: 'D: https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/get',
    unsure: false,
    section,
    probe: async context => {
      const { created, email } = await editedAccount(context);
      const url = `${accountsOf(context)}/${lastPart(created, 'uniqueId')}`;
      const policy = await context.call('POST', `${url}:getIamPolicy`);
      const patched = await askToPatch(context, url, { displayName: 'by unique id' }, 'displayName');
      return allOf(
        async () => fieldFits(await context.call('GET', url), 'email', email),
        () => judge(succeeded(policy), policy),
        () => judge(succeeded(patched), patched),
      );
    },
  },
  {
    id: 'account-patch-answer',
    text: 'The answer to a patch has at least the name and the fields of the request.',
    source: 'D: https://cloud.google.com/iam/docs/service-accounts-edit',
    unsure: false,
    section,
    probe: async context => {
      const { url } = await editedAccount(context);
      const patched = await askToPatch(context, url, { displayName: 'answered' }, 'displayName');
      return allOf(
        () => fieldFits(patched, 'name', nameIn(url)),
        () => fieldFits(patched, 'displayName', 'answered'),
      );
    },
  },
];
