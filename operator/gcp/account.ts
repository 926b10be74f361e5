import type { iam_v1 } from '@googleapis/iam';
import { accountName, part } from '../tenant/names.ts';
import type { ObservedAccount } from '../tenant/types.ts';
import type { Resource } from './getOne.ts';
import { rpc } from './methods.ts';
import { filled, flag, type Message, text } from './parse.ts';
import { badId, badName } from './resourceNames.ts';
import type { Writes } from './write.ts';

/** Service accounts (IAM API). */

/** A google.iam.admin.v1.ServiceAccount; undefined if the answer lacks the name, the e-mail address or the unique id. */
export function parseAccount(answer: Message<iam_v1.Schema$ServiceAccount>): ObservedAccount | undefined {
  const [name, email, uniqueId] = [filled(answer.name), filled(answer.email), filled(answer.uniqueId)];
  if (!name || !email || !uniqueId) return undefined;
  return { name, email, uniqueId, description: text(answer.description), disabled: flag(answer.disabled) };
}

/** The page size is the largest that ListServiceAccounts accepts (iam.googleapis.com, v1 discovery document). */
export const accounts: Resource<ObservedAccount> = {
  shape: 'account',
  get: { method: rpc.getAccount, request: name => ({ name }) },
  isAbout: ({ email }, name) => email === part(name, 'serviceAccounts'),
  list: {
    method: rpc.listAccounts,
    request: name => ({ name, pageSize: 100 }),
    field: 'accounts',
    parse: parseAccount,
    key: ({ email }) => email,
  },
  uniqueId: ({ uniqueId }) => uniqueId,
  isOurs: true,
};

export const accountWrites: Writes<'createAccount' | 'updateAccount' | 'deleteAccount'> = {
  createAccount: {
    method: rpc.createAccount,
    guard: ({ project, accountId }) => badName('project', `projects/${project}`) ?? badId('account', accountId),
    request: ({ project, accountId, displayName, description }) => {
      return { name: `projects/${project}`, accountId, serviceAccount: { displayName, description } };
    },
    changes: ({ project, email }) => accountName(project, email),
    needsGet: true,
  },
  updateAccount: {
    method: rpc.patchAccount,
    guard: ({ name }) => badName('account', name),
    request: ({ name, description }) => ({ serviceAccount: { name, description }, updateMask: 'description' }),
    changes: ({ name }) => name,
  },
  deleteAccount: {
    method: rpc.deleteAccount,
    guard: ({ name }) => badName('account', name),
    request: ({ name }) => ({ name }),
    changes: ({ name }) => name,
  },
};
