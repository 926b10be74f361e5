import { describe, expect, test } from 'vitest';
import { entryKey } from '../../operator/tenant/inventory.ts';
import { ownerLabels } from '../../operator/tenant/ownership.ts';
import { isReady, mayRead } from '../../operator/tenant/serving.ts';
import { containersOf, RETRY_ANNOTATION } from '../../operator/tenant/template.ts';
import type { ObservedService } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import {
  absent,
  at,
  atRest,
  comingUp,
  EMAIL,
  ENTRIES,
  entry,
  failed,
  type Given,
  grantTo,
  invokedBy,
  keyA,
  LATEST,
  OPENAI,
  OWNER,
  PROJECT,
  planFor,
  present,
  REGION,
  revision,
  SERVICE,
  secretVariable,
  seen,
  sentFields,
  serviceA,
  stepIds,
  stepOf,
  templateA,
} from './support/tenantWorld.ts';

const ID = `service:${SERVICE}`;
const TARGET = `Cloud Run service ai-platform-tenant-a in ${REGION}`;
const service = (changes: Partial<ObservedService>): Given['cloud'] => ({
  services: [seen(present(serviceA(changes)))],
});
const noService: Given = {
  status: { conditions: [], inventory: atRest.filter(({ name }) => name !== SERVICE) },
  cloud: { services: [seen(absent)] },
};

describe('a service that is not there', () => {
  test('is made with what the spec says, the owner’s labels, and all of it on record', () => {
    const env = [{ name: 'LOG', value: 'debug' }];
    const spec = { env, scaling: { minInstances: 1, maxInstances: 5 }, image: 'registry/app:2', timeoutSeconds: 60 };
    const plan = planFor({ ...noService, spec });
    const create = stepOf(plan, ID);
    expect(create).toEqual({
      id: ID,
      aspect: 'Service',
      verb: 'Create',
      target: TARGET,
      needs: [],
      removes: [],
      closes: false,
      drift: false,
      changes: [{ field: 'image', from: undefined, to: 'registry/app:2' }],
      creates: [`Service ${SERVICE} `, `Variable ${SERVICE} OPENAI_API_KEY`, `Variable ${SERVICE} LOG`],
      call: {
        kind: 'createService',
        parent: `projects/${PROJECT}/locations/${REGION}`,
        serviceId: 'ai-platform-tenant-a',
        service: {
          labels: ownerLabels(OWNER),
          scaling: { minInstanceCount: 1, maxInstanceCount: 5 },
          invokerIamDisabled: true,
          template: {
            serviceAccount: EMAIL,
            timeout: '60s',
            maxInstanceRequestConcurrency: 80,
            containers: [
              {
                image: 'registry/app:2',
                resources: { limits: { cpu: '1', memory: '1Gi' }, cpuIdle: true, startupCpuBoost: true },
                env: [secretVariable('OPENAI_API_KEY', 'openai-key', '3'), ...env],
              },
            ],
          },
        },
      },
    });
    expect(plan.inventory).toContainEqual(entry(ENTRIES.service, at(0)));
    expect(plan.inventory).toContainEqual(entry(ENTRIES.variable, at(0)));
  });

  test.each([
    ['of the spec', { image: 'registry/app:2' }, { image: 'registry/app:1' }, 'registry/app:2'],
    ['last seen', {}, { image: 'registry/app:1' }, 'registry/app:1'],
    ['that the operator starts with', {}, {}, 'gcr.io/cloudrun/hello'],
  ])('gets the image %s', (_which, spec, status, image) => {
    const plan = planFor({ ...noService, spec, status: { ...noService.status, ...status } });
    expect(stepOf(plan, ID).changes).toEqual([{ field: 'image', from: undefined, to: image }]);
  });

  test('is closed from the start if callers are to be checked', () => {
    expect(stepOf(planFor({ ...noService, spec: { access: 'Authenticated' } }), ID).call).toMatchObject({
      service: { invokerIamDisabled: false },
    });
  });

  test('of a tenant that was up to date was deleted by somebody: that is drift', () => {
    expect(stepOf(planFor({ cloud: noService.cloud }), ID).drift).toBe(true);
  });

  test('but may only be out of sight keeps what is on record of callers and variables', () => {
    const caller = entry({ type: 'Invoker', name: SERVICE, member: 'user:jane@example.com' });
    const old = entry({ ...ENTRIES.variable, variable: 'OLD' });
    const elsewhere = entry({
      type: 'Invoker',
      name: 'projects/p/locations/r/services/s',
      member: 'user:x@example.com',
    });
    const plan = planFor({ status: { inventory: [...atRest, caller, old, elsewhere] }, cloud: noService.cloud });
    const kept = plan.inventory.filter(({ name }) => name === SERVICE);
    expect(kept).toEqual([entry(ENTRIES.service, at(0)), entry(ENTRIES.variable, at(0)), caller, old]);
  });

  test('waits for a key; what is on record stays as long as its create may still take effect', () => {
    const waits = (time: string) =>
      planFor({
        status: {
          inventory: [...(noService.status as { inventory: object[] }).inventory, entry(ENTRIES.service, time)],
        },
        cloud: { ...noService.cloud, keys: [keyA({ version: absent })] },
      });
    for (const plan of [waits(at(-1_000)), waits(at(-121_000))]) expect(stepIds(plan)).toEqual([]);
    expect(waits(at(-1_000)).inventory).toContainEqual(entry(ENTRIES.service, at(-1_000)));
    expect(waits(at(-121_000)).inventory.some(({ type }) => type === 'Service')).toBe(false);
  });
});

describe('a service that differs from the spec', () => {
  const changed: [string, object, Partial<ObservedService>, string[], object[]][] = [
    [
      'in its time-out',
      {},
      { template: templateA({ timeout: '60s' }) },
      ['template'],
      [{ field: 'timeoutSeconds', from: '60s', to: '300s' }],
    ],
    [
      'in its concurrency',
      {},
      { template: templateA({ maxInstanceRequestConcurrency: 1 }) },
      ['template'],
      [{ field: 'scaling.concurrency', from: '1', to: '80' }],
    ],
    [
      'in its instances',
      { scaling: { minInstances: 2 } },
      {},
      ['scaling'],
      [{ field: 'scaling.minInstances', from: '0', to: '2' }],
    ],
    [
      'in a maximum that stands on the template',
      {},
      { scaling: {}, template: templateA({ scaling: { maxInstanceCount: 3 } }) },
      ['scaling', 'template'],
      [{ field: 'scaling.maxInstances', from: '3', to: '10' }],
    ],
    [
      'in an owner’s label that somebody took off',
      {},
      { labels: { team: 'x', 'ai-tenant-owner-cluster': 'c1', 'ai-tenant-owner-name': 'tenant-a' } },
      ['labels'],
      [{ field: 'labels.ai-tenant-owner-namespace', from: undefined, to: 'team' }],
    ],
    [
      'in its traffic',
      {},
      { traffic: [{ revision: 'ai-platform-tenant-a-00001-abc', percent: 100 }] },
      ['traffic'],
      [{ field: 'traffic', from: 'ai-platform-tenant-a-00001-abc=100%', to: 'latest=100%' }],
    ],
    [
      'in two things',
      { timeoutSeconds: 60, scaling: { maxInstances: 3 } },
      {},
      ['scaling', 'template'],
      [
        { field: 'scaling.maxInstances', from: '10', to: '3' },
        { field: 'timeoutSeconds', from: '300s', to: '60s' },
      ],
    ],
  ];

  test.each(changed)('%s is updated in that, and nothing else is sent', (_what, spec, found, mask, changes) => {
    const invokers = present({ etag: 'e', bindings: [] });
    const services = [{ ...seen(present(serviceA(found))), invokers }];
    const plan = planFor({ spec, cloud: { services } });
    const update = stepOf(plan, ID);
    expect(update).toMatchObject({ verb: 'Update', target: TARGET, aspect: 'Service', changes, drift: true });
    expect(update.call).toMatchObject({ updateMask: mask });
    expect(Object.keys(sentFields(update))).toEqual(['name', 'etag', ...mask]);
    expect(sentFields(update)).toMatchObject({ name: SERVICE, etag: '"e1"' });
    expect(planFor({ generation: 2, spec, cloud: { services } }).steps.every(({ drift }) => !drift)).toBe(true);
  });

  test('keeps its other labels', () => {
    const update = stepOf(
      planFor({ cloud: service({ labels: { team: 'x', 'ai-tenant-owner-name': 'tenant-a' } }) }),
      ID,
    );
    expect(sentFields(update).labels).toEqual({ team: 'x', ...ownerLabels(OWNER) });
  });

  test('waits with its template for what the template needs, and with nothing else', () => {
    const keys = [keyA({ policy: present(grantTo()) })];
    const both = { timeoutSeconds: 60, scaling: { maxInstances: 3 } };
    expect(stepOf(planFor({ spec: both, cloud: { keys } }), ID).needs).toHaveLength(1);
    expect(stepOf(planFor({ spec: { scaling: { maxInstances: 3 } }, cloud: { keys } }), ID).needs).toEqual([]);
  });

  test('changes no template while a key holds it; instances that need none change all the same', () => {
    const keys = [keyA({ version: absent })];
    const spec = { timeoutSeconds: 60, scaling: { maxInstances: 3 } };
    expect(stepOf(planFor({ spec, cloud: { keys } }), ID).call).toMatchObject({ updateMask: ['scaling'] });
    const onTemplate = service({ template: templateA({ scaling: { minInstanceCount: 4 } }) });
    expect(stepIds(planFor({ spec: { scaling: { minInstances: 1 } }, cloud: { keys, ...onTemplate } }))).toEqual([]);
  });

  test('and failed under a retry’s mark sheds the mark with the change', () => {
    const template = templateA({
      annotations: { [RETRY_ANNOTATION]: '2', mine: 'x' },
      timeout: '60s',
      revision: 'named',
    });
    const sent = sentFields(stepOf(planFor({ cloud: service({ template }) }), ID)).template;
    expect(sent).toEqual(templateA({ annotations: { mine: 'x' } }));
  });
});

describe('a variable', () => {
  test('of the spec is on record from the moment it is sent', () => {
    const env = [{ name: 'LOG', value: 'debug' }];
    const plan = planFor({ generation: 2, spec: { env } });
    expect(stepOf(plan, ID).changes).toEqual([{ field: 'env.LOG', from: undefined, to: '(value)' }]);
    expect(plan.inventory).toContainEqual(entry({ ...ENTRIES.variable, variable: 'LOG' }, at(0)));
    expect(plan.inventory).toContainEqual(entry(ENTRIES.variable));
  });

  const old = entry({ ...ENTRIES.variable, variable: 'OLD' });
  const inventory = [...atRest, old];
  const withOld = templateA(
    {},
    { env: [secretVariable('OPENAI_API_KEY', 'openai-key', '3'), { name: 'OLD', value: 'x' }] },
  );

  test('that has left the spec goes, and stays on record until the service is ready without it', () => {
    const plan = planFor({ status: { inventory }, cloud: service({ template: withOld }) });
    expect(stepOf(plan, ID).changes).toEqual([{ field: 'env.OLD', from: '(value)', to: undefined }]);
    expect(plan.inventory).toContainEqual(old);
    expect(planFor({ status: { inventory }, cloud: service(comingUp) }).inventory).toContainEqual(old);
    expect(planFor({ status: { inventory } }).inventory).not.toContainEqual(old);
    const held = { ...service({}), keys: [keyA({ version: absent })] };
    expect(planFor({ status: { inventory }, cloud: held }).inventory).toContainEqual(old);
  });

  test('that the spec never named stays', () => {
    expect(planFor({ cloud: service({ template: withOld }) }).steps).toEqual([]);
  });
});

describe('a service that exists already', () => {
  const unmarked = { labels: { 'ai-tenant-namespace': 'team' } };

  test('with consent is adopted: labels only, so no revision', () => {
    const annotations = { 'ai-platform.dev/adopt': 'true' };
    const adopt = stepOf(planFor({ annotations, cloud: service(unmarked) }), ID);
    expect(adopt).toMatchObject({ verb: 'Adopt', drift: false, call: { updateMask: ['labels'] } });
    expect(sentFields(adopt).labels).toEqual({ ...unmarked.labels, ...ownerLabels(OWNER) });
    expect(adopt.changes.map(({ field }) => field)).toEqual(
      Object.keys(ownerLabels(OWNER)).map(key => `labels.${key}`),
    );
  });

  const conflicts: [string, Record<string, string>, string][] = [
    [
      'without consent',
      { team: 'x' },
      `${TARGET} exists already and does not name namespace team. The AiTenant has to ask for it too (\`kubectl annotate aitenant ` +
        `tenant-a -n team ai-platform.dev/adopt=true --overwrite\`). Whoever administers project ${PROJECT} lets this tenant adopt it (makes no revision) with: ` +
        `curl --fail-with-body -X PATCH -H "Authorization: Bearer $(gcloud auth print-access-token)" -H 'Content-Type: application/json' ` +
        `'https://run.googleapis.com/v2/${SERVICE}?updateMask=labels' -d '{"labels":{"team":"x","ai-tenant-namespace":"team"}}'`,
    ],
    [
      'of another owner',
      { ...ownerLabels({ ...OWNER, namespace: 'other' }), 'ai-tenant-namespace': 'team' },
      `${TARGET} belongs to c1/other/tenant-a (cluster/namespace/name), not to c1/team/tenant-a. ` +
        'Rename this tenant, or ask the other one’s owners to delete theirs with the annotation ai-platform.dev/deletion-policy=abandon.',
    ],
    [
      'that Config Connector manages, consent or not',
      { ...unmarked.labels, 'managed-by-cnrm': 'true' },
      `${TARGET} is managed by Config Connector (label managed-by-cnrm=true). Abandon it there first ` +
        '(cnrm.cloud.google.com/deletion-policy=abandon, delete the RunService), then take the label off.',
    ],
  ];
  test.each(conflicts)('%s is left alone', (_which, labels, message) => {
    const plan = planFor({ spec: { timeoutSeconds: 60 }, cloud: service({ labels }) });
    expect(plan.steps).toEqual([]);
    expect(plan.blockers).toEqual([{ aspect: 'Service', reason: 'ManagementConflict', message }]);
    expect(plan.inventory.map(entryKey)).toEqual(atRest.map(entryKey));
  });

  test('and cannot be read is left alone', () => {
    const plan = planFor({ cloud: { services: [seen(failed('Transient', 'lost'))] } });
    expect(plan.blockers).toEqual([
      {
        aspect: 'Service',
        reason: 'Updating',
        message: `Cannot read ${TARGET}: lost. The operator tries again.`,
        unread: true,
      },
    ]);
    expect(plan.inventory.map(entryKey)).toEqual(atRest.map(entryKey));
  });

  test('and is being deleted is waited for', () => {
    const plan = planFor({ spec: { timeoutSeconds: 60 }, cloud: service({ deleteTime: at(-1_000) }) });
    expect(plan.steps).toEqual([]);
    expect(plan.waiting).toEqual([
      { aspect: 'Service', message: `Cloud Run is still deleting the former ${TARGET}.`, retryAfterMs: 2_000 },
    ]);
    expect(plan.inventory.map(entryKey)).toEqual(atRest.map(entryKey));
  });

  test('and is wanted again after it was to go stays: nothing on record says that it goes', () => {
    const leaving = entry({ ...ENTRIES.service, retireAt: at(1_000), deletedAt: at(-1_000) });
    const plan = planFor({ status: { inventory: atRest.map(one => (one.type === 'Service' ? leaving : one)) } });
    expect(plan.inventory).toContainEqual(entry(ENTRIES.service));
  });

  test('is put on record if it was not', () => {
    const inventory = atRest.filter(({ name }) => name !== SERVICE);
    expect(planFor({ status: { inventory } }).blockers).toMatchObject([{ reason: 'ManagementConflict' }]);
    const found = planFor({ status: { inventory }, settings: { restore: true } }).inventory.filter(
      ({ name }) => name === SERVICE,
    );
    expect(found).toEqual([entry(ENTRIES.service, at(0)), entry(ENTRIES.variable, at(0))]);
  });
});

describe('a revision that', () => {
  test.each([
    [0, 500],
    [4_000, 1_000],
    [60_000, 10_000],
  ])('has been coming up for %i ms is looked at again after %i', (ageMs, retryAfterMs) => {
    const plan = planFor({ cloud: service({ ...comingUp, unreadyForMs: ageMs }) });
    expect(plan.waiting).toEqual([
      { aspect: 'Service', message: `Cloud Run is bringing up a revision of ${TARGET}.`, retryAfterMs },
    ]);
    expect(plan).toMatchObject({ steps: [], blockers: [] });
  });

  test('comes up at nobody knows since when is looked at again soon', () => {
    const plan = planFor({ cloud: service(comingUp) });
    expect(plan.waiting.map(({ retryAfterMs }) => retryAfterMs)).toEqual([500]);
  });

  const retried = (count: string) => templateA({ annotations: { [RETRY_ANNOTATION]: count } });

  test('is a retry coming up still counts as failed; one that is serving does not', () => {
    const terminal = { state: 'PENDING', reason: 'WAITING', message: '' } as const;
    const again = planFor({
      cloud: service({ ...comingUp, terminal, template: retried('2'), unreadyForMs: 8_000 }),
    });
    expect(again.blockers).toEqual([
      { aspect: 'Service', reason: 'UpdateFailed', message: 'Trying again (2): WAITING', retryAfterMs: 2_000 },
    ]);
    expect(again.waiting).toEqual([]);
    const serving = service({ reconciling: true, template: retried('2') });
    expect(planFor({ cloud: serving }).waiting).toHaveLength(1);
  });

  const broken = (changes: Partial<ObservedService> = {}, message = 'the container failed to start') =>
    service({
      terminal: { state: 'FAILED', reason: 'CONTAINER', message },
      unreadyForMs: 10_000,
      latestCreatedRevision: revision(2),
      ...changes,
    });

  test('failed is told in Cloud Run’s words, with where to look', () => {
    const plan = planFor({ cloud: broken() });
    const logs = `Logs: gcloud run services logs read ai-platform-tenant-a --region=${REGION} --project=${PROJECT}`;
    expect(plan.steps).toEqual([]);
    expect(plan.blockers).toEqual([
      {
        aspect: 'Service',
        reason: 'UpdateFailed',
        message: `the container failed to start. ai-platform-tenant-a-00001-abc goes on serving. ${logs}`,
        retryAfterMs: 20_000,
      },
    ]);
    expect(planFor({ cloud: broken({ latestReadyRevision: '' }) }).blockers[0]?.message).toBe(
      `the container failed to start. Nothing serves yet. ${logs}`,
    );
  });

  /** The message for a revision that failed with these words while the service is otherwise as wanted. */
  const remedyOf = (words: string, container: JsonObject, given: Given) => {
    const [{ message } = { message: '' }] = planFor({
      ...given,
      cloud: { ...given.cloud, ...broken({ template: templateA({}, container) }, words) },
    }).blockers;
    return message.replace(/^.* goes on serving\. /, '');
  };

  test('failed for its image says where the image is named: in the spec, or by who deploys it', () => {
    const words = "Image 'registry/app:2' not found.";
    const image = 'registry/app:2';
    expect(remedyOf(words, { image }, { spec: { image } })).toBe(
      'Push the image, or name one that exists in spec.image.',
    );
    expect(remedyOf(words, { image }, {})).toBe(
      `Push the image, or name one that exists: gcloud run deploy ai-platform-tenant-a --region=${REGION} --project=${PROJECT} --image=IMAGE`,
    );
  });

  test('failed for the image of a sidecar says where that image is named', () => {
    const words = "Image 'registry/proxy:2' not found.";
    const beside = { name: 'proxy', image: 'registry/proxy:2' };
    const remedy = (spec: JsonObject) => {
      const template = templateA();
      const service = broken({ template: { ...template, containers: [...containersOf(template), beside] } }, words);
      return planFor({ spec, cloud: service }).blockers[0]?.message ?? '';
    };
    const sidecars = [{ ...beside, resources: { cpu: '1', memory: '512Mi' } }];
    expect(remedy({ sidecars })).toContain('Push the image, or name one that exists in spec.sidecars, for proxy.');
    expect(remedy({})).toContain(
      `name one that exists: gcloud run services update ai-platform-tenant-a --region=${REGION} --project=${PROJECT} --container=proxy --image=IMAGE`,
    );
  });

  test('failed for a version of another project’s secret gets a command for that project', () => {
    const external = 'projects/vault-1/secrets/shared-key';
    const words = 'Secret projects/77/secrets/shared-key/versions/3 was not found';
    const secret = present({ name: 'projects/77/secrets/shared-key', labels: { 'ai-tenant-namespace': 'team' } });
    const given = {
      spec: { keys: [{ name: 'openai', secretRef: { external }, env: OPENAI.env }] },
      cloud: { keys: [keyA({ secret })] },
    };
    expect(remedyOf(words, { env: [secretVariable(OPENAI.env, external, '3')] }, given)).toBe(
      'Add the version: gcloud secrets versions add shared-key --project=vault-1 --data-file=-',
    );
  });

  test('failed to listen may be a refused key if the backend tries its key at the start', () => {
    const words = 'The user-provided container failed to start and listen on the port';
    const env = [{ name: 'STARTUP_CHECK_KEY', value: 'true' }];
    const key = secretVariable(OPENAI.env, 'openai-key', '3');
    expect(remedyOf(words, {}, {})).toMatch(/^The container must listen/);
    expect(remedyOf(words, { env: [key, ...env] }, { spec: { env } })).toMatch(
      /^With STARTUP_CHECK_KEY=true .* refuses a key.*\. The container must listen/,
    );
  });

  test.each([
    ['', 'CONTAINER', 'CONTAINER'],
    ['', '', 'the revision did not become ready'],
  ])('failed with the message "%s" and the reason "%s" says "%s"', (message, reason, says) => {
    const terminal = { state: 'FAILED', reason, message } as const;
    expect(planFor({ cloud: broken({ terminal }) }).blockers[0]?.message.startsWith(`${says}. `)).toBe(true);
  });

  test.each([
    [0, 30_000],
    [1, 60_000],
    [3, 240_000],
    [10, 1_800_000],
  ])('failed after %i retries is tried again after %i ms, as another revision', (tries, delay) => {
    const template = tries > 0 ? retried(String(tries)) : templateA();
    const failedFor = (ms: number) =>
      planFor({
        cloud: broken({ template, terminal: { state: 'FAILED', reason: '', message: 'no' }, unreadyForMs: ms }),
      });
    const early = failedFor(delay - 2_000);
    expect(early.steps).toEqual([]);
    expect(early.blockers[0]?.retryAfterMs).toBe(2_000);
    const due = failedFor(delay);
    expect(due.blockers[0]).toMatchObject({ reason: 'UpdateFailed', retryAfterMs: 500 });
    expect(stepOf(due, ID)).toMatchObject({
      verb: 'Update',
      changes: [{ field: 'retry', from: undefined, to: String(tries + 1) }],
      call: { updateMask: ['template'], service: { template: retried(String(tries + 1)) } },
    });
  });

  test('failed is not tried again while its template is held', () => {
    const held = { ...broken({ unreadyForMs: 60_000, terminal: { state: 'FAILED', reason: '', message: 'no' } }) };
    expect(stepIds(planFor({ cloud: held }))).toEqual([ID]);
    expect(stepIds(planFor({ cloud: { ...held, keys: [keyA({ version: absent })] } }))).toEqual([]);
  });

  test('failed for an unknown time is not tried again yet', () => {
    const cloud = broken({ unreadyForMs: undefined });
    expect(stepIds(planFor({ cloud }))).toEqual([]);
    expect(planFor({ cloud }).blockers[0]?.retryAfterMs).toBe(30_000);
  });

  test('is tried again only once what its template needs is there', () => {
    const cloud = broken({ unreadyForMs: 60_000 });
    expect(stepIds(planFor({ cloud }))).toEqual([ID]);
    const ungranted = { ...cloud, keys: [keyA({ policy: present(grantTo()) })] };
    expect(stepOf(planFor({ cloud: ungranted }), ID).needs).toHaveLength(1);
  });

  const denied = 'Permission denied on secret: projects/123456/secrets/openai-key/versions/3';
  const grantedAt = (ms: number) => ({
    inventory: atRest.map(one => (one.type === 'SecretAccess' ? { ...one, time: at(-ms) } : one)),
  });

  test('failed for a grant that is fresh is no failure yet: it is tried again soon', () => {
    const plan = planFor({ status: grantedAt(179_999), cloud: broken({}, denied) });
    expect(plan.blockers).toEqual([
      {
        aspect: 'Service',
        reason: 'Updating',
        message: `The grant is not known to Cloud Run yet (it may take some minutes): ${denied}`,
        retryAfterMs: 500,
      },
    ]);
    expect(stepIds(plan)).toEqual([ID]);
    const third = planFor({ status: grantedAt(60_000), cloud: broken({ template: retried('3') }, denied) });
    expect(third.blockers[0]?.retryAfterMs).toBe(30_000);
    const tenth = planFor({ status: grantedAt(60_000), cloud: broken({ template: retried('10') }, denied) });
    expect(tenth.blockers[0]?.retryAfterMs).toBe(50_000);
  });

  test.each([
    ['for a grant that is old', grantedAt(180_000), denied],
    ['for another reason, however fresh the grant', grantedAt(1_000), 'no such image'],
    ['for no grant on record', { inventory: atRest.filter(({ type }) => type !== 'SecretAccess') }, denied],
  ])('failed %s has failed', (_why, status, message) => {
    expect(planFor({ status, cloud: broken({}, message) }).blockers.map(({ reason }) => reason)).toContain(
      'UpdateFailed',
    );
  });
});

describe('a service is ready', () => {
  test.each<[string, Partial<ObservedService>, boolean]>([
    ['when its terminal condition has succeeded for this generation', {}, true],
    ['not while it is reconciling', { reconciling: true }, false],
    ['not while its condition is of an older generation', { observedGeneration: '0' }, false],
    ['not when it failed', { terminal: { state: 'FAILED', reason: '', message: '' } }, false],
    ['not while it is being deleted', { deleteTime: at(0) }, false],
    ['not when no generation was answered', { generation: '0', observedGeneration: '0' }, false],
  ])('%s', (_when, changes, ready) => {
    expect(isReady(serviceA(changes))).toBe(ready);
  });

  test('and only then, with all traffic on its latest revision, is a secret out of use that its template does not name', () => {
    expect(mayRead(serviceA(), 'openai-key')).toBe(true);
    expect(mayRead(serviceA(), 'other')).toBe(false);
    expect(mayRead(serviceA({ observedGeneration: '0' }), 'other')).toBe(true);
    expect(mayRead(serviceA({ trafficStatuses: [] }), 'other')).toBe(true);
    expect(mayRead(serviceA({ trafficStatuses: [{ revision: revision(0), percent: 1 }] }), 'other')).toBe(true);
    expect(
      mayRead(
        serviceA({
          trafficStatuses: [
            { revision: revision(1), percent: 100 },
            { type: LATEST, percent: 0 },
          ],
        }),
        'other',
      ),
    ).toBe(false);
    expect(
      mayRead(serviceA({ latestReadyRevision: '', terminal: { state: 'FAILED', reason: '', message: '' } }), 'other'),
    ).toBe(false);
    expect(mayRead(serviceA({ latestReadyRevision: '', reconciling: true }), 'other')).toBe(true);
  });
});

test('a standby key is no variable', () => {
  const { env: _env, ...standby } = { ...OPENAI, name: 'standby', secretRef: { external: 'openai-key' } };
  const plan = planFor({
    spec: { keys: [OPENAI, standby] },
    cloud: { keys: [keyA(), keyA({ name: 'standby', version: undefined })] },
  });
  expect(plan).toMatchObject({ steps: [], blockers: [] });
});

test('closing a service that has lost a mark writes the mark and the switch, and nothing that may be refused beside them', () => {
  const { 'ai-tenant-owner-name': _lost, ...labels } = serviceA().labels;
  const open = serviceA({ labels, traffic: [], scaling: {}, template: templateA({ timeout: '7s' }) });
  const plan = planFor({
    generation: 2,
    spec: { access: 'Authenticated' },
    cloud: { services: [seen(present(open), REGION, present(invokedBy()))] },
  });
  const update = stepOf(plan, ID);
  expect(update).toMatchObject({ closes: false, call: { updateMask: ['labels', 'invokerIamDisabled'] } });
  expect(update.changes.map(({ field }) => field)).toEqual(['labels.ai-tenant-owner-name', 'access']);
});
