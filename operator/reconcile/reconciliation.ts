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

/** The reconciler's parts, and all that it remembers from one reconcile to the next. */
export interface Parts extends ReconcilerOptions {
  /** One GET each, never a list or a cached answer. */
  reads: Reads;
  shared: SharedReads;
  /** Adds to each service for how long it has been unready. */
  withAges: ReturnType<typeof createServiceAges>;
  ownWrites: OwnWrites;
  pacing: Pacing;
  refusals: RefusalMemory;
  outages: OutageMemory;
  /**
   * Keys of tenants with a grant whose consent could not be read again after the grant, or was found withdrawn. Their next
   * reconcile reads everything anew, until the secrets could be read.
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

/** Drops everything that is remembered of a tenant whose object is gone. */
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
  /** Writes to the object, and knows its newest state. */
  writer: TenantWriter;
  budget: RunBudget;
  /**
   * What should exist, as far as the cached Namespace says; undefined: the cache has no Namespace that allows it. It is good
   * enough for an estimate of the budget. Before anything is created the Namespace is read live (`namespaceOf`).
   */
  expected?: Desired;
}

export function startReconciliation(parts: Parts, key: string, object: KubeObject, run: Run): Reconciliation {
  const tenant = readTenant(object);
  const cached = desiredOf(parts, tenant, parts.namespaces.get(tenant.namespace));
  const expected = cached.ok ? cached.desired : undefined;
  const project = inventoryProject(tenant.status.inventory) ?? expected?.project ?? '';
  const home = { project, namespace: tenant.namespace };
  const budget = createRunBudget(parts.quota, home, run.granted, (level, message, fields) =>
    parts.log(level, message, { tenant: key, ...fields }),
  );
  return { key, tenant, run, writer: parts.ownWrites.writer(key, object), budget, expected };
}

/** What a reconcile is about to do, before it does anything. */
export interface Intent {
  plan: Plan;
  /** The service account to act as; undefined: the operator's own identity. */
  actAs: string | undefined;
  /** The status and the next reconcile: before the first call (no outcomes), or after the calls. */
  report(outcomes?: Outcome[], recorded?: TenantStatus): Report;
  /** Whether the tenant is done with for good, so that the finalizer is removed. */
  ending?(outcomes: Outcome[], inventory: TenantStatus['inventory']): Ending | undefined;
  /** Whether the consent for a grant that was just made still stands. */
  recheck?: (grant: Step) => Promise<Recheck>;
  /** Milliseconds between two lists of services for tenants that wait for one. */
  paceMs?: number;
}

/** `deleted`: nothing of the tenant is left in Google Cloud. `abandoned`: everything stays there. */
export type Ending = 'deleted' | 'abandoned';
