import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { KubeObject } from '../../ports/kube.ts';
import { createGcpCore, type GcpCore } from '../../sandbox/gcp/core.ts';
import type { Limits } from '../../sandbox/gcp/quotas.ts';
import { type Script as ImageScript, scriptedContainers } from '../../sandbox/gcp/run/scriptedContainers.ts';
import { act, rivalOf, type Stage } from './actors.ts';
import { type Clock, createClock, createRandom } from './clock.ts';
import { cloudFacts, describedOwner, type Facts, labelledOwner, type OwnerMark, PROJECTS } from './cloudFacts.ts';
import { type Cluster, createCluster, type Write } from './cluster.ts';
import { type CallInfo, createFaults } from './faults.ts';
import { createLateness, type Watched } from './lateness.ts';
import { judgeTenant } from './oracle.ts';
import { createOutages, isOutage } from './outages.ts';
import { type Fault, type Script, type Step, shown } from './script.ts';
import { createTally } from './tally.ts';
import { newerCrd } from './versions.ts';

/** Everything that a run consists of: clusters with their operators, one Google Cloud, and what was seen to go wrong. */
export interface World {
  clock: Clock;
  clusters: Cluster[];
  gcp: GcpCore;
  facts: Facts;
  /** What was broken so far. */
  broken: string[];
  /** What everybody did and what the operators wrote, in order. */
  timeline: Line[];
  /** Tenants, by name, whose marks somebody took away or left behind on purpose. */
  excused: Set<string>;
  /** Tenants (`CLUSTER/NAMESPACE/NAME`) that were brought back without their status. */
  lost: Set<string>;
  writes: Write[];
  /** Every call of the operators that a crash may befall. */
  calls: Call[];
  /** How often each actor did something and each fault struck. */
  struck: Record<string, number>;
  /** The project that a namespace's tenants belong in. */
  projectOf(cluster: string, namespace: string): string;
  /** Sets the steps and faults of the script on their times. */
  begin(): void;
  /** Ends every fault that is going on. */
  heal(): void;
  /** Somebody does something now. */
  perform(step: Step): Promise<void>;
  count(what: string): void;
  /** Something goes wrong right now: lateness is counted from here on. */
  disturb(): void;
  /** From now on nothing is late: the operators are stopped. */
  over(): void;
}

export interface Line {
  at: number;
  text: string;
}

export type Call = CallInfo & { at: number };

/** What a write was computed from is no older: before a write nothing is taken from a list that others made, milliseconds. */
const NEWS_MS = 40_000;
const LONGEST_TIMELINE = 5_000;

/** What these come to is counted where it happens. */
const OF_WATCHES = ['stale', 'repeat', 'lag', 'silence'];

const CRD = newerCrd(parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')) as KubeObject);
const IMAGES = new Map<string, ImageScript>([
  ['registry.example/broken:1', 'never'],
  ['registry.example/missing:1', 'missing'],
  ['registry.example/slow:1', { listensAfterMs: 8_000 }],
]);

/** The quotas that hold all run long, as the local Google Cloud takes them. */
function limitsOf({ limits = {} }: Script): Limits {
  const found: Limits = {};
  for (const [budget, calls] of Object.entries(limits)) {
    const [api, kind] = budget.split('.') as ['run' | 'secretmanager' | 'iam', 'read' | 'write'];
    found[api] = { ...found[api], [kind]: calls };
  }
  return found;
}

export async function createWorld(script: Script): Promise<World> {
  const chance = createRandom(script.seed);
  const clock = createClock(createRandom(chance.int(0, 2 ** 31)));
  const gcp = createGcpCore({
    runtime: clock,
    projects: PROJECTS,
    settings: {
      // The operator is right whether a service is there at once, as the real one is, or not.
      serviceVisibleMs: script.cloud.createVisibleMs,
      ...script.cloud,
      startupTimeoutMs: 10_000,
      idleMs: 60_000,
      defaultMaxInstances: script.cloud.defaultMaxInstances ?? 100,
    },
    limits: limitsOf(script),
    logSize: 1,
    containers: scriptedContainers(clock, IMAGES),
  });
  const facts = cloudFacts(gcp);
  const calls: Call[] = [];
  const { struck, count } = createTally();
  const faults = createFaults(
    call => calls.push({ at: clock.monotonic(), ...call }),
    fault => {
      lateness.fault(fault);
      count(`${fault.fault}${'took' in fault && fault.took ? ', took effect' : ''}`);
    },
  );
  const timeline: Line[] = [];
  const broken: string[] = [];
  const writes: Write[] = [];
  const excused = new Set<string>();
  const lost = new Set<string>();
  const touched = new Map<string, number>();
  const note = (text: string) => {
    if (timeline.length < LONGEST_TIMELINE) timeline.push({ at: clock.monotonic(), text });
  };
  const breakRule = (text: string) => {
    broken.push(text);
    note(`BROKEN: ${text}`);
  };

  const outages = createOutages(clock, count);
  const clusters: Cluster[] = [];
  for (const index of script.replicas.keys()) {
    const cluster = await createCluster({
      id: `cluster-${index + 1}`,
      index,
      script,
      clock,
      chance,
      gcp,
      facts,
      faults,
      crd: CRD,
      note,
      breakRule,
      touched: resource => clock.monotonic() - (touched.get(resource) ?? Number.NEGATIVE_INFINITY) < NEWS_MS,
      outages,
      excused: tenant => excused.has(tenant),
      lost: tenant => lost.has(tenant),
      count,
      async rival(call) {
        const action = rivalOf(call);
        if (action) await perform({ at: clock.monotonic(), ...action });
      },
      onWrite(write) {
        writes.push(write);
        lateness.check();
        note(`${write.cluster} ${write.method.split('.').slice(-2).join('.')} ${write.resource} → ${write.code}`);
      },
    });
    clusters.push(cluster);
  }

  const projects = new Map<string, string>();
  const projectOf = (cluster: string, namespace: string) => projects.get(`${cluster}/${namespace}`) ?? 'demo-project';

  /** Its status is lost and its Namespace names another project: nothing in the cluster says where it lived. */
  function excuseStranded(tenant: string): void {
    const [cluster = '', namespace = '', name = ''] = tenant.split('/');
    if (projects.has(`${cluster}/${namespace}`)) excused.add(name);
  }

  const TAMPERS: string[] = ['unmark', 'delete', 'deleteAccount', 'disableAccount', 'unmarkAccount'];
  /** Whose account or service somebody has deleted, disabled or unmarked. */
  const tampered = new Set<string>();

  /**
   * Its status is lost, and its marks are not whole or its account is contained: nothing asks any more for the search of every region
   * (`lostStatus.ts`), and what carries only some marks is nobody's.
   */
  function excuseTampered(tenant: string): void {
    const [, , name = ''] = tenant.split('/');
    if (tampered.has(name)) excused.add(name);
  }

  /**
   * Its status is lost while Google Cloud does not yet answer everywhere that its account or service exists: the entry that
   * said until when "not found" may be wrong was the only record of that.
   */
  function excuseUnsettled(tenant: string): void {
    const [cluster = '', namespace = '', name = ''] = tenant.split('/');
    const isIts = (owner: OwnerMark | undefined) =>
      owner?.cluster === cluster && owner.namespace === namespace && owner.name === name;
    const made = [
      ...facts
        .accounts()
        .flatMap(one => (isIts(describedOwner(one.description)) ? clock.monotonic() - one.createdAt : [])),
      ...facts
        .services()
        .flatMap(one => (isIts(labelledOwner(one.desired.labels)) ? clock.now() - Date.parse(one.createTime) : [])),
    ];
    if (made.some(age => age < script.cloud.createVisibleMs)) excused.add(name);
  }

  function watched(): Watched[] {
    return clusters.flatMap(cluster =>
      cluster.tenants().flatMap(tenant => {
        const { name, namespace = '', generation = 0 } = tenant.metadata;
        // Whose marks were taken away or left behind on purpose, and what goes with its CRD.
        if (excused.has(name)) return [];
        const key = `${cluster.id}/${namespace}/${name}`;
        const project = projectOf(cluster.id, namespace);
        const connector = (secret: string) => cluster.connector(namespace, secret);
        const where = { clusterId: cluster.id, project, excused: false, lost: lost.has(key), connector };
        return [{ tenant: key, generation, problems: judgeTenant(facts, where, tenant).problems }];
      }),
    );
  }
  const lateness = createLateness({ clock, script, watched, onLate: breakRule });

  const stage: Stage = {
    gcp,
    facts,
    kube: clusters.map(({ core }) => core.api),
    crd: CRD,
    touch: resource => void touched.set(resource, clock.monotonic()),
    excuse: tenant => void excused.add(tenant),
    lose(tenant) {
      lost.add(tenant);
      excuseStranded(tenant);
      excuseUnsettled(tenant);
      excuseTampered(tenant);
    },
  };

  async function perform(step: Step): Promise<void> {
    // Others have quotas of their own.
    const { limits } = gcp.quotas;
    if (script.limits) gcp.quotas.limits = {};
    const said = await act(stage, step);
    if (script.limits) gcp.quotas.limits = limits;
    if (step.who === 'admin' && step.do === 'project' && said === 'done') {
      projects.set(`cluster-${step.cluster + 1}/${step.namespace}`, step.project ?? 'demo-project');
      for (const tenant of lost) excuseStranded(tenant);
    }
    if (step.who === 'console' && TAMPERS.includes(step.do)) {
      tampered.add(step.tenant);
      for (const tenant of lost) excuseTampered(tenant);
    }
    if (said === 'done') count(`${step.who} ${step.do}`);
    note(`${shown(step).slice(10)} → ${said}`);
    for (const cluster of clusters) await cluster.look();
    lateness.step(step);
  }

  function inflict(fault: Fault): void {
    note(`FAULT ${shown(fault).slice(10)}`);
    if ('port' in fault) {
      faults.arm(fault);
      return;
    }
    lateness.fault(fault);
    if (fault.fault === 'quota') {
      gcp.quotas.limits = { ...gcp.quotas.limits, [fault.api]: { [fault.kind]: fault.calls } };
      clock.after(fault.forMs, () => {
        gcp.quotas.limits = limitsOf(script);
      });
      return;
    }
    if (fault.fault === 'deny') {
      const allow = gcp.faults.deny({ permission: fault.permission });
      clock.after(fault.forMs, allow);
      return;
    }
    if (isOutage(fault)) {
      count(fault.fault);
      outages.begin(fault);
      return;
    }
    const cluster = clusters[fault.cluster];
    if (!cluster) return;
    if (!OF_WATCHES.includes(fault.fault)) count(fault.fault);
    const replica = 'replica' in fault ? cluster.replicas[fault.replica] : undefined;
    if (fault.fault === 'kill') replica?.crash('killed', fault.forMs);
    else if (fault.fault === 'cut') replica?.cut(fault.forMs);
    else if (fault.fault === 'skew') replica?.skew(fault.ms);
    else if (fault.fault === 'apiDown') cluster.down(fault.forMs);
    else if (fault.fault === 'readOnly') cluster.refuse(fault.code, fault.forMs);
    else if (fault.fault === 'lag') cluster.lag(fault.lagMs, fault.forMs);
    else if (fault.fault === 'stale') cluster.stale(fault.versions, fault.forMs);
    else if (fault.fault === 'repeat') cluster.repeat(fault.forMs);
    else if (fault.fault === 'compact') cluster.core.compact();
    else if (fault.fault === 'dropWatches') cluster.core.dropWatches();
    else clock.after(fault.forMs, cluster.core.pauseWatches());
  }

  return {
    clock,
    clusters,
    gcp,
    facts,
    broken,
    timeline,
    excused,
    lost,
    writes,
    calls,
    struck,
    perform,
    count,
    projectOf,
    disturb: () => lateness.disturbed(clock.monotonic()),
    over: lateness.stop,
    begin() {
      for (const step of script.steps) clock.after(step.at, () => void perform(step));
      for (const fault of script.faults) clock.after(fault.at, () => inflict(fault));
    },
    heal() {
      lateness.disturbed(clock.monotonic());
      faults.clear();
      outages.heal();
      gcp.faults.clear();
      gcp.quotas.limits = limitsOf(script);
      for (const cluster of clusters) cluster.heal();
    },
  };
}
