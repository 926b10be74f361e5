import type { JsonObject } from '../../../ports/json.ts';
import type { Runtime } from '../../../ports/runtime.ts';
import type { Caller, Cloud, Handlers, Project } from '../contracts.ts';
import { aborted, alreadyExists, invalid, notFound } from '../errors.ts';
import type { AccountStore } from './accounts.ts';

/**
 * IAM v2: deny policies of projects. Answers name the project by its number, and a change is a long-running operation
 * (google/iam/v2/policy.proto). The core applies these policies to every call. Policies with conditions are refused.
 */

const API = 'google.iam.v2.Policies';
const ATTACHED = /^policies\/cloudresourcemanager\.googleapis\.com%2Fprojects%2F([^/%]+)\/denypolicies(?:\/([^/]+))?$/i;
const EVERYBODY = 'principalSet://goog/public:all';
/** The maximum number of deny policies of a resource (IAM documentation, "Deny policies"). */
const MOST = 500;

interface DenyRule {
  deniedPrincipals?: string[];
  exceptionPrincipals?: string[];
  deniedPermissions?: string[];
  exceptionPermissions?: string[];
  denialCondition?: JsonObject;
}
interface Stored {
  project: Project;
  id: string;
  rules: DenyRule[];
  /** The policy as the API returns it. */
  policy: JsonObject;
}

export interface DenyPolicies {
  handlers: Handlers;
  /** True if a policy of the resource's project denies the permission. `resource` is a name or a service account's e-mail. */
  denies(permission: string, resource: string, caller: Caller): boolean;
}

export function createDenyPolicies(cloud: Cloud, accounts: AccountStore): DenyPolicies {
  const { runtime } = cloud;
  const stored = new Map<string, Stored>();
  const grantKey = (project: Project, id: string) => `${project.number}/${id}`;

  function find(name: unknown): Stored {
    const { project, id } = attachment(cloud, name);
    const found = stored.get(grantKey(project, id));
    if (!found) throw notFound(`Policy ${name} not found.`);
    return found;
  }

  function put(project: Project, id: string, given: JsonObject, before?: JsonObject): JsonObject {
    const rules = rulesOf(given.rules);
    const time = new Date(runtime.now()).toISOString();
    const policy: JsonObject = {
      name: `policies/cloudresourcemanager.googleapis.com%2Fprojects%2F${project.number}/denypolicies/${id}`,
      uid: before?.uid ?? hex(runtime, 32),
      kind: 'DenyPolicy',
      displayName: given.displayName,
      annotations: given.annotations,
      etag: Buffer.from(hex(runtime, 12)).toString('base64'),
      createTime: before?.createTime ?? time,
      updateTime: time,
      rules: given.rules,
    };
    stored.set(grantKey(project, id), { project, id, rules, policy });
    return operation(cloud, policy);
  }

  const handlers: Handlers = {
    ListPolicies: ({ parent }) => {
      const { project } = attachment(cloud, parent);
      const here = [...stored.values()].filter(({ project: { number } }) => number === project.number);
      return { policies: here.map(({ policy: { rules: _, ...metadata } }) => metadata) };
    },
    GetPolicy: ({ name }) => structuredClone(find(name).policy),
    CreatePolicy: ({ parent, policyId, policy }) => {
      const { project } = attachment(cloud, parent);
      const id = String(policyId ?? '');
      if (!/^[a-z][a-z0-9.-]{2,62}$/.test(id)) throw invalid(`Invalid policy id: ${id}`);
      if (stored.has(grantKey(project, id))) throw alreadyExists(`Policy ${parent}/${id} already exists.`);
      if ([...stored.values()].filter(other => other.project === project).length >= MOST) {
        throw invalid(`At most ${MOST} deny policies a resource.`);
      }
      return put(project, id, policy as JsonObject);
    },
    UpdatePolicy: ({ policy }) => {
      const given = policy as JsonObject;
      const found = find(given.name);
      checkEtag(found, given.etag);
      return put(found.project, found.id, given, found.policy);
    },
    DeletePolicy: ({ name, etag }) => {
      const found = find(name);
      checkEtag(found, etag);
      stored.delete(grantKey(found.project, found.id));
      return operation(cloud, { ...found.policy, deleteTime: new Date(runtime.now()).toISOString() });
    },
  };

  return {
    handlers: Object.fromEntries(Object.entries(handlers).map(([name, handler]) => [`${API}.${name}`, handler])),
    denies(permission, resource, { email }) {
      // A caller without an identity is the sandbox's owner, who has every permission.
      if (email === undefined || stored.size === 0) return false;
      const number = projectOf(cloud, accounts, resource);
      const [service = '', ...rest] = permission.split('.');
      const denied = `${service}.googleapis.com/${rest.join('.')}`;
      return [...stored.values()]
        .filter(({ project }) => project.number === number)
        .flatMap(({ rules }) => rules)
        .some(
          rule =>
            rule.deniedPermissions?.includes(denied) &&
            !rule.exceptionPermissions?.includes(denied) &&
            rule.deniedPrincipals?.some(principal => includes(principal, email)) &&
            !rule.exceptionPrincipals?.some(principal => includes(principal, email)),
        );
    },
  };
}

function attachment(cloud: Cloud, name: unknown): { project: Project; id: string } {
  const [, project, id = ''] = ATTACHED.exec(String(name)) ?? [];
  if (!project) throw invalid(`Invalid policy name: ${name}`);
  return { project: cloud.project(project), id };
}

function checkEtag(found: Stored, etag: unknown): void {
  if (etag && etag !== found.policy.etag)
    throw aborted('The policy has been changed. Retry the whole read-modify-write.');
}

/** Makes an operation that finishes at once. The real one takes seconds. */
function operation(cloud: Cloud, policy: JsonObject): JsonObject {
  const metadata = { createTime: policy.updateTime };
  const { name } = cloud.operations.start(String(policy.name), 'google.iam.v2.PolicyOperationMetadata', metadata);
  const unfinished = cloud.operations.get(name);
  cloud.operations.finish(name, { responseType: 'google.iam.v2.Policy', response: policy });
  return unfinished;
}

function rulesOf(given: unknown): DenyRule[] {
  const rules = (Array.isArray(given) ? given : []).map((rule: JsonObject) => rule.denyRule as DenyRule | undefined);
  if (rules.length === 0) throw invalid('A deny policy must have a rule.');
  return rules.map(rule => {
    if (!rule?.deniedPrincipals?.length || !rule.deniedPermissions?.length) {
      throw invalid('A deny rule must have denied principals and denied permissions.');
    }
    if (rule.denialCondition) throw invalid('Conditions are not supported by the local Google Cloud.');
    for (const permission of [...rule.deniedPermissions, ...(rule.exceptionPermissions ?? [])]) {
      if (!/^[a-z]+\.googleapis\.com\/[A-Za-z]+\.[A-Za-z]+$/.test(permission)) {
        throw invalid(`Permission ${permission} is not supported in deny policies.`);
      }
    }
    for (const principal of rule.exceptionPrincipals ?? []) {
      if (principal === EVERYBODY) throw invalid(`${EVERYBODY} cannot be an exception.`);
    }
    for (const principal of [...rule.deniedPrincipals, ...(rule.exceptionPrincipals ?? [])]) {
      if (
        !/^(deleted:)?principal(Set)?:\/\/(goog|iam\.googleapis\.com|cloudresourcemanager\.googleapis\.com)\/\S+$/.test(
          principal,
        )
      ) {
        throw invalid(`Invalid principal: ${principal}`);
      }
    }
    return rule;
  });
}

/** Google's service agents of a project are named after its number (IAM documentation, "Service agents"). */
function includes(principal: string, email: string): boolean {
  if (principal === EVERYBODY) return true;
  const [, number] =
    /^principalSet:\/\/cloudresourcemanager\.googleapis\.com\/projects\/(\d+)\/type\/ServiceAgent$/.exec(principal) ??
    [];
  if (number) return new RegExp(`^service-${number}@[a-z0-9-]+\\.iam\\.gserviceaccount\\.com$`).test(email);
  return (
    principal === `principal://iam.googleapis.com/projects/-/serviceAccounts/${email}` ||
    principal === `principal://goog/subject/${email}`
  );
}

function projectOf(cloud: Cloud, accounts: AccountStore, resource: string): string | undefined {
  const [, project = '-', account] = /^projects\/([^/]+)(?:\/serviceAccounts\/([^/]+))?/.exec(resource) ?? [];
  const found = project === '-' ? accounts.find(account ?? resource)?.projectId : project;
  return found === undefined ? undefined : cloud.project(found).number;
}

const hex = (runtime: Runtime, length: number): string =>
  Array.from({ length }, () => Math.floor(runtime.random() * 16).toString(16)).join('');
