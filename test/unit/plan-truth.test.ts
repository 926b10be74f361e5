import { describe, expect, test } from 'vitest';
import { readLive } from '../../operator/cli/live.ts';
import { planTenant, type TenantResult } from '../../operator/cli/planTenant.ts';
import { createReads } from '../../operator/gcp/reads.ts';
import { shownChanges } from '../../operator/reconcile/tenantEvents.ts';
import type { TenantStatus } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { createRandom, type Random } from '../sim/clock.ts';
import { edit, spec } from '../sim/generate.ts';
import type { Action } from '../sim/script.ts';
import { createScene, type Scene, settings, TENANT, type Write } from './support/scene.ts';

/**
 * What `plan` says, held against the writes that the operator then makes on the same state: random specs, edits, drifts and
 * moments, on the in-memory Google Cloud and Kubernetes, in virtual time.
 */

const DELETION_POLICY = 'ai-platform.dev/deletion-policy';
/** Longer than anything takes but the grace after a move. */
const LONG_MS = 600_000;

/** A tenant somewhere in its life, after which nobody but the operator does anything. */
async function live(scene: Scene, random: Random): Promise<string[]> {
  const done: string[] = [];
  const does = async (action: Action) => {
    done.push(`${JSON.stringify(action)} → ${await scene.act(action)}`);
  };
  for (const secret of ['key-1', 'key-2', 'key-3', 'other-key']) {
    await does({ who: 'secrets', do: 'create', secret });
    await does({ who: 'rotation', do: 'add', secret, back: 0 });
    if (random.chance(0.9)) await does({ who: 'secrets', do: 'consent', secret, namespace: 'default' });
  }
  if (random.chance(0.15)) {
    // Somebody else's tenant has the name already, and may leave its things behind.
    const other = { ...TENANT, namespace: 'team-a' };
    await does({ who: 'kubectl', do: 'apply', spec: comesUp(spec(random)), ...other });
    await scene.operate(60_000);
    if (random.chance(0.5)) {
      await does({ who: 'kubectl', do: 'annotate', key: DELETION_POLICY, value: 'abandon', ...other });
      await does({ who: 'kubectl', do: 'delete', ...other });
      await scene.operate(60_000);
    }
  }
  await does({ who: 'kubectl', do: 'apply', spec: comesUp(spec(random)), ...TENANT });
  if (random.chance(0.15)) {
    await does({ who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/adopt', value: 'true', ...TENANT });
  }
  for (let rounds = random.int(0, 2); rounds > 0; rounds--) {
    const ms = random.pick([1_500, 4_000, 200_000, 200_000]);
    done.push(
      `operator for ${ms} ms: ${(await scene.operate(ms)).map(({ verb, target }) => `${verb} ${target}`).join(', ')}`,
    );
    for (let edits = random.int(0, 3); edits > 0; edits--) {
      const action = edit(random, [TENANT], false);
      if (action.who === 'admin') continue;
      await does('spec' in action ? { ...action, spec: comesUp(action.spec) } : action);
    }
  }
  if (random.chance(0.2)) {
    const value = random.pick([null, null, 'delete', 'abandon', 'keep']);
    await does({ who: 'kubectl', do: 'annotate', key: DELETION_POLICY, value, ...TENANT });
    await does({ who: 'kubectl', do: 'delete', ...TENANT });
  }
  return done;
}

/** A revision that never comes up is tried again and again, which no plan foresees. */
const comesUp = (given: JsonObject): JsonObject =>
  typeof given.image === 'string'
    ? { ...given, image: given.image.replace(/(broken|missing|slow):1/, 'app:3') }
    : given;

async function planned(scene: Scene, object: KubeObject, withoutStatus = false): Promise<TenantResult> {
  const reads = createReads(scene.gcp.call);
  const { around } = await readLive(scene.kube, undefined);
  const { status: _, ...bare } = object;
  const given = { ...settings, regionMoveGraceMs: settings.regionMoveGraceMs };
  return withoutStatus
    ? planTenant(bare, { ...around, live: false }, given, reads, scene.clock.now())
    : planTenant(object, around, given, reads, scene.clock.now());
}

/**
 * A line for each change, as several may be one call or more. A create's attributes are for people; the operator's log has
 * only the image.
 */
const lines = (verb: string, target: string, changes: string): string[] =>
  verb === 'Create' || verb === 'Abandon'
    ? [`${verb} ${target}`]
    : changes.split(', ').map(change => `${verb} ${target}: ${change}`);
const said = ({ action, target, changes }: TenantResult['steps'][number]) =>
  lines(action, target, shownChanges(changes));
const written = ({ verb, target, changes }: Write) => lines(verb, target, changes);
const withoutChanges = (line: string): string => line.replace(/: .*/s, '');

const seen = new Map<string, number>();
const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);

const SEEDS = Number(process.env.PLAN_SEEDS ?? 150);
const FROM = Number(process.env.PLAN_FROM ?? 1);

describe('plan says what the operator then does', () => {
  test.each(Array.from({ length: SEEDS }, (_, at) => FROM + at))('seed %i', async seed => {
    const random = createRandom(seed);
    const scene = await createScene(random);
    const story = await live(scene, random);
    const object = await scene.tenant();
    if (!object) return count('gone');
    const withStatus = await planned(scene, object);
    const without = await planned(scene, object, true);
    const writes = await scene.operate(LONG_MS);
    const after = await scene.tenant();
    count(withStatus.state);
    for (const { action } of withStatus.steps) count(action);

    const context = [...story, JSON.stringify([object.spec, object.status, after?.status, withStatus, without])].join(
      '\n',
    );
    expect(withStatus.steps.flatMap(said).sort(), context).toEqual(writes.flatMap(written).sort());
    const made = writes.flatMap(written).map(withoutChanges);
    // Without a status the former region is not known, so neither is a setting there that stops the move.
    const stops = JSON.stringify(withStatus.blocked).includes('The move to ');
    const foreseen = without.steps.filter(({ action }) => !(stops && action === 'Create'));
    expect(made, context).toEqual(expect.arrayContaining(foreseen.flatMap(said).map(withoutChanges)));
    expect(without.notes.join(' '), context).toContain('The manifest has no status');

    const ready = (after?.status as TenantStatus | undefined)?.conditions?.find(({ type }) => type === 'Ready');
    const arrived = after === undefined || ['UpToDate', 'Suspended'].includes(ready?.reason ?? '');
    expect(withStatus.blocked.length === 0, context).toBe(arrived);
  });
});

test.runIf(SEEDS >= 100)('the states that matter were among them', () => {
  const kinds = [
    'changes',
    'unchanged',
    'blocked',
    'deleting',
    'suspended',
    'Create',
    'Grant',
    'Update',
    'Revoke',
    'Delete',
    'Abandon',
  ];
  expect(kinds.filter(kind => !seen.has(kind))).toEqual([]);
});
