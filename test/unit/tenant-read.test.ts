import { describe, expect, test } from 'vitest';
import { failureBlocker, readBlocker } from '../../operator/tenant/context.ts';
import { absenceCounts, entryKey, settleInventory } from '../../operator/tenant/inventory.ts';
import { foresee } from '../../operator/tenant/managed.ts';
import { plan } from '../../operator/tenant/plan.ts';
import { FINALIZER, readTenant } from '../../operator/tenant/resource.ts';
import type { Call, FailureKind, Observed, Step } from '../../operator/tenant/types.ts';
import {
  absent,
  accountA,
  at,
  atRest,
  cloud,
  desiredOf,
  EMAIL,
  ENTRIES,
  entry,
  failure,
  grantTo,
  invokedBy,
  keyA,
  MEMBER,
  NOW,
  planFor,
  present,
  SECRET,
  SERVICE,
  seen,
  serviceA,
  settings,
  templateA,
  tenantA,
} from './support/tenantWorld.ts';

describe('an AiTenant as it came from a watch', () => {
  const metadata = { name: 'tenant-a', namespace: 'team' };
  const whole = {
    metadata: {
      ...metadata,
      uid: 'u-1',
      generation: 3,
      resourceVersion: '42',
      deletionTimestamp: '2030-01-01T00:00:00Z',
      finalizers: ['other/finalizer', FINALIZER],
      annotations: { a: 'b' },
    },
    spec: {
      region: 'r1',
      keys: [
        { name: 'k', secretRef: { external: 's' }, env: 'K', version: 3, rollout: 'OnRestart' },
        { name: 'c', secretRef: { name: 'cc' } },
      ],
      image: 'i',
      env: [{ name: 'A', value: 'x' }],
      scaling: { minInstances: 1, maxInstances: 2, concurrency: 3 },
      resources: { cpu: 2, memory: '4Gi' },
      timeoutSeconds: 60,
      access: 'Authenticated',
      invokers: ['user:jane@example.com'],
      suspend: true,
    },
    status: {
      observedGeneration: 3,
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'UpToDate',
          message: 'm',
          lastTransitionTime: '2030-01-01T00:00:00Z',
          observedGeneration: 3,
        },
        { type: 'Stalled', status: 'False', reason: '', message: '', lastTransitionTime: '', observedGeneration: 0 },
      ],
      url: 'u',
      serviceAccountEmail: 'e',
      impersonatedServiceAccount: 'i',
      latestReadyRevision: 'r',
      projectId: 'p',
      region: 'r1',
      keys: [{ name: 'k', version: 3, secret: 's', granted: true }],
      lastHandledReconcileAt: 'l',
      image: 'i',
      inventory: [
        { type: 'Service', name: 's', time: 't', retireAt: 'r', deletedAt: 'd' },
        { type: 'Invoker', name: 's', time: 't', member: 'm' },
        { type: 'Variable', name: 's', time: 't', variable: 'v' },
        { type: 'ServiceAccount', name: 'a', time: 't', uniqueId: '7' },
        { type: 'SecretAccess', name: 'x', time: 't' },
      ],
    },
  };

  test('is read whole', () => {
    const { spec, status } = whole;
    const tenant = readTenant(whole);
    expect(tenant).toMatchObject({
      ...metadata,
      uid: 'u-1',
      generation: 3,
      resourceVersion: '42',
      deletionTimestamp: '2030-01-01T00:00:00Z',
      hasFinalizer: true,
      annotations: { a: 'b' },
    });
    expect(tenant.spec).toEqual({
      ...spec,
      keys: [
        { name: 'k', secretRef: { external: 's', name: undefined }, env: 'K', version: '3', rollout: 'OnRestart' },
        {
          name: 'c',
          secretRef: { external: undefined, name: 'cc' },
          env: undefined,
          version: 'latest',
          rollout: 'OnNewVersion',
        },
      ],
      resources: { cpu: '2', memory: '4Gi' },
    });
    expect(tenant.status).toMatchObject({ ...status, keys: [{ name: 'k', version: '3', secret: 's', granted: true }] });
  });

  test('with nothing in it has the CRD’s defaults', () => {
    expect(readTenant({ metadata: { name: 'tenant-a' } })).toMatchObject({
      namespace: '',
      name: 'tenant-a',
      uid: '',
      generation: 0,
      resourceVersion: '',
      deletionTimestamp: undefined,
      hasFinalizer: false,
      annotations: {},
      spec: {
        region: '',
        keys: [],
        image: undefined,
        env: [],
        scaling: { minInstances: 0, maxInstances: 10, concurrency: 80 },
        resources: { cpu: '1', memory: '1Gi' },
        timeoutSeconds: 300,
        access: 'Public',
        invokers: [],
        suspend: false,
      },
      status: { observedGeneration: undefined, conditions: [], keys: [], inventory: [] },
    });
  });

  const odd: [string, object, object, object][] = [
    [
      'numbers that are none',
      { scaling: { minInstances: 'x', maxInstances: null, concurrency: Number.NaN }, timeoutSeconds: '60' },
      {},
      { spec: { scaling: { minInstances: 0, maxInstances: 10, concurrency: 80 }, timeoutSeconds: 300 } },
    ],
    [
      'lists that are none',
      { keys: { a: 1 }, env: 'x', invokers: 7 },
      { conditions: 'x', keys: {}, inventory: null },
      { spec: { keys: [], env: [], invokers: [] }, status: { conditions: [], keys: [], inventory: [] } },
    ],
    [
      'maps that are none',
      { scaling: [1], resources: 'x', keys: ['k'] },
      {},
      { spec: { resources: { cpu: '1', memory: '1Gi' }, keys: [{ name: '', version: 'latest' }] } },
    ],
    [
      'empty texts',
      { region: '', image: '', invokers: ['', 'user:x@example.com', 5] },
      { url: '' },
      { spec: { region: '', image: undefined, invokers: ['user:x@example.com'] }, status: { url: undefined } },
    ],
    [
      'variables without a name or value',
      { env: [{ value: 'x' }, { name: 'A' }, { name: 'B', value: 5 }, { name: 'C', value: '' }] },
      {},
      {
        spec: {
          env: [
            { name: 'A', value: '' },
            { name: 'B', value: '' },
            { name: 'C', value: '' },
          ],
        },
      },
    ],
    [
      'words nobody knows',
      { access: 'Everybody', suspend: 'yes', keys: [{ rollout: 'Never' }] },
      {},
      { spec: { access: 'Public', suspend: false, keys: [{ rollout: 'OnNewVersion' }] } },
    ],
    [
      'a condition of another kind',
      {},
      {
        conditions: [
          { type: 'Progressing', status: 'True' },
          { status: 'True' },
          { type: 'Ready', status: 'Maybe', reason: 5, message: 5, observedGeneration: 'x' },
        ],
      },
      {
        status: {
          conditions: [
            {
              type: 'Ready',
              status: 'Unknown',
              reason: '',
              message: '',
              lastTransitionTime: '',
              observedGeneration: 0,
            },
          ],
        },
      },
    ],
    [
      'entries of nothing',
      {},
      {
        inventory: [
          { type: 'Bucket', name: 'b' },
          { type: 'Service' },
          { name: 'x' },
          { type: 'Service', name: 's', member: 5 },
        ],
      },
      { status: { inventory: [{ type: 'Service', name: 's', time: '' }] } },
    ],
    [
      'keys without a name',
      {},
      { keys: [{ version: '3' }, { name: 'k', granted: 'yes' }], observedGeneration: '3' },
      { status: { keys: [{ name: 'k', version: undefined, granted: false }], observedGeneration: undefined } },
    ],
    [
      'what is there twice, which an API server would refuse to store again',
      {
        keys: [{ name: 'k', env: 'A' }, { name: 'l' }, { name: 'k', env: 'B' }],
        env: [
          { name: 'A', value: '1' },
          { name: 'A', value: '2' },
        ],
      },
      {
        conditions: [
          { type: 'Stalled', status: 'True', reason: 'first' },
          { type: 'Stalled', status: 'True', reason: 'second' },
        ],
        keys: [
          { name: 'k', version: '3' },
          { name: 'k', version: '4' },
        ],
      },
      {
        spec: { keys: [{ name: 'k', env: 'A' }, { name: 'l' }], env: [{ name: 'A', value: '1' }] },
        status: { conditions: [{ type: 'Stalled', reason: 'first' }], keys: [{ name: 'k', version: '3' }] },
      },
    ],
  ];
  test.each(odd)('with %s is read without them', (_what, spec, status, expected) => {
    expect(readTenant({ metadata, spec, status })).toMatchObject(expected);
  });

  test('every type of condition and entry that the status can hold comes back', () => {
    const conditions = ['Ready', 'ServiceAccountReady', 'SecretAccessReady', 'ServiceReady', 'Stalled'].map(type => ({
      type,
    }));
    expect(readTenant({ metadata, status: { conditions } }).status.conditions.map(({ type }) => type)).toEqual(
      conditions.map(({ type }) => type),
    );
  });
});

describe('what a failure means', () => {
  const hint =
    'Give the operator’s identity the missing permission in that project (its roles are in manifests/gcp). The operator tries again by itself.';
  test.each<[FailureKind, string, string]>([
    ['Transient', 'Updating', 'Doing: said no. The operator tries again.'],
    ['Conflict', 'Updating', 'Doing: said no. The operator tries again.'],
    ['PermissionDenied', 'PermissionDenied', `Doing: said no. ${hint}`],
    [
      'QuotaExceeded',
      'QuotaExceeded',
      'Doing: said no. The operator tries again by itself. If it stays so, ask for more quota: https://console.cloud.google.com/iam-admin/quotas',
    ],
    ['NotFound', 'DependencyNotFound', 'Doing: said no'],
    [
      'Invalid',
      'InvalidSpec',
      'Doing: said no. Google Cloud refuses the request itself. If its words name a value of the spec, change that value in the AiTenant.',
    ],
  ])('%s is %s', (kind, reason, message) => {
    expect(failureBlocker('Service', 'Doing', failure(kind), 0)).toEqual({ aspect: 'Service', reason, message });
  });

  test('a delay that Google Cloud asks for is kept', () => {
    for (const kind of ['Transient', 'Conflict', 'PermissionDenied', 'QuotaExceeded'] as const) {
      expect(failureBlocker('Service', 'Doing', failure(kind, 'x', 7_000), 0).retryAfterMs).toBe(7_000);
    }
  });

  test.each([
    [0, 'Updating'],
    [179_999, 'Updating'],
    [180_000, 'PermissionDenied'],
  ])('a new identity that is not known, %i ms after it was made, is %s', (sinceMs, reason) => {
    const blocker = failureBlocker('Service', 'Doing', failure('Propagating'), sinceMs);
    expect(blocker.reason).toBe(reason);
    expect(blocker.message).toBe(
      reason === 'Updating'
        ? 'Doing: said no. A new identity takes up to a minute to be known everywhere. The operator tries again.'
        : `Doing: said no. ${hint}`,
    );
    expect(readBlocker('Service', 'it', failure('Propagating')).reason).toBe('PermissionDenied');
  });
});

describe('the inventory', () => {
  const other = entry({ type: 'Service', name: 'projects/p/locations/r2/services/s' });

  test('tells entries apart by type, name and what they are about', () => {
    const entries = [
      ...atRest,
      other,
      entry({ ...ENTRIES.variable, variable: 'B' }),
      entry({ type: 'Invoker', name: SERVICE, member: 'user:x@example.com' }),
      entry({ ...ENTRIES.account, uniqueId: '8' }),
      entry({ type: 'ServiceAccount', name: ENTRIES.account.name }),
    ];
    expect(new Set(entries.map(entryKey)).size).toBe(entries.length);
    // A grant is one, whoever it was granted to.
    expect(entryKey(entry({ ...ENTRIES.grant, uniqueId: '8' }))).toBe(entryKey(entry(ENTRIES.grant)));
  });

  test('counts an absence from two minutes on', () => {
    expect(absenceCounts(entry(ENTRIES.service, at(-119_999)), NOW)).toBe(false);
    expect(absenceCounts(entry(ENTRIES.service, at(-120_000)), NOW)).toBe(true);
  });

  const done = (step: Partial<Step>) => ({
    step: {
      ...({ creates: [], removes: [] } as unknown as Step),
      call: { kind: 'deleteAccount', name: 'x' } as Call,
      ...step,
    },
    result: 'done' as const,
    response: {},
  });

  test('loses what a step took away, and only that', () => {
    const grant = entry(ENTRIES.grant);
    const inventory = [...atRest, other];
    expect(settleInventory([], inventory, [done({ removes: [entryKey(grant)] })], NOW)).toEqual(
      inventory.filter(({ type }) => type !== 'SecretAccess'),
    );
  });

  test('notes when a service’s deletion began, of that one service', () => {
    const after = settleInventory(
      [],
      [...atRest, other],
      [done({ call: { kind: 'deleteService', name: SERVICE, etag: 'e' } })],
      NOW,
    );
    expect(after).toEqual([...atRest.map(one => (one.type === 'Service' ? { ...one, deletedAt: at(0) } : one)), other]);
  });

  test('puts back only what the refused step was to make', () => {
    const step = { creates: [entryKey(other)], removes: [], call: { kind: 'createService' } } as unknown as Step;
    const refused = { step, result: 'failed' as const, failure: failure('Invalid') };
    expect(settleInventory([], [...atRest, other], [refused], NOW)).toEqual(atRest);
    expect(settleInventory([...atRest, { ...other, time: 'before' }], [...atRest, other], [refused], NOW)).toEqual([
      ...atRest,
      { ...other, time: 'before' },
    ]);
  });
});

describe('what would be there after the steps', () => {
  const empty: Observed = cloud({
    account: absent,
    keys: [keyA({ policy: present(grantTo()) })],
    services: [seen(absent)],
  });

  test('of a new tenant: nothing is left to do, whatever order the steps take', () => {
    const tenant = tenantA({ status: { inventory: [], keys: [], conditions: [] } });
    const desired = desiredOf(tenant);
    let world = empty;
    // The marks are full and the inventory is empty, as after a rebuild.
    const restoring = { ...settings, restore: true };
    for (let round = 0; round < 4; round++) world = foresee(world, plan(tenant, desired, world, restoring, NOW).steps);
    expect(plan(tenant, desired, world, restoring, NOW)).toMatchObject({ steps: [], blockers: [], waiting: [] });
    expect(world).toMatchObject({
      account: { state: 'present', value: { name: ENTRIES.account.name, email: EMAIL, disabled: false } },
      services: [
        {
          service: {
            state: 'present',
            value: { name: SERVICE, region: 'asia-northeast1', reconciling: false, invokerIamDisabled: true },
          },
        },
      ],
    });
    expect(world.keys[0]?.policy).toEqual(present({ ...grantTo(MEMBER) }));
  });

  const afterwards = (given: Parameters<typeof planFor>[0]) => {
    const world = cloud(given?.cloud);
    return foresee(world, planFor(given).steps);
  };

  test('of an account that is adopted', () => {
    const account = present(accountA({ description: 'ai-tenant-namespace=team' }));
    expect(afterwards({ annotations: { 'ai-platform.dev/adopt': 'true' }, cloud: { account } }).account).toEqual(
      present(accountA({ description: `ai-tenant-namespace=team ai-tenant-owner=c1/team/tenant-a` })),
    );
  });

  test('of a service that changes, beside another', () => {
    const other = seen(present(serviceA({}, 'r2')), 'r2');
    const broken = serviceA({
      template: templateA({ timeout: '60s' }),
      reconciling: true,
      generation: '5',
      traffic: [],
    });
    const { services } = afterwards({ cloud: { services: [seen(present(broken)), other] } });
    expect(services[0]?.service).toMatchObject({
      value: {
        template: { timeout: '300s' },
        reconciling: false,
        etag: '"e1"',
        generation: '5',
        observedGeneration: '5',
      },
    });
    expect(services[1]).toEqual(other);
  });

  const call = (one: Call): Step => ({ call: one }) as Step;
  test('of what is deleted, revoked, and let in', () => {
    const former = 'projects/123456/secrets/former';
    const world = cloud({
      services: [seen(present(serviceA())), seen(present(serviceA({}, 'r2')), 'r2')],
      formerGrants: [
        { secret: former, policy: present(grantTo(MEMBER)) },
        { secret: 'x', policy: absent },
      ],
      keys: [keyA(), keyA({ name: 'gone', secret: absent, policy: undefined })],
    });
    const next = foresee(world, [
      call({ kind: 'deleteAccount', name: 'x' }),
      call({ kind: 'deleteService', name: SERVICE, etag: 'e' }),
      call({ kind: 'setSecretPolicy', secret: former, policy: grantTo() }),
      call({
        kind: 'setServicePolicy',
        service: world.services[1]?.name ?? '',
        policy: invokedBy('user:x@example.com'),
      }),
    ]);
    expect(next.account).toEqual(absent);
    expect(next.services[0]?.service).toEqual(absent);
    expect(next.services[1]).toMatchObject({
      service: { state: 'present' },
      invokers: present(invokedBy('user:x@example.com')),
    });
    expect(next.services[0]?.invokers).toBeUndefined();
    expect(next.formerGrants).toEqual([
      { secret: former, policy: present(grantTo()) },
      { secret: 'x', policy: absent },
    ]);
    expect(next.keys).toEqual(world.keys);
    const granted = foresee(world, [call({ kind: 'setSecretPolicy', secret: SECRET, policy: grantTo() })]);
    expect(granted.keys[0]?.policy).toEqual(present(grantTo()));
    expect(granted.formerGrants).toEqual(world.formerGrants);
    expect(granted.keys[1]).toEqual(world.keys[1]);
  });

  test('of something that is not there: nothing', () => {
    const world = cloud({ account: absent, services: [seen(absent)] });
    const steps = [
      call({ kind: 'updateAccount', name: 'x', description: 'y' }),
      call({ kind: 'updateService', service: { name: SERVICE }, updateMask: [] }),
      call({ kind: 'updateService', service: { name: 'elsewhere' }, updateMask: [] }),
    ];
    expect(foresee(world, steps)).toEqual(world);
  });

  test('of a new service: who may call it is known', () => {
    const world = cloud({ services: [seen(absent)] });
    const create = call({
      kind: 'createService',
      parent: 'projects/tenants-1/locations/asia-northeast1',
      serviceId: 'ai-platform-tenant-a',
      service: { labels: { a: 'b' } },
    });
    expect(foresee(world, [create]).services).toMatchObject([
      {
        invokers: { state: 'present', value: { bindings: [] } },
        service: {
          state: 'present',
          value: { labels: { a: 'b' }, scaling: {}, template: {}, invokerIamDisabled: false },
        },
      },
    ]);
  });
});
