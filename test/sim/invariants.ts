import { isDeepStrictEqual } from 'node:util';
import type { GcpResult } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import type { Binding } from '../../sandbox/gcp/contracts.ts';
import type { ServiceState } from '../../sandbox/gcp/run/serviceState.ts';
import {
  ACCESSOR,
  consents,
  describedOwner,
  emailOf,
  type Facts,
  labelledOwner,
  labelsOf,
  memberOf,
  type OwnerMark,
  sameOwner,
  serviceNameOf,
  servingRevisions,
  variablesOf,
} from './cloudFacts.ts';
import { referenceOf, type Spec } from './oracle.ts';
import { type Asking, beforeUpdate, checkRevision, olderVersions } from './revisions.ts';

/**
 * What must hold at every single write of the operator, whatever fails around it: the rules of the contract. Each write is
 * looked at as it takes effect, with the cloud before and after.
 */

/** What the checks may know beside the cloud. */
export interface Knowledge {
  facts: Facts;
  /** The cluster's name in marks. */
  clusterId: string;
  /** The tenant as the API server holds it at this moment. */
  tenant(namespace: string, name: string): KubeObject | undefined;
  /** Whether there is, or ever was, a tenant of that name in that namespace of this cluster. */
  known(namespace: string, name: string): boolean;
  /** What the tenant's specs have been of late, the newest last. */
  specs(namespace: string, name: string): Spec[];
  /** Somebody else has changed this (a resource's name) so lately that the operator may not have seen it yet. */
  touched(resource: string): boolean;
  /** Such a call may come after its tenant was abandoned. */
  abandoned(name: string): boolean;
  /** The tenant was brought back without its status: a grant that no key of its spec names is on no record. */
  lost(namespace: string, name: string): boolean;
  /** The call was on its way for long, or its process is dead: what it was computed from is old. */
  isLate: boolean;
}

export interface Check {
  /** Call after the effect. Answers what was broken. */
  after(result: GcpResult): string[];
}

const fine: Check = { after: () => [] };

/** Looks at the cloud before a write takes effect, and answers how to judge it afterwards. */
export function checkWrite(know: Knowledge, method: string, request: JsonObject): Check {
  const short = method.split('.').slice(-2).join('.');
  switch (short) {
    case 'SecretManagerService.SetIamPolicy':
      return secretPolicy(know, String(request.resource));
    case 'Services.SetIamPolicy':
      return servicePolicy(know, String(request.resource));
    case 'Services.CreateService':
      return createService(know, request);
    case 'Services.UpdateService':
      return updateService(know, request.service as JsonObject);
    case 'Services.DeleteService':
      return deleteService(know, String(request.name));
    case 'IAM.CreateServiceAccount':
      return createAccount(know, request);
    case 'IAM.PatchServiceAccount':
      return account(know, String((request.serviceAccount as JsonObject).name), 'patched');
    case 'IAM.DeleteServiceAccount':
      return deleteAccount(know, String(request.name));
    default:
      return { after: () => [`${short} is no call that the operator may make`] };
  }
}

// ------------------------------------------------------------------------------------------------------- policies

/** `role member` of every unconditional binding; the rest as it is. */
function flat(bindings: Binding[]): { members: Set<string>; conditional: Binding[] } {
  return {
    members: new Set(
      bindings.filter(({ condition }) => !condition).flatMap(({ role, members }) => members.map(m => `${role} ${m}`)),
    ),
    conditional: bindings.filter(({ condition }) => condition),
  };
}

const missing = (from: Set<string>, other: Set<string>): string[] => [...from].filter(entry => !other.has(entry));

function secretPolicy(know: Knowledge, resource: string): Check {
  const { facts } = know;
  const before = structuredClone(facts.policy(resource));
  const reading = readers(know, resource);
  return {
    after(result) {
      if (!result.ok) return [];
      const broken: string[] = [];
      const now = facts.policy(resource);
      const [was, is] = [flat(before.bindings ?? []), flat(now.bindings ?? [])];
      if (!isDeepStrictEqual(was.conditional, is.conditional))
        broken.push(`rule 1: conditional bindings of ${resource} changed`);
      if (!isDeepStrictEqual(before.auditConfigs, now.auditConfigs))
        broken.push(`rule 1: audit configs of ${resource} changed`);
      const [added, removed] = [missing(is.members, was.members), missing(was.members, is.members)];
      for (const entry of [...added, ...removed]) {
        const tenant = /^roles\/secretmanager\.secretAccessor (?:deleted:)?serviceAccount:sa-([^@]+)@/.exec(entry)?.[1];
        if (tenant === undefined) broken.push(`rule 1: ${entry} on ${resource} is nobody of ours`);
      }
      for (const entry of added) broken.push(...grant(know, resource, entry));
      for (const entry of removed) broken.push(...revocation(know, resource, entry, reading));
      return broken;
    },
  };
}

function grant(know: Knowledge, resource: string, entry: string): string[] {
  const email = entry.split('serviceAccount:')[1] ?? '';
  if (entry.includes('deleted:')) return [`a deleted member was added to ${resource}: ${entry}`];
  const owner = accountOwner(know, email);
  if (!owner) {
    return lostItsMark(know, email) ? [] : [`rule 2: a grant to ${email}, which is not this cluster's`];
  }
  // Deleted by hand, and made anew by a namesake, between our look and our call: a policy knows e-mail addresses alone.
  if (know.touched(email)) return [];
  const secret = know.facts.secret(resource);
  if (!know.isLate && !know.touched(resource) && !(secret && consents(labelsOf(secret), owner))) {
    return [`rule 3: a grant on ${resource} without consent to ${owner.namespace}`];
  }
  return inInventory(know, owner, 'SecretAccess', resource);
}

/** The account lost its owner mark after the call was sent: the tenant was abandoned meanwhile, or an actor changed the account. */
const lostItsMark = (know: Knowledge, email: string): boolean =>
  know.touched(email) || (know.isLate && know.abandoned(/^sa-([^@]+)@/.exec(email)?.[1] ?? ''));

function revocation(know: Knowledge, resource: string, entry: string, reading: ReturnType<typeof readers>): string[] {
  const email = entry.split('serviceAccount:')[1] ?? '';
  if (entry.includes('deleted:')) {
    const tenant = /sa-([^@]+)@/.exec(email)?.[1] ?? '';
    const uid = email.split('?uid=')[1] ?? '';
    const recorded = know.facts.account(email.split('?')[0] ?? '')?.uniqueId === uid;
    return recorded
      ? [`the living account's member ${entry} was taken for a deleted one`]
      : tenant
        ? []
        : [`rule 1: ${entry}`];
  }
  const owner = accountOwner(know, email);
  if (!owner) {
    const broken = `rule 2: a grant of ${email}, which is not this cluster's, was revoked on ${resource}`;
    return lostItsMark(know, email) ? [] : [broken];
  }
  const secret = know.facts.secret(resource);
  const consented = secret && consents(labelsOf(secret), owner);
  const used = reading.filter(
    ({ email: other, service }) =>
      other === email && !know.touched(service) && !isAnothers(know, service, owner) && !isLeft(know, service, owner),
  );
  // Under containment what has left the spec is no longer granted, whatever serves (rule 8).
  const contained = know.facts.account(email)?.disabled === true;
  if (used.length > 0 && consented && !contained && !know.isLate && !know.touched(resource)) {
    return [
      `rule 6: the grant of ${email} on ${resource} was revoked while ${used.map(({ service }) => service).join(', ')} serves with it`,
    ];
  }
  return [];
}

/** A service whose full marks are another owner's keeps no grant of this one's. */
function isAnothers(know: Knowledge, service: string, owner: OwnerMark): boolean {
  const other = labelledOwner(know.facts.service(service)?.desired.labels);
  return other !== undefined && Object.values(other).every(part => part !== '') && !sameOwner(other, owner);
}

/**
 * A deletion leaves a service that somebody has stripped of a mark if the status that recorded it was lost (rule 5): full marks alone
 * then make it the tenant's. It goes on without the grants.
 */
function isLeft(know: Knowledge, service: string, owner: OwnerMark): boolean {
  const tenant = know.tenant(owner.namespace, owner.name);
  if (!tenant?.metadata.deletionTimestamp) return false;
  if (inventoryOf(tenant).some(({ type, name }) => type === 'Service' && name === service)) return false;
  const marks = labelledOwner(know.facts.service(service)?.desired.labels);
  return marks === undefined || Object.values(marks).includes('');
}

/** Services that serve with a revision that reads the secret, and the account that it reads it as. */
function readers({ facts }: Knowledge, secret: string): { service: string; email: string }[] {
  return facts.services().flatMap(service =>
    servingRevisions(service)
      .filter(({ template }) => variablesOf(service, template).some(variable => variable.secret === secret))
      .map(({ template }) => ({ service: serviceNameOf(service), email: template.serviceAccount ?? '' })),
  );
}

/** The late specs of the tenant that a service is marked for. */
function specsOf(know: Knowledge, name: string): Spec[] {
  const owner = labelledOwner(know.facts.service(name)?.desired.labels);
  return owner ? know.specs(owner.namespace, owner.name) : [];
}

function servicePolicy(know: Knowledge, resource: string): Check {
  const { facts } = know;
  const id = resource.split('/').at(-1);
  // What others have on the tenant's other services may go along.
  const carried = new Set(
    facts
      .services()
      .filter(other => other.id === id && serviceNameOf(other) !== resource)
      .flatMap(other => [...flat(facts.policy(serviceNameOf(other)).bindings ?? []).members]),
  );
  const before = structuredClone(facts.policy(resource));
  const owned = ownedService(know, resource);
  return {
    after(result) {
      if (!result.ok) return [];
      const broken = [...owned];
      const [was, is] = [flat(before.bindings ?? []), flat(facts.policy(resource).bindings ?? [])];
      if (!isDeepStrictEqual(was.conditional, is.conditional))
        broken.push(`conditional bindings of ${resource} changed`);
      for (const entry of [...missing(is.members, was.members), ...missing(was.members, is.members)]) {
        const isPublic = /^\S+ all(Authenticated)?Users$/.test(entry);
        if (isPublic || entry.startsWith('roles/run.invoker ') || carried.has(entry)) continue;
        broken.push(`rule 2: ${entry} on ${resource} is nothing of ours`);
      }
      const opened = missing(is.members, was.members).filter(entry => /all(Authenticated)?Users$/.test(entry));
      if (opened.length > 0 && !know.isLate && !specsOf(know, resource).some(({ access }) => access === 'Public'))
        broken.push(`rule 6: ${resource} was opened to ${opened.join(', ')}, which no spec asks for`);
      const foreign = [...was.members].filter(entry => entry.includes('foreign'));
      for (const entry of foreign)
        if (!is.members.has(entry)) broken.push(`rule 2: ${entry} on ${resource} was somebody else's`);
      return broken;
    },
  };
}

// ------------------------------------------------------------------------------------------------------- services

/** What is wrong with writing to this service as this cluster. */
function ownedService(know: Knowledge, name: string): string[] {
  const service = know.facts.service(name);
  if (!service || know.touched(name)) return [];
  const labels = service.desired.labels ?? {};
  const owner = labelledOwner(labels);
  if (owner)
    return owner.cluster === know.clusterId ? [] : [`rule 2: ${name} belongs to ${owner.cluster}/${owner.namespace}`];
  const namespace = labels['ai-tenant-namespace'] ?? '';
  return consents(labels, { cluster: know.clusterId, namespace }) &&
    know.known(namespace, service.id.replace(/^ai-platform-/, ''))
    ? []
    : [`rule 3: ${name} was written to without consent`];
}

function createService(know: Knowledge, request: JsonObject): Check {
  const name = `${request.parent}/services/${request.serviceId}`;
  return {
    after(result) {
      if (!result.ok) return [];
      const owner = labelledOwner(((request.service as JsonObject).labels ?? {}) as Record<string, string>);
      if (!owner || owner.cluster !== know.clusterId) return [`rule 2: ${name} was made without this cluster's marks`];
      const service = know.facts.service(name);
      const older = service
        ? olderVersions(asking(know, owner), service, undefined, service.desired.template ?? {})
        : [];
      const open =
        service && !know.isLate ? [...moreOpen(know, owner, service), ...notCarried(know, owner, service)] : [];
      return [...inInventory(know, owner, 'Service', name), ...(know.isLate ? [] : older), ...open];
    },
  };
}

/** What others put on the tenant's service goes along to the one that replaces it. */
function notCarried(know: Knowledge, owner: OwnerMark, made: ServiceState): string[] {
  const hasVariable = (service: ServiceState) =>
    variablesOf(service, service.desired.template).some(({ name }) => name === 'FOREIGN');
  const hasSidecar = (service: ServiceState) =>
    variablesOf(service, service.desired.template).some(({ name }) => name === 'foreign:FOREIGN');
  const hasLabel = ({ desired }: ServiceState) => desired.labels?.['cost-centre'] !== undefined;
  const others = predecessors(know, owner, made);
  if (others.length === 0 || others.some(service => know.touched(serviceNameOf(service)))) return [];
  return Object.entries({ variable: hasVariable, sidecar: hasSidecar, label: hasLabel }).flatMap(([what, has]) =>
    others.every(has) && !has(made)
      ? [`rule 2: ${serviceNameOf(made)} lacks the ${what} of somebody else's that it replaces`]
      : [],
  );
}

/** The tenant's other services that have served. */
function predecessors(know: Knowledge, owner: OwnerMark, made: ServiceState): ServiceState[] {
  const known = inventoryOf(know.tenant(owner.namespace, owner.name));
  return know.facts
    .services()
    .filter(
      other =>
        other !== made &&
        other.id === made.id &&
        other.deleteTime === undefined &&
        other.latestReady !== undefined &&
        sameOwner(labelledOwner(other.desired.labels), owner) &&
        known.some(entry => entry.type === 'Service' && entry.name === serviceNameOf(other)),
    );
}

/**
 * A new service may be reached from no more places than what it replaces: the tenant's other services, where all that have
 * served are restricted, else the one that is on record.
 */
function moreOpen(know: Knowledge, owner: OwnerMark, made: ServiceState): string[] {
  const tenant = know.tenant(owner.namespace, owner.name);
  const others = predecessors(know, owner, made);
  if (others.some(service => know.touched(serviceNameOf(service)))) return [];
  const { serviceSettings: record } = (tenant?.status ?? {}) as { serviceSettings?: Restriction };
  const recordIsOpen = record?.ingress === 'INGRESS_TRAFFIC_ALL';
  const restricted =
    others.length > 0
      ? !recordIsOpen && others.every(({ desired }) => isRestricted(desired))
      : record !== undefined && isRestricted(record);
  const asksToOpen = specsOf(know, serviceNameOf(made)).some(
    ({ ingress, defaultUrl }) => (ingress !== undefined && ingress !== 'Internal') || defaultUrl === 'Enabled',
  );
  return restricted && !asksToOpen && !isRestricted(made.desired)
    ? [`rule 6: ${serviceNameOf(made)} can be reached from more places than what it replaces`]
    : [];
}

interface Restriction {
  ingress?: string;
  defaultUriDisabled?: boolean;
}
const isRestricted = ({ ingress, defaultUriDisabled }: Restriction): boolean =>
  ingress === 'INGRESS_TRAFFIC_INTERNAL_ONLY' && defaultUriDisabled === true;

function updateService(know: Knowledge, given: JsonObject): Check {
  const name = String(given.name);
  const service = know.facts.service(name);
  const owned = ownedService(know, name);
  const before = service && {
    labels: { ...service.desired.labels },
    variables: variablesOf(service, service.desired.template),
    serving: servingRevisions(service).length,
    revision: beforeUpdate(service),
    openness: openness(service.desired),
  };
  return {
    after(result) {
      if (!result.ok || !service || !before) return [];
      const broken = [...owned];
      if (!given.etag) broken.push(`${name} was updated without its etag`);
      const labels = service.desired.labels ?? {};
      for (const [key, value] of Object.entries(before.labels)) {
        // The specs of a script name only the labels `team` and `cost`, and nobody else does.
        if (!/^(ai-tenant-owner-.*|team|cost)$/.test(key) && labels[key] !== value)
          broken.push(`rule 2: label ${key} of ${name} is gone`);
      }
      const variables = variablesOf(service, service.desired.template);
      for (const { name: variable } of before.variables) {
        if (!variable.endsWith('FOREIGN')) continue;
        if (!variables.some(other => other.name === variable))
          broken.push(`rule 2: variable ${variable} of ${name} is gone`);
      }
      if (!know.isLate) broken.push(...opened(know, name, before.openness, openness(service.desired)));
      const owner = labelledOwner(labels);
      if (owner && !know.isLate) broken.push(...checkRevision(asking(know, owner), service, before.revision));
      if (before.serving > 0 && servingRevisions(service).length === 0) broken.push(`rule 6: ${name} serves no more`);
      return broken;
    },
  };
}

/** From the narrowest to the widest. */
const INGRESS = ['INGRESS_TRAFFIC_INTERNAL_ONLY', 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER', 'INGRESS_TRAFFIC_ALL'];

type Desired = ServiceState['desired'] & {
  iapEnabled?: boolean;
  binaryAuthorization?: unknown;
  customAudiences?: string[];
};

/** Who may reach a service, and what may run. */
function openness({ ingress = '', defaultUriDisabled, iapEnabled, binaryAuthorization, customAudiences }: Desired) {
  return {
    ingress: INGRESS.indexOf(ingress),
    hasUrl: defaultUriDisabled !== true,
    withoutIap: iapEnabled !== true,
    anyImage: binaryAuthorization === undefined,
    audiences: [...(customAudiences ?? [])],
  };
}
type Openness = ReturnType<typeof openness>;

/** Opening is always written in the spec, never implied by a field that has left it. */
function opened(know: Knowledge, name: string, was: Openness, is: Openness): string[] {
  const specs = specsOf(know, name);
  const asked = {
    ingress: is.ingress <= was.ingress || specs.some(({ ingress }) => ingress !== undefined && ingress !== 'Internal'),
    url: !is.hasUrl || was.hasUrl || specs.some(({ defaultUrl }) => defaultUrl === 'Enabled'),
    iap: !is.withoutIap || was.withoutIap || specs.some(({ iap }) => iap === 'Disabled'),
    images: !is.anyImage || was.anyImage,
    audiences: is.audiences.every(
      one => was.audiences.includes(one) || specs.some(({ customAudiences = [] }) => customAudiences.includes(one)),
    ),
  };
  return Object.entries(asked).flatMap(([what, ok]) =>
    ok ? [] : `rule 6: the ${what} of ${name} was opened, which no spec asks for`,
  );
}

function asking(know: Knowledge, owner: OwnerMark): Asking {
  const tenant = know.tenant(owner.namespace, owner.name);
  const { keys = [] } = (tenant?.status ?? {}) as { keys?: Asking['floors'] };
  return {
    facts: know.facts,
    owner,
    specs: know.specs(owner.namespace, owner.name),
    floors: keys,
    variables: inventoryOf(tenant).flatMap(
      ({ variable, field }) => variable ?? field?.match(/^files\.(.*)/)?.[1] ?? [],
    ),
    fields: inventoryOf(tenant).flatMap(({ field }) => field ?? []),
    touched: know.touched,
  };
}

function deleteService(know: Knowledge, name: string): Check {
  const service = know.facts.service(name);
  const owner = labelledOwner(service?.desired.labels ?? {});
  const owned = ownedService(know, name);
  const deletedBefore = service?.deleteTime !== undefined;
  return {
    after(result) {
      if (!result.ok || deletedBefore || !service) return [];
      if (!owner) return know.touched(name) ? [] : [`rule 2: ${name} was deleted, which nobody has marked`];
      if (owned.length > 0) return owned;
      const tenant = know.tenant(owner.namespace, owner.name);
      if (tenant && wasAbandoned(know, tenant)) return [`rule 5: ${name} of an abandoned tenant was deleted`];
      if (!tenant || tenant.metadata.deletionTimestamp || know.isLate) return [];
      const successor = know.facts
        .services()
        .some(
          other =>
            other !== service &&
            other.id === service.id &&
            sameOwner(labelledOwner(other.desired.labels), owner) &&
            servingRevisions(other).length > 0,
        );
      return successor ? [] : [`rule 6: ${name} was deleted before its successor serves`];
    },
  };
}

// ------------------------------------------------------------------------------------------------------- accounts

/** The tenant of this cluster that an account's description names. */
function accountOwner(know: Knowledge, email: string): OwnerMark | undefined {
  const owner = describedOwner(know.facts.account(email)?.description ?? '');
  return owner?.cluster === know.clusterId ? owner : undefined;
}

function createAccount(know: Knowledge, request: JsonObject): Check {
  const project = String(request.name).replace('projects/', '');
  const email = `${request.accountId}@${project}.iam.gserviceaccount.com`;
  return {
    after(result) {
      if (!result.ok) return [];
      const owner = accountOwner(know, email);
      if (!owner) return [`rule 2: ${email} was made without this cluster's mark`];
      return inInventory(know, owner, 'ServiceAccount', `projects/${project}/serviceAccounts/${email}`);
    },
  };
}

function account(know: Knowledge, name: string, what: string): Check {
  const email = name.split('/').at(-1) ?? '';
  const found = know.facts.account(email);
  if (!found || know.touched(found.email)) return fine;
  const owner = describedOwner(found.description);
  const word = (key: string) => new RegExp(`(?:^|\\s)${key}=(\\S+)`).exec(found.description)?.[1];
  const namespace = word('ai-tenant-namespace');
  const cluster = word('ai-tenant-cluster');
  const consented = namespace !== undefined && (cluster === undefined || cluster === know.clusterId);
  const allowed = owner ? owner.cluster === know.clusterId : consented;
  return {
    // An account has no etag: our own call may come long after its repetition has taken the mark off.
    after: result =>
      result.ok && !allowed && !(know.isLate && !owner)
        ? [`rule 2: ${email} was ${what}, which is not this cluster's`]
        : [],
  };
}

function deleteAccount(know: Knowledge, name: string): Check {
  const { facts } = know;
  const found = facts.account(name.split('/').at(-1) ?? '');
  if (!found) return fine;
  const owner = accountOwner(know, found.email);
  const member = memberOf(found.email);
  const granted = facts.secrets().filter(({ name }) => facts.members(name, ACCESSOR).includes(member));
  const services = owner
    ? facts
        .services()
        .filter(
          ({ deleteTime, desired }) => deleteTime === undefined && sameOwner(labelledOwner(desired.labels), owner),
        )
    : [];
  return {
    after(result) {
      if (!result.ok) return [];
      if (!owner)
        return lostItsMark(know, found.email)
          ? []
          : [`rule 2: ${found.email} was deleted, which is not this cluster's`];
      const broken: string[] = [];
      const { name: tenantName, namespace } = owner;
      const keys = ((know.tenant(namespace, tenantName)?.spec ?? {}) as unknown as Partial<Spec>).keys ?? [];
      const named = keys.map(key => referenceOf(key).split('/').at(-1));
      const isKnown = (secret: string) =>
        !know.lost(namespace, tenantName) || named.includes(secret.split('/').at(-1) ?? '');
      const left = granted.filter(({ name }) => !know.touched(name) && isKnown(name)).map(({ name }) => name);
      if (left.length > 0) broken.push(`rule 5: ${found.email} was deleted before its grants on ${left.join(', ')}`);
      if (!know.abandoned(tenantName) && services.some(({ id }) => !know.touched(id)))
        broken.push(`rule 5: ${found.email} was deleted before its service`);
      const tenant = know.tenant(owner.namespace, owner.name);
      if (tenant && wasAbandoned(know, tenant))
        broken.push(`rule 5: ${found.email} of an abandoned tenant was deleted`);
      if (tenant && !tenant.metadata.deletionTimestamp && !know.isLate)
        broken.push(`${found.email} of a living tenant was deleted`);
      return broken;
    },
  };
}

/** Before the call was sent, as far as the operator could know. */
const wasAbandoned = (know: Knowledge, tenant: KubeObject): boolean =>
  isAbandoned(tenant) &&
  !know.isLate &&
  !know.touched(`deletion of ${tenant.metadata.namespace}/${tenant.metadata.name}`);

const isAbandoned = ({ metadata }: KubeObject): boolean =>
  metadata.deletionTimestamp !== undefined && metadata.annotations?.['ai-platform.dev/deletion-policy'] === 'abandon';

// ---------------------------------------------------------------------------------------------- inventory, finalizer

interface Entry {
  type: string;
  name: string;
  variable?: string;
  field?: string;
}

const inventoryOf = (tenant: KubeObject | undefined): Entry[] =>
  (((tenant?.status ?? {}) as JsonObject).inventory ?? []) as unknown as Entry[];

function inInventory(know: Knowledge, owner: OwnerMark, type: string, name: string): string[] {
  const tenant = know.tenant(owner.namespace, owner.name);
  if (!tenant && know.abandoned(owner.name)) return [];
  // The entry was written before the call, and somebody took the status away while it was under way.
  if (know.lost(owner.namespace, owner.name)) return [];
  if (inventoryOf(tenant).some(entry => entry.type === type && entry.name === name)) return [];
  return [`inventory: ${type} ${name} was made without an entry in the status of ${owner.namespace}/${owner.name}`];
}

/** A tenant has left the API server: nothing of it may be left in Google Cloud. */
export function checkGone(know: Knowledge, gone: KubeObject): string[] {
  const { name, namespace = '' } = gone.metadata;
  if (know.abandoned(name)) return [];
  const owner = { cluster: know.clusterId, namespace, name };
  const { facts } = know;
  const broken: string[] = [];
  for (const service of facts.services()) {
    if (service.deleteTime === undefined && sameOwner(labelledOwner(service.desired.labels), owner))
      broken.push(`rule 5: the finalizer went before service ${service.id} in ${service.location}`);
  }
  for (const account of facts.accounts()) {
    if (!sameOwner(describedOwner(account.description), owner)) continue;
    broken.push(`rule 5: the finalizer went before account ${account.email}`);
  }
  for (const { id } of [{ id: 'demo-project' }, { id: 'other-project' }]) {
    const email = emailOf(name, id);
    if (facts.account(email)) continue;
    for (const secret of facts.secrets()) {
      if (facts.members(secret.name, ACCESSOR).includes(memberOf(email)))
        broken.push(`rule 5: the finalizer went before the grant on ${secret.name}`);
    }
  }
  return broken;
}
