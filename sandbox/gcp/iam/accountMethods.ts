import type { JsonObject } from '../../../ports/json.ts';
import type { Cloud, Handler, Handlers, Project } from '../contracts.ts';
import { denied, failedPrecondition, invalid, notFound } from '../errors.ts';
import { page } from '../paging.ts';
import type { Account, AccountStore } from './accounts.ts';
import { iamMethods } from './policyMethods.ts';

const API = 'google.iam.admin.v1.IAM';
const PAGES = { default: 20, max: 100, order: 'oldest first' } as const;
const MAX_DISPLAY_NAME_BYTES = 100;
const MAX_DESCRIPTION_BYTES = 256;

/** IAM v1: service accounts without their keys. */
export function iamHandlers(cloud: Cloud, accounts: AccountStore): Handlers {
  /** Returns the account of `projects/P/serviceAccounts/{EMAIL or UNIQUE_ID}`. P may be `-`. */
  function find(name: string, permission: string, missing = () => unknown()): Account {
    const [, project = '', key = ''] = name.match(/^projects\/([^/]+)\/serviceAccounts\/([^/]+)$/) ?? [];
    if (!key) throw invalid(`Invalid service account name: ${name}`);
    const account = accounts.find(key);
    const wildcard = project === '-';
    const here = account && (wildcard || account.projectId === cloud.project(project).id);
    const sight = here ? account.look() : 'missing';
    if (account && sight === 'visible') return account;
    throw sight === 'denied' || wildcard ? denied(permission, name) : missing();
  }

  const account = (verb: string) => (request: JsonObject) => find(String(request.name), `iam.serviceAccounts.${verb}`);

  const toggle =
    (verb: 'enable' | 'disable'): Handler =>
    request => {
      account(verb)(request).disabled = verb === 'disable';
      return {};
    };

  const handlers: Handlers = {
    ListServiceAccounts: request => {
      const project = projectOf(cloud, String(request.name));
      const visible = accounts.list(project.id).filter(({ look }) => look() === 'visible');
      const { items, nextPageToken } = page(visible, request, PAGES);
      return { accounts: items.map(show), nextPageToken };
    },
    GetServiceAccount: request => show(account('get')(request)),
    CreateServiceAccount: request => {
      const project = projectOf(cloud, String(request.name));
      const id = String(request.accountId);
      checkAccountId(id);
      return show(accounts.create(project, id, { displayName: '', description: '', ...texts(request.serviceAccount) }));
    },
    PatchServiceAccount: request => {
      const given = request.serviceAccount as JsonObject;
      const changed = find(String(given.name), 'iam.serviceAccounts.update');
      const mask = String(request.updateMask ?? '')
        .split(',')
        .filter(Boolean);
      const foreign = mask.find(path => path !== 'displayName' && path !== 'description');
      if (mask.length === 0) throw invalid('The update_mask must be set.');
      if (foreign) throw invalid(`The field "${foreign}" in the update_mask cannot be updated.`);
      const all = texts({ displayName: '', description: '', ...given });
      Object.assign(changed, Object.fromEntries(Object.entries(all).filter(([field]) => mask.includes(field))));
      // Google's guide "Edit a service account" shows only these fields in the answer.
      const { name, displayName, description } = show(changed);
      return { name, displayName, description };
    },
    UpdateServiceAccount: request => {
      const changed = account('update')(request);
      return show(Object.assign(changed, texts(request)));
    },
    DeleteServiceAccount: request => {
      accounts.remove(account('delete')(request));
      return {};
    },
    UndeleteServiceAccount: request => {
      const key = String(request.name).split('/').at(-1) ?? '';
      const restored = accounts.restore(key);
      if (!restored) throw unknown();
      return { restoredAccount: show(restored) };
    },
    EnableServiceAccount: toggle('enable'),
    DisableServiceAccount: toggle('disable'),
    ListServiceAccountKeys: noKeys,
    GetServiceAccountKey: noKeys,
    CreateServiceAccountKey: noKeys,
    DeleteServiceAccountKey: noKeys,

    ...iamMethods(cloud, name => {
      const missing = () => notFound(`Service account ${name} does not exist.`);
      const { projectId, uniqueId } = find(name, 'iam.serviceAccounts.getIamPolicy', missing);
      // The key is the unique id, because a new account with the same e-mail has its own policy.
      return `projects/${projectId}/serviceAccounts/${uniqueId}`;
    }),
  };
  return Object.fromEntries(Object.entries(handlers).map(([method, handler]) => [`${API}.${method}`, handler]));
}

const noKeys: Handler = () => {
  throw failedPrecondition('Service account keys are not supported by the local Google Cloud.');
};

function projectOf(cloud: Cloud, name: string): Project {
  const [, project = ''] = name.match(/^projects\/([^/]+)$/) ?? [];
  if (!project) throw invalid(`Invalid project name: ${name}`);
  return cloud.project(project);
}

function checkAccountId(id: string): void {
  if (id.length < 6 || id.length > 30) {
    throw invalid(`The account ID "${id}" does not have a length between 6 and 30.`);
  }
  if (!/^[a-z]([-a-z0-9]*[a-z0-9])$/.test(id)) {
    throw invalid(`The account ID "${id}" does not match the pattern "[a-z]([-a-z0-9]*[a-z0-9])".`);
  }
}

function texts(given: unknown): { displayName?: string; description?: string } {
  const { displayName, description } = (given ?? {}) as { displayName?: string; description?: string };
  if (Buffer.byteLength(displayName ?? '') > MAX_DISPLAY_NAME_BYTES) {
    throw invalid(`The display name must be at most ${MAX_DISPLAY_NAME_BYTES} UTF-8 bytes.`);
  }
  if (Buffer.byteLength(description ?? '') > MAX_DESCRIPTION_BYTES) {
    throw invalid(`The description must be at most ${MAX_DESCRIPTION_BYTES} UTF-8 bytes.`);
  }
  return { ...(displayName !== undefined && { displayName }), ...(description !== undefined && { description }) };
}

const unknown = () => notFound('Unknown service account');

function show({ email, uniqueId, projectId, displayName, description, disabled }: Account): JsonObject {
  return {
    name: `projects/${projectId}/serviceAccounts/${email}`,
    projectId,
    uniqueId,
    email,
    displayName,
    description,
    disabled,
    // The etag is deprecated and the same for all accounts: an account has no optimistic lock.
    etag: 'MDEwMjE5MjA=',
    oauth2ClientId: uniqueId,
  };
}
