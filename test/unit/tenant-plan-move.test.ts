import { describe, expect, test } from 'vitest';
import { ownerLabels } from '../../operator/tenant/ownership.ts';
import type {
  InventoryEntry,
  Observed,
  ObservedService,
  Policy,
  Read,
  ServiceEntry,
} from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import {
  absent,
  at,
  atRest,
  comingUp,
  ENTRIES,
  entry,
  failed,
  type Given,
  grantTo,
  invokedBy,
  keyA,
  LONG_AGO,
  MEMBER,
  NOW,
  OWNER,
  planFor,
  present,
  REGION,
  SERVICE,
  secretVariable,
  seen,
  serviceA,
  serviceIn,
  stepIds,
  stepOf,
  templateA,
} from './support/tenantWorld.ts';

/** `tenant-a` is in asia-northeast1 and is to move to us-central1. */
const TO = 'us-central1';
const NEW = serviceIn(TO);
const GRACE = 3_600_000;
const entryOf = (region: string, changes: Partial<ServiceEntry> = {}): ServiceEntry => ({
  type: 'Service',
  name: serviceIn(region),
  time: LONG_AGO,
  ...changes,
});
const variableIn = (region: string) => entry({ ...ENTRIES.variable, name: serviceIn(region) });
const newService = (changes: Partial<ObservedService> = {}) =>
  seen(present(serviceA(changes, TO)), TO, present(invokedBy()));
const oldService = (changes: Partial<ObservedService> = {}, policy: Policy = invokedBy()) =>
  seen(present(serviceA(changes)), REGION, present(policy));

function moving(
  services: Observed['services'],
  given: Given & { former?: Partial<ServiceEntry>; more?: InventoryEntry[] } = {},
) {
  const others = atRest.filter(({ type }) => type !== 'Service');
  const inventory = [...others, entryOf(REGION, given.former), ...(given.more ?? [])];
  return planFor({
    generation: 2,
    ...given,
    spec: { region: TO, ...given.spec },
    status: { inventory, ...given.status },
    cloud: { services, ...given.cloud },
  });
}
const made = [entryOf(TO), variableIn(TO)];

describe('a move', () => {
  test('makes the new service from the former one’s template, and leaves the former alone', () => {
    const template = templateA(
      { revision: 'named', sessionAffinity: true, annotations: { 'ai-platform.dev/retry': '1', mine: 'x' } },
      { env: [secretVariable('OPENAI_API_KEY', 'openai-key', '3'), { name: 'THEIRS', value: 'y' }] },
    );
    const plan = moving([seen(absent, TO), oldService({ template })]);
    expect(stepIds(plan)).toEqual([`service:${NEW}`]);
    const { call } = stepOf(plan, `service:${NEW}`);
    expect(call).toMatchObject({ kind: 'createService', parent: `projects/tenants-1/locations/${TO}` });
    expect(call.kind === 'createService' && call.service.template).toEqual(
      templateA(
        { sessionAffinity: true, annotations: { mine: 'x' } },
        { env: [secretVariable('OPENAI_API_KEY', 'openai-key', '3'), { name: 'THEIRS', value: 'y' }] },
      ),
    );
    expect(plan.inventory).toContainEqual(entryOf(REGION));
    expect(plan.inventory).toContainEqual(entry({ type: 'Service', name: NEW }, at(0)));
  });

  test('does not take along a variable that has left the spec, nor another’s service for its own', () => {
    const old = entry({ ...ENTRIES.variable, variable: 'OLD' });
    const env = [secretVariable('OPENAI_API_KEY', 'openai-key', '3'), { name: 'OLD', value: 'y' }];
    const template = templateA({}, { env });
    const plan = moving([seen(absent, TO), oldService({ template })], { more: [old] });
    expect(stepOf(plan, `service:${NEW}`).call).toMatchObject({
      service: { template: { containers: [{ env: env.slice(0, 1) }] } },
    });
    const theirs = moving([
      seen(absent, TO),
      oldService({ template: templateA({ sessionAffinity: true }), labels: {} }),
    ]);
    const { call } = stepOf(theirs, `service:${NEW}`);
    expect(JSON.stringify(call)).not.toContain('sessionAffinity');
    expect(theirs.blockers).toEqual([]);
  });

  test.each<[string, Observed['services'][number], Given]>([
    ['is coming up', newService(comingUp), {}],
    ['failed', newService({ terminal: { state: 'FAILED', reason: '', message: 'no' } }), {}],
    ['still has to change', newService({ template: templateA({ timeout: '60s' }) }), {}],
    ['cannot be read', seen(failed('Transient'), TO), {}],
    ['belongs to somebody else', newService({ labels: { 'ai-tenant-owner-name': 'x' } }), {}],
    ['is being deleted', newService({ deleteTime: at(0) }), {}],
    ['waits for a key', newService(), { cloud: { keys: [keyA({ version: absent })] } }],
  ])('keeps the former service as long as the new one %s', (_what, wanted, given) => {
    const services = [wanted, oldService()];
    const plan = moving(services, { ...given, cloud: { ...given.cloud, services }, more: made });
    expect(stepIds(plan)).not.toContain(`delete:${SERVICE}`);
    expect(plan.inventory).toContainEqual(entryOf(REGION));
    expect(plan.notes).toEqual([]);
  });

  test('that has arrived keeps the former service for the time of grace, and says until when', () => {
    const plan = moving([newService(), oldService()], { more: made });
    expect(plan).toMatchObject({ steps: [], blockers: [], waiting: [], recheckAfterMs: GRACE });
    expect(plan.inventory).toContainEqual(entryOf(REGION, { retireAt: at(GRACE) }));
    expect(plan.notes).toEqual([
      `The former Cloud Run service ai-platform-tenant-a in ${REGION} and its URL https://ai-platform-tenant-a-${REGION}.a.run.app stay until ${at(GRACE)}.`,
    ]);
  });

  test('counts the time of grace from when it had arrived, once', () => {
    const plan = moving([newService(), oldService()], { more: made, former: { retireAt: at(5_000) } });
    expect(plan.recheckAfterMs).toBe(5_000);
    expect(plan.inventory).toContainEqual(entryOf(REGION, { retireAt: at(5_000) }));
  });

  test('follows the spec on the former service too, meanwhile', () => {
    const given = { more: made, former: { retireAt: at(5_000) }, spec: { timeoutSeconds: 60 } };
    const plan = moving([newService({ template: templateA({ timeout: '60s' }) }), oldService()], given);
    expect(stepIds(plan)).toEqual([`service:${SERVICE}`]);
    expect(plan.inventory).toContainEqual(entryOf(REGION, { retireAt: at(5_000) }));
  });

  test.each([at(0), at(-1), 'nonsense'])('deletes the former service at its time (%s)', retireAt => {
    const plan = moving([newService(), oldService()], { more: made, former: { retireAt } });
    expect(plan.steps).toEqual([
      {
        id: `delete:${SERVICE}`,
        aspect: 'Service',
        verb: 'Delete',
        target: `Cloud Run service ai-platform-tenant-a in ${REGION}`,
        call: { kind: 'deleteService', name: SERVICE, etag: '"e1"' },
        needs: [],
        changes: [],
        creates: [],
        removes: [],
        closes: false,
        drift: false,
      },
    ]);
    expect(plan.inventory).toContainEqual(entryOf(REGION, { retireAt }));
    expect(plan.recheckAfterMs).toBeUndefined();
  });

  test('closes the former service before it deletes it, and deletes it whatever becomes of that', () => {
    const policy = invokedBy('allUsers');
    const plan = moving([newService({ invokerIamDisabled: false }), oldService({}, policy)], {
      spec: { access: 'Authenticated' },
      more: made,
      former: { retireAt: at(-1) },
    });
    expect(stepIds(plan)).toEqual([`callers:${SERVICE}`, `close:${SERVICE}`, `delete:${SERVICE}`]);
    expect(plan.steps.map(({ closes, needs }) => [closes, needs])).toEqual([
      [true, []],
      [true, []],
      [false, []],
    ]);
  });

  test('looks soon whether the former service is gone', () => {
    const given = { more: made, former: { retireAt: at(-1), deletedAt: at(-1) } };
    const plan = moving([newService(), oldService({ deleteTime: at(-1) })], given);
    expect(plan).toMatchObject({ steps: [], waiting: [], recheckAfterMs: 2_000 });
    expect(plan.inventory).toContainEqual(entryOf(REGION, { retireAt: at(-1), deletedAt: at(-1) }));
  });

  test('is over once the former service is gone; until it surely is, it stays on record', () => {
    expect(moving([newService(), seen(absent)], { more: made }).inventory).not.toContainEqual(entryOf(REGION));
    const fresh = { time: at(-1_000) };
    expect(moving([newService(), seen(absent)], { more: made, former: fresh }).inventory).toContainEqual({
      ...entryOf(REGION),
      ...fresh,
    });
  });

  test('looks again when a former service that is not found is surely gone', () => {
    const former = { time: at(-1_000), retireAt: at(-500) };
    const plan = moving([newService(), seen(absent)], { more: made, former });
    expect(plan.recheckAfterMs).toBe(119_000);
    expect(plan.inventory).toContainEqual(entryOf(REGION, former));
  });

  test.each(['Transient', 'PermissionDenied'] as const)(
    'is Ready where it serves while the region that it left does not answer (%s); that one is deleted when it does',
    kind => {
      const plan = moving([newService(), seen(failed(kind, 'lost'))], { more: made, former: { retireAt: at(-1) } });
      expect(plan).toMatchObject({ steps: [], blockers: [], waiting: [], recheckAfterMs: 600_000 });
      expect(plan.inventory).toContainEqual(entryOf(REGION, { retireAt: at(-1) }));
      expect(plan.notes).toEqual([
        `The former Cloud Run service ai-platform-tenant-a in ${REGION} cannot be read; it is deleted once its region answers again.`,
      ]);
      const answers = moving([newService(), oldService()], { more: made, former: { retireAt: at(-1) } });
      expect(stepIds(answers)).toEqual([`delete:${SERVICE}`]);
    },
  );

  test('keeps a grant that the service which does not answer may read, and is up to date all the same', () => {
    const grant = entry({ ...ENTRIES.grant, name: 'projects/123456/secrets/former' });
    const formerGrants = [{ secret: grant.name, policy: present(grantTo(MEMBER)) }];
    const services = [newService(), seen(failed('Transient', 'lost'))];
    const plan = moving(services, { more: [...made, grant], cloud: { services, formerGrants } });
    expect(plan).toMatchObject({ steps: [], blockers: [], waiting: [] });
    expect(plan.inventory).toContainEqual(grant);
    expect(plan.notes[0]).toMatch(
      /grant on projects\/123456\/secrets\/former is not in the spec any more\. It stays until the service/,
    );
  });

  test('makes nothing while its predecessor cannot be read: what could not be read is not absent', () => {
    for (const kind of ['Transient', 'PermissionDenied', 'QuotaExceeded'] as const) {
      const plan = moving([seen(absent, TO), seen(failed(kind, 'said no'))]);
      expect(plan.steps).toEqual([]);
      expect(plan.blockers).toMatchObject([{ aspect: 'Service' }]);
      expect(plan.blockers[0]?.message).toContain(
        'whose settings the new service takes along (the move waits): said no',
      );
    }
  });

  describe('of a tenant with services in several regions', () => {
    const MIDDLE = 'europe-west1';
    const served = templateA({}, { image: 'registry/app:served' });
    const broken = { template: templateA({}, { image: 'registry/app:broken' }), latestReadyRevision: '' };
    const middle = (changes: Partial<ObservedService>) => seen(present(serviceA(changes, MIDDLE)), MIDDLE);
    const image = (services: Observed['services'], former: Partial<ServiceEntry> = {}) => {
      const given = { more: [entryOf(MIDDLE, former)] };
      const { call } = stepOf(moving([seen(absent, TO), ...services], given), `service:${NEW}`);
      return call.kind === 'createService' && (call.service.template as JsonObject).containers;
    };

    test('takes the template of the newest service that has served', () => {
      expect(image([middle(broken), oldService({ template: served })])).toMatchObject([
        { image: 'registry/app:served' },
      ]);
      expect(image([middle({ template: served }), oldService()])).toMatchObject([{ image: 'registry/app:served' }]);
      expect(image([middle({}), oldService({ template: served })], { retireAt: at(5_000) })).toMatchObject([
        { image: 'registry/app:served' },
      ]);
      expect(image([middle(broken), oldService({ ...broken, template: served })])).toMatchObject([
        { image: 'registry/app:broken' },
      ]);
    });

    test('does not wait for one that was replaced already, and waits for one that may be the newest', () => {
      const replaced = { more: [entryOf(MIDDLE, { retireAt: at(5_000) })] };
      const unread = seen(failed('Transient', 'lost'), MIDDLE);
      expect(stepIds(moving([seen(absent, TO), unread, oldService()], replaced))).toEqual([`service:${NEW}`]);
      const newest = { more: [entryOf(MIDDLE)] };
      expect(stepIds(moving([seen(absent, TO), unread, oldService()], newest))).toEqual([]);
    });
  });

  test('lets go of a former service that somebody else took over', () => {
    const plan = moving([newService(), oldService({ labels: { 'ai-tenant-owner-name': 'x' } })], { more: made });
    expect(plan).toMatchObject({ steps: [], blockers: [] });
    expect(plan.inventory.some(({ name }) => name === SERVICE)).toBe(false);
  });

  test('keeps a former service on record whose marks were taken off, and deletes it once they are back', () => {
    const due = { more: made, former: { retireAt: at(-1) } };
    const plan = moving([newService(), oldService({ labels: { env: 'prod' } })], due);
    expect(plan).toMatchObject({ steps: [], blockers: [] });
    expect(plan.inventory).toContainEqual(entryOf(REGION, { retireAt: at(-1) }));
    expect(plan.notes).toEqual([expect.stringContaining("has lost this tenant's owner marks")]);
    expect(stepIds(moving([newService(), oldService()], due))).toEqual([`delete:${SERVICE}`]);
  });

  test('looks again when the first of several services falls due', () => {
    const more = [...made, entryOf('europe-west1', { retireAt: at(3_000) })];
    const services = [newService(), oldService(), seen(present(serviceA({}, 'europe-west1')), 'europe-west1')];
    expect(moving(services, { more, former: { retireAt: at(5_000) } }).recheckAfterMs).toBe(3_000);
    expect(moving(services, { more, former: { retireAt: at(1_000) } }).recheckAfterMs).toBe(1_000);
    const going = [
      ...services.slice(0, 2),
      seen(present(serviceA({ deleteTime: at(0) }, 'europe-west1')), 'europe-west1'),
    ];
    expect(moving(going, { more, former: { retireAt: at(1_000) } }).recheckAfterMs).toBe(1_000);
    expect(moving(going, { more, former: { retireAt: at(5_000) } }).recheckAfterMs).toBe(2_000);
  });
});

describe('a tenant that moves again and again', () => {
  const regions = ['r1', 'r2', 'r3', 'r4', 'r5', 'r6'];
  const all = (count: number, change: Partial<ObservedService> = {}) =>
    regions.slice(0, count).map(region => seen(present(serviceA(change, region)), region));
  const more = regions.map(region => entryOf(region, { retireAt: at(-1) }));

  test('waits with the seventh service until one of its former ones has gone, and makes room', () => {
    const plan = moving([seen(absent, TO), ...all(6), oldService()], { more });
    expect(plan.waiting).toEqual([
      {
        aspect: 'Service',
        message: `The move to ${TO} waits until one of the 6 former regions' services has gone.`,
        retryAfterMs: 60_000,
      },
    ]);
    // Those that an earlier move replaced go; the one where the tenant is now stays.
    expect(stepIds(plan)).toEqual(regions.map(region => `delete:${serviceIn(region)}`));
    expect(plan.inventory).toContainEqual(entryOf(REGION));
  });

  test('looks sooner while one is on its way out, and keeps what is on record of the new one', () => {
    const services = [seen(absent, TO), ...all(5), ...all(6, { deleteTime: at(0) }).slice(5), oldService()];
    const plan = moving(services, { more: [...more, entryOf(TO, { time: at(-1) })] });
    expect(plan.waiting.map(({ retryAfterMs }) => retryAfterMs)).toEqual([2_000]);
    expect(plan.inventory).toContainEqual(entryOf(TO, { time: at(-1) }));
  });

  test('goes on with one fewer, or once the new service is there', () => {
    expect(stepIds(moving([seen(absent, TO), ...all(5), oldService()], { more }))).toContain(`service:${NEW}`);
    expect(moving([newService(), ...all(6), oldService()], { more: [...more, ...made] }).waiting).toEqual([]);
  });
});

test('the grants of a moving tenant stay one and the same', () => {
  const plan = moving([seen(absent, TO), oldService()], {
    cloud: { keys: [keyA({ policy: present(grantTo()) })], services: [seen(absent, TO), oldService()] },
  });
  expect(stepOf(plan, `service:${NEW}`).needs).toHaveLength(1);
});

describe('what a moved service takes along', () => {
  const created = (plan: ReturnType<typeof moving>): JsonObject => {
    const { call } = stepOf(plan, `service:${NEW}`);
    if (call.kind !== 'createService') throw new Error(call.kind);
    return call.service;
  };
  const settings: JsonObject = {
    ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY',
    iapEnabled: true,
    defaultUriDisabled: true,
    customAudiences: ['https://api.example.com'],
    binaryAuthorization: { useDefault: true },
    launchStage: 'BETA',
    description: 'by hand',
    annotations: { 'team/owner': 'x' },
    somethingOfTomorrow: { deep: [1, { unknown: 'VALUE' }] },
  };
  const answered: JsonObject = {
    ...settings,
    ...{
      name: SERVICE,
      uid: 'u',
      etag: 'e',
      generation: '4',
      observedGeneration: '4',
      createTime: 't',
      updateTime: 't',
    },
    ...{ creator: 'c', lastModifier: 'm', client: 'gcloud', clientVersion: '1', uri: 'https://u', urls: ['https://u'] },
    ...{
      terminalCondition: {},
      conditions: [],
      latestReadyRevision: 'r',
      latestCreatedRevision: 'r',
      reconciling: false,
    },
    ...{
      traffic: [{ revision: 'r', percent: 100 }],
      trafficStatuses: [],
      satisfiesPzs: true,
      invokerIamDisabled: true,
    },
    labels: { 'cost-centre': '42', 'ai-tenant-owner-name': 'tenant-a' },
    annotations: { 'team/owner': 'x', 'run.googleapis.com/operation-id': 'y', 'x.serving.knative.dev/z': 'y' },
  };

  test('is every setting of its predecessor, known or not, and nothing that is the predecessor’s own', () => {
    const service = created(moving([seen(absent, TO), oldService({ raw: answered })]));
    const { template: _template, scaling, labels, invokerIamDisabled, ...rest } = service;
    expect(rest).toEqual(settings);
    expect(labels).toEqual({ 'cost-centre': '42', ...ownerLabels(OWNER) });
    expect(invokerIamDisabled).toBe(true);
    expect(scaling).toEqual({ maxInstanceCount: 10 });
  });

  test('does not depend on what the spec says of access: that is the spec’s', () => {
    const plan = moving([seen(absent, TO), oldService({ raw: answered })], { spec: { access: 'Authenticated' } });
    expect(created(plan).invokerIamDisabled).toBe(false);
  });

  test('is public by allUsers where its predecessor is: an organization may allow no other way', () => {
    const service = { raw: answered, invokerIamDisabled: false };
    const plan = moving([seen(absent, TO), oldService(service, invokedBy('allUsers'))]);
    expect(created(plan).invokerIamDisabled).toBe(false);
    const there = moving([newService({ invokerIamDisabled: false }), oldService(service, invokedBy('allUsers'))], {
      more: made,
    });
    expect(stepIds(there)).toEqual([`invokers:${NEW}`]);
  });

  test.each<[string, JsonObject, string, string]>([
    [
      'a connector',
      { vpcAccess: { connector: 'projects/p/locations/asia-northeast1/connectors/c' } },
      'vpcAccess.connector',
      '--clear-vpc-connector',
    ],
    [
      'a subnetwork',
      { vpcAccess: { networkInterfaces: [{ network: 'n' }, { subnetwork: 's' }] } },
      'vpcAccess.networkInterfaces.subnetwork',
      '--clear-network',
    ],
    [
      'a key',
      { encryptionKey: 'projects/p/locations/asia-northeast1/keyRings/r/cryptoKeys/k' },
      'encryptionKey',
      '--clear-key',
    ],
  ])(
    'never is %s of the former region: the move stops, names it, and the former service goes on',
    (_what, template, field, clear) => {
      const plan = moving([seen(absent, TO), oldService({ template: templateA(template), invokerIamDisabled: false })]);
      expect(plan.blockers).toMatchObject([{ aspect: 'Service', reason: 'InvalidSpec' }]);
      expect(plan.blockers[0]?.message).toContain(`template.${field} (`);
      expect(plan.blockers[0]?.message).toContain(
        `gcloud run services update ai-platform-tenant-a --region=${REGION} --project=tenants-1 ${clear}`,
      );
      expect(stepIds(plan)).toEqual([`service:${SERVICE}`]);
      expect(plan.inventory).toContainEqual(entryOf(REGION));
    },
  );

  test.each([
    [{ network: { subnetwork: { [TO]: 5 } } }, `${TO}: NAME or projects/PROJECT/regions/${TO}/subnetworks/NAME.`],
    [
      { network: { connector: { [TO]: 'Bad Name' } } },
      `${TO}: NAME or projects/PROJECT/locations/${TO}/connectors/NAME.`,
    ],
    [
      { encryptionKey: { [TO]: `projects/p/locations/${REGION}/keyRings/r/cryptoKeys/k` } },
      `${TO}: projects/PROJECT/locations/${TO}/keyRings/RING/cryptoKeys/KEY.`,
    ],
  ])('is %j: an entry of another form is told with the form to write', (spec, form) => {
    const { blockers, steps } = moving([seen(absent, TO), oldService()], { spec });
    expect(steps.map(({ verb }) => verb)).not.toContain('Create');
    expect(blockers[0]?.message).toMatch(/ has an entry for us-central1 that cannot be a name there\. Write /);
    expect(blockers[0]?.message).toContain(`Write ${form} The service in ${REGION} goes on.`);
  });

  test('is a network without a subnetwork and a key of no single region', () => {
    const template = templateA({
      vpcAccess: { networkInterfaces: [{ network: 'default' }] },
      encryptionKey: 'projects/p/locations/global/keyRings/r/cryptoKeys/k',
    });
    expect(created(moving([seen(absent, TO), oldService({ template })])).template).toMatchObject({
      vpcAccess: { networkInterfaces: [{ network: 'default' }] },
    });
  });

  describe('of its policy', () => {
    const JANE = 'user:jane@example.com';
    const BOT = 'serviceAccount:bot@p.iam.gserviceaccount.com';
    const condition = { title: 'office hours', expression: 'true' };
    const policy: Policy = {
      version: 3,
      etag: 'old',
      bindings: [
        {
          role: 'roles/run.invoker',
          members: [JANE, BOT, 'allUsers', 'allAuthenticatedUsers', `deleted:${BOT}?uid=1`],
        },
        { role: 'roles/run.invoker', members: [JANE, 'allUsers'], condition },
        { role: 'roles/run.developer', members: ['group:ci@example.com', 'allAuthenticatedUsers'] },
      ],
    };
    const ours = entry({ type: 'Invoker', name: SERVICE, member: BOT });
    const added = (access: 'Public' | 'Authenticated', given: Given & { former?: Partial<ServiceEntry> } = {}) => {
      const service = { invokerIamDisabled: access === 'Public' };
      const plan = moving([newService({ ...service, ...comingUp }), oldService(service, policy)], {
        ...given,
        spec: { access },
        more: [...made, ours],
      });
      return plan.steps.filter(({ id }) => id === `invokers:${NEW}`);
    };

    test('is what others have there, as far as it can be written, and nobody who would open it', () => {
      const [step] = added('Authenticated');
      expect(step).toMatchObject({ closes: false, creates: [] });
      expect(step?.call).toMatchObject({
        policy: {
          bindings: [
            { role: 'roles/run.invoker', members: [JANE] },
            { role: 'roles/run.invoker', members: [JANE], condition },
            { role: 'roles/run.developer', members: ['group:ci@example.com'] },
          ],
        },
      });
    });

    test('is allUsers and allAuthenticatedUsers only where the spec says Public', () => {
      expect(added('Public')[0]?.call).toMatchObject({
        policy: {
          bindings: [{ role: 'roles/run.invoker', members: [JANE, 'allUsers', 'allAuthenticatedUsers'] }, {}, {}],
        },
      });
    });

    test('comes before the former service may go, and not again after that', () => {
      const arrived = moving([newService(), oldService({}, policy)], { more: made });
      expect(stepIds(arrived)).toEqual([`invokers:${NEW}`]);
      expect(arrived.inventory).toContainEqual(entryOf(REGION));
      expect(added('Authenticated', { former: { retireAt: at(5_000) } })).toEqual([]);
    });

    test.each<[string, Read<Policy> | undefined, string]>([
      ['could not be read', failed('Transient', 'lost'), 'Updating'],
      ['may not be read', failed('PermissionDenied', 'no'), 'PermissionDenied'],
      ['was not read yet', undefined, 'Updating'],
    ])(
      'keeps the former service while it %s, writes nothing, and says what the move waits for',
      (_what, invokers, reason) => {
        const plan = moving([newService(), seen(present(serviceA()), REGION, invokers)], { more: made });
        expect(plan.steps).toEqual([]);
        expect(plan.blockers).toMatchObject([{ aspect: 'Service', reason }]);
        expect(plan.blockers[0]?.message).toMatch(
          /^Cannot read the IAM policy of .* in asia-northeast1, which .* \(the move waits, and the former service stays\): /,
        );
        expect(plan.inventory).toContainEqual(entryOf(REGION));
      },
    );

    test('leaves out who was refused, names them, and waits for nobody', () => {
      const member = 'group:ci@example.com';
      const refusal = { message: 'not allowed', propagating: false, since: NOW, at: NOW, generation: 2 };
      const refused = new Map([[`${NEW} roles/run.developer ${member}`, refusal]]);
      const developers = { ...policy, bindings: policy.bindings.slice(2) };
      const plan = moving([newService(), oldService({}, developers)], { more: made, refused });
      expect(plan).toMatchObject({ steps: [], blockers: [], recheckAfterMs: GRACE });
      expect(plan.notes[0]).toBe(`"${member}" (roles/run.developer) was not carried over: not allowed`);
    });
  });
});

describe('a service that somebody deleted', () => {
  const serviceSettings = {
    ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY',
    iapEnabled: true,
    customAudiences: ['https://a'],
  };
  const again = (status: object) => {
    const { call } = stepOf(planFor({ status, cloud: { services: [seen(absent)] } }), `service:${SERVICE}`);
    return call.kind === 'createService' ? call.service : {};
  };

  test('is made again with what is on record of it', () => {
    expect(again({ serviceSettings })).toMatchObject(serviceSettings);
    expect(again({}).ingress).toBeUndefined();
  });

  test('is made again at once although the region that it came from does not answer', () => {
    const status = { serviceSettings, inventory: [...atRest, entryOf(TO)] };
    const lost = (former: Partial<ServiceEntry>) =>
      planFor({
        spec: { region: TO },
        status: {
          ...status,
          inventory: status.inventory.map(one =>
            one.name === SERVICE && one.type === 'Service' ? { ...one, ...former } : one,
          ),
        },
        cloud: { services: [seen(absent, TO), seen(failed('Transient', '503'))] },
      });
    expect(stepOf(lost({ retireAt: at(1_000) }), `service:${NEW}`).call).toMatchObject({ service: serviceSettings });
    // What has not been replaced yet may be what the tenant serves with.
    expect(stepIds(lost({}))).toEqual([]);
  });

  test('is never more open than it was, whatever the region that it came from says', () => {
    const raw = { ingress: 'INGRESS_TRAFFIC_ALL', description: 'old' };
    const plan = moving([seen(absent, TO), oldService({ raw })], {
      status: { serviceSettings, inventory: [...atRest, entryOf(TO)] },
    });
    expect(stepOf(plan, `service:${NEW}`).call).toMatchObject({ service: { ...serviceSettings, description: 'old' } });
  });
});
