import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  deletedMember,
  editPolicy,
  hasAddition,
  hasMember,
  membersOf,
  RUN_INVOKER,
  SECRET_ACCESSOR,
  sameMember,
  withAdditions,
} from '../../operator/tenant/policy.ts';
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

describe('members', () => {
  test.each([
    ['user:Jane@Example.com', 'user:jane@example.com', true],
    ['group:A@b.c', 'group:a@b.c', true],
    ['domain:Example.com', 'domain:example.com', true],
    // Identifiers that are no e-mail keep their case, and so does what only holds such a word.
    ['principal://iam/subject/A', 'principal://iam/subject/a', false],
    ['deleted:serviceAccount:A@b.c?uid=7', 'deleted:serviceAccount:a@b.c?uid=7', false],
    ['user:a@b.c', 'group:a@b.c', false],
  ])('%s and %s are one: %s', (a, b, same) => expect(sameMember(a, b)).toBe(same));

  test('of a role are those who have it without a condition', () => {
    const bindings = [
      { role: RUN_INVOKER, members: ['a', 'b'] },
      { role: RUN_INVOKER, members: ['c'], condition: { title: 't' } },
      { role: SECRET_ACCESSOR, members: ['d'] },
      { role: RUN_INVOKER, members: ['e'] },
    ];
    expect(membersOf({ bindings }, RUN_INVOKER)).toEqual(['a', 'b', 'e']);
  });

  test('of the last kind go with their binding; a new one comes at the end', () => {
    const other = { role: 'roles/viewer', members: ['a'] };
    const before = { etag: 'e', bindings: [{ role: SECRET_ACCESSOR, members: [ME] }, other] };
    expect(editPolicy(before, { role: SECRET_ACCESSOR, add: [], remove: [ME] })).toEqual({
      etag: 'e',
      bindings: [other],
    });
    expect(editPolicy({ bindings: [other] }, { role: RUN_INVOKER, add: [ME], remove: ['a'] })).toEqual({
      bindings: [other, { role: RUN_INVOKER, members: [ME] }],
    });
    const twice = {
      bindings: [
        { role: RUN_INVOKER, members: ['a'] },
        { role: RUN_INVOKER, members: ['b'] },
      ],
    };
    expect(editPolicy(twice, { role: RUN_INVOKER, add: [ME], remove: [] })?.bindings).toEqual([
      { role: RUN_INVOKER, members: ['a', ME] },
      { role: RUN_INVOKER, members: ['b'] },
    ]);
  });
});

test('a member that is to be added stands already under the same condition, in whatever order its fields are answered', () => {
  const text = fc.string({ maxLength: 3 });
  const conditions = fc.uniqueArray(
    fc.tuple(text, fc.oneof(text, fc.dictionary(text, text, { noNullPrototype: true }))),
    {
      selector: ([key]) => key,
      minLength: 1,
    },
  );
  fc.assert(
    fc.property(conditions, fc.boolean(), (fields, isOther) => {
      const condition = Object.fromEntries(fields);
      const answered = Object.fromEntries([...fields].reverse());
      const wanted = { role: RUN_INVOKER, member: ME, condition: isOther ? { ...condition, more: 'x' } : condition };
      const standing: Policy = { bindings: [{ role: RUN_INVOKER, members: [ME], condition: answered }] };
      expect(hasAddition(standing, wanted)).toBe(!isOther);
      expect(withAdditions(standing, [wanted])?.bindings.length).toBe(isOther ? 2 : undefined);
    }),
  );
});
