import { describe, expect, test } from 'vitest';
import type { ObservedService, Policy, Read, Refusal, Refusals } from '../../operator/tenant/types.ts';
import {
  absent,
  at,
  atRest,
  entry,
  failed,
  invokedBy,
  LONG_AGO,
  NOW,
  planFor,
  present,
  SERVICE,
  seen,
  serviceA,
  stepIds,
  stepOf,
  templateA,
} from './support/tenantWorld.ts';

const ROLE = 'roles/run.invoker';
const INVOKERS = `invokers:${SERVICE}`;
const REMOVE = `callers:${SERVICE}`;
const UPDATE = `service:${SERVICE}`;
const CLOSE = `close:${SERVICE}`;
const JANE = 'user:jane@example.com';
const BOT = 'serviceAccount:bot@p.iam.gserviceaccount.com';
const closed: Partial<ObservedService> = { invokerIamDisabled: false };
const caller = (member: string, time = LONG_AGO) => entry({ type: 'Invoker', name: SERVICE, member }, time);

interface Scene {
  access?: 'Public' | 'Authenticated';
  invokers?: string[];
  service?: Partial<ObservedService>;
  policy?: Read<Policy>;
  former?: ReturnType<typeof caller>[];
  generation?: number;
  refused?: Refusals;
}
const scene = ({
  access = 'Authenticated',
  invokers = [],
  service = closed,
  policy,
  former = [],
  generation,
  refused,
}: Scene) =>
  planFor({
    // Only of what is unmarked does this make a difference.
    annotations: { 'ai-platform.dev/adopt': 'true' },
    generation,
    refused,
    spec: { access, invokers },
    status: { inventory: [...atRest, ...former] },
    cloud: { services: [{ ...seen(present(serviceA(service))), ...(policy && { invokers: policy }) }] },
  });
const recorded = (given: Scene) => scene(given).inventory.filter(({ type }) => type === 'Invoker');

describe('a tenant whose callers are checked', () => {
  test('gives the spec’s members the role, beside what others hold', () => {
    const policy = { ...invokedBy(BOT), auditConfigs: [{ service: 'allServices' }] };
    const given = { invokers: [JANE], policy: present(policy) };
    expect(scene(given).steps).toEqual([
      {
        id: INVOKERS,
        aspect: 'Service',
        verb: 'Update',
        target: 'callers of Cloud Run service ai-platform-tenant-a',
        call: {
          kind: 'setServicePolicy',
          service: SERVICE,
          policy: { ...policy, bindings: [{ role: ROLE, members: [BOT, JANE] }] },
          additions: { base: policy, members: [{ role: ROLE, member: JANE }] },
        },
        needs: [],
        changes: [{ field: ROLE, to: JANE }],
        creates: [`Invoker ${SERVICE} ${JANE}`],
        removes: [],
        closes: false,
        drift: true,
      },
    ]);
    expect(recorded(given)).toEqual([caller(JANE, at(0))]);
    expect(stepOf(scene({ ...given, generation: 2 }), INVOKERS).drift).toBe(false);
  });

  test('changes nothing where they stand, in whatever case, and keeps when they were given', () => {
    const given = { invokers: [JANE], policy: present(invokedBy('user:Jane@example.com')), former: [caller(JANE)] };
    expect(scene(given).steps).toEqual([]);
    expect(recorded(given)).toEqual([caller(JANE)]);
    expect(recorded({ ...given, former: [] })).toEqual([caller(JANE, at(0))]);
  });

  test('gives one again that somebody took away', () => {
    const given = { invokers: [JANE], policy: present(invokedBy()), former: [caller(JANE)] };
    expect(stepOf(scene(given), INVOKERS).changes).toEqual([{ field: ROLE, to: JANE }]);
    expect(recorded(given)).toEqual([caller(JANE, at(0))]);
  });

  test('takes off whom the spec no longer names, and only whom we gave it', () => {
    const given = { invokers: [], policy: present(invokedBy(JANE, BOT)), former: [caller(JANE)] };
    expect(stepOf(scene(given), REMOVE)).toMatchObject({
      call: { policy: invokedBy(BOT) },
      changes: [{ field: ROLE, from: JANE }],
      closes: true,
      needs: [],
      creates: [],
      removes: [`Invoker ${SERVICE} ${JANE}`],
    });
    expect(recorded(given)).toEqual([caller(JANE)]);
  });

  test('forgets one that is off, but not while our last call may still take effect', () => {
    const policy = present(invokedBy(BOT));
    expect(recorded({ policy, former: [caller(JANE)] })).toEqual([]);
    expect(recorded({ policy, former: [caller(JANE, at(-1_000))] })).toEqual([caller(JANE, at(-1_000))]);
  });

  test.each(['allUsers', 'allAuthenticatedUsers'])('takes %s off the service, whatever role or condition', open => {
    const other = { role: 'roles/run.viewer', members: [open, BOT], condition: { title: 'always' } };
    const policy = { ...invokedBy(open, JANE), bindings: [{ role: ROLE, members: [open, JANE] }, other] };
    const step = stepOf(scene({ policy: present(policy) }), REMOVE);
    expect(step.call).toMatchObject({
      policy: {
        bindings: [
          { role: ROLE, members: [JANE] },
          { ...other, members: [BOT] },
        ],
      },
    });
  });

  test('never opens a service to everybody, also where an old object asks for it', () => {
    const given = { invokers: ['allUsers', 'allAuthenticatedUsers'], policy: present(invokedBy()) };
    expect(scene(given)).toMatchObject({ steps: [], blockers: [] });
    expect(recorded(given)).toEqual([]);
  });

  test.each<[string, Read<Policy> | undefined, string, string]>([
    ['cannot be read', failed('PermissionDenied', 'no'), 'PermissionDenied', 'no'],
    ['is not visible yet', absent, 'Updating', 'it is not visible yet'],
    ['was not read', undefined, 'Updating', 'it is not visible yet'],
  ])('whose policy %s keeps what is on record and says so', (_what, policy, reason, words) => {
    const plan = scene({ invokers: [BOT], policy, former: [caller(JANE)] });
    expect(plan.blockers).toMatchObject([{ aspect: 'Service', reason }]);
    expect(
      plan.blockers[0]?.message.startsWith(`Cannot read the IAM policy of service ai-platform-tenant-a: ${words}`),
    ).toBe(true);
    expect(plan.steps).toEqual([]);
    expect(plan.inventory).toContainEqual(caller(JANE));
  });
});

describe('closing a public service', () => {
  const open = { service: {}, access: 'Authenticated' as const };

  test('turns the switch and takes everybody off first; neither waits for anything', () => {
    const plan = scene({ ...open, invokers: [JANE], policy: present(invokedBy('allUsers', BOT)) });
    expect(stepIds(plan)).toEqual([REMOVE, CLOSE]);
    expect(stepOf(plan, CLOSE)).toMatchObject({
      closes: true,
      needs: [],
      changes: [{ field: 'access', from: 'Public', to: 'Authenticated' }],
      call: { updateMask: ['invokerIamDisabled'], service: { name: SERVICE, etag: '"e1"', invokerIamDisabled: false } },
    });
    expect(stepOf(plan, REMOVE)).toMatchObject({ closes: true, needs: [], call: { policy: invokedBy(BOT) } });
  });

  test('adds its callers by a write of their own, which closing does not wait for', () => {
    const plan = scene({ ...open, invokers: [JANE], policy: present(invokedBy(BOT)) });
    expect(stepIds(plan)).toEqual([CLOSE, INVOKERS]);
    expect(stepOf(plan, INVOKERS)).toMatchObject({ closes: false, needs: [] });
  });

  test('sends nothing else along that Cloud Run may refuse: that comes after', () => {
    const service = {
      template: templateA({ timeout: '60s' }),
      scaling: { maxInstanceCount: 3 },
      traffic: [{ revision: 'r', percent: 100 }],
    };
    const plan = scene({ ...open, service, policy: present(invokedBy()) });
    expect(stepOf(plan, CLOSE).call).toMatchObject({ updateMask: ['invokerIamDisabled'] });
    expect(stepIds(plan)).toEqual([CLOSE]);
  });

  test('goes on even where its callers cannot be read', () => {
    const plan = scene({ ...open, policy: failed('Transient') });
    expect(stepIds(plan)).toEqual([CLOSE]);
    expect(plan.blockers).toHaveLength(1);
  });

  test('waits for the marks of a service that is only being adopted', () => {
    const consented = { labels: { 'ai-tenant-namespace': 'team' } };
    const plan = scene({ ...open, service: consented, policy: present(invokedBy('allUsers')) });
    expect(stepIds(plan)).toEqual([UPDATE, REMOVE]);
    expect(stepOf(plan, UPDATE)).toMatchObject({ verb: 'Adopt', closes: false });
    expect(stepOf(plan, UPDATE).call).toMatchObject({ updateMask: ['labels', 'invokerIamDisabled'] });
    expect(stepOf(plan, REMOVE)).toMatchObject({ closes: false, needs: [UPDATE] });
  });
});

describe('a caller that Google Cloud has refused', () => {
  const TYPO = 'serviceAccount:caler@p.iam.gserviceaccount.com';
  const words = 'Service account caler@p.iam.gserviceaccount.com does not exist.';
  const refusal = (changes: Partial<Refusal> = {}): Refusals =>
    new Map([
      [
        `${SERVICE} ${ROLE} ${TYPO}`,
        { message: words, propagating: false, since: NOW - 600_000, at: NOW - 1_000, generation: 1, ...changes },
      ],
    ]);
  const given = { invokers: [JANE, TYPO], former: [caller(BOT)] };

  test('is named, keeps no other one out, and keeps nobody on', () => {
    const policy = present(invokedBy(BOT));
    expect(stepIds(scene({ ...given, policy, refused: refusal() }))).toEqual([REMOVE]);
    const plan = scene({ ...given, former: [], policy, refused: refusal() });
    expect(stepOf(plan, INVOKERS).changes).toEqual([{ field: ROLE, to: JANE }]);
    expect(plan.blockers).toEqual([
      {
        aspect: 'Service',
        reason: 'InvalidSpec',
        message:
          `spec.invokers: Google Cloud refuses "${TYPO}" as a caller: ${words} All other callers are as the spec says. ` +
          'Correct this one or take it out: kubectl edit aitenant tenant-a -n team',
      },
    ]);
    expect(plan.inventory.filter(({ type }) => type === 'Invoker')).toEqual([caller(JANE, at(0))]);
  });

  test('is tried again at the interval, and at once after an edit', () => {
    const tries = (changes: Partial<Refusal>, generation?: number) =>
      scene({ invokers: [TYPO], policy: present(invokedBy()), refused: refusal(changes), generation });
    expect(stepIds(tries({}))).toEqual([]);
    expect(stepIds(tries({ at: NOW - 600_000 }))).toEqual([INVOKERS]);
    // The clock was set back.
    expect(stepIds(tries({ at: NOW + 600_000 }))).toEqual([INVOKERS]);
    expect(stepIds(tries({}, 2))).toEqual([INVOKERS]);
  });

  test('may be too new to be known everywhere: that is no fault of the spec for three minutes', () => {
    const young = refusal({ propagating: true, since: NOW - 60_000, at: NOW - 1_000 });
    const plan = scene({ invokers: [TYPO], policy: present(invokedBy()), refused: young });
    expect(plan.blockers).toMatchObject([{ reason: 'Updating', retryAfterMs: 15_000 }]);
    expect(plan.blockers[0]?.message).toContain(TYPO);
    const due = refusal({ propagating: true, since: NOW - 60_000, at: NOW - 15_000 });
    expect(stepIds(scene({ invokers: [TYPO], policy: present(invokedBy()), refused: due }))).toEqual([INVOKERS]);
    const old = refusal({ propagating: true, since: NOW - 180_000 });
    expect(scene({ invokers: [TYPO], policy: present(invokedBy()), refused: old }).blockers).toMatchObject([
      { reason: 'InvalidSpec' },
    ]);
  });

  test('is taken off under the name that it has once its account is deleted', () => {
    const deleted = `deleted:${BOT}?uid=123`;
    const plan = scene({ policy: present(invokedBy(deleted, JANE)), former: [caller(BOT)] });
    expect(stepOf(plan, REMOVE).call).toMatchObject({ policy: invokedBy(JANE) });
  });
});

describe('a public tenant', () => {
  test('is opened by the switch, then loses the callers that it no longer needs', () => {
    const plan = scene({ access: 'Public', policy: present(invokedBy(JANE, BOT)), former: [caller(JANE)] });
    expect(stepIds(plan)).toEqual([UPDATE, REMOVE]);
    expect(stepOf(plan, UPDATE)).toMatchObject({
      changes: [{ field: 'access', from: 'Authenticated', to: 'Public' }],
      call: { service: { invokerIamDisabled: true } },
    });
    expect(stepOf(plan, REMOVE)).toMatchObject({ needs: [UPDATE], closes: false, call: { policy: invokedBy(BOT) } });
  });

  test('is open already where allUsers may call: nothing changes', () => {
    expect(scene({ access: 'Public', policy: present(invokedBy('allUsers')) })).toMatchObject({
      steps: [],
      blockers: [],
    });
  });

  test.each([
    ['every Google account may', present(invokedBy('allAuthenticatedUsers'))],
    [
      'all may under a condition',
      present({ ...invokedBy(), bindings: [{ role: ROLE, members: ['allUsers'], condition: {} }] }),
    ],
  ])('is not open where only %s call', (_who, policy) => {
    expect(stepIds(scene({ access: 'Public', policy }))).toEqual([UPDATE]);
  });

  test('whose policy cannot be read is not opened on a guess', () => {
    const plan = scene({ access: 'Public', policy: failed('Transient') });
    expect(plan.steps).toEqual([]);
    expect(plan.blockers).toHaveLength(1);
  });

  test('that is open needs no policy at all', () => {
    expect(scene({ access: 'Public', service: {}, policy: failed('Transient') })).toMatchObject({
      steps: [],
      blockers: [],
    });
    const leaving = scene({ access: 'Public', service: {}, policy: failed('Transient'), former: [caller(JANE)] });
    expect(leaving.blockers).toHaveLength(1);
    expect(leaving.inventory).toContainEqual(caller(JANE));
  });
});
