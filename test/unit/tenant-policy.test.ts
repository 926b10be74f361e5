import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { deletedMember, editPolicy, hasMember, RUN_INVOKER, SECRET_ACCESSOR } from '../../operator/tenant/policy.ts';
import type { Policy } from '../../operator/tenant/types.ts';

const ME = 'serviceAccount:sa-tenant-a@p.iam.gserviceaccount.com';
const member = fc.constantFrom(
  ME,
  'user:jane@example.com',
  'serviceAccount:sa-tenant-ab@p.iam.gserviceaccount.com',
  'allUsers',
);
const binding = fc.record(
  {
    role: fc.constantFrom(SECRET_ACCESSOR, RUN_INVOKER, 'roles/viewer'),
    members: fc.uniqueArray(member, { minLength: 1 }),
    condition: fc.constant({ expression: 'request.time < timestamp("2030-01-01T00:00:00Z")', title: 't' }),
  },
  { requiredKeys: ['role', 'members'] },
);
const policy: fc.Arbitrary<Policy> = fc.record({
  version: fc.constant(3),
  etag: fc.constant('BwX='),
  bindings: fc.array(binding, { maxLength: 6 }),
  auditConfigs: fc.constant([{ service: 'allServices' }]),
});

/** Everything that is not our member's unconditional binding, as a flat set. */
const foreign = ({ bindings }: Policy) =>
  bindings
    .flatMap(({ role, members, condition }) => members.map(name => JSON.stringify([role, name, condition ?? null])))
    .filter(entry => entry !== JSON.stringify([SECRET_ACCESSOR, ME, null]))
    .sort();

describe('editing an IAM policy', () => {
  test('adds our member once, and everything else survives', () => {
    fc.assert(
      fc.property(policy, before => {
        const after = editPolicy(before, { role: SECRET_ACCESSOR, add: [ME], remove: [] }) ?? before;
        expect(hasMember(after, SECRET_ACCESSOR, ME)).toBe(true);
        expect(foreign(after)).toEqual(foreign(before));
        expect([after.etag, after.auditConfigs]).toEqual([before.etag, before.auditConfigs]);
        expect(editPolicy(after, { role: SECRET_ACCESSOR, add: [ME], remove: [] })).toBeUndefined();
      }),
    );
  });

  test('removes our member only, also where a condition or a longer name looks like it', () => {
    fc.assert(
      fc.property(policy, before => {
        const after = editPolicy(before, { role: SECRET_ACCESSOR, add: [], remove: [ME] }) ?? before;
        expect(hasMember(after, SECRET_ACCESSOR, ME)).toBe(false);
        expect(foreign(after)).toEqual(foreign(before));
      }),
    );
  });

  test('does not change what it was given', () => {
    fc.assert(
      fc.property(policy, before => {
        const copy = structuredClone(before);
        editPolicy(before, {
          role: RUN_INVOKER,
          add: [ME],
          remove: ['user:jane@example.com'],
          removeEverywhere: ['allUsers'],
        });
        expect(before).toEqual(copy);
      }),
    );
  });

  test('knows an e-mail in any case, and an identity that is gone', () => {
    const before: Policy = {
      bindings: [{ role: SECRET_ACCESSOR, members: ['serviceAccount:SA-Tenant-A@p.iam.gserviceaccount.com'] }],
    };
    expect(hasMember(before, SECRET_ACCESSOR, ME)).toBe(true);
    expect(deletedMember('a@b.c', '7')).toBe('deleted:serviceAccount:a@b.c?uid=7');
  });
});
