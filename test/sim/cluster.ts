import { METHODS } from '../../operator/gcp/methods.ts';
import type { Settings } from '../../operator/tenant/types.ts';
import type { GcpResult } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi, KubeListOptions, KubeObject } from '../../ports/kube.ts';
import {
  AI_TENANTS,
  CUSTOM_RESOURCE_DEFINITIONS,
  NAMESPACES,
  SECRET_MANAGER_SECRETS,
} from '../../ports/kubeResources.ts';
import type { GcpCore } from '../../sandbox/gcp/core.ts';
import { createKubeCore, type KubeCore } from '../../sandbox/kube/index.ts';
import { SECRET_VALUE } from './actors.ts';
import { type Clock, createRandom, type Random } from './clock.ts';
import { type Facts, labelledOwner } from './cloudFacts.ts';
import { CONNECTOR_CRD, stateOf } from './connector.ts';
import type { ArmedFaults, CallInfo } from './faults.ts';
import { checkGone, checkWrite, type Knowledge } from './invariants.ts';
import type { ConnectorState, Spec } from './oracle.ts';
import type { Outages } from './outages.ts';
import { type GcpEffect, resourceOf } from './ports.ts';
import { createReplica, type Replica } from './replica.ts';
import type { Script } from './script.ts';
import { type Count, RATE_LIMITED } from './tally.ts';
import { lostOfNewer } from './versions.ts';

/** A Kubernetes cluster with its operators; every write of theirs is judged as it takes effect. */
export interface Cluster {
  id: string;
  core: KubeCore;
  settings: Settings;
  replicas: Replica[];
  /** The tenants as they are stored, as of the last `look`. */
  tenants(): KubeObject[];
  /** Config Connector's word on a secret, as of the last `look`. */
  connector(namespace: string, name: string): ConnectorState;
  /** Since when the CRD is being deleted. */
  crdDeleted(): Promise<string | undefined>;
  /** Takes note of what has changed in the store. To be called after whatever may have changed something. */
  look(): Promise<void>;
  /** The API server is gone for so long, and all watches with it. */
  down(forMs: number): void;
  lag(ms: number, forMs: number): void;
  /** Writes are refused: those of tenants, or all where the server itself fails. */
  refuse(code: number, forMs: number): void;
  /** Lists are so many writes behind. */
  stale(versions: number, forMs: number): void;
  /** Watches repeat themselves. */
  repeat(forMs: number): void;
  heal(): void;
}

/** A call to Google Cloud that changes something, as it took effect. */
export interface Write {
  at: number;
  cluster: string;
  method: string;
  resource: string;
  code: string;
  request: JsonObject;
}

export interface ClusterOptions {
  id: string;
  index: number;
  script: Script;
  clock: Clock;
  chance: Random;
  gcp: GcpCore;
  facts: Facts;
  faults: ArmedFaults;
  crd: KubeObject;
  note(text: string): void;
  breakRule(text: string): void;
  touched(resource: string): boolean;
  outages: Outages;
  excused(tenant: string): boolean;
  /** `CLUSTER/NAMESPACE/NAME` */
  lost(tenant: string): boolean;
  count: Count;
  rival(call: CallInfo): Promise<void>;
  onWrite(write: Write): void;
}

/** A call that took longer than this from client to effect was computed from a world that may be gone. */
const LATE_MS = 3_000;
/** Within this an operator has come to know a new spec, however far behind its watches are. */
const LATELY_MS = 120_000;
const ENCODED_VALUE = Buffer.from(SECRET_VALUE).toString('base64');

export async function createCluster(options: ClusterOptions): Promise<Cluster> {
  const { id, index, script, clock, chance, gcp, facts, note, breakRule, count } = options;
  const core = createKubeCore({ runtime: clock });
  await must(core.api.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, options.crd));
  const impersonates = script.steps.some(({ do: what }) => what === 'impersonate');
  const hasConnector = script.steps.some(({ who }) => who === 'connector');
  if (hasConnector) await must(core.api.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, CONNECTOR_CRD));
  const team = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'team-a' } };
  await must(core.api.create(NAMESPACES, undefined, team));
  const settings: Settings = {
    project: 'demo-project',
    projects: [],
    defaultImage: 'gcr.io/cloudrun/hello',
    claimPolicy: 'labelled',
    clusterId: id,
    regionMoveGraceMs: script.graceMs ?? 60_000,
    syncIntervalMs: 180_000,
    ...(impersonates && { impersonationAccounts: ['operator-NAMESPACE@demo-project.iam.gserviceaccount.com'] }),
  };
  let stored = new Map<string, KubeObject>();
  let connectors = new Map<string, ConnectorState>();
  /** The service accounts that each Namespace has named, with the time at which the next one took over. */
  const identities = new Map<string, { account?: string; until: number }[]>();
  /** Each tenant's specs, with the time at which the next one took over. */
  const specs = new Map<string, { generation?: number; spec: Spec; until: number }[]>();
  const ever = new Set<string>();
  let downUntil = 0;
  let lagging = { until: 0, ms: 0 };
  let behind = { until: 0, versions: 0 };
  let repeatUntil = 0;
  let refusing = { code: 0, until: 0 };

  const knowledge = (isLate: boolean): Knowledge => ({
    facts,
    clusterId: id,
    tenant: (namespace, name) => stored.get(`${namespace}/${name}`),
    known: (namespace, name) => ever.has(`${namespace}/${name}`),
    specs: (namespace, name) =>
      (specs.get(`${namespace}/${name}`) ?? [])
        .filter(({ until }) => clock.monotonic() - until < LATELY_MS)
        .map(({ spec }) => spec),
    touched: options.touched,
    abandoned: options.excused,
    lost: (namespace, name) => options.lost(`${id}/${namespace}/${name}`),
    isLate,
  });

  async function lookAround(): Promise<void> {
    if (hasConnector) {
      const listed = await core.api.list(SECRET_MANAGER_SECRETS, {});
      const items = listed.ok ? listed.value.items : [];
      connectors = new Map(items.map(item => [`${item.metadata.namespace}/${item.metadata.name}`, stateOf(item)]));
    }
    if (!impersonates) return;
    const listed = await core.api.list(NAMESPACES, {});
    for (const { metadata } of listed.ok ? listed.value.items : []) {
      const account = metadata.annotations?.['ai-platform.dev/impersonate-service-account'];
      const known = identities.get(metadata.name) ?? [];
      identities.set(metadata.name, known);
      const last = known.at(-1);
      if (last && last.account === account) continue;
      if (last) last.until = clock.monotonic();
      known.push({ account, until: Number.POSITIVE_INFINITY });
    }
  }

  /** What is wrong with whom a write was made as: one of those that the tenant's Namespace has named of late. */
  function wrongIdentity(method: string, request: JsonObject, actAs: string | undefined): string[] {
    if (!impersonates) return [];
    const service = (request.service ?? facts.service(String(request.name ?? request.resource))?.desired) as
      | { labels?: Record<string, string> }
      | undefined;
    const namespace = labelledOwner(service?.labels)?.namespace;
    const known = namespace === undefined ? [...identities.values()].flat() : (identities.get(namespace) ?? []);
    const late = known.filter(({ until }) => clock.monotonic() - until < LATELY_MS);
    if (namespace === undefined ? late.length === 0 : !identities.has(namespace)) return [];
    // A Namespace that names nobody who is allowed leaves a deletion to whoever the status names.
    const recorded = [...stored.values()].map(
      ({ status }) => (status as { impersonatedServiceAccount?: string } | undefined)?.impersonatedServiceAccount,
    );
    if (late.some(({ account }) => account === actAs) || recorded.includes(actAs)) return [];
    return [
      `${method} ${resourceOf(request)} was called as ${actAs ?? 'the operator itself'}, which no Namespace names`,
    ];
  }

  async function look(): Promise<void> {
    await lookAround();
    const listed = await core.api.list(AI_TENANTS, {});
    const items = listed.ok ? listed.value.items : [];
    const now = new Map(items.map(item => [`${item.metadata.namespace}/${item.metadata.name}`, item]));
    for (const [key, old] of stored) {
      if (now.get(key)?.metadata.uid === old.metadata.uid) continue;
      note(`${id}: ${key} is gone`);
      for (const text of checkGone(knowledge(false), old)) breakRule(text);
    }
    for (const [key, { metadata, spec }] of now) {
      ever.add(key);
      const known = specs.get(key) ?? [];
      const last = known.at(-1);
      if (last?.generation === metadata.generation && stored.get(key)?.metadata.uid === metadata.uid) continue;
      if (last) last.until = clock.monotonic();
      known.push({ generation: metadata.generation, spec: spec as unknown as Spec, until: Number.POSITIVE_INFINITY });
      specs.set(key, known);
    }
    stored = now;
  }

  const keepsSecrets = (what: string, value: unknown) => {
    const text = JSON.stringify(value) ?? '';
    if (text.includes(SECRET_VALUE) || text.includes(ENCODED_VALUE)) breakRule(`rule 4: ${what} holds a key's value`);
  };

  const refusal = (plural: string): Extract<Awaited<ReturnType<KubeApi['patch']>>, { ok: false }> | undefined => {
    const { code, until } = refusing;
    if (clock.monotonic() >= until || (code !== 500 && plural !== AI_TENANTS.plural)) return undefined;
    count(`write refused by the API server, ${code}`);
    const reason = { 403: 'Forbidden', 422: 'Invalid' }[code] ?? 'InternalError';
    return { ok: false, status: { code, reason, message: `injected ${code}` } };
  };

  const kube: KubeApi = {
    ...core.api,
    async list(resource, options) {
      const now = core.revision();
      const at = Math.max(1, now - (clock.monotonic() < behind.until ? behind.versions : 0));
      if (at === now || options.continue) return core.api.list(resource, options);
      const past: KubeListOptions & { resourceVersionMatch: string } = {
        ...options,
        resourceVersion: String(at),
        resourceVersionMatch: 'Exact',
      };
      const listed = await core.api.list(resource, past);
      if (listed.ok) count('stale list');
      return listed;
    },
    async patch(resource, namespace, name, patch, how) {
      keepsSecrets(`a patch of ${resource.plural}`, patch);
      const isTenant = resource.plural === AI_TENANTS.plural;
      const before = isTenant ? await core.api.get(AI_TENANTS, namespace, name) : undefined;
      const result = refusal(resource.plural) ?? (await core.api.patch(resource, namespace, name, patch, how));
      if (isTenant) {
        if (before?.ok && result.ok) for (const text of lostOfNewer(before.value, result.value)) breakRule(text);
        const what = how?.subresource
          ? summary(patch)
          : `finalizers ${JSON.stringify((patch.metadata as JsonObject).finalizers)}`;
        note(`${id} writes ${namespace}/${name}: ${what} → ${result.ok ? 'ok' : `${result.status.code}`}`);
        await look();
      }
      return result;
    },
    async create(resource, namespace, object) {
      keepsSecrets(`a new one of ${resource.plural}`, object);
      return refusal(resource.plural) ?? core.api.create(resource, namespace, object);
    },
  };

  const limited = (result: GcpResult): GcpResult => {
    if (!result.ok && result.status.code === 'RESOURCE_EXHAUSTED') count(RATE_LIMITED);
    return result;
  };

  const effect =
    (number: number): GcpEffect =>
    async (method, request, sentAt, actAs) => {
      const caller = { email: actAs ?? `operator@${id}.example` };
      const outage = options.outages.refusal(method, request);
      if (outage) return outage;
      if (!METHODS.get(method)?.write) {
        return options.outages.told(method, request, limited(await gcp.invoke(method, request, { caller })));
      }
      const isLate = clock.monotonic() - sentAt > LATE_MS || replicas[number]?.isLeader() !== true;
      const check = checkWrite(knowledge(isLate), method, request);
      const result = limited(await gcp.invoke(method, request, { caller }));
      const write = {
        at: clock.monotonic(),
        cluster: id,
        method,
        resource: resourceOf(request),
        code: result.ok ? 'OK' : result.status.code,
        request,
      };
      options.onWrite(write);
      for (const text of [...check.after(result), ...(isLate ? [] : wrongIdentity(method, request, actAs))])
        breakRule(text);
      return result;
    };

  const replicas: Replica[] = [];
  for (let number = 0; number < (script.replicas[index] ?? 0); number++) {
    replicas.push(
      createReplica({
        id: `${id}-${number}`,
        cluster: index,
        clock,
        random: createRandom(chance.int(0, 2 ** 31)),
        faults: options.faults,
        latencyMs: script.latencyMs,
        settings,
        limits: script.limits,
        kube,
        gcp: effect(number),
        log(level, message, fields) {
          keepsSecrets('a log', [message, fields]);
          if (level === 'error') breakRule(`${message}: ${JSON.stringify(fields)}`);
        },
        onMetrics: text => keepsSecrets('a metric', text),
        note,
        apiDown: () => clock.monotonic() < downUntil,
        lagMs: () => (clock.monotonic() < lagging.until ? lagging.ms : script.watchLagMs),
        repeats: () => clock.monotonic() < repeatUntil,
        count,
        rival: options.rival,
      }),
    );
  }
  await look();
  return {
    id,
    core,
    settings,
    replicas,
    tenants: () => [...stored.values()],
    connector: (namespace, name) => connectors.get(`${namespace}/${name}`) ?? 'absent',
    look,
    async crdDeleted() {
      const crd = await core.api.get(CUSTOM_RESOURCE_DEFINITIONS, undefined, options.crd.metadata.name);
      return crd.ok ? crd.value.metadata.deletionTimestamp : undefined;
    },
    down(forMs) {
      downUntil = clock.monotonic() + forMs;
      core.dropWatches();
    },
    refuse(code, forMs) {
      refusing = { code, until: clock.monotonic() + forMs };
    },
    lag(ms, forMs) {
      lagging = { until: clock.monotonic() + forMs, ms };
    },
    stale(versions, forMs) {
      behind = { until: clock.monotonic() + forMs, versions };
    },
    repeat(forMs) {
      repeatUntil = clock.monotonic() + forMs;
    },
    heal() {
      downUntil = 0;
      repeatUntil = 0;
      refusing = { code: 0, until: 0 };
      behind = { until: 0, versions: 0 };
      lagging = { until: 0, ms: 0 };
      for (const replica of replicas) {
        replica.cut(0);
        replica.skew(0);
      }
    },
  };
}

/** A status patch in a few words. */
function summary(patch: JsonObject): string {
  const status = (patch.status ?? {}) as {
    conditions?: { type: string; reason: string; message: string }[];
    inventory?: JsonObject[] | null;
  };
  const ready = status.conditions?.find(({ type }) => type === 'Ready');
  const inventory = status.inventory?.map(({ type, name, retireAt, deletedAt }) =>
    [type, String(name).split('/').slice(-3).join('/'), retireAt && 'retiring', deletedAt && 'deleted']
      .filter(Boolean)
      .join(' '),
  );
  return [
    ready && `${ready.reason}: ${ready.message.slice(0, 160)}`,
    status.inventory !== undefined && `inventory [${inventory?.join(', ') ?? ''}]`,
    `(${Object.keys(status).join(', ')})`,
  ]
    .filter(Boolean)
    .join('; ');
}

async function must(result: ReturnType<KubeApi['create']>): Promise<void> {
  const answer = await result;
  if (!answer.ok) throw new Error(answer.status.message);
}
