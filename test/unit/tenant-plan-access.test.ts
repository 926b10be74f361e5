import { describe, expect, test } from 'vitest';
import type { Observed } from '../../operator/tenant/types.ts';
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
  keyA,
  LIVE_KEY,
  LONG_AGO,
  MEMBER,
  NUMBER,
  OPENAI,
  PROJECT,
  planFor,
  present,
  revision,
  SECRET,
  SERVICE,
  secretVariable,
  seen,
  sentFields,
  serviceA,
  stepIds,
  stepOf,
  templateA,
  UID,
} from './support/tenantWorld.ts';

const ROLE = 'roles/secretmanager.secretAccessor';
const GRANT = `grant:${SECRET}`;
const REVOKE = `revoke:${SECRET}`;
const UPDATE = `service:${SERVICE}`;
const deleted = (uid: string): string => `deleted:serviceAccount:${EMAIL}?uid=${uid}`;
/** A key of the spec's, its grant missing. */
const ungranted = (changes: Parameters<typeof keyA>[0] = {}) => keyA({ policy: present(grantTo()), ...changes });
const consented = { 'ai-tenant-namespace': 'team' };
const edited: Given = { generation: 2, spec: { timeoutSeconds: 60 } };
const grants = (given: Given) => planFor(given).inventory.filter(({ type }) => type === 'SecretAccess');

describe('a key without its grant', () => {
  test('is granted, and nothing else of the policy changes', () => {
    const policy = { ...grantTo('user:jane@example.com'), auditConfigs: [{ service: 'allServices' }] };
    const plan = planFor({ cloud: { keys: [keyA({ policy: present(policy) })] } });
    expect(plan.steps).toEqual([
      {
        id: GRANT,
        aspect: 'SecretAccess',
        verb: 'Grant',
        target: 'secret openai-key',
        call: {
          kind: 'setSecretPolicy',
          secret: SECRET,
          policy: { ...policy, bindings: [{ role: ROLE, members: ['user:jane@example.com', MEMBER] }] },
        },
        needs: [],
        changes: [{ field: ROLE, from: undefined, to: MEMBER }],
        creates: [`SecretAccess ${SECRET} `],
        removes: [],
        closes: false,
        drift: true,
      },
    ]);
    expect(plan.keys).toEqual([{ ...LIVE_KEY, granted: false }]);
    expect(stepOf(planFor({ generation: 2, cloud: { keys: [ungranted()] } }), GRANT).drift).toBe(false);
  });

  test('is on record from now on, with the identity that gets the grant', () => {
    const inventory = atRest.filter(({ type }) => type !== 'SecretAccess');
    expect(grants({ status: { inventory }, cloud: { keys: [ungranted()] } })).toEqual([entry(ENTRIES.grant, at(0))]);
  });

  test.each([
    ['its secret', keyA({ secret: failed('Transient'), policy: undefined })],
    ['its policy', keyA({ policy: failed('PermissionDenied') })],
  ])('that could not be read (%s) is as granted as it was', (_what, key) => {
    const keysAfter = (granted: boolean) =>
      planFor({ status: { keys: [{ ...LIVE_KEY, granted }] }, cloud: { keys: [key] } }).keys;
    expect(keysAfter(true)).toEqual([LIVE_KEY]);
    expect(keysAfter(false)).toEqual([{ ...LIVE_KEY, granted: false }]);
    expect(planFor({ status: { keys: [] }, cloud: { keys: [key] } }).keys).toMatchObject([{ granted: false }]);
  });

  test('that was granted to an earlier identity keeps that one on record until its member is gone', () => {
    const former = entry({ ...ENTRIES.grant, uniqueId: '77' });
    const inventory = [...atRest.filter(({ type }) => type !== 'SecretAccess'), former];
    const given = { status: { inventory }, cloud: { keys: [keyA({ policy: present(grantTo(deleted('77'))) })] } };
    expect(stepOf(planFor(given), GRANT).call).toMatchObject({
      policy: { bindings: [{ role: ROLE, members: [MEMBER] }] },
    });
    expect(grants(given)).toEqual([{ ...former, time: at(0) }]);
    expect(grants({ status: { inventory }, cloud: { keys: [keyA()] } })).toEqual([entry(ENTRIES.grant)]);
  });

  test('whose policy only looks like it has it under a condition is granted too', () => {
    const conditional = {
      ...grantTo(MEMBER),
      bindings: [{ role: ROLE, members: [MEMBER], condition: { title: 'soon' } }],
    };
    const plan = planFor({ cloud: { keys: [keyA({ policy: present(conditional) })] } });
    expect(stepOf(plan, GRANT).call).toMatchObject({
      policy: { bindings: [...conditional.bindings, { role: ROLE, members: [MEMBER] }] },
    });
  });

  test('makes the service’s template wait for the grant', () => {
    const plan = planFor({ ...edited, cloud: { keys: [ungranted()] } });
    expect(stepIds(plan)).toEqual([GRANT, UPDATE]);
    expect(stepOf(plan, UPDATE).needs).toEqual([GRANT]);
  });
});

describe('two keys of one secret', () => {
  const spec = { keys: [OPENAI, { ...OPENAI, name: 'again', env: 'AGAIN' }] };

  test('need one grant, and one entry', () => {
    const plan = planFor({ generation: 2, spec, cloud: { keys: [ungranted(), ungranted({ name: 'again' })] } });
    expect(stepIds(plan)).toEqual([GRANT, UPDATE]);
    expect(stepOf(plan, UPDATE).needs).toEqual([GRANT, GRANT]);
    expect(plan.inventory.filter(({ type }) => type === 'SecretAccess')).toHaveLength(1);
    expect(plan.keys.map(({ name, granted }) => [name, granted])).toEqual([
      ['openai', false],
      ['again', false],
    ]);
  });

  test('that is granted are both granted', () => {
    const plan = planFor({ generation: 2, spec, cloud: { keys: [keyA(), keyA({ name: 'again' })] } });
    expect(plan.keys.map(({ granted }) => granted)).toEqual([true, true]);
    expect(stepIds(plan)).toEqual([UPDATE]);
    expect(stepOf(plan, UPDATE).needs).toEqual([]);
  });

  test.each([
    [
      'its policy cannot be read',
      { keys: [keyA({ policy: failed('Transient') }), keyA({ name: 'again', policy: failed('Transient') })] },
    ],
    ['the account cannot be read', { account: failed('Transient'), keys: [keyA(), keyA({ name: 'again' })] }],
  ])('are on record once while %s', (_why, changes) => {
    expect(grants({ generation: 2, spec, cloud: changes })).toEqual([entry(ENTRIES.grant)]);
  });
});

describe('a key holds back the template, and names what is missing, when', () => {
  const holds: [string, Parameters<typeof keyA>[0], string, string][] = [
    [
      'its secret does not exist',
      { secret: absent, policy: undefined, version: undefined },
      'DependencyNotFound',
      'Key openai: secret openai-key does not exist in project tenants-1. Create it: ' +
        'gcloud secrets create openai-key --project=tenants-1 --labels=ai-tenant-namespace=team',
    ],
    [
      'its secret cannot be read',
      { secret: failed('Transient', 'lost'), policy: undefined, version: undefined },
      'Updating',
      'Cannot read secret projects/tenants-1/secrets/openai-key of key openai: lost. The operator tries again.',
    ],
    [
      'its secret names another namespace',
      { secret: present({ name: SECRET, labels: { 'ai-tenant-namespace': 'other' } }) },
      'SecretNotAllowed',
      'Key openai: the running service uses it and has no grant any more: its instances keep the key until they end, ' +
        'new instances cannot start. The reason: secret openai-key does not let namespace team use it: it names namespace "other", and it can name one only. ' +
        "Use a secret of this namespace's own, or ask whoever owns openai-key in project tenants-1.",
    ],
    [
      'its secret names nobody',
      { secret: present({ name: SECRET, labels: {} }) },
      'SecretNotAllowed',
      'Key openai: the running service uses it and has no grant any more: its instances keep the key until they end, ' +
        'new instances cannot start. The reason: secret openai-key does not let namespace team use it. Whoever owns the secret allows it with: ' +
        'gcloud secrets update openai-key --project=tenants-1 --update-labels=ai-tenant-namespace=team',
    ],
    [
      'its policy cannot be read',
      { policy: failed('Transient', 'lost') },
      'Updating',
      'Cannot read the IAM policy of secret openai-key: lost. The operator tries again.',
    ],
    [
      'its secret went between two reads',
      { policy: absent },
      'DependencyNotFound',
      'Cannot read the IAM policy of secret openai-key: the secret is gone',
    ],
    [
      'its versions were not read',
      { version: undefined },
      'Updating',
      'Cannot read the versions of secret openai-key of key openai: not read yet. The operator tries again.',
    ],
    [
      'it has no version',
      { version: absent },
      'DependencyNotFound',
      'Key openai: secret openai-key has no usable version. Add one: gcloud secrets versions add openai-key --project=tenants-1 --data-file=-',
    ],
  ];

  test.each(holds)('%s', (_what, changes, reason, message) => {
    const plan = planFor({ ...edited, cloud: { keys: [keyA(changes)] } });
    const unread = message.endsWith('The operator tries again.') ? { unread: true } : {};
    expect(plan.blockers).toEqual([{ aspect: 'SecretAccess', reason, message, ...unread }]);
    expect(stepIds(plan)).not.toContain(UPDATE);
    expect(plan.inventory).toContainEqual(entry(ENTRIES.variable));
  });

  test.each(holds.slice(0, 5))('%s: but a standby key holds back nothing, consent aside', (_what, changes, reason) => {
    const { env: _env, ...standby } = OPENAI;
    const key = keyA({ ...changes, version: undefined });
    const plan = planFor({ generation: 2, spec: { keys: [standby] }, cloud: { keys: [key] } });
    expect(plan.blockers.map(blocker => blocker.reason)).toEqual([reason]);
    expect(stepIds(plan).includes(UPDATE)).toBe(reason !== 'SecretNotAllowed');
  });

  test('consent is missing: what that means is told only of a service that uses the key, and of files that are mounted', () => {
    const keys = [keyA({ secret: present({ name: SECRET, labels: {} }) })];
    const said = (services: Observed['services']) => planFor({ cloud: { keys, services } }).blockers[0]?.message;
    expect(said([seen(absent)])).toMatch(/^Key openai: secret openai-key does not let namespace team use it/);
    const unused = templateA({}, { env: [] });
    expect(said([seen(present(serviceA({ template: unused })))])).not.toContain('running service');
    const volumes = [{ name: 'v', secret: { secret: 'openai-key', items: [{ path: 'key', version: '3' }] } }];
    const mounted = templateA({ volumes }, { env: [] });
    expect(said([seen(present(serviceA({ template: mounted })))])).toContain(
      'new instances cannot start, and a file that is mounted from it cannot be read from now on. The reason: ',
    );
    const theirs = serviceA({ labels: { 'ai-tenant-owner-cluster': 'c2' } });
    expect(said([seen(present(theirs))])).not.toContain('running service');
  });

  test('it was not looked at', () => {
    expect(planFor({ ...edited, cloud: { keys: [] } }).blockers).toEqual([
      {
        aspect: 'SecretAccess',
        reason: 'Updating',
        message:
          'Cannot read secret projects/tenants-1/secrets/openai-key of key openai: not read. The operator tries again.',
        unread: true,
      },
    ]);
  });

  test('its Config Connector secret is not there; one that is Ready is used like any other', () => {
    const spec = { keys: [{ ...OPENAI, secretRef: { name: 'openai-key' } }] };
    const waiting = planFor({ generation: 2, spec, cloud: { keys: [] } });
    expect(waiting.blockers.map(({ reason }) => reason)).toEqual(['DependencyNotFound']);
    expect(waiting.steps).toEqual([]);
    const secret = `projects/${PROJECT}/secrets/openai-key`;
    expect(planFor({ spec, connectorSecret: () => ({ state: 'ready', secret }) })).toMatchObject({
      steps: [],
      blockers: [],
    });
  });

  test('it has no consent: its grant goes, whatever reads it', () => {
    const plan = planFor({ cloud: { keys: [keyA({ secret: present({ name: SECRET, labels: {} }) })] } });
    expect(stepIds(plan)).toEqual([REVOKE]);
    expect(plan.keys).toEqual([{ ...LIVE_KEY, granted: false }]);
    expect(plan.blockers).toHaveLength(1);
  });
});

test('a secret of another project is answered alike whether it is absent, forbidden or without consent: no oracle of names', () => {
  const external = 'projects/keys-1/secrets/openai-key';
  const theirs = 'projects/999/secrets/openai-key';
  const spec = { keys: [{ ...OPENAI, secretRef: { external } }] };
  const answers = (
    [
      { secret: absent, policy: undefined },
      { secret: failed('NotFound', 'Secret [projects/999/secrets/openai-key] not found'), policy: undefined },
      { secret: failed('PermissionDenied', "Permission 'secretmanager.secrets.get' denied (or it may not exist)") },
      { secret: present({ name: theirs, labels: {} }) },
      { secret: present({ name: theirs, labels: { 'ai-tenant-namespace': 'other' } }), version: undefined },
      { secret: present({ name: theirs, labels: { ...consented, 'ai-tenant-cluster': 'c2' } }) },
    ] as Parameters<typeof keyA>[0][]
  ).map(changes => {
    const { blockers, notes, keys, inventory, steps } = planFor({
      generation: 2,
      spec,
      status: { keys: [], inventory: atRest.filter(({ type }) => type !== 'SecretAccess') },
      cloud: { keys: [keyA({ policy: present(grantTo()), ...changes })] },
    });
    return { blockers, notes, keys, inventory, steps: steps.map(({ id }) => id) };
  });
  for (const answer of answers) expect(answer).toEqual(answers[0]);
  expect(answers[0]?.blockers).toMatchObject([{ reason: 'SecretNotAllowed' }]);
});

describe('a secret that names the UID of a former Namespace of the same name', () => {
  const labels = { ...consented, 'ai-tenant-namespace-uid': 'u-0' };
  const keys = [keyA({ secret: present({ name: SECRET, labels }) })];
  const annotations = { 'ai-platform.dev/adopt': 'true' };

  test('keeps the grant that this tenant has on record, and its use', () => {
    expect(planFor({ cloud: { keys } })).toMatchObject({ steps: [], blockers: [] });
  });

  test('is not inherited with the grant of a tenant that was there before, whoever asks for adoption', () => {
    const plan = planFor({ cloud: { keys }, status: { inventory: [] }, annotations });
    expect(plan.blockers).toMatchObject([{ reason: 'SecretNotAllowed' }]);
    expect(stepIds(plan).some(id => id === GRANT)).toBe(false);
  });

  test('is restored with a cluster whose operator says so', () => {
    const plan = planFor({ cloud: { keys }, status: { inventory: [] }, settings: { restore: true } });
    expect(plan).toMatchObject({ steps: [], blockers: [] });
  });
});

describe('while the account is not ours to use', () => {
  const blocked = { account: failed('Transient') };

  test('grants that stand are told, and stay on record', () => {
    const plan = planFor({ cloud: blocked });
    expect(plan.steps).toEqual([]);
    expect(plan.keys).toEqual([LIVE_KEY]);
    expect(plan.inventory).toContainEqual(entry(ENTRIES.grant));
  });

  test('none is made, and none is put on record that was not', () => {
    const inventory = atRest.filter(({ type }) => type !== 'SecretAccess');
    const plan = planFor({ status: { inventory }, cloud: { ...blocked, keys: [ungranted()] } });
    expect(plan.steps).toEqual([]);
    expect(plan.keys).toEqual([{ ...LIVE_KEY, granted: false }]);
    expect(plan.inventory.some(({ type }) => type === 'SecretAccess')).toBe(false);
  });

  test('an account that is only to be adopted may have former grants, which stay', () => {
    const account = present(accountA({ description: 'ai-tenant-namespace=team' }));
    const formerGrants = [{ secret: SECRET, policy: present(grantTo(MEMBER)) }];
    const plan = planFor({ generation: 2, spec: { keys: [] }, cloud: { account, keys: [], formerGrants } });
    expect(stepIds(plan)).not.toContain(REVOKE);
    expect(plan.inventory).toContainEqual(entry(ENTRIES.grant));
  });
});

describe('the version of a key', () => {
  const version = (number: number, state: 'ENABLED' | 'DISABLED' = 'ENABLED') => present({ version: number, state });

  test('that is newer is rolled out, as news and not as drift', () => {
    const plan = planFor({ cloud: { keys: [keyA({ version: version(4) })] } });
    const update = stepOf(plan, UPDATE);
    expect(update.changes).toEqual([{ field: 'env.OPENAI_API_KEY', from: 'openai-key:3', to: 'openai-key:4' }]);
    expect(update.drift).toBe(false);
    expect(plan.versions).toEqual(new Map([['openai', '4']]));
    expect(plan.secrets).toEqual(new Map([['openai', SECRET]]));
  });

  test('that somebody changed on the service is put back, as drift', () => {
    const template = templateA({}, { env: [secretVariable('OPENAI_API_KEY', 'openai-key', '1')] });
    const plan = planFor({ cloud: { services: [seen(present(serviceA({ template })))] } });
    expect(stepOf(plan, UPDATE)).toMatchObject({
      changes: [{ field: 'env.OPENAI_API_KEY', from: 'openai-key:1', to: 'openai-key:3' }],
      closes: false,
      drift: true,
    });
  });

  test('that is older than the live one is not brought back', () => {
    const plan = planFor({ cloud: { keys: [keyA({ version: version(2) })] } });
    expect(plan.steps).toEqual([]);
    expect(plan.blockers.map(({ reason }) => reason)).toEqual(['DependencyNotReady']);
    expect(plan.versions).toEqual(new Map());
  });

  test('starts anew with another secret', () => {
    const keys = [{ ...LIVE_KEY, secret: `projects/${NUMBER}/secrets/former`, version: '9' }];
    expect(planFor({ status: { keys }, cloud: { keys: [keyA()] } }).blockers).toEqual([]);
    const unknown = [{ name: 'openai', version: '9', granted: true }];
    expect(planFor({ status: { keys: unknown } }).blockers).toHaveLength(1);
  });

  test('of a standby key is of no interest', () => {
    const { env: _env, ...standby } = OPENAI;
    const inventory = atRest.filter(({ type }) => type !== 'Variable');
    const template = templateA({}, { env: [] });
    const cloud = { keys: [keyA({ version: undefined })], services: [seen(present(serviceA({ template })))] };
    expect(planFor({ spec: { keys: [standby] }, status: { inventory }, cloud })).toMatchObject({
      steps: [],
      blockers: [],
    });
  });

  test('of another project’s secret is written with that project', () => {
    const external = 'projects/keys-1/secrets/openai-key';
    const spec = { keys: [{ ...OPENAI, secretRef: { external } }] };
    const theirs = 'projects/999/secrets/openai-key';
    const keys = [keyA({ secret: present({ name: theirs, labels: consented }) })];
    const update = stepOf(planFor({ generation: 2, spec, cloud: { keys } }), UPDATE);
    expect(update.changes).toContainEqual({
      field: 'env.OPENAI_API_KEY',
      from: 'openai-key:3',
      to: `${external}:3`,
    });
    for (const written of [external, theirs]) {
      const template = templateA({}, { env: [secretVariable('OPENAI_API_KEY', written, '3')] });
      const services = [seen(present(serviceA({ template })))];
      expect(stepIds(planFor({ spec, cloud: { keys, services } })), written).not.toContain(UPDATE);
    }
  });

  test.each(['openai-key', `projects/${PROJECT}/secrets/openai-key`, SECRET])(
    'of our own project’s secret may stand there as %s',
    written => {
      const template = templateA({}, { env: [secretVariable('OPENAI_API_KEY', written, '3')] });
      expect(planFor({ cloud: { services: [seen(present(serviceA({ template })))] } }).steps).toEqual([]);
    },
  );

  test('follows a fresh tenant’s first grant', () => {
    const create = stepOf(
      planFor({
        status: { inventory: [], keys: [], conditions: [] },
        cloud: { account: absent, keys: [ungranted()], services: [seen(absent)] },
      }),
      UPDATE,
    );
    expect(create.needs).toEqual(['account', GRANT]);
    expect(create.call).toMatchObject({
      service: { template: { containers: [{ env: [secretVariable('OPENAI_API_KEY', 'openai-key', '3')] }] } },
    });
  });
});

describe('a grant that has left the spec', () => {
  const other = `projects/${NUMBER}/secrets/other`;
  const gone = entry({ ...ENTRIES.grant, name: other });
  const inventory = [...atRest, gone];
  const former = (policy: ReturnType<typeof grantTo>): Given => ({
    status: { inventory },
    cloud: { formerGrants: [{ secret: other, policy: present(policy) }] },
  });

  test('goes; what others hold on that secret stays', () => {
    const plan = planFor(former(grantTo('user:jane@example.com', MEMBER)));
    expect(plan.steps).toEqual([
      {
        id: `revoke:${other}`,
        aspect: 'SecretAccess',
        verb: 'Revoke',
        target: 'secret other',
        call: { kind: 'setSecretPolicy', secret: other, policy: grantTo('user:jane@example.com') },
        needs: [],
        changes: [{ field: ROLE, from: MEMBER, to: undefined }],
        creates: [],
        removes: [`SecretAccess ${other} `],
        closes: true,
        drift: false,
      },
    ]);
    expect(plan.inventory).toContainEqual(gone);
  });

  test('stays as long as a revision that serves reads it', () => {
    const readsOther = templateA(
      {},
      { env: [secretVariable('OPENAI_API_KEY', 'openai-key', '3'), secretVariable('THEIRS', 'other', '1')] },
    );
    const given = former(grantTo(MEMBER));
    const cloud = { ...given.cloud, services: [seen(present(serviceA({ template: readsOther })))] };
    const plan = planFor({ ...given, cloud });
    expect(plan.steps).toEqual([]);
    expect(plan.waiting).toEqual([
      {
        aspect: 'SecretAccess',
        message: `The grant on ${other} has left the spec and stays until no revision that reads it serves.`,
        retryAfterMs: 2_000,
      },
    ]);
    expect(plan.inventory).toContainEqual(gone);
  });

  test('goes whatever reads it once its secret has lost its consent, also while a key of the spec has no name yet', () => {
    const readsOther = templateA({}, { env: [secretVariable('THEIRS', 'other', '1')] });
    const services = [seen(present(serviceA({ template: readsOther })))];
    const policy = present(grantTo(MEMBER));
    const plan = (labels: Record<string, string>, keys = [keyA()]) =>
      planFor({
        status: { inventory },
        cloud: {
          keys,
          services,
          formerGrants: [{ secret: other, policy, read: present({ name: other, labels }) }],
        },
      });
    expect(stepIds(plan(consented))).not.toContain(`revoke:${other}`);
    for (const keys of [[keyA()], [keyA({ secret: absent, policy: undefined })]]) {
      expect(stepIds(plan({}, keys))).toContain(`revoke:${other}`);
      expect(stepIds(plan({ 'ai-tenant-namespace': 'other' }, keys))).toContain(`revoke:${other}`);
    }
  });

  test('goes also while another owner’s service reads it', () => {
    const template = {
      ...templateA(),
      containers: [{ image: 'i', env: [secretVariable('OTHER', 'other', '1')] }],
    };
    const labels = { ...serviceA().labels, 'ai-tenant-owner-cluster': 'c2' };
    const given = former(grantTo(MEMBER));
    const services = [seen(present(serviceA({ labels, template })))];
    const plan = planFor({ ...given, cloud: { ...given.cloud, services } });
    expect(stepIds(plan)).toContain(`revoke:${other}`);
  });

  test.each([
    ['the service cannot be read', seen(failed('Transient')), true],
    ['a revision is coming up', seen(present(serviceA({ reconciling: true }))), true],
    [
      'an older revision still serves',
      seen(
        present(
          serviceA({ trafficStatuses: [{ revision: revision(1), percent: 100 }], latestCreatedRevision: revision(2) }),
        ),
      ),
      true,
    ],
    ['there is no service', seen(absent), false],
    [
      'no revision was ever ready',
      seen(present(serviceA({ latestReadyRevision: '', terminal: { state: 'FAILED', reason: '', message: '' } }))),
      false,
    ],
    [
      'the answer lacks the ready revision and does not say that the service failed',
      seen(present(serviceA({ latestReadyRevision: '', terminal: { state: 'PENDING', reason: '', message: '' } }))),
      true,
    ],
  ])('while %s: stays %s', (_what, service, stays) => {
    const given = former(grantTo(MEMBER));
    const plan = planFor({ ...given, cloud: { ...given.cloud, services: [service] } });
    expect(stepIds(plan).includes(`revoke:${other}`)).toBe(!stays);
  });

  test.each([
    ['the service was made a minute ago and is out of sight', SERVICE, true],
    ['one of another region was', SERVICE.replace('asia-northeast1', 'us-central1'), false],
  ])('while %s: stays %s', (_what, name, stays) => {
    const made = entry({ type: 'Service', name }, at(-60_000));
    const others = inventory.filter(({ type, name: other }) => type !== 'Service' || other !== name);
    const given = former(grantTo(MEMBER));
    const cloud = { ...given.cloud, services: [seen(absent)] };
    const plan = planFor({ status: { inventory: [...others, made] }, cloud });
    expect(stepIds(plan).includes(`revoke:${other}`)).toBe(!stays);
  });

  test('on a secret that Google Cloud named otherwise before is not confused with one of the spec', () => {
    const plan = planFor({ status: { inventory }, cloud: { formerGrants: [] } });
    expect(plan.steps).toEqual([]);
    expect(plan.inventory).toContainEqual(gone);
  });

  test('whose policy cannot be read stays on record', () => {
    const formerGrants = [{ secret: other, policy: failed('Transient', 'lost') }];
    const plan = planFor({ status: { inventory }, cloud: { formerGrants } });
    expect(plan.blockers).toEqual([
      {
        aspect: 'SecretAccess',
        reason: 'Updating',
        message: `Cannot read the IAM policy of ${other}, whose grant is to be removed: lost. The operator tries again.`,
        unread: true,
      },
    ]);
    expect(plan.inventory).toContainEqual(gone);
  });

  test.each([
    ['the secret is gone', absent],
    ['somebody took the member off', present(grantTo('user:jane@example.com'))],
  ])('is forgotten where %s, but not within two minutes of our last call', (_what, policy) => {
    const formerGrants = [{ secret: other, policy }];
    const left = (time: string) =>
      grants({ status: { inventory: [...atRest, { ...gone, time }] }, cloud: { formerGrants } }).some(
        ({ name }) => name === other,
      );
    expect(left(LONG_AGO)).toBe(false);
    expect(left(at(-120_000))).toBe(false);
    expect(left(at(-119_999))).toBe(true);
  });

  test('of an account that is not ours any more leaves only the member of the deleted identity', () => {
    const account = present(accountA({ description: 'ai-tenant-owner=c1/team/other' }));
    const formerGrants = [{ secret: other, policy: present(grantTo(MEMBER, deleted(UID), deleted('5'))) }];
    const plan = planFor({ status: { inventory }, cloud: { account, formerGrants } });
    expect(stepOf(plan, `revoke:${other}`)).toMatchObject({
      call: { policy: grantTo(MEMBER, deleted('5')) },
      // The account's own member still stands, so the entry does too.
      removes: [],
    });
    const nothing = planFor({
      status: { inventory },
      cloud: { account, formerGrants: [{ secret: other, policy: present(grantTo(MEMBER)) }] },
    });
    expect(nothing.steps).toEqual([]);
    expect(nothing.inventory).toContainEqual(gone);
  });

  test('stays while a key of the spec, maybe of that very secret, has no name yet', () => {
    const spec = { keys: [{ ...OPENAI, secretRef: { name: 'someday' } }] };
    const formerGrants = [{ secret: SECRET, policy: present(grantTo(MEMBER)) }];
    const plan = planFor({ generation: 2, spec, cloud: { keys: [], formerGrants } });
    expect(stepIds(plan)).not.toContain(REVOKE);
    expect(plan.inventory).toContainEqual(entry(ENTRIES.grant));
  });

  test('stays while a secret of that id, as the spec names it, cannot be read; another’s does not', () => {
    const keys = [keyA({ secret: failed('Transient'), policy: undefined, version: undefined })];
    const services = [seen(present(serviceA({ template: templateA({}, { env: [] }) })))];
    const formerGrants = [SECRET, other].map(secret => ({ secret, policy: present(grantTo(MEMBER)) }));
    const plan = planFor({ status: { inventory }, cloud: { keys, formerGrants, services } });
    expect(stepIds(plan)).toEqual([`revoke:${other}`]);
    expect(plan.inventory).toContainEqual(entry(ENTRIES.grant));
  });
});

test('an edit of a template sends the whole template and nothing that is not in the mask', () => {
  const update = stepOf(planFor(edited), UPDATE);
  expect(Object.keys(sentFields(update))).toEqual(['name', 'etag', 'template']);
});
