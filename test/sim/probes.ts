import { PUBLISHED } from '../../operator/gcp/quota.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import type { Limits } from '../../sandbox/gcp/quotas.ts';
import { secretName } from './actors.ts';
import { serviceNameOf } from './cloudFacts.ts';
import type { Cluster } from './cluster.ts';
import { roundMs } from './lateness.ts';
import type { Action, Script } from './script.ts';
import { RATE_LIMITED } from './tally.ts';
import type { World } from './world.ts';

/**
 * How late the operator may be. Once a run has come to rest, one more thing happens, and what the operator writes because
 * of it has to come within the bounds of docs/reliability.md: of an edit 5 s, of everything else one interval. Four more
 * probes show that it is not too eager: somebody who undoes whatever the operator does, requests without end, and nothing at all, for
 * a tenant that is up to date and for all the others.
 */

const INTERVAL_MS = 180_000;
const EDIT_MS = 5_000;
/** A reconcile makes no more calls than this one after the other. */
const CALLS_IN_A_ROW = 12;
/**
 * For so long somebody undoes each write; the operator’s writes until then, 250 ms apart and then twice as long each time. A resync that
 * finds the service in a rollout begins a second row.
 */
const FIGHT = { forMs: 120_000, writes: 40 };
const CHECKS = 3;
/** In every so many runs; calls of Google Cloud a tenant in an interval in which nothing happens. */
const CALM = { every: 5, calls: 40 };
const BURST = { forMs: 60_000, everyMs: 100 };
/** Slower networks than this hide how eager the operator is. */
const QUICK_MS = 200;
const RUN = 'google.cloud.run.v2.Services';

const LIMITS: Limits = {
  secretmanager: { read: PUBLISHED['secretmanager.read'], write: PUBLISHED['secretmanager.write'] },
  iam: { read: PUBLISHED['iam.read'], write: PUBLISHED['iam.write'] },
  run: { read: PUBLISHED['run.read'], write: PUBLISHED['run.write'] },
};

interface Key {
  name: string;
  secretRef: { external?: string };
  env?: string;
  version?: string | number;
  rollout?: string;
}

/** A tenant that is up to date, and what it has. */
interface Subject {
  cluster: Cluster;
  tenant: KubeObject;
  namespace: string;
  name: string;
  spec: {
    region: string;
    access?: string;
    keys: Key[];
    scaling?: { minInstances?: number; maxInstances?: number };
  };
  service: string;
}

/** Undefined: this subject is not one for it. */
type Probe = (world: World, script: Script, subject: Subject) => Promise<string[]> | undefined;

/** One probe of this run's, chosen by its seed. */
export async function probe(world: World, script: Script): Promise<string[]> {
  if (script.seed % CALM.every === 0) return calm(world);
  const subjects = world.clusters.flatMap(cluster => subjectsOf(world, cluster));
  const chosen = Object.entries(PROBES);
  for (let turn = 0; turn < chosen.length; turn++) {
    const [what, run] = chosen[(script.seed + turn) % chosen.length] ?? [];
    for (const subject of subjects) {
      const found = run?.(world, script, subject);
      if (!found) continue;
      world.count(`probe ${what}`);
      return (await found).map(text => `${what} of ${subject.namespace}/${subject.name}: ${text}`);
    }
  }
  return [];
}

function subjectsOf(world: World, cluster: Cluster): Subject[] {
  return cluster.tenants().flatMap(tenant => {
    const { name, namespace = '', deletionTimestamp, annotations = {} } = tenant.metadata;
    const spec = tenant.spec as unknown as Subject['spec'] & { suspend?: boolean };
    const { conditions = [], projectId } = (tenant.status ?? {}) as {
      conditions?: { type: string; reason: string }[];
      projectId?: string;
    };
    const ready = conditions.find(({ type }) => type === 'Ready');
    // A namesake in another cluster may have a service of the same name in its own project.
    const own = `projects/demo-project/locations/${spec.region}/services/ai-platform-${name}`;
    const service = world.facts.services().find(other => serviceNameOf(other) === own && !other.deleteTime);
    const isPlain = !deletionTimestamp && !spec.suspend && Object.keys(annotations).length === 0;
    if (!isPlain || !service || ready?.reason !== 'UpToDate' || projectId !== 'demo-project') return [];
    if (world.excused.has(name)) return [];
    return [{ cluster, tenant, namespace, name, spec, service: serviceNameOf(service) }];
  });
}

/** What one probe does, and by when which resource has to be written to. */
async function within(
  world: World,
  script: Script,
  { cluster }: Subject,
  resource: string,
  boundMs: number,
  act: () => Promise<unknown>,
): Promise<string[]> {
  const start = world.clock.monotonic();
  // Twice: a watch that was silent for long is given up, and what was under way in it is delivered by the next one.
  const tenants = cluster.tenants().length;
  const most = boundMs + 2 * script.watchLagMs + CALLS_IN_A_ROW * script.latencyMs + roundMs(script, tenants);
  const before = world.writes.length;
  await act();
  await world.clock.advance(most);
  const answer = world.writes
    .slice(before)
    .find(write => write.resource === resource && write.cluster === cluster.id && write.code === 'OK');
  if (answer) return [];
  return [`${resource} was not written to within ${Math.round(most / 1000)} s of ${Math.round(start / 1000)} s`];
}

const ownKey = ({ spec }: Subject, isFit: (key: Key) => boolean): string | undefined =>
  spec.keys.find(key => /^key-\d$/.test(key.secretRef.external ?? '') && isFit(key))?.secretRef.external;

const rescaled = ({ name, spec }: Subject): Action => {
  return { who: 'console', do: 'scaling', tenant: name, region: spec.region };
};

/** Another minimum is in force after it; a higher maximum may not be, where the template holds a lower one. */
const isDrift = ({ spec }: Subject): boolean => (spec.scaling?.minInstances ?? 0) < 2;

const PROBES: Record<string, Probe> = {
  edit: (world, script, subject) =>
    within(world, script, subject, subject.service, EDIT_MS, () =>
      patch(subject.cluster, subject.namespace, subject.name, { spec: { timeoutSeconds: 177 } }),
    ),

  drift(world, script, subject) {
    if (!isDrift(subject)) return undefined;
    return within(world, script, subject, subject.service, INTERVAL_MS, () => perform(world, rescaled(subject)));
  },

  version(world, script, subject) {
    const isPinned = ({ env, version = 'latest', rollout = 'OnNewVersion' }: Key) =>
      env !== undefined && version === 'latest' && rollout === 'OnNewVersion';
    const secret = ownKey(subject, isPinned);
    if (!secret) return undefined;
    return within(world, script, subject, subject.service, INTERVAL_MS, () =>
      perform(world, { who: 'rotation', do: 'add', secret, back: 0 }),
    );
  },

  consent(world, script, subject) {
    const secret = ownKey(subject, () => true);
    if (!secret) return undefined;
    return within(world, script, subject, secretName(secret), INTERVAL_MS, () =>
      perform(world, { who: 'secrets', do: 'consent', secret, namespace: null }),
    );
  },

  opened(world, script, subject) {
    const { spec, service } = subject;
    if (spec.access !== 'Authenticated') return undefined;
    return within(world, script, subject, service, INTERVAL_MS, () =>
      world.gcp.call(`${RUN}.UpdateService`, {
        service: { name: service, invokerIamDisabled: true },
        updateMask: 'invokerIamDisabled',
      }),
    );
  },

  fight(world, script, subject) {
    if (script.latencyMs > QUICK_MS || !isDrift(subject)) return undefined;
    return fight(world, rescaled(subject), subject.service);
  },

  thrift: (world, _script, subject) => thrift(world, subject),

  burst(world, script, { cluster }) {
    // Two operators in one project share its quota without knowing of each other.
    if (script.latencyMs > QUICK_MS || world.clusters.length > 1 || script.limits) return undefined;
    return burst(world, cluster);
  },
};

/** Somebody undoes whatever the operator does: it slows down, and does not write four times a second. */
async function fight(world: World, action: Action, service: string): Promise<string[]> {
  const start = world.clock.monotonic();
  const before = world.writes.length;
  const count = () => world.writes.slice(before).filter(write => write.resource === service).length;
  await perform(world, action);
  for (let undone = 0; world.clock.monotonic() - start < INTERVAL_MS + FIGHT.forMs; ) {
    await world.clock.advance(50);
    if (count() === undone) continue;
    undone = count();
    // A status that says so for as long as it goes on is right.
    world.disturb();
    await perform(world, action);
  }
  return count() > FIGHT.writes ? [`${count()} writes, each undone at once, and more than ${FIGHT.writes}`] : [];
}

/** Where nothing happens, lists that are shared tell what a tenant's regular checks have to know of its service. */
async function thrift(world: World, { cluster, service }: Subject): Promise<string[]> {
  const before = world.calls.length;
  await world.clock.advance(CHECKS * INTERVAL_MS);
  // A namesake in another cluster that waits to be deleted reads it too.
  const own = world.clusters.indexOf(cluster);
  const alone = world.calls
    .slice(before)
    .filter(call => call.method === 'GetService' && call.target === service && call.cluster === own);
  return alone.length > 1 ? [`it was read alone ${alone.length} times in ${CHECKS} intervals`] : [];
}

/** Checks of one cluster’s tenants are asked for without end: no call is refused for want of the published quotas. */
async function burst(world: World, cluster: Cluster): Promise<string[]> {
  const refused = () => world.struck[RATE_LIMITED] ?? 0;
  const before = refused();
  world.gcp.quotas.limits = LIMITS;
  for (let at = 0; at < BURST.forMs; at += BURST.everyMs) {
    const annotations = { 'ai-platform.dev/reconcile-requested-at': String(at) };
    for (const { metadata } of cluster.tenants()) {
      await patch(cluster, metadata.namespace ?? '', metadata.name, { metadata: { annotations } });
    }
    await world.clock.advance(BURST.everyMs);
  }
  world.gcp.quotas.limits = {};
  await world.clock.advance(60_000);
  return refused() > before ? [`${refused() - before} calls were refused for want of quota`] : [];
}

/** Where nothing happens, nothing is asked again and again, whatever a tenant waits for. */
async function calm(world: World): Promise<string[]> {
  world.count('probe calm');
  const tenants = world.clusters.reduce((sum, cluster) => sum + cluster.tenants().length, 0);
  // A wait that has just begun may still be looked at often.
  await world.clock.advance((CHECKS - 1) * INTERVAL_MS);
  const before = world.calls.length;
  await world.clock.advance(INTERVAL_MS);
  const calls = world.calls.slice(before).filter(({ port }) => port === 'gcp').length;
  // The operator still knows those whose CRD was deleted before it had seen their end.
  const most = CALM.calls * (tenants + 3);
  return calls > most
    ? [`${calls} calls of Google Cloud in an interval of calm, more than ${most} for ${tenants} tenants`]
    : [];
}

const perform = (world: World, action: Action): Promise<void> =>
  world.perform({ at: world.clock.monotonic(), ...action });

async function patch(cluster: Cluster, namespace: string, name: string, body: JsonObject): Promise<void> {
  await cluster.core.api.patch(AI_TENANTS, namespace, name, body);
  await cluster.look();
}
