import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import type { ContainerTemplate } from '../../sandbox/gcp/run/messages.ts';
import type { ServiceState } from '../../sandbox/gcp/run/serviceState.ts';
import {
  ACCESSOR,
  canonicalSecret,
  consents,
  describedOwner,
  emailOf,
  type Facts,
  INVOKER,
  labelledOwner,
  labelsOf,
  memberOf,
  numberOf,
  type OwnerMark,
  sameOwner,
  serviceNameOf,
  servingRevisions,
  type Variable,
  variablesOf,
} from './cloudFacts.ts';
import { holdsNewerEntry } from './versions.ts';

/**
 * What Google Cloud and a tenant's status must look like once everybody has left them alone, worked out from the spec and
 * the contract alone. It shares no code with the operator.
 */

interface KeySpec {
  name: string;
  secretRef: { external?: string; name?: string };
  env?: string;
  file?: string;
  version?: string | number;
  rollout?: string;
}

/** A Config Connector secret of the simulation has the name of the secret that it stands for. */
export const referenceOf = ({ secretRef }: Pick<KeySpec, 'secretRef'>): string =>
  secretRef.external ?? secretRef.name ?? '';

export type ConnectorState = 'ready' | 'notReady' | 'absent';

export interface Spec {
  region: string;
  keys: KeySpec[];
  image?: string;
  env?: { name: string; value: string }[];
  scaling: { minInstances: number; maxInstances: number; concurrency: number; manualInstances?: number };
  resources: { cpu: string | number; memory: string | number; cpuAlways?: boolean; startupBoost?: boolean };
  container?: { command?: string[]; args?: string[]; port?: number; protocol?: string; dependsOn?: string[] };
  probes?: { startup?: Probe; liveness?: Probe };
  executionEnvironment?: string;
  sessionAffinity?: boolean;
  network?: { subnetwork?: string; egress?: string };
  volumes?: { name: string; mountPath: string }[];
  sidecars?: {
    name: string;
    image: string;
    args?: string[];
    env?: { name: string; value: string }[];
    keys?: { name: string; env?: string; file?: string }[];
    resources?: { cpu?: string };
    port?: number;
  }[];
  timeoutSeconds: number;
  access: 'Public' | 'Authenticated';
  invokers?: string[];
  suspend: boolean;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  description?: string;
  ingress?: string;
  defaultUrl?: string;
  customAudiences?: string[];
  iap?: string;
  binaryAuthorization?: string;
}

interface Probe {
  path?: string;
  tcp?: boolean;
  periodSeconds?: number;
}

interface Status {
  observedGeneration?: number;
  conditions?: { type: string; status: string; reason: string; message: string; observedGeneration?: number }[];
  url?: string;
  latestReadyRevision?: string;
  serviceAccountEmail?: string;
  region?: string;
  keys?: { name: string; version?: string; secret?: string; granted?: boolean }[];
  serviceSettings?: { ingress?: string; defaultUriDisabled?: boolean };
  inventory?: { type: string; name: string; member?: string; variable?: string; field?: string; uniqueId?: string }[];
}

export interface Judged {
  /** What is not as it must be. */
  problems: string[];
  /** Services that are tried again and again, as they must be. */
  retried: string[];
}

/** The default image and the images that never come up. */
const STALLED = ['SecretNotAllowed', 'ManagementConflict', 'InvalidSpec', 'Held'];

export function judgeTenant(
  facts: Facts,
  where: {
    clusterId: string;
    project: string;
    crdDeleted?: string;
    excused: boolean;
    lost: boolean;
    /** The state of a SecretManagerSecret of the tenant's namespace. */
    connector: (name: string) => ConnectorState;
  },
  tenant: KubeObject,
): Judged {
  const { clusterId, project, excused } = where;
  const spec = tenant.spec as unknown as Spec;
  const status = (tenant.status ?? {}) as Status;
  const { name, namespace = '' } = tenant.metadata;
  const problems: string[] = [];
  const retried: string[] = [];
  const owner: OwnerMark = { cluster: clusterId, namespace, name };
  const say = (text: string) => problems.push(`${clusterId}/${namespace}/${name}: ${text}`);
  const ready = status.conditions?.find(({ type }) => type === 'Ready');
  const done = () => ({ problems, retried });

  if (status.observedGeneration !== tenant.metadata.generation)
    say(`observedGeneration is ${status.observedGeneration}, not ${tenant.metadata.generation}`);
  if (tenant.metadata.deletionTimestamp) {
    const deletedAt = tenant.metadata.deletionTimestamp;
    if (where.crdDeleted !== undefined && deletedAt >= where.crdDeleted)
      say(`is still there although the CRD is being deleted: ${ready?.reason}`);
    else if (spec.suspend) expectReason(ready, ['Suspended'], say);
    else if (!['delete', 'abandon', undefined].includes(policyOf(tenant))) expectReason(ready, ['DeleteFailed'], say);
    else if (holdsNewerEntry(tenant)) expectReason(ready, ['DeleteFailed'], say);
    else say(`is still being deleted: ${ready?.reason}: ${ready?.message}`);
    return done();
  }
  if (spec.suspend) {
    expectReason(ready, ['Suspended'], say);
    const accounts = status.inventory?.filter(({ type }) => type === 'ServiceAccount') ?? [];
    for (const { name: account, uniqueId } of accounts) {
      const email = account.split('/').at(-1) ?? '';
      const found = facts.account(email);
      const isOwn = sameOwner(describedOwner(found?.description ?? ''), owner) && found?.uniqueId === uniqueId;
      if (isOwn && !excused && !where.lost) withoutConsent(facts, owner, email, say);
    }
    return done();
  }
  const lives = status.inventory
    ?.find(({ type }) => type === 'ServiceAccount' || type === 'Service')
    ?.name.split('/')[1];
  if (lives !== undefined && lives !== project) {
    expectReason(ready, ['InvalidSpec'], say);
    return done();
  }

  const reasons = new Set<string>();
  const email = emailOf(name, project);
  const account = facts.account(email);
  const mark = describedOwner(account?.description ?? '');
  // Full marks that the status does not know, as an abandonment or a lost status leaves behind, are no proof of ownership.
  const adopting = tenant.metadata.annotations?.['ai-platform.dev/adopt'] === 'true';
  const unknown = (type: string, fits: (entry: NonNullable<Status['inventory']>[number]) => boolean) =>
    (excused || where.lost) && !adopting && !status.inventory?.some(entry => entry.type === type && fits(entry));
  const foreignAccount =
    account !== undefined &&
    (!sameOwner(mark, owner) ||
      unknown('ServiceAccount', ({ uniqueId }) => uniqueId === undefined || uniqueId === account.uniqueId));
  if (!account) say(`there is no account ${email}`);
  else if (foreignAccount) reasons.add('ManagementConflict');
  else if (account.disabled) {
    // Contained: nothing is created or changed. What has left the spec or lost consent is no longer granted.
    expectReason(ready, ['Held', 'ManagementConflict'], say);
    if (ready?.status !== 'False') say(`Ready is ${ready?.status} although ${email} is disabled`);
    if (!excused) withoutConsent(facts, owner, email, say);
    return done();
  }

  // The keys: what may be read, and which version of it.
  let held = foreignAccount || account === undefined;
  const wanted: Variable[] = [...plainOf(spec)];
  const granted = new Set<string>();
  const missing: string[] = [];
  let unresolved = false;
  for (const key of spec.keys) {
    const resource = canonicalSecret(referenceOf(key), project);
    const secret = facts.secret(resource);
    const uses = usesOfKey(spec, key);
    const told = status.keys?.find(other => other.name === key.name);
    const hold = (reason: string, always = false) => {
      reasons.add(reason);
      if (always || uses.length > 0) held = true;
    };
    const connector = key.secretRef.name === undefined ? 'ready' : where.connector(key.secretRef.name);
    if (connector !== 'ready') {
      hold(connector === 'absent' ? 'DependencyNotFound' : 'DependencyNotReady');
      // Which secret the key stands for is not known, so no grant is taken for a former one.
      unresolved = true;
      continue;
    }
    if (!resource.startsWith(`projects/${numberOf(project)}/`) && !(secret && consents(labelsOf(secret), owner))) {
      // One answer for absent and for not allowed.
      hold('SecretNotAllowed', true);
      if (!secret) missing.push(resource.split('/').at(-1) ?? '');
      continue;
    }
    if (!secret) {
      hold('DependencyNotFound');
      missing.push(resource.split('/').at(-1) ?? '');
      continue;
    }
    if (!consents(labelsOf(secret), owner)) {
      hold('SecretNotAllowed', true);
      continue;
    }
    granted.add(resource);
    const stands = facts.members(resource, ACCESSOR).includes(memberOf(email));
    if (!foreignAccount && !stands) say(`key ${key.name}: no grant on ${resource}`);
    if (told?.granted !== stands) say(`key ${key.name}: granted is ${told?.granted} in the status`);
    if (uses.length === 0) continue;
    const want = (version: string) => wanted.push(...uses.map(name => ({ name, secret: resource, version })));
    const asked = key.version === undefined ? 'latest' : String(key.version);
    const enabled = secret.versions.filter(({ state }) => state === 'ENABLED').map(({ sequence }) => sequence);
    const floor = told?.secret === undefined || told.secret === resource ? Number(told?.version ?? 0) : 0;
    if (asked !== 'latest') {
      const version = secret.versions.find(({ sequence }) => String(sequence) === asked);
      if (!version) hold('DependencyNotFound');
      else if (version.state !== 'ENABLED') hold('DependencyNotReady');
      want(asked);
    } else if (key.rollout === 'OnRestart') {
      const latest = secret.versions.at(-1);
      if (!latest) hold('DependencyNotFound');
      else if (latest.state !== 'ENABLED') hold('DependencyNotReady');
      want('latest');
    } else {
      const newest = Math.max(0, ...enabled);
      const isDisabled = secret.versions.some(({ state }) => state === 'DISABLED');
      if (newest === 0) hold(isDisabled ? 'DependencyNotReady' : 'DependencyNotFound');
      else if (newest < floor) hold('DependencyNotReady');
      want(String(newest));
    }
  }

  const ours = facts.services().filter(({ id, project: p }) => id === `ai-platform-${name}` && p.id === project);
  const mine = ours.filter(
    service =>
      sameOwner(labelledOwner(service.desired.labels), owner) &&
      !unknown('Service', ({ name }) => name === serviceNameOf(service)),
  );
  const here = ours.find(({ location }) => location === spec.region);
  // What a tenant was given before it was abandoned, and what still has its mark as that could not be taken off, its namesake
  // knows nothing of.
  // A lost status takes the record of invokers and variables with it; services are searched for by their marks.
  const known = (type: string, name: string, detail?: string) =>
    (!excused && !(where.lost && type !== 'Service')) ||
    status.inventory?.some(
      entry => entry.type === type && entry.name === name && (entry.member ?? entry.variable ?? entry.field) === detail,
    );
  const elsewhere = mine.filter(
    service => service.location !== spec.region && known('Service', serviceNameOf(service)),
  );
  if (account && !foreignAccount && !excused && !where.lost) withoutConsent(facts, owner, email, say);
  if (!foreignAccount && !excused && !where.lost && !unresolved)
    leftoverGrants(facts, email, { recorded: identitiesOf(tenant), granted, missing, mine }, say);

  let serving = false;
  if (!here && elsewhere.some(service => staysInItsRegion(service, spec))) {
    reasons.add('InvalidSpec');
    held = true;
  }
  if (here && !mine.includes(here)) reasons.add('ManagementConflict');
  else if (!here) {
    if (!held) say(`there is no service in ${spec.region}`);
  } else if (!foreignAccount) {
    // No service is touched while the account of the tenant's name is another owner's (rule 2).
    const failed = checkService(facts, here, spec, email, owner, held ? undefined : wanted, known, say);
    for (const problem of settingProblems(here, spec, !excused && !where.lost, !held)) say(problem);
    if (failed) {
      reasons.add('UpdateFailed');
      retried.push(serviceNameOf(here));
    }
    serving = !failed && !held;
    const { ingress, defaultUriDisabled } = here.desired;
    const record = status.serviceSettings;
    if (
      here.latestReady &&
      (record?.ingress !== ingress || (record?.defaultUriDisabled ?? false) !== (defaultUriDisabled ?? false))
    )
      say(`the settings on record are ${JSON.stringify(record)}, not ${ingress}, ${defaultUriDisabled}`);
    const url = here.desired.defaultUriDisabled ? undefined : here.uri;
    if (url !== status.url && servingRevisions(here).length > 0) say(`url is ${status.url}, not ${url}`);
    if (here.latestReady && status.latestReadyRevision !== here.latestReady.id)
      say(`latestReadyRevision is ${status.latestReadyRevision}, not ${here.latestReady.id}`);
  }
  for (const service of elsewhere) {
    if (service.terminalCondition.state !== 'CONDITION_FAILED') continue;
    reasons.add('UpdateFailed');
    retried.push(serviceNameOf(service));
  }
  if (serving && elsewhere.length > 0)
    say(`it has moved, and ${elsewhere.map(serviceNameOf).join(', ')} is still there`);

  const expected = reasons.size === 0 ? ['UpToDate'] : [...reasons];
  // Held by a key whose grant or version is missing, and with no service yet, nothing more is wrong than that.
  expectReason(ready, expected, say);
  if (ready && (ready.status === 'True') !== (reasons.size === 0))
    say(`Ready is ${ready.status} although ${expected.join(', ')}`);
  const stalled = status.conditions?.find(({ type }) => type === 'Stalled');
  if ((stalled !== undefined) !== STALLED.includes(ready?.reason ?? ''))
    say(`Stalled is ${stalled?.status} with ${ready?.reason}`);
  if (reasons.size === 0) inventory(status, spec, project, email, granted, here ? stayingFields(here) : [], say);
  return done();
}

/** A former service has a setting of its region, and the spec does not say what takes its place in another one: the move stops. */
function staysInItsRegion({ desired }: ServiceState, spec: Spec): boolean {
  const { subnetwork } = desired.template?.vpcAccess?.networkInterfaces?.[0] ?? {};
  return subnetwork !== undefined && spec.network === undefined;
}

const policyOf = (tenant: KubeObject): string | undefined =>
  tenant.metadata.annotations?.['ai-platform.dev/deletion-policy'] ??
  tenant.metadata.annotations?.['cnrm.cloud.google.com/deletion-policy'];

function expectReason(
  ready: { reason: string; message: string } | undefined,
  expected: string[],
  say: (text: string) => void,
): void {
  if (!ready || !expected.includes(ready.reason))
    say(`Ready is ${ready?.reason} (${ready?.message}), not ${expected.join(' or ')}`);
}

/** A grant goes when its secret's consent does, whatever reads it, serves or is suspended. */
function withoutConsent(facts: Facts, owner: OwnerMark, email: string, say: (text: string) => void): void {
  for (const secret of facts.secrets()) {
    const isGranted = facts.members(secret.name, ACCESSOR).includes(memberOf(email));
    if (isGranted && !consents(labelsOf(secret), owner)) say(`a grant on ${secret.name} without consent is left over`);
  }
}

/**
 * Nothing that has left the spec is granted any more, unless a revision that serves may still read it: which ones serve
 * can't be told of a service whose newest revision was refused.
 */
function leftoverGrants(
  facts: Facts,
  email: string,
  known: { recorded: string[]; granted: Set<string>; missing: string[]; mine: ServiceState[] },
  say: (text: string) => void,
): void {
  const { recorded, granted, missing, mine } = known;
  for (const secret of facts.secrets()) {
    // A reference to a secret that is not there may be the same one in other words: its project's number is unknown.
    if (missing.includes(secret.name.split('/').at(-1) ?? '')) continue;
    const read = mine.some(
      service =>
        (service.terminalCondition.state === 'CONDITION_FAILED' && service.latestReady !== undefined) ||
        [...servingRevisions(service), service.latestCreated].some(revision =>
          variablesOf(service, revision?.template).some(variable => variable.secret === secret.name),
        ),
    );
    const members = facts.members(secret.name, ACCESSOR);
    const deleted = members.some(member =>
      recorded.some(uid => member === `deleted:serviceAccount:${email}?uid=${uid}`),
    );
    if (deleted && (granted.has(secret.name) || !read)) say(`a deleted member of ${email} is left on ${secret.name}`);
    if (granted.has(secret.name) || read || !members.includes(memberOf(email))) continue;
    say(`a grant on ${secret.name} is left over`);
  }
}

/** Answers whether its newest revision was refused. */
function checkService(
  facts: Facts,
  service: ServiceState,
  spec: Spec,
  email: string,
  owner: OwnerMark,
  wanted: Variable[] | undefined,
  known: (type: string, name: string, detail: string) => boolean | undefined,
  say: (text: string) => void,
): boolean {
  const { desired } = service;
  const name = serviceNameOf(service);
  const differs = (field: string, is: unknown, should: unknown) => {
    if (is !== should) say(`${field} of ${name} is ${JSON.stringify(is)}, not ${JSON.stringify(should)}`);
  };
  if (service.deleteTime !== undefined) say(`${name} is being deleted`);
  if (service.reconciling) say(`${name} is being brought up`);
  const labels = desired.labels ?? {};
  differs(
    'owner',
    `${labels['ai-tenant-owner-cluster']}/${labels['ai-tenant-owner-namespace']}/${labels['ai-tenant-owner-name']}`,
    `${owner.cluster}/${owner.namespace}/${owner.name}`,
  );

  const members = facts.members(name, INVOKER);
  const isPublic = desired.invokerIamDisabled === true || members.includes('allUsers');
  differs('public access', isPublic, spec.access === 'Public');
  const named = members
    .filter(member => !member.includes('foreign') && member !== 'allUsers' && known('Invoker', name, member))
    .sort();
  differs('invokers', named.join(), (spec.access === 'Public' ? [] : (spec.invokers ?? [])).toSorted().join());

  const traffic = (desired.traffic ?? []).filter(({ percent = 0 }) => percent > 0);
  differs('traffic', traffic.map(({ type, percent }) => `${type?.split('_').at(-1)} ${percent}`).join(), 'LATEST 100');
  const failed = service.terminalCondition.state === 'CONDITION_FAILED';

  if (wanted !== undefined) {
    const template = desired.template ?? {};
    const container = template.containers?.[0] ?? {};
    differs('service account', template.serviceAccount, email);
    differs('timeout', template.timeout, `${spec.timeoutSeconds}s`);
    differs('concurrency', template.maxInstanceRequestConcurrency, spec.scaling.concurrency);
    if (spec.image !== undefined) differs('image', container.image, spec.image);
    differs('cpu', amount(container.resources?.limits?.cpu), amount(spec.resources.cpu));
    differs('memory', amount(container.resources?.limits?.memory), amount(spec.resources.memory));
    const inForce = (pick: (...values: number[]) => number, field: 'minInstanceCount' | 'maxInstanceCount') => {
      const values = [desired.scaling?.[field] ?? 0, template.scaling?.[field] ?? 0].filter(value => value > 0);
      return values.length > 0 ? pick(...values) : 0;
    };
    if (spec.scaling.manualInstances === undefined) {
      differs('minInstances', inForce(Math.max, 'minInstanceCount'), spec.scaling.minInstances);
      differs('maxInstances', inForce(Math.min, 'maxInstanceCount'), spec.scaling.maxInstances);
    }
    const shown = (variables: Variable[]) =>
      variables
        .filter(
          variable =>
            !variable.name.endsWith('FOREIGN') &&
            (sidecarOf(variable.name) !== undefined
              ? known('Field', name, `sidecars.${sidecarOf(variable.name)}`)
              : isFile(variable)
                ? known('Field', name, `files.${variable.name}`)
                : known('Variable', name, variable.name)),
        )
        .map(({ name, value, secret, version }) => `${name}=${value ?? `${secret}:${version}`}`)
        .sort()
        .join(' ');
    differs('variables', shown(variablesOf(service, template)), shown(wanted));
  }
  if (!failed && service.latestReady !== service.latestCreated) say(`the newest revision of ${name} does not serve`);
  return failed;
}

const INGRESS: Record<string, string> = {
  All: 'INGRESS_TRAFFIC_ALL',
  Internal: 'INGRESS_TRAFFIC_INTERNAL_ONLY',
  InternalAndLoadBalancer: 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER',
};

type Desired = ServiceState['desired'] & {
  iapEnabled?: boolean;
  binaryAuthorization?: { useDefault?: boolean };
  customAudiences?: string[];
};

/**
 * The optional fields that the spec names: the path in the inventory, what Cloud Run must have, and what it has. The service's labels
 * and annotations that the spec does not name may be somebody else's.
 */
function namedSettings(spec: Spec): { path: string; want: unknown; of: (desired: Desired) => unknown }[] {
  const { labels = {}, annotations = {}, scaling } = spec;
  const one = (path: string, want: unknown, of: (desired: Desired) => unknown) =>
    want === undefined ? [] : [{ path, want, of }];
  return [
    ...Object.entries(labels).map(([key, want]) => ({
      path: `labels.${key}`,
      want,
      of: (desired: Desired) => desired.labels?.[key],
    })),
    ...Object.entries(annotations).map(([key, want]) => ({
      path: `annotations.${key}`,
      want,
      of: (desired: Desired) => desired.annotations?.[key],
    })),
    ...one('description', spec.description, ({ description }) => description ?? ''),
    ...one('ingress', spec.ingress && INGRESS[spec.ingress], ({ ingress }) => ingress),
    ...one('defaultUrl', spec.defaultUrl && spec.defaultUrl === 'Disabled', desired => !!desired.defaultUriDisabled),
    ...one('iap', spec.iap && spec.iap === 'Enabled', ({ iapEnabled = false }) => iapEnabled),
    ...one('binaryAuthorization', spec.binaryAuthorization && true, desired => desired.binaryAuthorization?.useDefault),
    ...one('customAudiences', spec.customAudiences?.toSorted().join(), ({ customAudiences = [] }) =>
      customAudiences.toSorted().join(),
    ),
    ...one('scaling.manualInstances', scaling.manualInstances, ({ scaling: found }) =>
      found?.scalingMode === 'MANUAL' ? found.manualInstanceCount : undefined,
    ),
  ];
}

/** As `namedSettings`, for the template. */
function templateSettings(spec: Spec): ReturnType<typeof namedSettings> {
  const { container = {}, probes = {}, resources, network } = spec;
  const main = (desired: Desired) => (desired.template?.containers?.[0] ?? {}) as ContainerTemplate & JsonObject;
  const template = (desired: Desired) => (desired.template ?? {}) as JsonObject;
  const one = (path: string, want: unknown, of: (desired: Desired) => unknown) =>
    want === undefined ? [] : [{ path, want, of }];
  const words = (value: unknown) => ((value ?? []) as string[]).join('|');
  const port = (desired: Desired) => main(desired).ports?.[0]?.containerPort ?? 8080;
  const shown = (probe: Probe | undefined) =>
    probe && `${probe.path ?? 'tcp'} every ${probe.periodSeconds ?? 10} on ${container.port ?? 'its port'}`;
  const probeOf = (desired: Desired, name: 'startupProbe' | 'livenessProbe') => {
    const probe = (main(desired)[name] ?? {}) as {
      httpGet?: JsonObject;
      tcpSocket?: JsonObject;
      periodSeconds?: number;
    };
    const target = probe.httpGet ?? probe.tcpSocket ?? {};
    const on = target.port === port(desired) ? (container.port ?? 'its port') : target.port;
    return `${probe.httpGet?.path ?? 'tcp'} every ${probe.periodSeconds ?? 10} on ${on}`;
  };
  return [
    ...one('container.command', container.command && words(container.command), desired => words(main(desired).command)),
    ...one('container.args', container.args && words(container.args), desired => words(main(desired).args)),
    ...one('container.port', container.port, port),
    ...one('container.protocol', container.protocol && container.protocol === 'H2C', desired => {
      return main(desired).ports?.[0]?.name === 'h2c';
    }),
    ...one('probes.startup', shown(probes.startup), desired => probeOf(desired, 'startupProbe')),
    ...one('probes.liveness', shown(probes.liveness), desired => probeOf(desired, 'livenessProbe')),
    ...one('resources.cpuAlways', resources.cpuAlways, desired => !main(desired).resources?.cpuIdle),
    ...one('resources.startupBoost', resources.startupBoost, desired => !!main(desired).resources?.startupCpuBoost),
    ...one('executionEnvironment', spec.executionEnvironment, desired =>
      String(template(desired).executionEnvironment).replace('EXECUTION_ENVIRONMENT_GEN', 'Gen'),
    ),
    ...(spec.volumes ?? []).map(({ name, mountPath }) => ({
      path: `volumes.${name}`,
      want: mountPath,
      of: (desired: Desired) => main(desired).volumeMounts?.find(mount => mount.name === name)?.mountPath,
    })),
    ...one('container.dependsOn', container.dependsOn && words(container.dependsOn), desired =>
      words(main(desired).dependsOn),
    ),
    ...(spec.sidecars ?? []).map(({ name, image, args, resources }) => ({
      path: `sidecars.${name}`,
      want: `${image} ${words(args)} ${amount(resources?.cpu)}`,
      of(desired: Desired) {
        const found = desired.template?.containers?.slice(1).find(container => container.name === name);
        const { args: has } = (found ?? {}) as JsonObject;
        return `${found?.image} ${words(has)} ${amount(found?.resources?.limits?.cpu)}`;
      },
    })),
    ...one('sessionAffinity', spec.sessionAffinity, desired => template(desired).sessionAffinity === true),
    ...one('network', network && `${network.subnetwork} ${network.egress ?? 'PrivateRangesOnly'}`, desired => {
      const { vpcAccess = {} } = desired.template ?? {};
      const { egress } = vpcAccess as { egress?: string };
      const word = egress === 'ALL_TRAFFIC' ? 'AllTraffic' : 'PrivateRangesOnly';
      return `${vpcAccess.networkInterfaces?.[0]?.subnetwork} ${word}`;
    }),
  ];
}

/**
 * What differs. `isKnown`: nobody has taken the record away, so what has left the spec must be gone. `isFree`: nothing keeps the template
 * from being as the spec says.
 */
function settingProblems({ desired }: ServiceState, spec: Spec, isKnown: boolean, isFree: boolean): string[] {
  const ofTemplate = templateSettings(spec);
  const named = [...namedSettings(spec), ...(isFree ? ofTemplate : [])];
  const wrong = named.flatMap(({ path, want, of }) =>
    of(desired) === want ? [] : `${path} is ${JSON.stringify(of(desired))}, not ${JSON.stringify(want)}`,
  );
  const left = {
    'labels.team': desired.labels?.team,
    'labels.cost': desired.labels?.cost,
    'annotations.example.com/team': desired.annotations?.['example.com/team'],
    description: desired.description || undefined,
    customAudiences: (desired as Desired).customAudiences?.[0],
    'scaling.manualInstances': desired.scaling?.scalingMode === 'MANUAL' ? 'MANUAL' : undefined,
    ...(isFree && templateLeft(desired)),
  };
  const stays = Object.entries(left).flatMap(([path, value]) =>
    value === undefined || !isKnown || named.some(one => one.path === path)
      ? []
      : `${path} has left the spec and is ${value}`,
  );
  return [...wrong, ...stays];
}

/** What nobody but a spec of a script sets, where it is not Google's default. */
function templateLeft({ template = {} }: Desired): Record<string, string | undefined> {
  const { command, args, ports, startupProbe, livenessProbe, resources, dependsOn } = (template.containers?.[0] ??
    {}) as ContainerTemplate & JsonObject;
  const { sessionAffinity } = template as JsonObject;
  const mounted = (template.containers ?? []).flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name));
  return {
    'container.command': (command as string[] | undefined)?.[0],
    'container.args': (args as string[] | undefined)?.[0],
    'container.port': ports?.[0]?.containerPort === 9000 ? '9000' : undefined,
    'container.protocol': ports?.[0]?.name === 'h2c' ? 'h2c' : undefined,
    'probes.startup': startupProbe && startupProbe.periodSeconds !== 240 ? 'set' : undefined,
    'probes.liveness': livenessProbe ? 'set' : undefined,
    'resources.cpuAlways': resources?.cpuIdle ? undefined : 'always',
    'resources.startupBoost': resources?.startupCpuBoost ? undefined : 'off',
    executionEnvironment: template.executionEnvironment,
    sessionAffinity: sessionAffinity === true ? 'on' : undefined,
    'container.dependsOn': dependsOn?.[0],
    'sidecars.proxy': template.containers?.find(({ name }) => name === 'proxy')?.name,
    files: template.volumes?.find(({ name, secret }) => secret && !mounted.includes(name))?.name,
    'volumes.cache': template.volumes?.find(({ name }) => name === 'cache')?.name,
  };
}

/** The fields that limit access and do not have Google's default: they may be on record though the spec does not name them. */
function stayingFields({ desired }: ServiceState): string[] {
  const { ingress, defaultUriDisabled, iapEnabled, binaryAuthorization } = desired as Desired;
  return [
    ...(ingress === INGRESS.All ? [] : ['ingress']),
    ...(defaultUriDisabled ? ['defaultUrl'] : []),
    ...(iapEnabled ? ['iap'] : []),
    ...(binaryAuthorization ? ['binaryAuthorization'] : []),
    ...(desired.template?.vpcAccess ? ['network'] : []),
  ];
}

/** Where the containers use a key, as `variablesOf` names it. */
export const usesOfKey = (spec: Spec, { name, env, file }: KeySpec): string[] => [
  ...[env, file].flatMap(at => at ?? []),
  ...(spec.sidecars ?? []).flatMap(sidecar =>
    (sidecar.keys ?? [])
      .filter(key => key.name === name)
      .flatMap(key => [key.env, key.file].flatMap(at => (at === undefined ? [] : `${sidecar.name}:${at}`))),
  ),
];

/** The plain variables of the containers. */
export const plainOf = (spec: Spec): { name: string; value: string }[] => [
  ...(spec.env ?? []).map(({ name, value }) => ({ name, value })),
  ...(spec.sidecars ?? []).flatMap(({ name: sidecar, env = [], port }) =>
    [...env, ...(port === undefined ? [] : [{ name: 'PORT', value: String(port) }])].map(({ name, value }) => ({
      name: `${sidecar}:${name}`,
      value,
    })),
  ),
];

/** The sidecar that has a variable of this name. Undefined: it is the main container's. */
export const sidecarOf = (variable: string): string | undefined => /^([^:]+):/.exec(variable)?.[1];

/** A mounted key has the path of its file for a name. */
const isFile = ({ name }: Variable): boolean => name.startsWith('/');

/** A quantity by its value: `1000m` is `1`, `1Gi` is `1024Mi`. */
export function amount(quantity: string | number | undefined): number {
  const [, number = '0', unit = ''] = /^([\d.]+)(\w*)$/.exec(String(quantity)) ?? [];
  const factors: Record<string, number> = { m: 0.001, Mi: 2 ** 20, Gi: 2 ** 30 };
  return Number(number) * (factors[unit] ?? 1);
}

/** Once all is well the inventory names just what there is. */
function inventory(
  status: Status,
  spec: Spec,
  project: string,
  email: string,
  granted: Set<string>,
  staying: string[],
  say: (text: string) => void,
): void {
  const own = ['ServiceAccount', 'SecretAccess', 'Service', 'Invoker', 'Variable', 'Field'];
  const entries = (status.inventory ?? []).filter(({ type }) => own.includes(type));
  const found = entries.map(({ type, name, member, variable, field }) =>
    [type, name, member ?? variable ?? field].filter(Boolean).join(' '),
  );
  const service = `projects/${project}/locations/${spec.region}/services/ai-platform-${email.split('@')[0]?.slice(3)}`;
  const expected = [
    `ServiceAccount projects/${project}/serviceAccounts/${email}`,
    ...[...granted].map(secret => `SecretAccess ${secret}`),
    `Service ${service}`,
    ...(spec.access === 'Authenticated' ? (spec.invokers ?? []) : []).map(member => `Invoker ${service} ${member}`),
    ...[...(spec.env ?? []).map(({ name }) => name), ...spec.keys.flatMap(({ env }) => env ?? [])].map(
      variable => `Variable ${service} ${variable}`,
    ),
    ...spec.keys.flatMap(({ file }) => (file === undefined ? [] : `Field ${service} files.${file}`)),
    ...[...namedSettings(spec), ...templateSettings(spec)].map(({ path }) => `Field ${service} ${path}`),
  ];
  // A field that limits access stays on record until the service has Google's default again.
  const maybe = staying.map(path => `Field ${service} ${path}`);
  const missing = expected.filter(entry => !found.includes(entry));
  const extra = found.filter(entry => !expected.includes(entry) && !maybe.includes(entry));
  if (missing.length > 0) say(`the inventory lacks ${missing.join(', ')}`);
  if (extra.length > 0) say(`the inventory still has ${extra.join(', ')}`);
  if (new Set(found).size < found.length) say(`the inventory names something twice: ${found.join(', ')}`);
}

/** Every identity that the tenant's account is known to have had. */
export const identitiesOf = (tenant: KubeObject): string[] =>
  ((tenant.status as Status | undefined)?.inventory ?? []).flatMap(({ uniqueId }) => uniqueId ?? []);

/** Things that bear the marks of tenants that are no more. */
export function leaks(
  facts: Facts,
  living: {
    has(owner: OwnerMark): boolean;
    identities: string[];
    excused(tenant: string): boolean;
    /** Its grants on secrets that no key names any more were on no record. */
    lost(tenant: string): boolean;
  },
): string[] {
  const found: string[] = [];
  const check = (owner: OwnerMark | undefined, what: string) => {
    if (!owner || living.has(owner) || living.excused(owner.name)) return;
    found.push(`leak: ${what} of ${owner.cluster}/${owner.namespace}/${owner.name}`);
  };
  for (const service of facts.services()) {
    const owner = labelledOwner(service.desired.labels);
    // Somebody may have taken a part of the marks off.
    check(owner && { ...owner, name: owner.name || service.id.replace('ai-platform-', '') }, serviceNameOf(service));
  }
  for (const account of facts.accounts()) check(describedOwner(account.description), account.email);
  for (const secret of facts.secrets()) {
    for (const member of facts.members(secret.name, ACCESSOR)) {
      const [, deleted, email = '', tenant = '', uid = ''] =
        /^(deleted:)?serviceAccount:(sa-([^@]+)@[^?]+)(?:\?uid=(.*))?/.exec(member) ?? [];
      if (tenant === '' || living.excused(tenant) || living.lost(tenant)) continue;
      const account = facts.account(email);
      const owner = describedOwner(account?.description ?? '');
      const leaked = deleted ? !living.identities.includes(uid) : !account || (owner && !living.has(owner));
      if (leaked) found.push(`leak: ${member} on ${secret.name}`);
    }
  }
  return found;
}
