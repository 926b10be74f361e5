import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SharedReads } from '../../operator/gcp/lists.ts';
import { rpc } from '../../operator/gcp/methods.ts';
import { applyClosing, applyRecorded } from '../../operator/reconcile/apply.ts';
import type { TenantWriter } from '../../operator/reconcile/ownWrites.ts';
import { createRefusalMemory } from '../../operator/reconcile/refusals.ts';
import type { TenantPlan } from '../../operator/tenant/plan.ts';
import { RUN_INVOKER } from '../../operator/tenant/policy.ts';
import type { ObservedService, Outcome, Policy } from '../../operator/tenant/types.ts';
import type { GcpCall, GcpCode } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import {
  absent,
  atRest,
  entry,
  failed,
  grantTo,
  keyA,
  MEMBER,
  NOW,
  OPENAI,
  planFor,
  present,
  SERVICE,
  seen,
  serviceA,
  templateA,
} from './support/tenantWorld.ts';

/**
 * Closing access and taking grants away: whatever is refused beside it, and whatever a status write answers (rule 6).
 */

const ALL = [
  'user:a@example.com',
  'user:b@example.com',
  'group:c@example.com',
  'serviceAccount:d@p.iam.gserviceaccount.com',
];
const PUBLIC = ['allUsers', 'allAuthenticatedUsers'];
const SECOND = 'projects/123456/secrets/second';
const FORMER = 'projects/123456/secrets/former';

interface Scene {
  /** Members that Google Cloud refuses to add. */
  refused: string[];
  words: GcpCode;
  isOpen: boolean;
  standing: string[];
  ours: string[];
  invokers: string[];
  /** What the service differs in besides; Cloud Run refuses every update but that of the switch. */
  drifted: boolean;
  refusesUpdates: boolean;
  accountReads: boolean;
  /** The grant on the second key is refused. */
  refusesGrant: boolean;
}

const members = fc.subarray(ALL);
const scenes: fc.Arbitrary<Scene> = fc.record({
  refused: members,
  words: fc.constantFrom<GcpCode>('INVALID_ARGUMENT', 'FAILED_PRECONDITION'),
  isOpen: fc.boolean(),
  standing: fc.subarray([...ALL, ...PUBLIC, 'user:foreign@example.com']),
  ours: members,
  invokers: members,
  drifted: fc.boolean(),
  refusesUpdates: fc.boolean(),
  accountReads: fc.boolean(),
  refusesGrant: fc.boolean(),
});

/** A Google Cloud of one service and three secrets, and a reconcile of it. */
function world(scene: Scene) {
  let etag = 0;
  const drift = { traffic: [{ revision: 'r', percent: 100 }], template: templateA({ timeout: '7s' }) };
  let service: ObservedService = serviceA({ invokerIamDisabled: scene.isOpen, ...(scene.drifted && drift) });
  const policies = new Map<string, Policy>([
    [SERVICE, { version: 1, etag: 'p0', bindings: [{ role: RUN_INVOKER, members: scene.standing }] }],
    [SECOND, { ...grantTo(), etag: 'p1' }],
    [FORMER, { ...grantTo(MEMBER), etag: 'p2' }],
  ]);
  const refuse = (message: string) => ({ ok: false as const, status: { code: scene.words, message } });
  const aborted = { ok: false as const, status: { code: 'ABORTED' as const, message: 'stale' } };

  const call: GcpCall = async (method, request) => {
    if (method === rpc.updateService) {
      const given = request.service as JsonObject;
      if (given.etag !== service.etag) return aborted;
      const mask = String(request.updateMask).split(',');
      if (scene.refusesUpdates && mask.join() !== 'invokerIamDisabled') return refuse('not this template');
      service = { ...service, ...(given as Partial<ObservedService>), etag: `"u${++etag}"` };
      return { ok: true, response: {} };
    }
    const resource = String(request.resource);
    const before = policies.get(resource);
    const policy = request.policy as unknown as Policy;
    if (policy.etag !== before?.etag) return aborted;
    const had = before?.bindings.flatMap(binding => binding.members);
    const added = policy.bindings.flatMap(binding => binding.members).filter(member => !had?.includes(member));
    const bad = added.find(member => scene.refused.includes(member));
    if (bad !== undefined) return refuse(`${bad} is not allowed.`);
    if (resource === SECOND && scene.refusesGrant) return refuse('no grant here');
    const next = { ...policy, etag: `p${++etag + 10}` };
    policies.set(resource, next);
    return { ok: true, response: structuredClone(next) as unknown as JsonObject };
  };

  const refusals = createRefusalMemory(() => NOW);
  const inventory = [
    ...atRest,
    entry({ type: 'SecretAccess', name: FORMER, uniqueId: '1048576' }),
    ...scene.ours.map(member => entry({ type: 'Invoker', name: SERVICE, member })),
  ];
  const policyOf = (name: string) => present(policies.get(name) as Policy);
  const plan = (): TenantPlan =>
    planFor({
      generation: 2,
      refused: refusals.of('team/tenant-a'),
      spec: {
        access: 'Authenticated',
        invokers: scene.invokers,
        keys: [OPENAI, { name: 'second', secretRef: { external: 'second' } }],
      },
      status: { inventory },
      cloud: {
        ...(!scene.accountReads && { account: failed('Transient') }),
        keys: [
          keyA(),
          keyA({
            name: 'second',
            secret: present({ name: SECOND, labels: { 'ai-tenant-namespace': 'team' } }),
            policy: policyOf(SECOND),
            version: absent,
          }),
        ],
        formerGrants: [{ secret: FORMER, policy: policyOf(FORMER) }],
        services: [seen(present(service), undefined, policyOf(SERVICE))],
      },
    });
  const writer = { object: { metadata: { namespace: 'team', name: 'tenant-a' } } } as unknown as TenantWriter;
  const shared = { wrote: () => {} } as unknown as SharedReads;
  const applying = { gcp: call, shared, log: () => {}, writer, actAs: undefined, refusals, generation: 2 };
  return {
    plan,
    async reconcile(statusWrites: boolean): Promise<Outcome[]> {
      const { steps, inventory } = plan();
      const closed = await applyClosing(steps, applying);
      if (!statusWrites) return closed;
      const outcomes = await applyRecorded(steps, closed, { inventory } as never, applying);
      if (typeof outcomes === 'string') throw new Error(outcomes);
      return outcomes;
    },
    isOpen: () => service.invokerIamDisabled,
    callers: () => policies.get(SERVICE)?.bindings.flatMap(binding => binding.members) ?? [],
    holds: (secret: string) =>
      policies.get(secret)?.bindings.some(binding => binding.members.includes(MEMBER)) === true,
  };
}

describe('whatever Google Cloud refuses', () => {
  test('the first reconcile closes the service and takes off whom the spec does not name, also where no status can be written', async () => {
    await fc.assert(
      fc.asyncProperty(scenes, async scene => {
        const google = world(scene);
        await google.reconcile(false);
        expect(google.isOpen()).toBe(false);
        const left = google.callers();
        expect(left).toEqual(
          scene.standing.filter(
            member => !PUBLIC.includes(member) && !(scene.ours.includes(member) && !scene.invokers.includes(member)),
          ),
        );
        if (scene.accountReads) expect(google.holds(FORMER)).toBe(false);
      }),
    );
  });

  test('every caller that is not refused comes in, each that is refused is named, and then nothing more is written', async () => {
    await fc.assert(
      fc.asyncProperty(scenes, async scene => {
        const google = world(scene);
        for (let round = 0; round < 4; round++) await google.reconcile(true);
        const missing = scene.invokers.filter(
          member => scene.refused.includes(member) && !scene.standing.includes(member),
        );
        const wanted = scene.invokers.filter(member => !missing.includes(member));
        expect(google.callers()).toEqual(expect.arrayContaining(wanted));
        const { blockers, steps } = google.plan();
        const named = blockers.filter(({ message }) => message.startsWith('spec.invokers: '));
        expect(named).toHaveLength(missing.length);
        for (const [at, member] of missing.entries()) {
          expect(named[at]).toMatchObject({ reason: 'InvalidSpec' });
          expect(named[at]?.message).toContain(`${member} is not allowed.`);
        }
        expect(blockers.some(({ reason }) => reason === 'PermissionDenied')).toBe(false);
        expect(steps.filter(({ call }) => call.kind === 'setServicePolicy')).toEqual([]);
        // A refused grant keeps no other grant and no revocation waiting.
        if (scene.accountReads) expect(google.holds(SECOND)).toBe(!scene.refusesGrant);
      }),
    );
  });

  test('of several new callers costs one write if all are taken, and one each if one is refused', async () => {
    const scene: Scene = {
      refused: [],
      words: 'INVALID_ARGUMENT',
      isOpen: false,
      standing: [],
      ours: [],
      invokers: ALL,
      drifted: false,
      refusesUpdates: false,
      accountReads: true,
      refusesGrant: false,
    };
    const taken = await world(scene).reconcile(true);
    expect(taken.filter(({ step }) => step.id.startsWith('invokers:'))).toMatchObject([{ result: 'done' }]);
    const google = world({ ...scene, refused: ALL.slice(1, 2) });
    const outcomes = await google.reconcile(true);
    const added = outcomes.find(({ step }) => step.id.startsWith('invokers:'));
    expect(added?.step.changes.map(({ to }) => to)).toEqual(ALL.filter((_, at) => at !== 1));
    expect(google.callers()).toEqual(ALL.filter((_, at) => at !== 1));
  });
});
