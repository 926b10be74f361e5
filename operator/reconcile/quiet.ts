import type { KubeObject } from '../../ports/kube.ts';
import { readNeeds } from '../gcp/needs.ts';
import { observe } from '../gcp/observe.ts';
import type { Verdict } from '../kube/queue.ts';
import { sameJson } from '../kube/writes.ts';
import { PROPAGATION_MS } from '../tenant/context.ts';
import { age } from '../tenant/inventory.ts';
import { part } from '../tenant/names.ts';
import type { TenantPlan } from '../tenant/plan.ts';
import { targets } from '../tenant/targets.ts';
import type { Desired, Observed, Tenant } from '../tenant/types.ts';
import { agesOf } from './pacing.ts';
import type { Run } from './reconcilerOptions.ts';
import { budgetOf, type Parts, type Quiet, type Reread, wakeOf } from './reconciliation.ts';

/**
 * The periodic check of a tenant that was up to date at its last check. Plan and report are pure: the same AiTenant, the same
 * Namespace and the same answers of Google Cloud give the same plan and the same status. So if nothing of these has changed, the
 * answers are only compared, and nothing is computed again. If anything has changed, the reconcile goes on with the answers that
 * were read.
 *
 * What a tenant's last check rested on is kept with the object in the cache. It goes when the object goes or is replaced, and when a
 * reconcile of the object begins.
 */

/** After this time a plan is made again although nothing has changed, so that a defect here cannot hide a drift for ever. */
const LONGEST_MS = 3_600_000;

/** What a plan is made of. */
interface Inputs {
  tenant: Tenant;
  desired: Desired;
  observed: Observed;
  namespace: KubeObject;
}

/** What a check rests on; undefined if something else may change its result. */
export function quietOf(
  { tenant, desired, observed, namespace }: Inputs,
  { steps, blockers, waiting, adopted, recheckAfterMs }: TenantPlan,
  now: number,
): Quiet | undefined {
  const { conditions, inventory } = tenant.status;
  const isOver =
    [steps, blockers, waiting, adopted].every(({ length }) => length === 0) && recheckAfterMs === undefined;
  // A plan depends on the time only by the ages of entries, and by the end of a region's grace period.
  const isTimeless = inventory.every(
    entry => age(entry, now) >= PROPAGATION_MS && !('retireAt' in entry) && !('deletedAt' in entry),
  );
  // The other kind of reference is resolved by a Config Connector object, which may change at any time.
  const isSelfContained = tenant.spec.keys.every(({ secretRef }) => secretRef.external !== undefined);
  if (!isOver || !isTimeless || !isSelfContained) return undefined;
  return { namespace, targets: targets(desired, inventory), actAs: desired.actAs, read: observed, conditions, at: now };
}

/**
 * Checks a tenant whose last check is known and still counts. Answers with the verdict if nothing has changed, with the new answers
 * if something has, and with undefined if the reconcile must begin from the start.
 */
export async function checkQuiet(
  parts: Parts,
  key: string,
  object: KubeObject,
  run: Run,
): Promise<Verdict | Reread | undefined> {
  const { quiet, pacing, log, shared, settings, outages } = parts;
  const known = quiet.get(object);
  if (!known || !stillCounts(parts, object, known, run)) return undefined;
  const { namespace = '', name, uid = '', annotations = {} } = object.metadata;
  const about = { namespace, name, uid, annotations };
  const { targets: asked, actAs } = known;
  const project = part(asked.account ?? '', 'projects');
  const budget = budgetOf(parts, key, { project, namespace }, run);
  let handedOver = false;
  try {
    const later = budget.reserve(readNeeds(asked), 'resync');
    if (later) return later;
    const reads = shared.at(agesOf('periodic', about, settings), wakeOf(parts, key));
    const read = await observe(reads, asked, { actAs, tenant: key });
    if (!sameJson(read, known.read)) {
      handedOver = true;
      return { read, budget };
    }
    known.read = read;
    outages.answered(project);
    outages.over(key);
    log('debug', 'nothing has changed', { tenant: key });
    parts.onReport?.(about, known);
    return pacing.atSlot(about);
  } finally {
    if (!handedOver) budget.release();
  }
}

function stillCounts(
  { namespaces, pacing, runtime }: Parts,
  { metadata: { namespace = '', annotations = {} } }: KubeObject,
  { namespace: before, at }: Quiet,
  run: Run,
): boolean {
  const since = runtime.now() - at;
  return (
    namespaces.get(namespace) === before && pacing.isRegular({ annotations }, run) && since >= 0 && since < LONGEST_MS
  );
}
