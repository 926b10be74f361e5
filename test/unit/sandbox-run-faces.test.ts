import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Json, JsonObject } from '../../ports/json.ts';
import { world } from './sandbox-gcp.support.ts';

/**
 * 300 random operations through either face of Cloud Run. A model, which shares no code with the translation, knows what was set;
 * after each operation both faces must say exactly that, and writing back what a face has read must change nothing.
 */

const REGION = 'asia-northeast1';
const PARENT = `projects/demo-project/locations/${REGION}`;
const NAMESPACE = 'namespaces/demo-project';
const V2 = 'google.cloud.run.v2.Services';
const IDS = ['a', 'b', 'c'];

interface Setting {
  values: Json[];
  v1?: { path: (string | number)[]; written?: (value: Json) => Json };
  v2: { path: (string | number)[]; mask: string; written?: (value: Json) => Json };
  /** Whether a change makes a revision. */
  revises: boolean;
}

const annotation = (key: string) => ['metadata', 'annotations', `run.googleapis.com/${key}`];
const ofTemplate = (key: string) => ['spec', 'template', 'metadata', 'annotations', key];
const container = ['spec', 'template', 'spec', 'containers', 0];
const v2Container = ['template', 'containers', 0];
const words = (table: Record<string, string>) => (value: Json) => table[String(value)] ?? null;
const template = { mask: 'template' };

const SETTINGS: Record<string, Setting> = {
  image: {
    values: ['i:1', 'i:2', 'i:3'],
    v1: { path: [...container, 'image'] },
    v2: { path: [...v2Container, 'image'], ...template },
    revises: true,
  },
  memory: {
    values: ['512Mi', '1Gi', '2Gi'],
    v1: { path: [...container, 'resources', 'limits', 'memory'] },
    v2: { path: [...v2Container, 'resources', 'limits', 'memory'], ...template },
    revises: true,
  },
  variable: {
    values: ['x', 'y'],
    v1: { path: [...container, 'env', 0, 'value'] },
    v2: { path: [...v2Container, 'env', 0, 'value'], ...template },
    revises: true,
  },
  timeout: {
    values: [10, 300, 600],
    v1: { path: ['spec', 'template', 'spec', 'timeoutSeconds'] },
    v2: { path: ['template', 'timeout'], written: value => `${value}s`, ...template },
    revises: true,
  },
  concurrency: {
    values: [1, 40, 80],
    v1: { path: ['spec', 'template', 'spec', 'containerConcurrency'] },
    v2: { path: ['template', 'maxInstanceRequestConcurrency'], ...template },
    revises: true,
  },
  maxInstances: {
    values: [3, 10, 100],
    v1: { path: ofTemplate('autoscaling.knative.dev/maxScale'), written: String },
    v2: { path: ['template', 'scaling', 'maxInstanceCount'], ...template },
    revises: true,
  },
  environment: {
    values: ['gen1', 'gen2'],
    v1: { path: ofTemplate('run.googleapis.com/execution-environment') },
    v2: {
      path: ['template', 'executionEnvironment'],
      written: words({ gen1: 'EXECUTION_ENVIRONMENT_GEN1', gen2: 'EXECUTION_ENVIRONMENT_GEN2' }),
      ...template,
    },
    revises: true,
  },
  network: {
    values: ['all-traffic', 'private-ranges-only'],
    v1: { path: ofTemplate('run.googleapis.com/vpc-access-egress') },
    v2: {
      path: ['template', 'vpcAccess', 'egress'],
      written: words({ 'all-traffic': 'ALL_TRAFFIC', 'private-ranges-only': 'PRIVATE_RANGES_ONLY' }),
      ...template,
    },
    revises: true,
  },
  ambient: {
    values: [true],
    v2: { path: ['template', 'ambientNetworking', 'enabled'], ...template },
    revises: true,
  },
  label: {
    values: ['one', 'two'],
    v1: { path: ['metadata', 'labels', 'team'] },
    v2: { path: ['labels', 'team'], mask: 'labels' },
    revises: false,
  },
  note: {
    values: ['n', 'm'],
    v1: { path: ['metadata', 'annotations', 'example.com/note'] },
    v2: { path: ['annotations', 'example.com/note'], mask: 'annotations' },
    revises: false,
  },
  ingress: {
    values: ['all', 'internal', 'internal-and-cloud-load-balancing'],
    v1: { path: annotation('ingress') },
    v2: {
      path: ['ingress'],
      mask: 'ingress',
      written: words({
        all: 'INGRESS_TRAFFIC_ALL',
        internal: 'INGRESS_TRAFFIC_INTERNAL_ONLY',
        'internal-and-cloud-load-balancing': 'INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER',
      }),
    },
    revises: false,
  },
  description: {
    values: ['d', 'e'],
    v1: { path: annotation('description') },
    v2: { path: ['description'], mask: 'description' },
    revises: false,
  },
  minInstances: {
    values: [1, 2],
    v1: { path: annotation('minScale'), written: String },
    v2: { path: ['scaling', 'minInstanceCount'], mask: 'scaling.min_instance_count' },
    revises: false,
  },
  invokerCheck: {
    values: [true],
    v1: { path: annotation('invoker-iam-disabled'), written: String },
    v2: { path: ['invokerIamDisabled'], mask: 'invoker_iam_disabled' },
    revises: false,
  },
  ssh: { values: [true], v2: { path: ['sshEnabled'], mask: 'ssh_enabled' }, revises: false },
};

function at(object: unknown, path: (string | number)[]): unknown {
  return path.reduce<unknown>((inner, key) => (inner as Record<string | number, unknown> | undefined)?.[key], object);
}

/** Sets a path; what is missing on the way is made, a list where its index comes next. */
function set(object: object, path: (string | number)[], value: Json): void {
  let into = object as Record<string | number, unknown>;
  for (const [index, key] of path.slice(0, -1).entries()) {
    into[key] ??= typeof path[index + 1] === 'number' ? [{ name: 'A' }] : {};
    into = into[key] as typeof into;
  }
  into[path.at(-1) ?? ''] = value;
}

interface Model {
  settings: Record<string, Json>;
  /** The number of template changes. */
  revisions: number;
}

type Face = 'v1' | 'v2';
const face = fc.constantFrom<Face>('v1', 'v2');
const id = fc.constantFrom(...IDS);
const operation = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('make' as const), face, id }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), face, id }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('echo' as const), face, id }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), face, id }) },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant('change' as const),
      face,
      id,
      setting: fc.constantFrom(...Object.keys(SETTINGS)),
      choice: fc.nat(2),
    }),
  },
);

type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

const STARTED = {
  image: 'i:1',
  memory: '512Mi',
  variable: 'x',
  timeout: 300,
  concurrency: 80,
  maxInstances: 100,
  ingress: 'all',
};

function faces() {
  const cloud = world({ limits: {} });
  async function call(method: string, request: JsonObject): Promise<JsonObject> {
    const result = await cloud.core.invoke(method, request, { caller: {}, region: REGION });
    if (!result.ok) throw new Error(`${method}: ${result.status.code} ${result.status.message}`);
    return result.response;
  }
  const v1Name = (id: string) => `${NAMESPACE}/services/${id}`;
  const v2Name = (id: string) => `${PARENT}/services/${id}`;
  const image = { image: 'i:1', env: [{ name: 'A', value: 'x' }] };
  return {
    cloud,
    call,
    read: {
      v1: (id: string) => call('run.namespaces.services.get', { name: v1Name(id) }),
      v2: (id: string) => call(`${V2}.GetService`, { name: v2Name(id) }),
    },
    write: {
      v1: (id: string, service: JsonObject) =>
        call('run.namespaces.services.replaceService', { name: v1Name(id), service }),
      v2: (id: string, service: JsonObject, updateMask?: string) =>
        call(`${V2}.UpdateService`, { service: { ...service, name: v2Name(id) }, ...(updateMask && { updateMask }) }),
    },
    make: {
      v1: (id: string) =>
        call('run.namespaces.services.create', {
          parent: NAMESPACE,
          service: {
            apiVersion: 'serving.knative.dev/v1',
            kind: 'Service',
            metadata: { name: id },
            spec: { template: { spec: { containers: [image] } } },
          },
        }),
      v2: (id: string) =>
        call(`${V2}.CreateService`, {
          parent: PARENT,
          serviceId: id,
          service: { template: { containers: [{ ...image, resources: { cpuIdle: true } }] } },
        }),
    },
    remove: {
      v1: (id: string) => call('run.namespaces.services.delete', { name: v1Name(id) }),
      v2: (id: string) => call(`${V2}.DeleteService`, { name: v2Name(id) }),
    },
  };
}

type Faces = ReturnType<typeof faces>;

async function change(both: Faces, model: Model, by: Face, id: string, name: string, choice: number): Promise<void> {
  const setting = SETTINGS[name] as Setting;
  const value = setting.values[choice % setting.values.length] as Json;
  const how = by === 'v1' && setting.v1 ? { ...setting.v1 } : { ...setting.v2, face: 'v2' };
  const service = await both.read['face' in how ? 'v2' : 'v1'](id);
  set(service, how.path, how.written?.(value) ?? value);
  if ('face' in how) await both.write.v2(id, service, setting.v2.mask);
  else await both.write.v1(id, service);
  if (setting.revises && model.settings[name] !== value) model.revisions += 1;
  model.settings[name] = value;
}

/** A v2 service without what its rollout changes. */
const desired = ({ reconciling, conditions, terminalCondition, observedGeneration, ...others }: JsonObject) => others;

/** Does one operation, on the service if the model has it. */
async function step(both: Faces, models: Map<string, Model>, done: Operation): Promise<void> {
  const model = models.get(done.id);
  if (done.kind === 'wait') return both.cloud.runtime.advance(5000);
  if (done.kind === 'make') {
    if (model) return;
    await both.make[done.face](done.id);
    models.set(done.id, { settings: { ...STARTED }, revisions: 1 });
    return;
  }
  if (!model) return;
  if (done.kind === 'delete') {
    await both.remove[done.face](done.id);
    await both.cloud.runtime.advance(5000);
    models.delete(done.id);
  } else if (done.kind === 'echo') {
    const before = await both.read.v2(done.id);
    await both.write[done.face](done.id, await both.read[done.face](done.id));
    expect(desired(await both.read.v2(done.id))).toEqual(desired(before));
  } else await change(both, model, done.face, done.id, done.setting, done.choice);
}

/** Compares what both faces say with the model. */
async function compare(both: Faces, models: Map<string, Model>): Promise<void> {
  const names = async (method: string, field: string, parent: string) =>
    ((await both.call(method, { parent }))[field] ?? []) as JsonObject[];
  const v2List = await names(`${V2}.ListServices`, 'services', PARENT);
  const v1List = await names('run.namespaces.services.list', 'items', NAMESPACE);
  expect(v2List.map(({ name }) => String(name).split('/').at(-1)).sort()).toEqual([...models.keys()].sort());
  expect(v1List.map(item => at(item, ['metadata', 'name'])).sort()).toEqual([...models.keys()].sort());
  for (const [id, { settings, revisions }] of models) {
    const [v1, v2] = [await both.read.v1(id), await both.read.v2(id)];
    for (const [name, setting] of Object.entries(SETTINGS)) {
      const wanted = settings[name];
      const written = (how: { written?: (value: Json) => Json }) =>
        wanted === undefined ? undefined : (how.written?.(wanted) ?? wanted);
      expect(at(v2, setting.v2.path), `${id}.${name} by v2`).toEqual(written(setting.v2));
      if (setting.v1) expect(at(v1, setting.v1.path), `${id}.${name} by v1`).toEqual(written(setting.v1));
    }
    const created = String(v2.latestCreatedRevision).split('/').at(-1);
    expect(created).toMatch(new RegExp(`^${id}-${String(revisions).padStart(5, '0')}-`));
    expect(at(v1, ['status', 'latestCreatedRevisionName'])).toBe(created);
    expect(String(at(v1, ['metadata', 'generation']))).toBe(v2.generation);
    expect(at(v1, ['metadata', 'uid'])).toBe(v2.uid);
    expect(at(v1, ['status', 'url'])).toBe(v2.uri);
    const ready = { CONDITION_SUCCEEDED: 'True', CONDITION_FAILED: 'False' }[
      String(at(v2, ['terminalCondition', 'state']))
    ];
    expect(at(v1, ['status', 'conditions', 0])).toMatchObject({ type: 'Ready', status: ready ?? 'Unknown' });
    const selector = { parent: NAMESPACE, labelSelector: `serving.knative.dev/service = ${id}` };
    const listed = (await both.call('run.namespaces.revisions.list', selector)).items as JsonObject[];
    expect(listed).toHaveLength(revisions);
  }
}

test('300 random operations leave both faces in agreement', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(operation, { minLength: 60, maxLength: 60 }), async operations => {
      const both = faces();
      const models = new Map<string, Model>();
      for (const done of operations) {
        await step(both, models, done);
        await compare(both, models);
      }
    }),
    { numRuns: 5 },
  );
});
