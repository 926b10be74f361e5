import { expect, test } from 'vitest';
import { createEventRecorder } from '../../operator/kube/eventRecorder.ts';
import { recordChanges } from '../../operator/reconcile/tenantEvents.ts';
import type { Outcome, Step } from '../../operator/tenant/types.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi } from '../../ports/kube.ts';
import { sleep } from '../../ports/runtime.ts';
import { createRandom } from '../sim/clock.ts';
import { createScene, TENANT } from './support/scene.ts';

/** The writes that the operator makes to the API server and to Google Cloud for one tenant, in their order. */

/** Longer than a second, so that every report of a reconcile has another time. */
const CALL_MS = 1_500;
const READ = /\.(Get|List)/;

async function givenTenant() {
  const scene = await createScene(createRandom(1));
  const lines: string[] = [];
  const events: string[] = [];
  const kube: KubeApi = {
    ...scene.kube,
    async create(resource, namespace, object) {
      events.push(`${object.reason}: ${object.message}`);
      return scene.kube.create(resource, namespace, object);
    },
    async patch(resource, namespace, name, body, options) {
      const { status, metadata } = body as { status?: JsonObject; metadata: { finalizers?: string[] } };
      lines.push(status ? `status: ${Object.keys(status).sort()}` : `finalizers: ${metadata.finalizers}`);
      return scene.kube.patch(resource, namespace, name, body, options);
    },
  };
  await scene.act({ who: 'secrets', do: 'create', secret: 'openai' });
  await scene.act({ who: 'rotation', do: 'add', secret: 'openai', back: 0 });
  await scene.act({ who: 'secrets', do: 'consent', secret: 'openai', namespace: 'default' });
  const keys = [{ name: 'openai', secretRef: { external: 'openai' }, env: 'OPENAI_API_KEY' }];
  await scene.act({ who: 'kubectl', do: 'apply', spec: { region: 'asia-northeast1', keys }, ...TENANT });
  return {
    lines,
    events,
    async status() {
      return (await scene.tenant())?.status as { keys: JsonObject[]; conditions: JsonObject[] };
    },
    operate: (ms: number) =>
      scene.operate(ms, {
        kube,
        events: createEventRecorder({ api: kube, runtime: scene.clock, component: 'aitenant', instance: 'a' }),
        async gcp(method, request, options) {
          const write = READ.test(method) ? undefined : method.split('.').at(-1);
          if (write) {
            lines.push(write);
            await sleep(scene.clock, CALL_MS);
          }
          return scene.gcp.call(method, request, options);
        },
      }),
  };
}

test('a new tenant takes five writes to the API server and two events, and each resource is on record before it is made', async () => {
  const { operate, lines, events, status } = await givenTenant();
  await operate(60_000);
  expect(lines).toEqual([
    'finalizers: ai-platform.dev/finalizer',
    'status: conditions,inventory,keys,observedGeneration,projectId,region,serviceAccountEmail',
    'CreateServiceAccount',
    'status: inventory',
    'SetIamPolicy',
    'CreateService',
    'status: conditions,image,inventory,keys,serviceSettings',
    'status: conditions,keys,latestReadyRevision,reconciledHash,url',
  ]);
  expect(events).toEqual([
    'Created: Created service account sa-alpha@demo-project.iam.gserviceaccount.com; Granted secret openai: ' +
      'roles/secretmanager.secretAccessor = serviceAccount:sa-alpha@demo-project.iam.gserviceaccount.com; ' +
      'Created Cloud Run service ai-platform-alpha in asia-northeast1: image = gcr.io/cloudrun/hello',
    expect.stringMatching(/^UpToDate: Ready at https:/),
  ]);
  expect(await status()).toMatchObject({ keys: [{ granted: true }], conditions: [{ reason: 'UpToDate' }, {}, {}, {}] });
});

test('events of many creations and grants contain each of them, in messages that the API accepts', () => {
  const done = (verb: Step['verb'], target: string): Outcome => ({
    step: { verb, target, changes: [], drift: false } as unknown as Step,
    result: 'done',
    response: {},
  });
  const targets = Array.from({ length: 60 }, (_, at) => `secret ${'鍵'.repeat(12)}-${at}`);
  const recorded: { reason: string; message: string }[] = [];
  const recorder = {
    record: (_object: unknown, _type: string, reason: string, message: string) =>
      void recorded.push({ reason, message }),
  };
  recordChanges(recorder as unknown as Parameters<typeof recordChanges>[0], {} as Parameters<typeof recordChanges>[1], [
    ...targets.map(target => done('Grant', target)),
    done('Create', 'the service'),
    done('Revoke', 'secret old'),
  ]);
  expect(recorded.flatMap(({ message }) => message.split('; '))).toEqual([
    ...targets.map(target => `Granted ${target}`),
    'Created the service',
    'Revoked secret old',
  ]);
  expect(recorded.map(({ reason }) => reason)).toEqual([
    ...recorded.slice(2).map(() => 'Granted'),
    'Created',
    'Revoked',
  ]);
  expect(recorded.length).toBeGreaterThan(3);
  for (const { message } of recorded) expect(Buffer.byteLength(message)).toBeLessThanOrEqual(1_024);
});
