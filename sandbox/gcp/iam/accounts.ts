import type { Runtime } from '../../../ports/runtime.ts';
import type { CloudSettings, Project, ServiceAccountState } from '../contracts.ts';
import { alreadyExists, exhausted, failedPrecondition } from '../errors.ts';
import { freshness, type Sight } from '../freshness.ts';
import type { PolicyStore } from './policies.ts';

/** A deleted account can be undeleted for 30 days (IAM documentation), in milliseconds. */
const UNDELETE_MS = 30 * 24 * 60 * 60 * 1000;

export interface Account extends ServiceAccountState {
  displayName: string;
  description: string;
  sequence: number;
  createdAt: number;
  deletedAt?: number;
  look: () => Sight;
}

export interface AccountStore {
  /** The maximum number of accounts in a project, without those that Google creates. */
  limit: number;
  create(project: Project, accountId: string, texts: { displayName: string; description: string }): Account;
  /** Returns an account by e-mail or unique id. Undefined for a deleted one. */
  find(emailOrUniqueId: string): Account | undefined;
  list(projectId: string): Account[];
  remove(account: Account): void;
  /** Undeletes the account of this unique id. Undefined if there is no such deleted account. */
  restore(uniqueId: string): Account | undefined;
  /** Returns the account once it has propagated: only then it may be a member of a policy or be used with actAs. */
  propagated(email: string): Account | undefined;
}

/** Stores the service accounts of all projects. Each project starts with its Compute Engine default account. */
export function createAccounts(
  runtime: Runtime,
  settings: CloudSettings,
  projects: Project[],
  policies: () => PolicyStore,
): AccountStore {
  const byEmail = new Map<string, Account>();
  const byId = new Map<string, Account>();
  const byProject = new Map<string, Set<Account>>(projects.map(({ id }) => [id, new Set()]));
  let made = 0;

  function add(account: Account): Account {
    byEmail.set(account.email, account);
    byId.set(account.uniqueId, account);
    byProject.get(account.projectId)?.add(account);
    return account;
  }

  for (const { id, number } of projects) {
    add({
      email: `${number}-compute@developer.gserviceaccount.com`,
      uniqueId: newUniqueId(runtime),
      projectId: id,
      disabled: false,
      displayName: 'Compute Engine default service account',
      description: '',
      sequence: ++made,
      createdAt: Number.NEGATIVE_INFINITY,
      look: () => 'visible',
    });
  }

  const store: AccountStore = {
    limit: 100,

    create(project, accountId, texts) {
      const email = `${accountId}@${project.id}.iam.gserviceaccount.com`;
      if (byEmail.has(email)) {
        throw alreadyExists(`Service account ${accountId} already exists within project projects/${project.id}.`);
      }
      if ((byProject.get(project.id)?.size ?? 0) > store.limit) {
        throw exhausted('Maximum number of service accounts on project reached.');
      }
      return add({
        email,
        uniqueId: newUniqueId(runtime),
        projectId: project.id,
        disabled: false,
        ...texts,
        sequence: ++made,
        createdAt: runtime.monotonic(),
        look: freshness(runtime, () => settings.createVisibleMs),
      });
    },

    find(key) {
      const found = byEmail.get(key) ?? byId.get(key);
      return found?.deletedAt === undefined ? found : undefined;
    },

    list: projectId => [...(byProject.get(projectId) ?? [])].sort((a, b) => a.sequence - b.sequence),

    remove(account) {
      account.deletedAt = runtime.monotonic();
      byEmail.delete(account.email);
      byProject.get(account.projectId)?.delete(account);
      policies().rename(member(account), deletedMember(account));
    },

    restore(id) {
      const account = byId.get(id);
      if (account?.deletedAt === undefined || runtime.monotonic() - account.deletedAt > UNDELETE_MS) return undefined;
      if (byEmail.has(account.email)) {
        throw failedPrecondition(`A service account with the e-mail ${account.email} exists: it can't be undeleted.`);
      }
      account.deletedAt = undefined;
      add(account);
      policies().rename(deletedMember(account), member(account));
      return account;
    },

    propagated(email) {
      const account = byEmail.get(email);
      return account && runtime.monotonic() - account.createdAt >= settings.accountPropagationMs ? account : undefined;
    },
  };
  return store;
}

const member = ({ email }: Account) => `serviceAccount:${email}`;
const deletedMember = ({ email, uniqueId }: Account) => `deleted:serviceAccount:${email}?uid=${uniqueId}`;

/** Returns 21 digits of which the first is 1, like the unique ids of the real service. */
function newUniqueId(runtime: Runtime): string {
  return `1${Array.from({ length: 20 }, () => Math.floor(runtime.random() * 10)).join('')}`;
}
