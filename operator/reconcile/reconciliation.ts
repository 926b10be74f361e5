import type { KubeObject } from '../../ports/kube.ts';
import { createSharedReads, type SharedReads } from '../gcp/lists.ts';
import { createReads, type Reads } from '../gcp/reads.ts';
import { createServiceAges } from '../gcp/serviceAges.ts';
import { inventoryProject } from '../tenant/desired.ts';
import { readTenant } from '../tenant/resource.ts';
import type { Desired, Outcome, Plan, Report, Step, Tenant, TenantStatus } from '../tenant/types.ts';
import { createRunBudget, type RunBudget } from './budget.ts';
import type { Recheck } from './grants.ts';
import { createOutageMemory, type OutageMemory } from './outages.ts';
import { createOwnWrites, type OwnWrites, type TenantWriter } from './ownWrites.ts';
import { createPacing, type Pacing } from './pacing.ts';
import type { ReconcilerOptions, Run } from './reconcilerOptions.ts';
import { createRefusalMemory, type RefusalMemory } from './refusals.ts';
import { desiredOf } from './surroundings.ts';

/** The reconciler's components, and everything that it keeps in memory from one reconcile to the next. */
export interface Parts extends ReconcilerOptions {
  /** Each read is one GET. It never answers from a list or from a cache. */
  reads: Reads;
  shared: SharedReads;
  /** Sets `unreadyForMs` on each service that is not ready. */
  withAges: ReturnType<typeof createServiceAges>;
  ownWrites: OwnWrites;
  pacing: Pacing;
  refusals: RefusalMemory;
  outages: OutageMemory;
  /**
   * Keys of tenants whose secrets must be read again: right after a grant, the operator could not read whether the secret still
   * consents to it, or the consent had been withdrawn. Reconciles of these tenants use no cached answers until every secret of the
   * tenant's keys has been read.
   */
  uncertain: Set<string>;
}

export function createParts(options: ReconcilerOptions): Parts {
  const { gcp, kube, runtime, settings } = options;
  return {
    ...options,
    reads: createReads(gcp),
    shared: createSharedReads(gcp, runtime, settings.syncIntervalMs),
    withAges: createServiceAges(runtime),
    ownWrites: createOwnWrites(kube, options.tenants, options.log, () => runtime.monotonic()),
    pacing: createPacing(options),
    refusals: createRefusalMemory(() => runtime.now()),
    outages: createOutageMemory(runtime, settings.syncIntervalMs),
    uncertain: new Set(),
  };
}

/** Drops everything that is kept in memory about a tenant whose object no longer exists. */
export function forget(parts: Parts, key: string): void {
  parts.pacing.forget(key);
  parts.refusals.forget(key);
  parts.outages.over(key);
  parts.uncertain.delete(key);
  parts.events.forget(key);
  parts.onGone?.(key);
}

/** One reconcile of one tenant, from its start to its verdict. */
export interface Reconciliation {
  /** `NAMESPACE/NAME`. */
  key: string;
  /** The resource as it was when the reconcile started. */
  tenant: Tenant;
  run: Run;
  /** Writes to the object, and holds the object as its last write left it. */
  writer: TenantWriter;
  budget: RunBudget;
  /**
   * The desired state, computed with the Namespace from the cache. Undefined if the cache does not have the Namespace, or if the
   * spec is invalid together with it. It serves to estimate the budget. Before a tenant's first resource is created, the Namespace
   * is read from the API server instead (`namespaceOf`).
   */
  expected?: Desired;
}

export function startReconciliation(parts: Parts, key: string, object: KubeObject, run: Run): Reconciliation {
  const tenant = readTenant(object);
  const cached = desiredOf(parts, tenant, parts.namespaces.get(tenant.namespace));
  const expected = cached.ok ? cached.desired : undefined;
  const project = inventoryProject(tenant.status.inventory) ?? expected?.project ?? '';
  const lane = { project, namespace: tenant.namespace };
  const budget = createRunBudget(parts.quota, lane, run.granted, (level, message, fields) =>
    parts.log(level, message, { tenant: key, ...fields }),
  );
  return { key, tenant, run, writer: parts.ownWrites.writer(key, object, tenant.status), budget, expected };
}

/** What a reconcile is about to do, before it does anything. */
export interface Intent {
  plan: Plan;
  /** The service account that the operator impersonates; undefined: the operator's own identity. */
  actAs: string | undefined;
  /** The report before the first call: the status to record, and if the plan has no steps also the one to end with. */
  reportBefore(): Report;
  /** The report after the calls. `recorded`: the status that was written before them. */
  reportAfter(outcomes: Outcome[], recorded: TenantStatus): Report;
  /** Answers with how the deletion ended, so that the finalizer can be removed; undefined while the deletion is not finished. */
  ending?(outcomes: Outcome[], inventory: TenantStatus['inventory']): Ending | undefined;
  /** Reads the secret again right after a grant, to see whether it still consents. */
  recheck?: (grant: Step) => Promise<Recheck>;
  /** Milliseconds between two lists of services, while tenants wait for their services to become ready. */
  paceMs?: number;
}

/** `deleted`: nothing of the tenant is left in Google Cloud. `abandoned`: everything stays there. */
export type Ending = 'deleted' | 'abandoned';
