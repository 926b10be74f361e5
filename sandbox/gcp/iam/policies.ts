import { copyOf, type JsonObject } from '../../../ports/json.ts';
import type { Runtime } from '../../../ports/runtime.ts';
import type { Binding, CloudSettings, Policy } from '../contracts.ts';
import { aborted, failedPrecondition, invalid } from '../errors.ts';

/** The etag that the real services return for a policy that has never been set. */
const EMPTY_ETAG = 'ACAB';
const MAX_PRINCIPALS = 1500;

interface Stored {
  etag: string;
  bindings: Binding[];
  auditConfigs: JsonObject[];
  /** The bindings that access checks apply, oldest first. Each entry applies from `from` (monotonic ms) until the next one does. */
  inForce: { from: number; bindings: Binding[] }[];
}

export interface PolicyStore {
  get(resource: string, requestedVersion: number): Policy;
  set(resource: string, policy: JsonObject): Policy;
  has(resource: string, role: string, member: string): boolean;
  remove(resource: string): void;
  /**
   * Renames a member in every policy when its account is deleted or undeleted. Etags stay the same, because no client has set a
   * policy.
   */
  rename(from: string, to: string): void;
}

/**
 * Stores IAM policies by resource. `accountExists` returns true if a service account has propagated and may be a member.
 */
export function createPolicies(
  runtime: Runtime,
  settings: CloudSettings,
  accountExists: (email: string) => boolean,
): PolicyStore {
  const stored = new Map<string, Stored>();
  const resourcesOf = new Map<string, Set<string>>();
  let changes = 0;

  function nextEtag(): string {
    const bytes = Buffer.alloc(8);
    bytes.writeUInt16BE(0x0706);
    bytes.writeUIntBE(++changes, 2, 6);
    return bytes.toString('base64');
  }

  function remember(resource: string, bindings: Binding[]): void {
    for (const member of bindings.flatMap(binding => binding.members)) {
      const resources = resourcesOf.get(member) ?? new Set();
      resourcesOf.set(member, resources.add(resource));
    }
  }

  return {
    get(resource, requestedVersion) {
      checkVersion(requestedVersion);
      return answer(stored.get(resource), requestedVersion);
    },

    set(resource, given) {
      const policy = given as unknown as Partial<Policy>;
      const before = stored.get(resource);
      const current = before?.etag ?? EMPTY_ETAG;
      if (policy.etag && policy.etag !== current) {
        throw staleEtag(policy.etag, current);
      }
      const version = policy.version ?? 0;
      checkVersion(version);
      const bindings = normalized(policy.bindings ?? []);
      const conditional = [...bindings, ...(policy.etag ? (before?.bindings ?? []) : [])].some(
        ({ condition }) => condition,
      );
      // google/iam/v1/policy.proto: every write of a policy with conditions must have version 3.
      if (conditional && version < 3) {
        throw invalid('The policy contains conditional role bindings: policy.version must be 3 to change it.');
      }
      for (const binding of bindings) checkBinding(binding, resource, accountExists);
      checkDomains(bindings, settings.allowedMemberDomains);
      checkSize(bindings);
      const now = runtime.monotonic();
      const inForce = (before?.inForce ?? []).filter(
        (_, index, all) => (all[index + 1]?.from ?? Number.POSITIVE_INFINITY) > now,
      );
      inForce.push({ from: now + settings.policyPropagationMs, bindings });
      const next = {
        etag: nextEtag(),
        bindings,
        auditConfigs: copyOf(policy.auditConfigs ?? before?.auditConfigs ?? []),
        inForce,
      };
      stored.set(resource, next);
      remember(resource, bindings);
      return answer(next, 3);
    },

    has(resource, role, member) {
      const now = runtime.monotonic();
      const inForce = stored.get(resource)?.inForce.findLast(entry => entry.from <= now)?.bindings ?? [];
      // Conditions are not evaluated here, so a conditional binding grants nothing.
      return inForce.some(binding => binding.role === role && !binding.condition && binding.members.includes(member));
    },

    remove(resource) {
      stored.delete(resource);
    },

    rename(from, to) {
      for (const resource of resourcesOf.get(from) ?? []) {
        const policy = stored.get(resource);
        if (!policy) continue;
        policy.bindings = renamed(policy.bindings, from, to);
        policy.inForce = policy.inForce.map(entry => ({ ...entry, bindings: renamed(entry.bindings, from, to) }));
        remember(resource, policy.bindings);
      }
      resourcesOf.delete(from);
    },
  };
}

/** Returns a policy in the version that a client requests. */
function answer(policy: Stored | undefined, requestedVersion: number): Policy {
  if (!policy) return { etag: EMPTY_ETAG };
  const conditional = policy.bindings.some(binding => binding.condition);
  const bindings = policy.bindings.map(({ role, members, condition }) => {
    if (!condition) return { role, members: [...members] };
    // A client that does not request version 3 gets a hash of the condition in the role's name, as from the real service.
    if (requestedVersion < 3) return { role: `${role}_withcond_${fingerprint(condition)}`, members: [...members] };
    return { role, members: [...members], condition: copyOf(condition) };
  });
  return {
    version: conditional && requestedVersion >= 3 ? 3 : 1,
    ...(bindings.length > 0 && { bindings }),
    ...(policy.auditConfigs.length > 0 && { auditConfigs: copyOf(policy.auditConfigs) }),
    etag: policy.etag,
  };
}

const renamed = (bindings: Binding[], from: string, to: string): Binding[] =>
  bindings.map(binding => ({
    ...binding,
    members: binding.members.map(member => (member === from ? to : member)),
  }));

/** Merges bindings of the same role and condition, removes duplicate members and drops empty bindings. */
function normalized(bindings: Binding[]): Binding[] {
  const merged = new Map<string, Binding>();
  for (const { role = '', members = [], condition } of bindings) {
    if (members.length === 0) continue;
    const key = `${role} ${condition ? JSON.stringify(condition) : ''}`;
    const own = merged.get(key) ?? { role, members: [], ...(condition && { condition: copyOf(condition) }) };
    own.members = [...new Set([...own.members, ...members])];
    merged.set(key, own);
  }
  return [...merged.values()];
}

/**
 * The predefined roles that can be granted on a resource, by its collection: basic roles, IAM's administrative roles, and the
 * roles of the resource's own API. Nearly the list of QueryGrantableRoles (https://cloud.google.com/iam/docs/roles-permissions).
 */
const ROLES: Record<string, RegExp> = {
  secrets: /^(owner|editor|viewer|iam\.security(Admin|Reviewer)|secretmanager\.\w+)$/,
  services: /^(owner|editor|viewer|iam\.security(Admin|Reviewer)|run\.\w+)$/,
  serviceAccounts:
    /^(owner|editor|viewer|iam\.security(Admin|Reviewer)|iam\.(serviceAccount\w+|workloadIdentityUser))$/,
};

const grantable = (resource: string): RegExp => ROLES[resource.split('/').at(-2) ?? ''] ?? /^/;

const ROLE = /^(roles|projects\/[^/]+\/roles|organizations\/[^/]+\/roles)\/[A-Za-z0-9_.]+$/;
const EMAIL = /^[^@\s:]+@[^@\s:]+\.[^@\s:]+$/;
/** Accounts that Google creates and that no project lists. */
const GOOGLES_OWN = /^service-\d+@|@(cloudservices|appspot)\.gserviceaccount\.com$|@cloudbuild\.gserviceaccount\.com$/;

function checkVersion(version: number): void {
  if (![0, 1, 3].includes(version)) throw invalid(`Invalid policy version ${version}: valid values are 0, 1 and 3.`);
}

const staleEtag = (given: string, current: string) =>
  aborted(
    'There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff. ' +
      `The request's ETag '${given}' did not match the current policy's ETag '${current}'.`,
  );

function checkSize(bindings: Binding[]): void {
  const principals = new Set(bindings.flatMap(binding => binding.members)).size;
  if (principals > MAX_PRINCIPALS) {
    throw invalid(
      `The number of members in the policy (${principals}) is larger than the maximum allowed size ${MAX_PRINCIPALS}.`,
    );
  }
}

function checkBinding({ role, members }: Binding, resource: string, accountExists: (email: string) => boolean): void {
  const [, predefined] = /^roles\/(.+)$/.exec(role) ?? [];
  if (!ROLE.test(role) || role.includes('_withcond_') || (predefined && !grantable(resource).test(predefined)))
    throw invalid(`Role ${role} is not supported for this resource.`);
  for (const member of members) {
    if (member === 'allUsers' || member === 'allAuthenticatedUsers') continue;
    const [, kind = '', id = ''] = member.match(/^([A-Za-z]+):(.+)$/s) ?? [];
    switch (kind) {
      case 'serviceAccount':
        if (/\.svc\.id\.goog\[[^\]]+\]$/.test(id) || GOOGLES_OWN.test(id)) break;
        if (!EMAIL.test(id)) throw invalid(`Invalid service account (${id}).`);
        if (!accountExists(id)) throw invalid(`Service account ${id} does not exist.`);
        break;
      case 'user':
      case 'group':
        if (!EMAIL.test(id)) throw invalid(`Invalid ${kind} (${id}).`);
        break;
      case 'deleted':
        if (!/^(serviceAccount|user|group):[^?]+\?uid=\d+$/.test(id)) throw invalid(`Invalid member ${member}.`);
        break;
      case 'domain':
      case 'principal':
      case 'principalSet':
      case 'projectOwner':
      case 'projectEditor':
      case 'projectViewer':
        break;
      default:
        throw invalid(`The member ${member} is of an unknown type. Please set a valid type prefix for the member.`);
    }
  }
}

/** Refuses the whole write if the organization policy does not allow one of its members. */
function checkDomains(bindings: Binding[], allowed: string[]): void {
  const foreign = (member: string) => {
    const [, domain] = /^(?:(?:user|group):[^@]+@|domain:)(.+)$/.exec(member) ?? [];
    return /^all(Authenticated)?Users$/.test(member) || (domain !== undefined && !allowed.includes(domain));
  };
  if (allowed.length > 0 && bindings.some(({ members }) => members.some(foreign))) {
    throw failedPrecondition(
      'One or more users named in the policy do not belong to a permitted customer, perhaps due to an organization policy.',
    );
  }
}

function fingerprint(condition: JsonObject): string {
  let hash = 5381n;
  for (const char of JSON.stringify(condition))
    hash = (hash * 33n + BigInt(char.codePointAt(0) ?? 0)) & 0xffffffffffffffffn;
  return hash.toString(16).padStart(20, '0');
}
