import { describe, expect, test } from 'vitest';
import type { ObservedService, Policy, Read } from '../../operator/tenant/types.ts';
import {
  absent,
  at,
  atRest,
  entry,
  failed,
  invokedBy,
  LONG_AGO,
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
const UPDATE = `service:${SERVICE}`;
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
}
const scene = ({ access = 'Authenticated', invokers = [], service = closed, policy, former = [], generation }: Scene) =>
  planFor({
    generation,
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
    expect(stepOf(scene(given), INVOKERS)).toMatchObject({
      call: { policy: invokedBy(BOT) },
      changes: [{ field: ROLE, from: JANE }],
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
    const step = stepOf(scene({ policy: present(policy) }), INVOKERS);
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

  test('sets its callers before its switch turns', () => {
    const plan = scene({ ...open, invokers: [JANE], policy: present(invokedBy('allUsers')) });
    expect(stepIds(plan)).toEqual([INVOKERS, UPDATE]);
    expect(stepOf(plan, UPDATE)).toMatchObject({
      needs: [INVOKERS],
      changes: [{ field: 'access', from: 'Public', to: 'Authenticated' }],
      call: { updateMask: ['invokerIamDisabled'], service: { invokerIamDisabled: false } },
    });
    expect(stepOf(plan, INVOKERS).needs).toEqual([]);
  });

  test('does not wait for a template that may be refused: that comes after', () => {
    const service = { template: templateA({ timeout: '60s' }) };
    const plan = scene({ ...open, service, policy: present(invokedBy()) });
    expect(stepOf(plan, UPDATE).call).toMatchObject({ updateMask: ['invokerIamDisabled'] });
    expect(stepIds(plan)).toEqual([UPDATE]);
  });

  test('goes on even where its callers cannot be read', () => {
    const plan = scene({ ...open, policy: failed('Transient') });
    expect(stepIds(plan)).toEqual([UPDATE]);
    expect(plan.blockers).toHaveLength(1);
  });
});

describe('a public tenant', () => {
  test('is opened by the switch, then loses the callers that it no longer needs', () => {
    const plan = scene({ access: 'Public', policy: present(invokedBy(JANE, BOT)), former: [caller(JANE)] });
    expect(stepIds(plan)).toEqual([UPDATE, INVOKERS]);
    expect(stepOf(plan, UPDATE)).toMatchObject({
      changes: [{ field: 'access', from: 'Authenticated', to: 'Public' }],
      call: { service: { invokerIamDisabled: true } },
    });
    expect(stepOf(plan, INVOKERS)).toMatchObject({ needs: [UPDATE], call: { policy: invokedBy(BOT) } });
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
