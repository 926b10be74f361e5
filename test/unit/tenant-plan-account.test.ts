import { describe, expect, test } from 'vitest';
import { entryKey } from '../../operator/tenant/inventory.ts';
import { ownerLabels } from '../../operator/tenant/ownership.ts';
import {
  absent,
  accountA,
  at,
  atRest,
  EMAIL,
  ENTRIES,
  entry,
  failed,
  type Given,
  grantTo,
  invokedBy,
  keyA,
  LONG_AGO,
  MARK,
  MEMBER,
  OWNER,
  PROJECT,
  planFor,
  present,
  SECRET,
  SERVICE,
  secretVariable,
  seen,
  serviceA,
  stepIds,
  stepOf,
  templateA,
} from './support/tenantWorld.ts';

const account = (changes: Parameters<typeof accountA>[0]): Given['cloud'] => ({ account: present(accountA(changes)) });
const accountEntries = (given: Given) => planFor(given).inventory.filter(({ type }) => type === 'ServiceAccount');
/** The AiTenant asks for what exists already. */
const annotations = { 'ai-platform.dev/adopt': 'true' };
const unnamed = { type: 'ServiceAccount', name: ENTRIES.account.name } as const;

test('a tenant at rest needs nothing, and stays on record as it is', () => {
  const plan = planFor();
  expect(plan).toMatchObject({ steps: [], blockers: [], waiting: [], notes: [] });
  expect(plan.recheckAfterMs).toBeUndefined();
  expect(plan.inventory.map(entryKey).sort()).toEqual(atRest.map(entryKey).sort());
  expect(plan.inventory.every(({ time }) => time === LONG_AGO)).toBe(true);
});

describe('a service account that is not there', () => {
  const fresh: Given = {
    status: { inventory: [], keys: [], conditions: [] },
    cloud: { account: absent, keys: [keyA({ policy: present(grantTo()) })] },
  };

  test('is made with our mark, before all that needs it', () => {
    const plan = planFor(fresh);
    const create = stepOf(plan, 'account');
    expect(create).toEqual({
      id: 'account',
      aspect: 'ServiceAccount',
      verb: 'Create',
      target: `service account ${EMAIL}`,
      call: {
        kind: 'createAccount',
        project: PROJECT,
        accountId: 'sa-tenant-a',
        email: EMAIL,
        displayName: 'AI tenant tenant-a',
        description: MARK,
      },
      needs: [],
      changes: [],
      creates: [entryKey(entry(unnamed))],
      removes: [],
      closes: false,
      drift: false,
    });
    expect(stepIds(plan)).toEqual(['account', `grant:${SECRET}`]);
    expect(stepOf(plan, `grant:${SECRET}`).needs).toEqual(['account']);
    expect(plan.inventory).toContainEqual(entry(unnamed, at(0)));
  });

  test('was taken away by somebody if the tenant was up to date: that is drift', () => {
    expect(stepOf(planFor({ cloud: { account: absent } }), 'account').drift).toBe(true);
    expect(stepOf(planFor({ generation: 2, cloud: { account: absent } }), 'account').drift).toBe(false);
  });

  test('and that is made anew leaves its earlier identity on record, for its members', () => {
    expect(accountEntries({ cloud: { account: absent } })).toEqual([entry(ENTRIES.account), entry(unnamed, at(0))]);
  });

  test('replaces an entry of a create that never came to anything', () => {
    const inventory = [entry(unnamed, at(-10_000))];
    expect(accountEntries({ ...fresh, status: { ...fresh.status, inventory } })).toEqual([entry(unnamed, at(0))]);
  });

  test.each([
    [1_000, false],
    [59_999, false],
    [60_000, true],
  ])('%i ms after it was made and seen is made again: %s', (ageMs, again) => {
    const made = entry(ENTRIES.account, at(-ageMs));
    const plan = planFor({ status: { inventory: [made] }, cloud: { account: absent } });
    expect(stepIds(plan).includes('account')).toBe(again);
    expect(plan.inventory).toContainEqual(made);
    if (again) return;
    expect(plan.waiting).toEqual([
      {
        aspect: 'ServiceAccount',
        message: `Service account ${EMAIL} was made and is not visible yet.`,
        retryAfterMs: 1_000,
      },
    ]);
    // Nothing that depends on it is done meanwhile.
    expect(plan.steps).toEqual([]);
  });

  test('cannot be made where the mark has no room', () => {
    const plan = planFor({ ...fresh, settings: { clusterId: 'c'.repeat(250) } });
    expect(plan.steps).toEqual([]);
    expect(plan.blockers).toContainEqual({
      aspect: 'ServiceAccount',
      reason: 'ManagementConflict',
      message: `The owner's mark ${'c'.repeat(250)}/team/tenant-a is too long for a service account's description: use a shorter --cluster-id.`,
    });
  });
});

describe('a service account that cannot be read', () => {
  test('holds everything back, and says why', () => {
    const plan = planFor({
      generation: 2,
      spec: { timeoutSeconds: 60 },
      cloud: { account: failed('Transient', 'lost') },
    });
    expect(plan.blockers).toEqual([
      {
        aspect: 'ServiceAccount',
        reason: 'Updating',
        message: `Cannot read service account ${EMAIL}: lost. The operator tries again.`,
        unread: true,
      },
    ]);
    expect(plan.steps).toEqual([]);
    expect(plan.inventory).toContainEqual(entry(ENTRIES.account));
  });

  test.each([
    [10_000, true],
    [59_999, true],
    [60_000, false],
  ])('with a 403 "or it may not exist", %i ms after it was made: is waited for: %s', (ageMs, waits) => {
    const plan = planFor({
      status: { inventory: [entry(ENTRIES.account, at(-ageMs)), entry(ENTRIES.service)] },
      cloud: { account: failed('Propagating') },
    });
    expect(plan.waiting.some(({ aspect }) => aspect === 'ServiceAccount')).toBe(waits);
    expect(plan.blockers.map(({ reason }) => reason)).toEqual(waits ? [] : ['PermissionDenied']);
  });

  test('with any other 403 is a matter of rights, however fresh it is', () => {
    const plan = planFor({
      status: { inventory: [entry(ENTRIES.account, at(-1_000)), entry(ENTRIES.service)] },
      cloud: { account: failed('PermissionDenied') },
    });
    expect(plan.blockers.map(({ reason }) => reason)).toEqual(['PermissionDenied']);
    expect(plan.waiting).toEqual([]);
  });
});

describe('a service account that exists already', () => {
  test('of another owner is left alone, whatever it consents to', () => {
    const description = 'ai-tenant-owner=c1/other/tenant-a ai-tenant-namespace=team';
    const plan = planFor({ cloud: account({ description }) });
    expect(plan.blockers).toEqual([
      {
        aspect: 'ServiceAccount',
        reason: 'ManagementConflict',
        message:
          `Service account ${EMAIL} belongs to c1/other/tenant-a (cluster/namespace/name), not to c1/team/tenant-a. ` +
          'Rename this tenant, or ask the other one’s owners to delete theirs with the annotation ai-platform.dev/deletion-policy=abandon.',
      },
    ]);
    expect(plan.steps).toEqual([]);
    expect(plan.inventory).toContainEqual(entry(ENTRIES.account));
  });

  test('without consent is left alone, and the command that gives it is told', () => {
    const plan = planFor({ cloud: account({ description: 'made by hand' }) });
    expect(plan.steps).toEqual([]);
    expect(plan.blockers).toEqual([
      {
        aspect: 'ServiceAccount',
        reason: 'ManagementConflict',
        message:
          `Service account ${EMAIL} exists already and does not name namespace team. The AiTenant has to ask for it too (` +
          '`kubectl annotate aitenant tenant-a -n team ai-platform.dev/adopt=true --overwrite`). ' +
          `Whoever administers project ${PROJECT} lets this tenant adopt it with: ` +
          `gcloud iam service-accounts update ${EMAIL} --project=${PROJECT} --description='made by hand [ai-tenant-namespace=team]'`,
      },
    ]);
  });

  test('with consent is adopted: the mark goes beside what stands there, first of all', () => {
    const description = 'made by hand ai-tenant-namespace=team';
    const given: Given = { generation: 2, spec: { timeoutSeconds: 60 }, cloud: account({ description }) };
    expect(planFor(given)).toMatchObject({ steps: [], blockers: [{ reason: 'ManagementConflict' }] });
    const plan = planFor({ ...given, annotations });
    const adopt = stepOf(plan, 'account');
    expect(adopt).toMatchObject({
      verb: 'Adopt',
      aspect: 'ServiceAccount',
      target: `service account ${EMAIL}`,
      call: { kind: 'updateAccount', name: ENTRIES.account.name, description: `${description} ${MARK}` },
      changes: [{ field: 'description', from: description, to: `${description} ${MARK}` }],
    });
    // The template names the account: it changes only once it is ours.
    expect(stepOf(plan, `service:${SERVICE}`).needs).toEqual(['account']);
  });

  test('with consent, but no room for the mark, is not', () => {
    const description = `ai-tenant-namespace=team ${'x'.repeat(225)}`;
    const plan = planFor({ annotations, cloud: account({ description }) });
    expect(plan.steps).toEqual([]);
    expect(plan.blockers).toEqual([
      {
        aspect: 'ServiceAccount',
        reason: 'ManagementConflict',
        message: `The description of service account ${EMAIL} has no room (256 bytes) for the owner's mark: shorten it.`,
      },
    ]);
  });

  test('and that somebody disabled stays disabled: nothing is created or changed, and the status says so', () => {
    const plan = planFor({
      generation: 2,
      spec: { timeoutSeconds: 60, region: 'europe-west1', env: [{ name: 'MORE', value: 'x' }] },
      cloud: {
        account: present(accountA({ disabled: true })),
        keys: [keyA({ policy: present(grantTo()) })],
        services: [seen(absent, 'europe-west1'), seen(present(serviceA()))],
      },
    });
    expect(plan.steps).toEqual([]);
    expect(plan.blockers[0]).toMatchObject({
      aspect: 'ServiceAccount',
      reason: 'Held',
      message: expect.stringContaining(`gcloud iam service-accounts enable ${EMAIL} --project=${PROJECT}`),
    });
    // Nothing is put on record that this plan does not make.
    expect(plan.inventory).toEqual(expect.arrayContaining(atRest));
    expect(plan.inventory).toHaveLength(atRest.length);
  });

  test('and that somebody disabled: grants that have left the spec or lost consent go at once, also from serving revisions', () => {
    const other = `projects/${PROJECT}/secrets/other`;
    const readsBoth = templateA({}, { env: [secretVariable('OTHER', 'other', '1')] });
    const plan = planFor({
      status: { inventory: [...atRest, entry({ ...ENTRIES.grant, name: other })] },
      cloud: {
        account: present(accountA({ disabled: true })),
        keys: [keyA({ secret: present({ name: SECRET, labels: {} }) })],
        formerGrants: [{ secret: other, policy: present(grantTo(MEMBER)) }],
        services: [seen(present(serviceA({ template: readsBoth })))],
      },
    });
    expect(stepIds(plan).sort()).toEqual([`revoke:${SECRET}`, `revoke:${other}`].sort());
    expect(plan.steps.every(({ closes }) => closes)).toBe(true);
  });

  test.each(['Transient', 'PermissionDenied', 'QuotaExceeded'] as const)(
    'and that somebody disabled stays held while it cannot be read (%s): nothing opens, and what closes goes on',
    kind => {
      const held = {
        status: 'False',
        reason: 'Held',
        message: '',
        lastTransitionTime: LONG_AGO,
        observedGeneration: 1,
      };
      const conditions = ['Ready', 'ServiceAccountReady'].map(type => ({ ...held, type }));
      const planOf = (access: string, isOpen: boolean) =>
        planFor({
          generation: 2,
          spec: { access, scaling: { minInstances: 3 } },
          status: { conditions },
          cloud: {
            account: failed(kind, 'said no'),
            services: [seen(present(serviceA({ invokerIamDisabled: isOpen })), undefined, present(invokedBy()))],
          },
        });
      const opening = planOf('Public', false);
      expect(opening.steps).toEqual([]);
      expect(opening.blockers[0]).toMatchObject({ aspect: 'ServiceAccount', reason: 'Held' });
      expect(stepIds(planOf('Authenticated', true))).toEqual([`close:${SERVICE}`]);
    },
  );

  test('with consent and disabled is not adopted', () => {
    const description = 'ai-tenant-namespace=team';
    const plan = planFor({ annotations, cloud: account({ description, disabled: true }) });
    expect(plan.steps).toEqual([]);
    expect(plan.blockers).toMatchObject([{ reason: 'Held' }]);
  });

  test('of another owner: no service of the tenant’s name is touched, not even closed', () => {
    const open = { labels: ownerLabels(OWNER), invokerIamDisabled: true };
    const plan = planFor({
      generation: 2,
      spec: { access: 'Authenticated', timeoutSeconds: 60 },
      cloud: {
        account: present(accountA({ description: 'ai-tenant-owner=c1/other/tenant-a' })),
        services: [seen(present(serviceA(open)), undefined, present(invokedBy('allUsers')))],
      },
    });
    expect(plan.steps).toEqual([]);
    expect(plan.blockers).toMatchObject([{ aspect: 'ServiceAccount', reason: 'ManagementConflict' }]);
  });
});

describe('the identities on record', () => {
  const stale = entry({ ...ENTRIES.account, uniqueId: '77' });
  const others = atRest.filter(({ type }) => type !== 'ServiceAccount');

  test('get the one that is there, with the time of the call that made it', () => {
    const inventory = [entry(unnamed, at(-5_000)), ...others];
    expect(accountEntries({ status: { inventory } })).toEqual([entry(ENTRIES.account, at(-5_000))]);
  });

  test('of an account that was there before the first call begin now', () => {
    expect(accountEntries({ status: { inventory: others }, settings: { restore: true } })).toEqual([
      entry(ENTRIES.account, at(0)),
    ]);
  });

  test('known already keep their time, also beside a create whose answer was lost', () => {
    const inventory = [entry(unnamed, at(-5_000)), entry(ENTRIES.account), ...others];
    expect(accountEntries({ status: { inventory } })).toEqual([entry(ENTRIES.account)]);
  });

  test('that no policy names any more are forgotten', () => {
    expect(accountEntries({ status: { inventory: [stale, ...atRest] } })).toEqual([entry(ENTRIES.account)]);
  });

  const deleted = `deleted:serviceAccount:${EMAIL}?uid=77`;
  const theirs = { name: `projects/${PROJECT}/secrets/other`, policy: present(grantTo(deleted)) };

  test('that a policy still names stay until the member has gone', () => {
    const given = {
      status: { inventory: [stale, ...atRest] },
      cloud: { keys: [keyA({ policy: present(grantTo(MEMBER, deleted)) })] },
    };
    expect(accountEntries(given)).toEqual([stale, entry(ENTRIES.account)]);
    expect(stepOf(planFor(given), `grant:${SECRET}`).call).toMatchObject({ policy: grantTo(MEMBER) });
  });

  test.each([
    ['a policy of the spec’s', { keys: [keyA({ policy: failed('Transient') })] }],
    ['a policy that has left the spec', { formerGrants: [{ secret: theirs.name, policy: failed('Transient') }] }],
    ['the account', { account: failed('Transient') }],
  ])('stay while %s cannot be read', (_what, changes) => {
    expect(accountEntries({ status: { inventory: [stale, ...atRest] }, cloud: changes })).toEqual([
      stale,
      entry(ENTRIES.account),
    ]);
  });
});

test('without --cluster-id, a plan takes the same namespace and name of any cluster for its own consent', () => {
  const description = 'ai-tenant-namespace=team ai-tenant-cluster=elsewhere';
  expect(planFor({ annotations, cloud: account({ description }) }).blockers).toHaveLength(1);
  expect(planFor({ annotations, cloud: account({ description }), anyCluster: true }).blockers).toEqual([]);
});
