import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { createOperator, type OperatorOptions } from '../../../operator/operator.ts';
import type { Settings } from '../../../operator/tenant/types.ts';
import type { KubeObject } from '../../../ports/kube.ts';
import { AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from '../../../ports/kubeResources.ts';
import { createGcpCore } from '../../../sandbox/gcp/core.ts';
import { scriptedContainers } from '../../../sandbox/gcp/run/scriptedContainers.ts';
import { createKubeCore } from '../../../sandbox/kube/index.ts';
import { act } from '../../sim/actors.ts';
import { createClock, createRandom, type Random } from '../../sim/clock.ts';
import { cloudFacts, PROJECTS } from '../../sim/cloudFacts.ts';
import type { Action } from '../../sim/script.ts';

/** The operator between an in-memory Google Cloud and an in-memory Kubernetes, in virtual time. */

const CRD = parse(readFileSync(new URL('../../../crds/aitenants.yaml', import.meta.url), 'utf8')) as KubeObject;
export const TENANT = { cluster: 0, namespace: 'default', name: 'alpha' };
export const settings: Settings = {
  project: 'demo-project',
  projects: [],
  defaultImage: 'gcr.io/cloudrun/hello',
  claimPolicy: 'labelled',
  clusterId: 'cluster-1',
  regionMoveGraceMs: 24 * 3_600_000,
  syncIntervalMs: 120_000,
};

export async function createScene(random: Random) {
  const clock = createClock(createRandom(random.int(0, 2 ** 31)));
  const gcp = createGcpCore({
    runtime: clock,
    projects: PROJECTS,
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 2_000, idleMs: 60_000 },
    limits: {},
    logSize: 1,
    containers: scriptedContainers(clock, new Map()),
  });
  const core = createKubeCore({ runtime: clock });
  await core.api.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, CRD);
  for (const name of ['team-a', 'kube-system']) {
    await core.api.create(NAMESPACES, undefined, { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  const stage = {
    gcp,
    facts: cloudFacts(gcp),
    kube: [core.api],
    crd: CRD,
    touch: () => {},
    excuse: () => {},
    lose: () => {},
  };
  return {
    clock,
    gcp,
    kube: core.api,
    act: (action: Action) => act(stage, action),
    tenant: async () => {
      const got = await core.api.get(AI_TENANTS, TENANT.namespace, TENANT.name);
      return got.ok ? got.value : undefined;
    },
    /** Runs an operator for a while, and answers what it has changed in Google Cloud. `given`: options that it gets instead of the scene's. */
    async operate(ms: number, given: Partial<OperatorOptions> = {}): Promise<Write[]> {
      const writes: Write[] = [];
      const operator = createOperator({
        kube: core.api,
        gcp: gcp.call,
        runtime: clock,
        settings,
        events: { record() {}, forget() {}, stop: async () => {}, counters: { written: 0, filtered: 0, dropped: 0 } },
        log: (_level, message, fields = {}) => {
          const write = { changes: '', ...fields } as unknown as Write;
          // Abandoning lets go of what can't be written: it was tried all the same.
          const isTried = message === 'a call failed' && write.verb === 'Abandon';
          if (fields.tenant === 'default/alpha' && (message === 'changed Google Cloud' || isTried)) writes.push(write);
        },
        workers: 2,
        mayAct: () => true,
        ...given,
      });
      await clock.advance(100);
      await operator.synced;
      operator.start();
      await clock.advance(ms);
      const stopped = operator.stop();
      await clock.advance(1_000);
      await stopped;
      return writes;
    },
  };
}

export interface Write {
  verb: string;
  target: string;
  changes: string;
}
export type Scene = Awaited<ReturnType<typeof createScene>>;
