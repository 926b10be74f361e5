import { describe, expect, test } from 'vitest';
import { messageOf } from '../../operator/tenant/conditions.ts';
import { plan, type TenantPlan } from '../../operator/tenant/plan.ts';
import { deleting, refused, report, suspended } from '../../operator/tenant/report.ts';
import type { Blocker, Failure, ObservedService, Outcome, Plan, Report, Tenant } from '../../operator/tenant/types.ts';
import {
  absent,
  at,
  atRest,
  cloud,
  comingUp,
  desiredOf,
  EMAIL,
  entry,
  failed,
  failure,
  type Given,
  grantTo,
  invokedBy,
  keyA,
  LIVE_KEY,
  LONG_AGO,
  NOW,
  NUMBER,
  OPENAI,
  PROJECT,
  present,
  REGION,
  revision,
  SECRET,
  SERVICE,
  secretVariable,
  seen,
  serviceA,
  serviceIn,
  settings,
  stepOf,
  templateA,
  tenantA,
} from './support/tenantWorld.ts';

type Answer = 'done' | 'skipped' | Failure;

/** The status after the plan's steps, each with the answer that is given for its id (done, if none). */
function tell(given: Given, answers?: Record<string, Answer>): Report & { plan: TenantPlan; tenant: Tenant } {
  const tenant = tenantA(given);
  const desired = desiredOf(tenant, settings, given.connectorSecret);
  const observed = cloud(given.cloud);
  const planned = plan(tenant, desired, observed, settings, NOW);
  const outcomes = answers && planned.steps.map(step => outcomeOf(step, answers[step.id] ?? 'done'));
  return { ...report(tenant, desired, observed, planned, outcomes, NOW), plan: planned, tenant };
}

function outcomeOf(step: Outcome['step'], answer: Answer): Outcome {
  if (answer === 'done') return { step, result: 'done', response: {} };
  return answer === 'skipped' ? { step, result: 'skipped' } : { step, result: 'failed', failure: answer };
}

const conditions = ({ status }: Report) => Object.fromEntries(status.conditions.map(one => [one.type, one]));
const isNew: Given = { status: { inventory: [], keys: [], conditions: [] } };
const nothingThere: Given = {
  ...isNew,
  cloud: { account: absent, keys: [keyA({ policy: present(grantTo()) })], services: [seen(absent)] },
};
const GRANT = `grant:${SECRET}`;
const UPDATE = `service:${SERVICE}`;
const service = (changes: Parameters<typeof serviceA>[0]) => ({ services: [seen(present(serviceA(changes)))] });

describe('the status of a tenant at rest', () => {
  const resting = tell({});

  test('says that all is well, and since when', () => {
    expect(resting.status.conditions).toEqual([
      {
        type: 'Ready',
        status: 'True',
        reason: 'UpToDate',
        message: 'Google Cloud matches the spec.',
        lastTransitionTime: LONG_AGO,
        observedGeneration: 1,
      },
      {
        type: 'ServiceAccountReady',
        status: 'True',
        reason: 'UpToDate',
        message: 'The service account exists and is ours.',
        lastTransitionTime: '2030-01-01T00:00:00Z',
        observedGeneration: 1,
      },
      {
        type: 'SecretAccessReady',
        status: 'True',
        reason: 'UpToDate',
        message: 'Every key is granted.',
        lastTransitionTime: '2030-01-01T00:00:00Z',
        observedGeneration: 1,
      },
      {
        type: 'ServiceReady',
        status: 'True',
        reason: 'UpToDate',
        message: 'The Cloud Run service serves what the spec asks for.',
        lastTransitionTime: '2030-01-01T00:00:00Z',
        observedGeneration: 1,
      },
    ]);
    expect(resting.again).toEqual({ kind: 'interval' });
    expect(resting.unread).toBeUndefined();
  });

  test('tells where and as whom it is', () => {
    expect(resting.status).toMatchObject({
      observedGeneration: 1,
      url: `https://ai-platform-tenant-a-${REGION}.a.run.app`,
      serviceAccountEmail: EMAIL,
      impersonatedServiceAccount: undefined,
      latestReadyRevision: 'ai-platform-tenant-a-00001-abc',
      projectId: PROJECT,
      region: REGION,
      keys: [LIVE_KEY],
      image: 'registry/app:1',
    });
    expect(resting.status.inventory).toHaveLength(atRest.length);
  });

  test('has the other address where there is no first', () => {
    expect(tell({ cloud: service({ uri: '', urls: ['https://b', 'https://c'] }) }).status.url).toBe('https://b');
  });

  test('tells what people should know of, beside', () => {
    const to = 'us-central1';
    const moved = tell({
      spec: { region: to },
      status: { inventory: [...atRest, entry({ type: 'Service', name: SERVICE.replace(REGION, to) })] },
      cloud: {
        services: [
          seen(present(serviceA({}, to)), to, present(invokedBy())),
          seen(present(serviceA()), REGION, present(invokedBy())),
        ],
      },
    });
    expect(conditions(moved).Ready).toMatchObject({ status: 'True' });
    expect(conditions(moved).Ready?.message).toMatch(
      /^Google Cloud matches the spec\. The former Cloud Run service .* stay until /,
    );
    expect(moved.again).toEqual({ kind: 'after', ms: 3_600_000 });
  });
});

describe('the status of a new tenant', () => {
  test('before the first call names every step to come, and records what it makes', () => {
    const before = tell(nothingThere);
    expect(conditions(before)).toMatchObject({
      Ready: { status: 'False', reason: 'Updating' },
      ServiceAccountReady: { status: 'False', message: `Creating service account ${EMAIL}.` },
      SecretAccessReady: { status: 'False', message: 'Granting access to secret openai-key.' },
      ServiceReady: { status: 'False', message: `Creating Cloud Run service ai-platform-tenant-a in ${REGION}.` },
    });
    expect(conditions(before).Ready?.message).toBe(
      `Creating service account ${EMAIL}. Granting access to secret openai-key. Creating Cloud Run service ai-platform-tenant-a in ${REGION}.`,
    );
    expect(before.status.inventory.map(({ type }) => type)).toEqual([
      'ServiceAccount',
      'SecretAccess',
      'Service',
      'Variable',
    ]);
    expect(before.status).toMatchObject({
      url: undefined,
      latestReadyRevision: undefined,
      region: REGION,
      keys: [{ name: 'openai', granted: false }],
    });
  });

  test('after them says what was granted, and looks again', () => {
    const done = tell(nothingThere, {});
    expect(done.status.keys).toEqual([{ name: 'openai', granted: true }]);
    expect(done.again).toEqual({ kind: 'changed' });
  });

  test('whose grant was refused or skipped is granted nothing, and forgets what was never made', () => {
    for (const answer of ['skipped', failure('Invalid')] as const) {
      const { status } = tell(nothingThere, { [GRANT]: answer, [UPDATE]: 'skipped' });
      expect(status.keys).toEqual([{ name: 'openai', granted: false }]);
      expect(status.inventory.map(({ type }) => type)).toEqual(['ServiceAccount']);
    }
  });

  test('that waits for its keys says so about its service', () => {
    const waits = tell({ ...nothingThere, cloud: { ...nothingThere.cloud, keys: [keyA({ version: absent })] } });
    expect(conditions(waits).ServiceReady).toMatchObject({
      status: 'False',
      reason: 'Updating',
      message: 'The service waits for the service account and the keys.',
    });
    expect(conditions(waits).Ready).toMatchObject({ reason: 'DependencyNotFound' });
  });

  test('whose revision comes up says so, and tells no URL yet', () => {
    const young = service({ ...comingUp, latestReadyRevision: '', unreadyForMs: 4_000 });
    const { status, again } = tell({ ...isNew, status: { ...isNew.status, inventory: atRest }, cloud: young });
    expect(status.conditions.at(-1)).toMatchObject({
      type: 'ServiceReady',
      status: 'False',
      message: `Cloud Run is bringing up a revision of Cloud Run service ai-platform-tenant-a in ${REGION}.`,
    });
    expect(status).toMatchObject({ url: undefined, latestReadyRevision: undefined });
    expect(again).toEqual({ kind: 'after', ms: 1_000 });
  });
});

describe('several messages', () => {
  const said = (...messages: string[]) =>
    messageOf(messages.map(message => ({ aspect: 'Service', reason: 'PermissionDenied', message })));
  const advice = 'Give it the permission. The operator tries again.';

  test('end with their common advice once', () => {
    expect(said(`Cannot read a: no. ${advice}`, `Cannot read b: no! ${advice}`, `Cannot read c: no. ${advice}`)).toBe(
      `Cannot read a: no. · Cannot read b: no! · Cannot read c: no. ${advice}`,
    );
    expect(said('a: no. Do x. The operator tries again.', `b: no. ${advice}`)).toBe(`a: no. Do x. · b: no. ${advice}`);
  });

  test('have their common advice first if the text is too long for its end to be shown', () => {
    const regions = Array.from({ length: 200 }, (_, at) => `Cannot read the service in region-${at}: no. ${advice}`);
    const text = said(...regions);
    expect(text).toContain(`region-0: no. ${advice} · Cannot read the service in region-1: no. · `);
  });

  test('keep advice of their own, and what they are about', () => {
    expect(said('a: no. Do: x', 'b: no. Do: y')).toBe('a: no. Do: x · b: no. Do: y');
    expect(said(advice, `b: no. ${advice}`)).toBe(`Give it the permission. · b: no. ${advice}`);
    expect(said('a: no.', 'a: no.')).toBe('a: no.');
  });
});

describe('a call that failed', () => {
  const edit: Given = { generation: 2, spec: { timeoutSeconds: 60 } };

  test('is told by what it was to do, under its aspect and in Ready', () => {
    const message = `Updating Cloud Run service ai-platform-tenant-a in ${REGION} failed: too much. Google Cloud refuses the request itself. If its words name a value of the spec, change that value in the AiTenant.`;
    const report = tell(edit, { [UPDATE]: failure('Invalid', 'too much') });
    expect(conditions(report)).toMatchObject({
      Ready: { status: 'False', reason: 'InvalidSpec', message },
      ServiceReady: { status: 'False', reason: 'InvalidSpec', message },
      SecretAccessReady: { status: 'True' },
      Stalled: { status: 'True', reason: 'InvalidSpec', message },
    });
    expect(report.again).toEqual({ kind: 'interval' });
  });

  test('against somebody else’s change is no failure: it is looked again, soon', () => {
    const report = tell(edit, { [UPDATE]: failure('Conflict') });
    expect(conditions(report).Ready).toMatchObject({ reason: 'Updating' });
    expect(report.again).toEqual({ kind: 'backoff', capMs: 5_000 });
  });

  test.each([
    [10_000, 'Updating'],
    [200_000, 'PermissionDenied'],
  ])('because an account made %i ms ago is not known is %s', (ageMs, reason) => {
    const inventory = atRest.map(one =>
      one.type === 'ServiceAccount' ? { ...one, time: at(-ageMs) } : { ...one, time: LONG_AGO },
    );
    const report = tell({ ...edit, status: { inventory } }, { [UPDATE]: failure('Propagating') });
    expect(conditions(report).Ready?.reason).toBe(reason);
  });

  test('because a brand-new account is not known is no failure', () => {
    const report = tell(nothingThere, { [GRANT]: failure('Propagating'), [UPDATE]: 'skipped' });
    expect(conditions(report).Ready?.reason).toBe('Updating');
  });
});

describe('the version that is live', () => {
  const template = (version: string) =>
    templateA({}, { env: [secretVariable('OPENAI_API_KEY', 'openai-key', version)] });
  const key = (version: number) => [keyA({ version: present({ version, state: 'ENABLED' as const }) })];

  test('is a newer one once the service is ready with it, not before', () => {
    const rolled = { keys: key(4), ...service({ template: template('4') }) };
    expect(tell({ cloud: rolled }).status.keys).toEqual([{ ...LIVE_KEY, version: '4' }]);
    expect(tell({ cloud: { ...rolled, ...service({ ...comingUp, template: template('4') }) } }).status.keys).toEqual([
      LIVE_KEY,
    ]);
    expect(tell({ cloud: { ...rolled, ...service({}) } }, {}).status.keys).toEqual([LIVE_KEY]);
    const failing = { state: 'FAILED', reason: '', message: 'no' } as const;
    expect(
      tell({ cloud: { ...rolled, ...service({ terminal: failing, template: template('4') }) } }).status.keys,
    ).toEqual([LIVE_KEY]);
  });

  test('is the highest also where nobody wrote it down: the older one does not come back', () => {
    // Rolled by an operator that died before its status write; disabled since.
    const cloud = { keys: key(3), ...service({ template: template('4') }) };
    const { status } = tell({ cloud });
    expect(status.keys).toEqual([{ ...LIVE_KEY, version: '4' }]);
    expect(status.conditions.find(({ type }) => type === 'Ready')).toMatchObject({
      reason: 'DependencyNotReady',
      message: expect.stringContaining('version 4 of '),
    });
    // On purpose it does; and another secret's number says nothing.
    const back = tell({ spec: { keys: [{ ...OPENAI, version: 3 }] }, cloud }, {});
    expect(back.status.conditions.find(({ type }) => type === 'Ready')?.reason).not.toBe('DependencyNotReady');
    const elsewhere = JSON.parse(JSON.stringify(template('4')).replaceAll('openai-key', 'another'));
    expect(tell({ cloud: { keys: key(3), ...service({ template: elsewhere }) } }, {}).status.keys).toEqual([LIVE_KEY]);
  });

  test.each<[string, string, object, string]>([
    ['by its id', 'openai-key', {}, '4'],
    ['by its full name', SECRET, {}, '4'],
    ['as the spec has it', `projects/${PROJECT}/secrets/openai-key`, {}, '4'],
    ['under another project', 'projects/elsewhere/secrets/openai-key', {}, '3'],
    ['under a project that is known to be the same', 'projects/alias/secrets/openai-key', { alsoIn: ['alias'] }, '4'],
    ['of another id there', 'projects/alias/secrets/other', { alsoIn: ['alias'] }, '3'],
  ])('is seen on the ready revision where that reads the secret %s', (_what, reference, more, version) => {
    const live = templateA({}, { env: [secretVariable('OPENAI_API_KEY', reference, '4')] });
    const seenKey = { ...keyA({ version: present({ version: 3, state: 'ENABLED' as const }) }), ...more };
    expect(tell({ cloud: { keys: [seenKey], ...service({ template: live }) } }, {}).status.keys).toEqual([
      { ...LIVE_KEY, version },
    ]);
  });

  test.each<[string, Parameters<typeof service>[0]]>([
    ['is coming up', { ...comingUp }],
    ['has failed', { terminal: { state: 'FAILED', reason: '', message: 'no' } }],
    ['was never ready', { latestReadyRevision: '', latestCreatedRevision: '' }],
    ['is not the newest', { latestCreatedRevision: revision(2) }],
    ['is another owner’s', { labels: { 'ai-tenant-owner-cluster': 'c2' } }],
  ])('is not taken from a revision that %s', (_what, state) => {
    const cloud = { keys: key(3), ...service({ template: template('4'), ...state }) };
    expect(tell({ cloud }, {}).status.keys).toEqual([LIVE_KEY]);
  });

  test.each(['latest', '4x', 'x4'])('is no number that stands as %s', version => {
    const cloud = { keys: key(3), ...service({ template: template(version) }) };
    expect(tell({ cloud }, {}).status.keys).toEqual([LIVE_KEY]);
  });

  test('is that of the secret that is read now, also where another one’s was on record', () => {
    const former = { ...LIVE_KEY, secret: `projects/${NUMBER}/secrets/former`, version: '9', granted: true };
    const cloud = { keys: key(3), ...service({ template: template('4') }) };
    const { status } = tell({ status: { keys: [former], inventory: atRest }, cloud }, {});
    expect(status.keys).toEqual([{ ...LIVE_KEY, version: '4' }]);
  });

  test('goes back only where the spec names the number, or another secret', () => {
    const spec = { keys: [{ ...OPENAI, version: 2 }] };
    expect(tell({ spec, cloud: { keys: key(2), ...service({ template: template('2') }) } }).status.keys).toEqual([
      { ...LIVE_KEY, version: '2' },
    ]);
    const other = `projects/${NUMBER}/secrets/former`;
    const keys = [{ ...LIVE_KEY, secret: other, version: '9' }];
    expect(tell({ status: { keys, inventory: atRest } }).status.keys).toEqual([LIVE_KEY]);
  });

  test('is kept while its key is not used', () => {
    const { env: _env, ...standby } = OPENAI;
    const inventory = atRest.filter(({ type }) => type !== 'Variable');
    const cloud = { keys: [keyA({ version: undefined })], ...service({ template: templateA({}, { env: [] }) }) };
    expect(tell({ spec: { keys: [standby] }, status: { inventory }, cloud }).status.keys).toEqual([LIVE_KEY]);
  });

  test('with OnRestart, a lower one than was live does not replace it', () => {
    const spec = { keys: [{ ...OPENAI, rollout: 'OnRestart' }] };
    expect(tell({ spec, cloud: { keys: key(2), ...service({ template: template('latest') }) } }).status.keys).toEqual([
      LIVE_KEY,
    ]);
    expect(tell({ spec, cloud: { keys: key(3), ...service({ template: template('latest') }) } }).status.keys).toEqual([
      LIVE_KEY,
    ]);
  });
});

describe('the service that the status tells of', () => {
  const to = 'us-central1';
  const move = (wanted: Parameters<typeof seen>[0], status: object = {}) =>
    tell({
      generation: 2,
      spec: { region: to },
      status: { inventory: [...atRest, entry({ type: 'Service', name: serviceIn(to) })], ...status },
      cloud: { services: [seen(wanted, to), seen(present(serviceA()))] },
    }).status;

  test('is the former one until the new one has a ready revision', () => {
    expect(move(absent)).toMatchObject({ region: REGION, latestReadyRevision: 'ai-platform-tenant-a-00001-abc' });
    const young = present(serviceA({ ...comingUp, latestReadyRevision: '' }, to));
    expect(move(young)).toMatchObject({ region: REGION, url: `https://ai-platform-tenant-a-${REGION}.a.run.app` });
    expect(move(present(serviceA({}, to)))).toMatchObject({
      region: to,
      url: `https://ai-platform-tenant-a-${to}.a.run.app`,
    });
  });

  test.each<[string, Partial<ObservedService>]>([
    ['another owner’s', { labels: { 'ai-tenant-owner-name': 'x' } }],
    ['nobody’s', { labels: {} }],
  ])('is never %s', (_whose, changes) => {
    const before = { url: 'https://before', latestReadyRevision: 'r-7', region: REGION };
    const foreign = serviceA({ ...changes, uri: 'https://theirs', latestReadyRevision: 'theirs-1' });
    expect(tell({ status: before, cloud: { services: [seen(present(foreign))] } }).status).toMatchObject(before);
    const moved = tell({
      generation: 2,
      spec: { region: to },
      status: before,
      cloud: { services: [seen(absent, to), seen(present(foreign))] },
    });
    expect(moved.status).toMatchObject(before);
  });

  test('that can be seen nowhere stays as it was', () => {
    const before = { url: 'https://before', latestReadyRevision: 'r-7', region: 'r7', image: 'i7' };
    const gone = tell({ status: { inventory: atRest, ...before }, cloud: { services: [seen(absent)] } }).status;
    expect(gone).toMatchObject(before);
    const never = tell({
      status: { inventory: atRest, ...before },
      cloud: service({ latestReadyRevision: '', template: {} }),
    }).status;
    expect(never).toMatchObject(before);
  });
});

describe('when it is looked again', () => {
  const blocker = (changes: Partial<Blocker>): Blocker => ({
    aspect: 'Service',
    reason: 'Updating',
    message: 'm',
    ...changes,
  });
  const again = (changes: Partial<Plan>, outcomes?: Outcome[]) => {
    const { plan: resting, tenant } = tell({ generation: 2 });
    const planned = { ...resting, ...changes };
    return report(tenant, desiredOf(tenant), cloud(), planned, outcomes, NOW).again;
  };
  const wait = (retryAfterMs: number) => ({ aspect: 'Service' as const, message: 'w', retryAfterMs });
  const outcome: Outcome = {
    step: stepOf(tell({ generation: 2, spec: { timeoutSeconds: 60 } }).plan, UPDATE),
    result: 'done',
    response: {},
  };

  test.each<[string, Partial<Plan>, Outcome[] | undefined, object]>([
    ['nothing is open', {}, undefined, { kind: 'interval' }],
    ['nothing is open, but something falls due', { recheckAfterMs: 7_000 }, undefined, { kind: 'after', ms: 7_000 }],
    [
      'something is on its way',
      { waiting: [wait(2_000), wait(1_000)], recheckAfterMs: 500 },
      undefined,
      { kind: 'after', ms: 1_000 },
    ],
    ['something was changed', { waiting: [wait(2_000)] }, [outcome], { kind: 'changed' }],
    [
      'something failed that a retry may mend',
      { blockers: [blocker({ reason: 'PermissionDenied' })] },
      undefined,
      { kind: 'backoff', capMs: 60_000 },
    ],
    [
      'the first of several has no time',
      { blockers: [blocker({}), blocker({ retryAfterMs: 9_000 })] },
      undefined,
      { kind: 'backoff', capMs: 60_000, atLeastMs: 9_000 },
    ],
    [
      'also something is on its way',
      { blockers: [blocker({})], waiting: [wait(2_000)] },
      undefined,
      { kind: 'backoff', capMs: 60_000 },
    ],
    [
      'each has its time',
      { blockers: [blocker({ retryAfterMs: 9_000 }), blocker({ retryAfterMs: 4_000 })] },
      undefined,
      { kind: 'after', ms: 4_000 },
    ],
    ['no retry will help', { blockers: [blocker({ reason: 'SecretNotAllowed' })] }, undefined, { kind: 'interval' }],
    [
      'the quota is short although something was changed',
      { blockers: [blocker({ reason: 'QuotaExceeded', retryAfterMs: 8_000 })] },
      [outcome],
      { kind: 'after', ms: 8_000 },
    ],
    [
      'the quota is short and nobody says for how long',
      { blockers: [blocker({ reason: 'QuotaExceeded' })] },
      [outcome],
      { kind: 'changed' },
    ],
  ])('because %s', (_why, changes, outcomes, expected) => {
    expect(again(changes, outcomes)).toEqual(expected);
  });
});

describe('a message', () => {
  test('is cut where it would crowd out everything else, and holds nothing that a terminal obeys', () => {
    const long = refused(tenantA(), `a\u001b[31m${'x'.repeat(3_000)}`, NOW).status.conditions[0]?.message ?? '';
    expect(long).toHaveLength(2_000);
    expect(long.startsWith('a [31mx') && long.endsWith('x…')).toBe(true);
    expect(refused(tenantA(), 'x'.repeat(2_000), NOW).status.conditions[0]?.message).toBe('x'.repeat(2_000));
  });
});

describe('without a look at Google Cloud', () => {
  const stalled = {
    type: 'Stalled',
    status: 'True',
    reason: 'InvalidSpec',
    message: 'm',
    lastTransitionTime: LONG_AGO,
    observedGeneration: 1,
  };
  const notReady = { ...stalled, type: 'Ready', status: 'False' };

  test('a spec that can’t be followed is refused, and keeps what is known', () => {
    const { status, again } = refused(tenantA({ generation: 2 }), 'no project', NOW);
    expect(status).toMatchObject({ observedGeneration: 2, keys: [LIVE_KEY], inventory: atRest });
    expect(conditions({ status, again })).toMatchObject({
      Ready: {
        status: 'False',
        reason: 'InvalidSpec',
        message: 'no project',
        lastTransitionTime: '2030-01-01T00:00:00Z',
        observedGeneration: 2,
      },
      Stalled: { status: 'True', reason: 'InvalidSpec', message: 'no project' },
    });
    expect(again).toEqual({ kind: 'interval' });
  });

  test('a pause leaves Ready as it was, and says how to go on', () => {
    const resume = `kubectl patch aitenant tenant-a -n team --type=merge -p '{"spec":{"suspend":false}}'`;
    expect(suspended(tenantA(), NOW).status.conditions).toMatchObject([
      {
        type: 'Ready',
        status: 'True',
        reason: 'Suspended',
        message: `Suspended: the spec is not followed; only grants whose secret has lost its consent are removed. Resume: ${resume}`,
        lastTransitionTime: LONG_AGO,
      },
    ]);
    const going = suspended(tenantA({ deletionTimestamp: at(0), status: { conditions: [notReady, stalled] } }), NOW);
    expect(going.status.conditions).toMatchObject([
      {
        type: 'Ready',
        status: 'False',
        message: `The deletion waits: this tenant is suspended. Resume, and it is deleted: ${resume}`,
      },
      { type: 'Stalled', status: 'True' },
    ]);
    expect(going.again).toEqual({ kind: 'interval' });
    expect(suspended(tenantA({ status: { conditions: [] } }), NOW).status.conditions).toMatchObject([
      { status: 'False' },
    ]);
  });

  const empty: Plan = { steps: [], blockers: [], waiting: [], inventory: [], notes: [] };
  const doing = tell({ generation: 2, spec: { timeoutSeconds: 60 } }).plan.steps;

  test.each<[string, Plan, Outcome[], string | undefined, string, string, object]>([
    ['has begun', empty, [], undefined, 'Deleting', 'Deleting.', { kind: 'interval' }],
    [
      'has steps and something on its way',
      { ...empty, steps: doing, waiting: [{ aspect: 'Service', message: 'Waits.', retryAfterMs: 1_000 }] },
      [],
      undefined,
      'Deleting',
      `Updating Cloud Run service ai-platform-tenant-a in ${REGION}. Waits.`,
      { kind: 'after', ms: 1_000 },
    ],
    [
      'is held by its owner',
      empty,
      [],
      'the annotation is odd',
      'DeleteFailed',
      'the annotation is odd',
      { kind: 'interval' },
    ],
    [
      'is not answered',
      { ...empty, blockers: [{ aspect: 'Service', reason: 'Updating', message: 'lost' }] },
      [],
      undefined,
      'Deleting',
      'lost',
      { kind: 'backoff', capMs: 60_000 },
    ],
    [
      'is refused',
      { ...empty, blockers: [{ aspect: 'Service', reason: 'PermissionDenied', message: 'no' }] },
      [],
      undefined,
      'DeleteFailed',
      'no',
      { kind: 'backoff', capMs: 60_000 },
    ],
  ])('a deletion that %s', (_what, planned, outcomes, message, reason, text, again) => {
    const told = deleting(tenantA(), planned, outcomes, NOW, message);
    expect(conditions(told).Ready).toMatchObject({ status: 'False', reason, message: text });
    expect(told.again).toEqual(again);
  });

  test('a deletion whose call failed says so, and forgets only what is gone', () => {
    const planned = { ...empty, steps: doing, inventory: atRest };
    const told = deleting(
      tenantA(),
      planned,
      doing.map(step => outcomeOf(step, failure('PermissionDenied', 'no'))),
      NOW,
    );
    expect(conditions(told).Ready?.reason).toBe('DeleteFailed');
    expect(told.status.inventory).toEqual(atRest);
    const revoked = { ...doing[0], removes: [`SecretAccess ${SECRET} `] } as Outcome['step'];
    const gone = deleting(tenantA(), planned, [outcomeOf(revoked, 'done')], NOW);
    expect(gone.status.inventory).toEqual(atRest.filter(({ type }) => type !== 'SecretAccess'));
    expect(gone.again).toEqual({ kind: 'changed' });
  });
});

test('a tenant that cannot be read keeps its word only if that is all there is', () => {
  const lost = { account: failed('Transient', 'lost') };
  expect(tell({ cloud: lost })).toMatchObject({ unread: true });
  expect(tell({ cloud: { ...lost, ...service(comingUp) } }).unread).toBeUndefined();
  expect(
    tell({
      cloud: {
        keys: [keyA({ secret: failed('Transient') })],
        ...service({ labels: { 'ai-tenant-owner-name': 'tenant-a' } }),
      },
    }).unread,
  ).toBeUndefined();
  expect(tell({}).unread).toBeUndefined();
});

test.each<[string, Given['cloud'], string, string]>([
  ['account', { account: failed('Transient', 'lost') }, 'ServiceAccountReady', 'SecretNotAllowed'],
  ['service', { services: [seen(failed('QuotaExceeded', 'lost'))] }, 'ServiceReady', 'SecretNotAllowed'],
  ['secret', { keys: [keyA({ secret: failed('Transient', 'lost') })] }, 'SecretAccessReady', 'ManagementConflict'],
])('what was not read keeps its last value beside something that is wrong: %s', (_what, unread, type, reason) => {
  const { conditions: before } = tell({ status: { inventory: atRest, conditions: [] } }).status;
  const last = before.map(one => ({ ...one, message: `${one.message} (last)` }));
  const wrong =
    reason === 'SecretNotAllowed'
      ? { keys: [keyA({ secret: present({ name: SECRET, labels: {} }) })] }
      : service({ labels: { 'ai-tenant-owner-name': 'x' } });
  const told = tell({ status: { inventory: atRest, conditions: last }, cloud: { ...wrong, ...unread } });
  expect(told.unread).toBeUndefined();
  expect(conditions(told).Ready).toMatchObject({ status: 'False', reason });
  expect(conditions(told).Ready?.message).toContain('lost');
  expect(conditions(told)[type]).toEqual(last.find(one => one.type === type));
});
