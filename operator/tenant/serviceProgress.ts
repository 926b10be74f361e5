import type { JsonObject } from '../../ports/json.ts';
import { advised, type Context, type PartialPlan, PROPAGATION_MS, step } from './context.ts';
import { revisionAdvice } from './errorTable.ts';
import { SIDECARS } from './fields/sidecarSpec.ts';
import { age, entriesOfType } from './inventory.ts';
import { part, targetOf } from './names.ts';
import type { AccessPlan } from './secretAccess.ts';
import { isReady } from './serving.ts';
import { imageOf, retryCount, sidecarsOf, variableOf, withRetry } from './template.ts';
import type { Blocker, Desired, ObservedService, Step, TenantSpec } from './types.ts';

/**
 * Whether a service whose fields are as the spec wants also serves. Cloud Run accepts an update first and creates the revision after
 * that, which may take minutes or fail. A failed revision keeps its predecessor serving. The operator retries it with a new
 * revision, after 30 s at first and after 30 min at most.
 */

/** An update of these fields of the service. The etag makes it fail if somebody else has written since the read. */
export function updateStep(
  found: ObservedService,
  fields: JsonObject,
  verb: Step['verb'],
  id = `service:${found.name}`,
): Step {
  return step(id, 'Service', verb, targetOf(found.name), {
    kind: 'updateService',
    service: { name: found.name, etag: found.etag, ...fields },
    updateMask: Object.keys(fields),
  });
}

/** Adds what a service that is written as wanted is waiting for: its rollout, or the next retry of a failed revision. */
export function planProgress(ctx: Context, access: AccessPlan, found: ObservedService, out: PartialPlan): void {
  if (isReady(found)) return;
  const retries = retryCount(found.template);
  if (found.reconciling || found.terminal.state !== 'FAILED') {
    const isRetry = retries > 0 && found.latestReadyRevision !== found.latestCreatedRevision;
    const retryAfterMs = Math.min(10_000, Math.max(500, (found.unreadyForMs ?? 0) / 4));
    if (isRetry) {
      const message = `Trying again (${retries}): ${failureText(found)}`;
      out.blockers.push({ aspect: 'Service', reason: 'UpdateFailed', message, retryAfterMs });
    } else {
      const message = `Cloud Run is bringing up a revision of ${targetOf(found.name)}.`;
      out.waiting.push({ aspect: 'Service', message, retryAfterMs });
    }
    return;
  }
  const { blocker, isDue, delay } = failedRevision(ctx, found);
  const isHeld = isDue && access.freezesTemplate;
  // The template stays frozen until somebody edits the spec or a check finds that the reason is gone, so the retry need not be soon.
  out.blockers.push(isHeld ? { ...blocker, retryAfterMs: delay } : blocker);
  if (!isDue || isHeld) return;
  const retry = updateStep(found, { template: withRetry(found.template, retries + 1) }, 'Update');
  retry.needs = access.needs;
  retry.changes = [{ field: 'retry', from: undefined, to: String(retries + 1) }];
  out.steps.push(retry);
}

const failureText = (found: ObservedService): string =>
  found.terminal.message || found.terminal.reason || 'the revision did not become ready';

/** The blocker in Cloud Run's own words, the time before the next retry in milliseconds, and whether it is over. */
function failedRevision(ctx: Context, found: ObservedService): { blocker: Blocker; isDue: boolean; delay: number } {
  const tries = retryCount(found.template);
  const grants = entriesOfType('SecretAccess', ctx.status.inventory);
  const isNewGrant = grants.some(entry => age(entry, ctx.now) < PROPAGATION_MS);
  const propagating = isNewGrant && /Permission denied on secret/.test(found.terminal.message);
  const delay = propagating ? Math.min(60_000, 5_000 * 2 ** tries) : Math.min(1_800_000, 30_000 * 2 ** tries);
  const left = delay - (found.unreadyForMs ?? 0);
  return {
    isDue: left <= 0,
    delay,
    blocker: {
      aspect: 'Service',
      reason: propagating ? 'Updating' : 'UpdateFailed',
      message: propagating
        ? `The grant is not known to Cloud Run yet (it may take some minutes): ${failureText(found)}`
        : refusedText(ctx.desired, found),
      retryAfterMs: Math.max(500, left),
    },
  };
}

const CHECKS_KEY =
  'With STARTUP_CHECK_KEY=true the container also ends if the vendor refuses a key, and its log says so: then add a version with a good key.';

/** Whether the template asks the backend to try its key at the start (docs/rotation.md). Cloud Run then only says that it does not listen. */
const checksKey = ({ template }: ObservedService): boolean =>
  /^true$/i.test(variableOf(template, 'STARTUP_CHECK_KEY') ?? '');

/** Where to name an image that exists: for the container whose image Cloud Run's words name. */
function imageAdvice(
  { image, fields = {} }: TenantSpec,
  { template, terminal }: ObservedService,
  service: string,
): string {
  const missing = /Image '?([^'\s]+)'? not found/i.exec(terminal.message)?.[1];
  const own = imageOf(template) === missing ? undefined : sidecarsOf(template).find(other => other.image === missing);
  if (own === undefined) {
    return image === undefined ? `: gcloud run deploy ${service} --image=IMAGE` : ' in spec.image.';
  }
  return fields[`${SIDECARS}.${own.name}`] === undefined
    ? `: gcloud run services update ${service} --container=${own.name} --image=IMAGE`
    : ` in spec.sidecars, for ${own.name}.`;
}

/** Cloud Run's words, what goes on serving, and the advice. */
function refusedText({ project, keys, spec }: Desired, found: ObservedService): string {
  const [service, region] = [part(found.name, 'services'), found.region];
  const place = `--region=${region} --project=${project}`;
  const secretId = /\/secrets\/([\w-]+)/.exec(found.terminal.message)?.[1];
  // The message names the secret's project by its number, which gcloud does not take everywhere.
  const secret = keys.find(key => key.secret !== undefined && part(key.secret, 'secrets') === secretId)?.secret;
  const { advice } = revisionAdvice(found.terminal.message, {
    region,
    project,
    logs: `gcloud run services logs read ${service} ${place}`,
    image: imageAdvice(spec, found, `${service} ${place}`),
    secretProject: secret === undefined ? project : part(secret, 'projects') || project,
    ...(checksKey(found) && { checksKey: CHECKS_KEY }),
  });
  const serving = found.latestReadyRevision
    ? `${found.latestReadyRevision.split('/').at(-1)} goes on serving.`
    : 'Nothing serves yet.';
  return advised(advised(failureText(found), serving), advice);
}
