import type { KubeObject } from '../../ports/kube.ts';
import { createSharedReads, type SharedReads } from '../gcp/lists.ts';
import { createReads, type Reads } from '../gcp/reads.ts';
import { createServiceAges } from '../gcp/serviceAges.ts';
import { inventoryProject } from '../tenant/desired.ts';
import { readTenant } from '../tenant/resource.ts';
import type {
  Condition,
  Desired,
  Observed,
  Outcome,
  Plan,
  Report,
  Step,
  Targets,
  Tenant,
  TenantStatus,
} from '../tenant/types.ts';
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
  /** By the object in the cache: what the last check of an up-to-date tenant rested on. */
  quiet: WeakMap<KubeObject, Quiet>;
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
    quiet: new WeakMap(),
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
  /** The object as it was when the reconcile started, and what it says. */
  object: KubeObject;
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
  /** What the check of a quiet tenant has read already (`quiet.ts`). The first pass uses it, and its budget is claimed. */
  read?: Observed;
}

/** `before`: what the check of a quiet tenant has read and claimed. */
export function startReconciliation(
  parts: Parts,
  key: string,
  object: KubeObject,
  run: Run,
  before?: Reread,
): Reconciliation {
  // Only the end of the object's last reconcile may be remembered.
  parts.quiet.delete(object);
  const tenant = readTenant(object);
  const cached = desiredOf(parts, tenant, parts.namespaces.get(tenant.namespace));
  const expected = cached.ok ? cached.desired : undefined;
  const project = inventoryProject(tenant.status.inventory) ?? expected?.project ?? '';
  const budget = before?.budget ?? budgetOf(parts, key, { project, namespace: tenant.namespace }, run);
  const writer = parts.ownWrites.writer(key, object, tenant.status);
  return { key, object, tenant, run, writer, budget, expected, read: before?.read };
}

/** The budget of one reconcile of this tenant. */
export const budgetOf = (
  parts: Parts,
  key: string,
  lane: { project: string; namespace: string },
  run: Run,
): RunBudget =>
  createRunBudget(parts.quota, lane, run.granted, (level, message, fields) =>
    parts.log(level, message, { tenant: key, ...fields }),
  );

/** Made here, because the shared lists keep this closure for half an interval: it must hold only `wake` and the key. */
export const wakeOf =
  ({ wake }: Pick<Parts, 'wake'>, key: string) =>
  () =>
    wake(key);

/** What the last check of an up-to-date tenant rested on (`quiet.ts`). */
export interface Quiet {
  namespace: KubeObject;
  targets: Targets;
  actAs: string | undefined;
  read: Observed;
  /** The conditions of the status, for the metrics. */
  conditions: Condition[];
  /** When the plan was made, milliseconds since the epoch. */
  at: number;
}

/** What a check read, and the budget that it claimed, if something has changed since the last check. */
export interface Reread {
  read: Observed;
  budget: RunBudget;
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
  /** What this check rests on, if the next one may be compared with it. */
  quiet?: Quiet;
}

/** `deleted`: nothing of the tenant is left in Google Cloud. `abandoned`: everything stays there. */
export type Ending = 'deleted' | 'abandoned';
