import { describe, expect, test } from 'vitest';
import {
  deletionPolicy,
  deletionProject,
  leftBehind,
  noProject,
  planAbandon,
  planDeletion,
} from '../../operator/tenant/deletion.ts';
import { entryKey } from '../../operator/tenant/inventory.ts';
import { accountName } from '../../operator/tenant/names.ts';
import { ownerLabels } from '../../operator/tenant/ownership.ts';
import { abandonable } from '../../operator/tenant/removalContext.ts';
import { deletionTargets } from '../../operator/tenant/targets.ts';
import type { InventoryEntry, Observed, ObservedService, Plan } from '../../operator/tenant/types.ts';
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
  keyA,
  MARK,
  MEMBER,
  NOW,
  OPENAI,
  OWNER,
  PROJECT,
  present,
  REGION,
  SECRET,
  SERVICE,
  seen,
  serviceA,
  serviceIn,
  settings,
  stepIds,
  stepOf,
  templateA,
  tenantA,
  UID,
} from './support/tenantWorld.ts';

const SERVICE_TEXT = `Cloud Run service ai-platform-tenant-a in ${REGION}`;
const REVOKE = `revoke:${SECRET}`;
/** A template that runs as another account, and reads no key. */
const OTHERS = templateA({ serviceAccount: 'other@example.com' }, { env: [] });
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

describe('what a deletion leaves, although it is on record', () => {
  const told = (changes: Partial<Observed>, inventory = atRest) =>
    leftBehind(tenantA({ status: { inventory } }), cloud({ ...held, ...changes }), settings);
  const command = `gcloud run services delete ai-platform-tenant-a --region=${REGION} --project=${PROJECT}`;

  test('is told with the command where the marks are missing', () => {
    expect(told({ services: [seen(present(serviceA({ labels: { team: 'blue' } })))] })).toEqual([
      `The ${SERVICE_TEXT} has lost this tenant's owner marks, so it is not deleted and goes on running. If nobody else uses it: ${command}`,
    ]);
    expect(told({ account: present(accountA({ description: 'ours' })) })).toEqual([
      `The service account ${EMAIL} has lost this tenant's owner marks, so it is not deleted and keeps its grants. If nobody else uses it: gcloud iam service-accounts delete ${EMAIL} --project=${PROJECT}`,
    ]);
  });

  test('is told without a command where it is another owner’s', () => {
    const labels = ownerLabels({ ...OWNER, cluster: 'c2' });
    expect(told({ services: [seen(present(serviceA({ labels })))] })).toEqual([
      `The ${SERVICE_TEXT} carries the marks of another owner (c2/team/tenant-a, cluster/namespace/name), so it is not deleted and goes on running.`,
    ]);
  });

  test('is nothing where all is ours, gone, or was never on record', () => {
    expect(told({})).toEqual([]);
    expect(told({ ...gone, account: absent })).toEqual([]);
    const foreign = {
      services: [seen(present(serviceA({ labels: {} })))],
      account: present(accountA({ description: '' })),
    };
    expect(told(foreign, [])).toEqual([]);
  });
});

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
      {
        aspect: 'Service',
        reason: 'Updating',
        message: `Cannot read ${SERVICE_TEXT}: lost. The operator tries again.`,
        unread: true,
      },
    ]);
    expect(plan.steps).toEqual([]);
    expect(plan.inventory).toHaveLength(atRest.length);
  });

  test('leaves a service alone that is another’s', () => {
    const theirs = seen(present(serviceA({ labels: ownerLabels({ ...OWNER, name: 'other' }), template: OTHERS })));
    expect(stepIds(deleting({ services: [theirs] }))).toEqual([REVOKE, 'account']);
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
      'grant on secret openai-key',
    ],
    ['ServiceAccount', { ...gone, account: absent }, `service account ${EMAIL}`],
  ])('checks until a fresh %s can no longer turn up', (type, changes, what) => {
    for (const ageMs of [1_000, 118_500]) {
      const until = `${new Date(Date.parse(at(120_000 - ageMs))).toISOString().slice(0, 19)}Z`;
      const plan = deleting(changes, stale(type, at(-ageMs)));
      expect(plan.waiting).toEqual([
        {
          aspect: 'Service',
          message: `Google Cloud shows no ${what}, but a call that creates it may still be under way: the operator checks again until ${until}.`,
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

describe('deleting a tenant whose account runs a service that is not ours', () => {
  const UNMARK = { kind: 'updateAccount', name: ENTRIES.account.name, description: 'by hand' };
  const account = present(accountA({ description: `by hand ${MARK}` }));
  const ran = (changes: Partial<ObservedService>, more: Partial<Observed> = {}, inventory = atRest) =>
    deleting({ account, services: [seen(present(serviceA(changes)))], ...more }, inventory);

  test.each<[string, Partial<ObservedService>]>([
    ['without marks', { labels: { team: 'blue' } }],
    ['without marks, which consents', { labels: { 'ai-tenant-namespace': 'team' } }],
    ['of another owner', { labels: ownerLabels({ ...OWNER, namespace: 'other' }) }],
    ['that is being deleted', { labels: {}, deleteTime: at(-1) }],
    ['with an earlier revision that may serve', { labels: {}, template: OTHERS, reconciling: true }],
  ])('%s: the account only loses its mark, the grant stays, and both are told', (_which, changes) => {
    const plan = ran(changes);
    expect(stepIds(plan)).toEqual(['account']);
    expect(stepOf(plan, 'account')).toMatchObject({ verb: 'Abandon', aspect: 'ServiceAccount', call: UNMARK });
    // The entries stay until the mark is off, and nothing waits after that.
    expect(plan.inventory).toEqual([entry(ENTRIES.grant), entry(ENTRIES.account)]);
    expect(stepOf(plan, 'account').removes).toEqual(plan.inventory.map(entryKey));
    expect(plan.blockers).toEqual([]);
    expect(plan.notes).toEqual([
      `The service account ${EMAIL} is not deleted and keeps the grants that are in use, because the ${SERVICE_TEXT}, which is not this tenant's, may run as it. ` +
        `Only the owner mark is removed. Once nothing runs as it: gcloud iam service-accounts delete ${EMAIL} --project=${PROJECT}`,
    ]);
  });

  test('does so for a former region’s service too', () => {
    const former = seen(present(serviceA({ labels: {} }, 'europe-west1')), 'europe-west1');
    expect(stepOf(deleting({ account, services: [seen(absent), former] }), 'account').call).toEqual(UNMARK);
  });

  test('removes the grants that the service does not read, on record or not, before the mark', () => {
    const template = templateA({}, { env: [] });
    expect(stepIds(ran({ labels: {}, template }))).toEqual([REVOKE, 'account']);
    expect(stepOf(ran({ labels: {}, template }), 'account').needs).toEqual([REVOKE]);
    const unrecorded = { keys: [keyA()], formerGrants: [] };
    expect(stepIds(ran({ labels: {}, template }, unrecorded, []))).toEqual([REVOKE, 'account']);
    expect(stepIds(ran({ labels: {} }, unrecorded, []))).toEqual(['account']);
  });

  test('removes a grant whose secret has lost its consent', () => {
    const keys = [keyA({ secret: present({ name: SECRET, labels: {} }) })];
    expect(stepIds(ran({ labels: {} }, { keys }))).toEqual([REVOKE, 'account']);
  });

  test('takes an account that the service does not run as', () => {
    expect(stepIds(ran({ labels: {}, template: OTHERS }))).toEqual([REVOKE, 'account']);
    const never = { latestReadyRevision: '', terminal: { state: 'FAILED', reason: '', message: '' } as const };
    expect(stepIds(ran({ labels: {}, template: OTHERS, ...never }))).toEqual([REVOKE, 'account']);
  });

  test('leaves an account that has lost its own mark as it is', () => {
    const plan = ran({ labels: {} }, { account: present(accountA({ description: 'by hand' })) });
    expect(plan).toMatchObject({ steps: [], blockers: [], inventory: [], notes: [] });
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
      {
        aspect: 'Service',
        reason: 'Updating',
        message: `Cannot read ${SERVICE_TEXT}: lost. The operator tries again.`,
        unread: true,
      },
      {
        aspect: 'ServiceAccount',
        reason: 'Updating',
        message: 'Cannot read the service account: lost. The operator tries again.',
      },
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
          `The annotation ${key} is "Delete ": nothing is deleted until it is delete or abandon. To delete everything in Google Cloud: ` +
          `\`kubectl annotate aitenant tenant-a -n team ${key}=delete --overwrite\`. To keep everything there: ` +
          `kubectl annotate aitenant tenant-a -n team ${key}=abandon --overwrite`,
      });
    }
    expect(deletionPolicy(tenantA({ annotations: { [OURS]: '', [THEIRS]: 'delete' } }))).toMatchObject({ ok: false });
  });
});

describe('a deletion reads', () => {
  const OTHER = 'us-central1';
  const KEY = { name: 'openai', secret: `projects/${PROJECT}/secrets/openai-key`, want: 'none' };

  test('what is on record, and what the names stand for', () => {
    const twice = [
      ...atRest,
      entry(ENTRIES.service, at(0)),
      entry({ type: 'Service', name: serviceIn('europe-west1') }),
    ];
    const tenant = tenantA({ status: { inventory: twice, region: OTHER } });
    expect(deletionTargets(tenant, PROJECT)).toEqual({
      account: accountName(PROJECT, EMAIL),
      keys: [KEY],
      formerGrants: [SECRET],
      services: [SERVICE, serviceIn('europe-west1'), serviceIn(OTHER)],
      invokersOf: [],
      isPublic: false,
    });
  });

  test('by name alone where nothing is on record', () => {
    const lost = tenantA({
      status: { inventory: [] },
      spec: { keys: [OPENAI, { name: 'c', secretRef: { name: 'cc' } }] },
    });
    expect(deletionTargets(lost, PROJECT)).toMatchObject({
      account: accountName(PROJECT, EMAIL),
      keys: [KEY, { name: 'c', secret: `projects/${PROJECT}/secrets/cc`, want: 'none' }],
      services: [SERVICE],
    });
    const unready = () => ({ state: 'notReady' as const, why: 'Updating', secret: 'projects/p/secrets/s' });
    expect(deletionTargets(lost, PROJECT, unready).keys.at(-1)).toMatchObject({ secret: 'projects/p/secrets/s' });
    const connector = () => ({ state: 'ready' as const, secret: 'projects/p/secrets/s' });
    expect(deletionTargets(lost, PROJECT, connector).keys).toHaveLength(2);
    expect(deletionTargets(lost, undefined)).toMatchObject({ account: undefined, keys: [], services: [] });
    const odd = tenantA({ status: { inventory: [] }, spec: { region: '../x' } });
    expect(deletionTargets(odd, PROJECT).services).toEqual([]);
  });

  test.each<[string, object, Record<string, string>, string | undefined, string | undefined]>([
    ['the inventory’s', {}, { 'ai-platform.dev/project-id': 'annotated-1' }, PROJECT, PROJECT],
    [
      'the status’s',
      { inventory: [], projectId: 'noted-1' },
      { 'ai-platform.dev/project-id': 'annotated-1' },
      PROJECT,
      'noted-1',
    ],
    [
      'the Namespace’s',
      { inventory: [] },
      { 'cnrm.cloud.google.com/project-id': 'annotated-1' },
      PROJECT,
      'annotated-1',
    ],
    ['the operator’s', { inventory: [] }, {}, PROJECT, PROJECT],
    ['none', { inventory: [] }, {}, undefined, undefined],
    ['none that is no project', { inventory: [] }, { 'ai-platform.dev/project-id': '../x' }, PROJECT, undefined],
  ])('in %s project', (_whose, status, annotations, project, expected) => {
    expect(deletionProject(tenantA({ status }), annotations, { ...settings, project })).toBe(expected);
  });
});

describe('a deletion with nothing on record', () => {
  const lost: InventoryEntry[] = [];
  const keys = [keyA({ version: undefined })];

  test('deletes what carries the tenant’s full marks, and puts it on record first', () => {
    const first = deleting({ keys, formerGrants: [] }, lost);
    expect(stepIds(first)).toEqual([`delete:${SERVICE}`]);
    expect(first.inventory).toEqual([{ type: 'Service', name: SERVICE, time: at(0) }]);
    const then = deleting({ ...gone, keys, formerGrants: [] }, lost);
    expect(stepIds(then)).toEqual([REVOKE, 'account']);
    expect(stepOf(then, 'account').needs).toEqual([REVOKE]);
    expect(then.inventory).toEqual([
      { type: 'SecretAccess', name: SECRET, time: at(0) },
      { type: 'ServiceAccount', name: ENTRIES.account.name, uniqueId: UID, time: at(0) },
    ]);
    expect(stepOf(then, 'account').removes).toEqual([entryKey(then.inventory[1] as InventoryEntry)]);
    expect(deleting({ account: absent, ...gone, keys, formerGrants: [] }, lost)).toMatchObject({
      steps: [],
      blockers: [],
      inventory: [],
    });
  });

  test('records the regions that could not be searched as soon as another service is on record', () => {
    const there = seen(present(serviceA()));
    const unread = { ...seen(failed('Transient', '503')), name: serviceIn('us-central1'), region: 'us-central1' };
    const noRegion = failed('PermissionDenied', "Permission denied on 'locations/me-central2' (or it may not exist).");
    const closed = { ...seen(noRegion), name: serviceIn('me-central2'), region: 'me-central2' };
    const plan = deleting({ keys, formerGrants: [], services: [there, unread, closed] }, lost);
    expect(stepIds(plan)).toEqual([`delete:${SERVICE}`]);
    expect(plan.inventory).toEqual([
      { type: 'Service', name: SERVICE, time: at(0) },
      { type: 'Service', name: serviceIn('us-central1'), time: at(0) },
    ]);
    expect(plan.blockers).toHaveLength(1);
  });

  test.each<[string, Record<string, string>]>([
    ['none', {}],
    ['consent only', { 'ai-tenant-namespace': 'team' }],
    ['another’s', ownerLabels({ ...OWNER, namespace: 'other' })],
    ...Object.keys(ownerLabels(OWNER)).map((mark): [string, Record<string, string>] => {
      const { [mark]: _, ...rest } = ownerLabels(OWNER);
      return [`all but ${mark}`, rest];
    }),
  ])('leaves a service alone whose marks are %s', (_what, labels) => {
    const plan = deleting({ account: absent, keys, services: [seen(present(serviceA({ labels })))] }, lost);
    expect(plan).toMatchObject({ steps: [], inventory: [] });
  });

  test.each<[string, Partial<Observed>, string]>([
    ['the service', { services: [seen(failed('PermissionDenied', 'no'))] }, SERVICE_TEXT],
    ['the service', { services: [seen(failed('Transient', '503'))] }, SERVICE_TEXT],
    ['the account', { ...gone, account: failed('Transient', '503') }, 'service account sa-tenant-a'],
    ['the account', { ...gone, account: failed('PermissionDenied', 'no') }, 'service account sa-tenant-a'],
    ['a secret', { ...gone, keys: [keyA({ secret: failed('Transient', '503'), policy: undefined })] }, 'of key openai'],
    ['a policy', { ...gone, keys: [keyA({ policy: failed('QuotaExceeded', '429') })] }, 'of key openai'],
  ])('is held by what cannot be read: %s', (_what, changes, words) => {
    const plan = deleting({ keys, formerGrants: [], ...changes }, lost);
    expect(plan.steps).toEqual([]);
    expect(plan.blockers).toHaveLength(1);
    expect(plan.blockers[0]?.message).toContain(words);
    const denied = plan.blockers[0]?.reason === 'PermissionDenied';
    expect(plan.blockers[0]?.message.includes('deletion-policy=abandon')).toBe(denied);
  });

  test('is not held by a region that does not exist, nor by a secret that is none of its', () => {
    const noRegion = failed('PermissionDenied', "Permission denied on 'locations/us-mars1' (or it may not exist).");
    const secret = failed('PermissionDenied', 'no');
    const nothing = { account: absent, services: [seen(noRegion)], keys: [], formerGrants: [] };
    expect(deleting(nothing, lost)).toMatchObject({ steps: [], blockers: [], inventory: [] });
    expect(deleting({ services: [seen(noRegion)] }).blockers).toHaveLength(1);
    const hidden = { ...gone, keys: [keyA({ secret, policy: undefined })], formerGrants: [] };
    expect(stepIds(deleting(hidden, lost))).toEqual(['account']);
  });

  test('takes a grant off that is only half on record, once', () => {
    const plan = deleting({ ...gone, keys: [keyA(), keyA({ name: 'again' })], formerGrants: [] });
    expect(stepIds(plan)).toEqual([REVOKE, 'account']);
    expect(plan.inventory).toEqual([entry(ENTRIES.grant), entry(ENTRIES.account)]);
  });

  test('abandons by full marks, too', () => {
    const tenant = tenantA({ status: { inventory: lost } });
    const plan = planAbandon(tenant, cloud(), settings);
    expect(stepIds(plan)).toEqual([`service:${SERVICE}`, 'account']);
    const { [Object.keys(ownerLabels(OWNER))[0] as string]: _, ...labels } = ownerLabels(OWNER);
    const partly = planAbandon(tenant, cloud({ services: [seen(present(serviceA({ labels })))] }), settings);
    expect(stepIds(partly)).toEqual(['account']);
  });

  test('says what is missing where no project is known', () => {
    expect(noProject(tenantA()).blockers[0]?.message).toContain(
      'kubectl annotate namespace team ai-platform.dev/project-id=PROJECT',
    );
  });
});
