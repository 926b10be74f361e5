import { describe, expect, test } from 'vitest';
import {
  abandonable,
  deletionPolicy,
  deletionTargets,
  planAbandon,
  planDeletion,
} from '../../operator/tenant/deletion.ts';
import { ownerLabels } from '../../operator/tenant/ownership.ts';
import type { InventoryEntry, Observed, Plan } from '../../operator/tenant/types.ts';
import {
  absent,
  accountA,
  at,
  atRest,
  cloud,
  EMAIL,
  ENTRIES,
  entry,
  failed,
  failure,
  grantTo,
  MARK,
  MEMBER,
  NOW,
  OWNER,
  PROJECT,
  present,
  REGION,
  SECRET,
  SERVICE,
  seen,
  serviceA,
  settings,
  stepIds,
  stepOf,
  tenantA,
  UID,
} from './support/tenantWorld.ts';

const SERVICE_TEXT = `Cloud Run service ai-platform-tenant-a in ${REGION}`;
const REVOKE = `revoke:${SECRET}`;
const held = {
  formerGrants: [{ secret: SECRET, policy: present(grantTo(MEMBER, 'user:jane@example.com')) }],
  keys: [],
};
const gone = { services: [seen(absent)] };
const deleting = (changes: Partial<Observed>, inventory: InventoryEntry[] = atRest): Plan =>
  planDeletion(tenantA({ status: { inventory } }), cloud({ ...held, ...changes }), settings, NOW);
const types = ({ inventory }: Plan) => inventory.map(({ type }) => type);
const stale = (type: InventoryEntry['type'], time: string) =>
  atRest.map(one => (one.type === type ? { ...one, time } : one));

describe('deleting a tenant', () => {
  test('begins with its service, alone', () => {
    const plan = deleting({});
    expect(plan.steps).toEqual([
      {
        id: `delete:${SERVICE}`,
        aspect: 'Service',
        verb: 'Delete',
        target: SERVICE_TEXT,
        call: { kind: 'deleteService', name: SERVICE, etag: '"e1"' },
        needs: [],
        changes: [],
        creates: [],
        removes: [],
        closes: false,
        drift: false,
      },
    ]);
    expect(plan.inventory).toHaveLength(atRest.length);
    expect(plan.inventory).toEqual(expect.arrayContaining(atRest));
  });

  test.each<[string, Parameters<typeof serviceA>[0], InventoryEntry[]]>([
    ['Cloud Run says so', { deleteTime: at(-1) }, atRest],
    [
      'our call was taken and it is busy',
      { reconciling: true },
      atRest.map(one => (one.type === 'Service' ? { ...one, deletedAt: at(-1) } : one)),
    ],
  ])('waits while the service is being deleted: %s', (_how, changes, inventory) => {
    const plan = deleting({ services: [seen(present(serviceA(changes)))] }, inventory);
    expect(plan.steps).toEqual([]);
    expect(plan.waiting).toEqual([
      { aspect: 'Service', message: `Cloud Run is deleting ${SERVICE_TEXT}.`, retryAfterMs: 1_000 },
    ]);
    expect(types(plan)).toContain('ServiceAccount');
  });

  test.each<[string, Parameters<typeof serviceA>[0], InventoryEntry[]]>([
    ['it is busy with something else', { reconciling: true }, atRest],
    [
      'our call was taken, but it is not going',
      {},
      atRest.map(one => (one.type === 'Service' ? { ...one, deletedAt: at(-1) } : one)),
    ],
  ])('deletes it (again) where %s', (_how, changes, inventory) => {
    expect(stepIds(deleting({ services: [seen(present(serviceA(changes)))] }, inventory))).toEqual([
      `delete:${SERVICE}`,
    ]);
  });

  test('keeps everything where the service cannot be read', () => {
    const plan = deleting({ services: [seen(failed('Transient', 'lost'))] });
    expect(plan.blockers).toEqual([
      { aspect: 'Service', reason: 'Updating', message: `Cannot read ${SERVICE_TEXT}: lost (trying again)` },
    ]);
    expect(plan.steps).toEqual([]);
    expect(plan.inventory).toHaveLength(atRest.length);
  });

  test('leaves a service alone that is not on record, or is another’s', () => {
    const theirs = seen(present(serviceA({ labels: ownerLabels({ ...OWNER, name: 'other' }) })));
    expect(stepIds(deleting({ services: [theirs] }))).toEqual([REVOKE, 'account']);
    const noRecord = atRest.filter(({ type }) => type !== 'Service');
    expect(stepIds(deleting({}, noRecord))).toEqual([REVOKE, 'account']);
  });

  test('then takes the grants, then the account, by its unique id', () => {
    const plan = deleting(gone);
    expect(stepIds(plan)).toEqual([REVOKE, 'account']);
    expect(stepOf(plan, REVOKE).call).toMatchObject({ policy: grantTo('user:jane@example.com') });
    expect(stepOf(plan, 'account')).toMatchObject({
      aspect: 'ServiceAccount',
      verb: 'Delete',
      target: `service account ${EMAIL}`,
      call: { kind: 'deleteAccount', name: `projects/${PROJECT}/serviceAccounts/${UID}` },
      needs: [REVOKE],
      removes: [`ServiceAccount ${ENTRIES.account.name} ${UID}`],
    });
    expect(plan.inventory).toEqual([entry(ENTRIES.grant), entry(ENTRIES.account)]);
  });

  test('is done when nothing is left', () => {
    const nothing = { ...gone, account: absent, formerGrants: [{ secret: SECRET, policy: absent }] };
    expect(deleting(nothing)).toEqual({ steps: [], blockers: [], waiting: [], inventory: [], notes: [] });
    expect(deleting({ account: absent, services: [] }, [])).toMatchObject({ steps: [], inventory: [] });
  });

  test.each<[InventoryEntry['type'], Partial<Observed>, string]>([
    ['Service', { ...gone, account: absent, formerGrants: [{ secret: SECRET, policy: absent }] }, SERVICE_TEXT],
    ['SecretAccess', { ...gone, formerGrants: [{ secret: SECRET, policy: absent }] }, 'secret openai-key'],
    [
      'SecretAccess',
      { ...gone, formerGrants: [{ secret: SECRET, policy: present(grantTo()) }] },
      'the grant on openai-key',
    ],
    ['ServiceAccount', { ...gone, account: absent }, `service account ${EMAIL}`],
  ])('makes sure that a fresh %s does not turn up after all', (type, changes, what) => {
    for (const [ageMs, left] of [
      [1_000, 119],
      [118_500, 2],
    ] as const) {
      const plan = deleting(changes, stale(type, at(-ageMs)));
      expect(plan.waiting).toEqual([
        {
          aspect: 'Service',
          message: `Making sure that the last call that makes ${what} does not take effect after all (${left} s left).`,
          retryAfterMs: Math.min(5_000, 120_000 - ageMs),
        },
      ]);
      expect(types(plan)).toContain(type);
      expect(stepIds(plan)).not.toContain('account');
    }
    expect(deleting(changes, stale(type, at(-120_000))).waiting).toEqual([]);
  });

  test('an account whose twin is still fresh waits with the grants', () => {
    const twin = entry({ type: 'ServiceAccount', name: ENTRIES.account.name }, at(-1_000));
    const plan = deleting({ ...gone, account: absent }, [...atRest, twin]);
    expect(plan.steps).toEqual([]);
    expect(plan.inventory).toEqual([entry(ENTRIES.grant), entry(ENTRIES.account), twin]);
  });

  test.each([
    ['Propagating' as const, 10_000, 'Updating'],
    ['Propagating' as const, 200_000, 'PermissionDenied'],
    ['PermissionDenied' as const, 10_000, 'PermissionDenied'],
    ['Transient' as const, 10_000, 'Updating'],
  ])('stops at an account that cannot be read (%s, made %i ms ago): %s', (kind, ageMs, reason) => {
    const plan = deleting({ ...gone, account: failed(kind) }, stale('ServiceAccount', at(-ageMs)));
    expect(plan.steps).toEqual([]);
    expect(plan.blockers).toMatchObject([{ aspect: 'ServiceAccount', reason }]);
    expect(plan.blockers[0]?.message.startsWith(`Cannot read service account ${EMAIL}: said no`)).toBe(true);
    expect(plan.inventory).toEqual([entry(ENTRIES.grant), entry(ENTRIES.account, at(-ageMs))]);
  });

  test.each([
    ['cannot be read', [{ secret: SECRET, policy: failed('PermissionDenied', 'no') }], 'no'],
    ['was not read', [], 'not read'],
  ])('does not delete the account while a policy %s', (_what, formerGrants, words) => {
    const plan = deleting({ ...gone, formerGrants });
    expect(plan.steps).toEqual([]);
    expect(plan.blockers).toHaveLength(1);
    expect(plan.blockers[0]?.message.startsWith(`Cannot read the IAM policy of ${SECRET}: ${words}`)).toBe(true);
    expect(plan.inventory).toEqual([entry(ENTRIES.grant), entry(ENTRIES.account)]);
  });

  test('takes an account that can be seen at once, however fresh its create is', () => {
    const twin = entry({ type: 'ServiceAccount', name: ENTRIES.account.name }, at(-1_000));
    expect(stepIds(deleting(gone, [...atRest, twin]))).toEqual([REVOKE, 'account']);
  });

  test('does not wait for a fresh grant of an account that is another’s', () => {
    const account = present(accountA({ description: '' }));
    const formerGrants = [{ secret: SECRET, policy: present(grantTo()) }];
    expect(deleting({ ...gone, account, formerGrants }, stale('SecretAccess', at(-1_000)))).toMatchObject({
      waiting: [],
      inventory: [],
    });
  });

  test('goes by the youngest of its account’s entries, and by each secret’s own policy', () => {
    const twin = entry({ type: 'ServiceAccount', name: ENTRIES.account.name }, at(-10_000));
    const plan = deleting({ ...gone, account: failed('Propagating') }, [...atRest, twin]);
    expect(plan.blockers).toMatchObject([{ reason: 'Updating' }]);
    const other = entry({ ...ENTRIES.grant, name: `projects/${PROJECT}/secrets/other` });
    const formerGrants = [...held.formerGrants, { secret: other.name, policy: present(grantTo()) }];
    const both = deleting({ ...gone, formerGrants }, [...atRest, other]);
    expect(stepIds(both)).toEqual([REVOKE, 'account']);
  });

  test('does not wait for a grant that somebody took off already', () => {
    const plan = deleting({
      ...gone,
      formerGrants: [{ secret: SECRET, policy: present(grantTo('user:jane@example.com')) }],
    });
    expect(stepIds(plan)).toEqual(['account']);
    expect(stepOf(plan, 'account').needs).toEqual([]);
  });

  test('leaves an account alone that is not ours, and takes only the deleted identity’s member off', () => {
    const deleted = `deleted:serviceAccount:${EMAIL}?uid=${UID}`;
    const account = present(accountA({ description: 'ai-tenant-namespace=team' }));
    const formerGrants = [{ secret: SECRET, policy: present(grantTo(MEMBER, deleted)) }];
    const plan = deleting({ ...gone, account, formerGrants });
    expect(stepIds(plan)).toEqual([REVOKE]);
    expect(stepOf(plan, REVOKE).call).toMatchObject({ policy: grantTo(MEMBER) });
    // What is left of the grant is found by the account's name and identity.
    expect(plan.inventory).toEqual([entry(ENTRIES.grant), entry(ENTRIES.account)]);
    expect(
      deleting({ ...gone, account, formerGrants: [{ secret: SECRET, policy: present(grantTo()) }] }).inventory,
    ).toEqual([]);
  });
});

describe('abandoning a tenant', () => {
  const abandoning = (changes: Partial<Observed>) => planAbandon(tenantA(), cloud(changes), settings);
  const marked = { description: `by hand ${MARK}` };

  test('takes the marks off and nothing else', () => {
    const labels = { team: 'x', ...ownerLabels(OWNER) };
    const plan = abandoning({ account: present(accountA(marked)), services: [seen(present(serviceA({ labels })))] });
    expect(plan.steps).toMatchObject([
      {
        id: `service:${SERVICE}`,
        verb: 'Abandon',
        aspect: 'Service',
        target: SERVICE_TEXT,
        call: {
          kind: 'updateService',
          service: { name: SERVICE, etag: '"e1"', labels: { team: 'x' } },
          updateMask: ['labels'],
        },
        changes: [{ field: 'labels', from: 'owner marks', to: undefined }],
      },
      {
        id: 'account',
        verb: 'Abandon',
        aspect: 'ServiceAccount',
        target: `service account ${EMAIL}`,
        call: { kind: 'updateAccount', name: ENTRIES.account.name, description: 'by hand' },
        changes: [{ field: 'description', from: 'owner mark', to: undefined }],
      },
    ]);
    expect(plan.inventory).toEqual(atRest);
  });

  test('is done once no mark is left, or nothing is there, or nobody may look', () => {
    const unmarked = {
      account: present(accountA({ description: '' })),
      services: [seen(present(serviceA({ labels: {} })))],
    };
    const missing = { account: absent, services: [seen(absent)] };
    for (const changes of [unmarked, missing])
      expect(abandoning(changes)).toMatchObject({ steps: [], blockers: [], inventory: [] });
    for (const kind of ['PermissionDenied', 'Propagating', 'NotFound'] as const) {
      expect(abandonable(failure(kind))).toBe(true);
      const hidden = { account: failed(kind), services: [seen(failed(kind))] };
      expect(abandoning(hidden)).toMatchObject({ steps: [], blockers: [], inventory: [] });
    }
  });

  test('waits where Google Cloud does not answer', () => {
    expect(abandonable(failure('Transient'))).toBe(false);
    const plan = abandoning({ account: failed('Transient', 'lost'), services: [seen(failed('Transient', 'lost'))] });
    expect(plan.blockers).toEqual([
      { aspect: 'Service', reason: 'Updating', message: `Cannot read ${SERVICE_TEXT}: lost (trying again)` },
      { aspect: 'ServiceAccount', reason: 'Updating', message: 'Cannot read the service account: lost (trying again)' },
    ]);
    expect(plan.inventory).toEqual(atRest);
  });
});

describe('the deletion policy', () => {
  const OURS = 'ai-platform.dev/deletion-policy';
  const THEIRS = 'cnrm.cloud.google.com/deletion-policy';
  test.each<[Record<string, string>, string]>([
    [{}, 'delete'],
    [{ [OURS]: 'abandon' }, 'abandon'],
    [{ [THEIRS]: 'abandon' }, 'abandon'],
    [{ [OURS]: 'delete', [THEIRS]: 'abandon' }, 'delete'],
  ])('%j is %s', (annotations, policy) => {
    expect(deletionPolicy(tenantA({ annotations }))).toEqual({ ok: true, policy });
  });

  test('that is neither holds the deletion, and says what to write', () => {
    for (const key of [OURS, THEIRS]) {
      expect(deletionPolicy(tenantA({ annotations: { [key]: 'Delete\u001b' } }))).toEqual({
        ok: false,
        message:
          `The annotation ${key} is "Delete ": nothing is deleted until it is delete or abandon. ` +
          `kubectl annotate aitenant tenant-a -n team ${key}=abandon --overwrite`,
      });
    }
    expect(deletionPolicy(tenantA({ annotations: { [OURS]: '', [THEIRS]: 'delete' } }))).toMatchObject({ ok: false });
  });
});

test('a deletion looks at what is on record, and at nothing else', () => {
  const twice = [...atRest, entry(ENTRIES.service, at(0))];
  expect(deletionTargets(tenantA({ status: { inventory: twice } }).status)).toEqual({
    account: { project: PROJECT, email: EMAIL },
    keys: [],
    formerGrants: [SECRET],
    services: [SERVICE],
    invokersOf: [],
    isPublic: false,
  });
  expect(deletionTargets(tenantA({ status: { inventory: [] } }).status).account).toBeUndefined();
});
