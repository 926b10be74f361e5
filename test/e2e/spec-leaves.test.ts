import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { replacing } from '../sim/actors.ts';
import { createWorld, until, type World } from './support/world.ts';

/**
 * Every field of the CRD's spec is read: changing it alone must change what the operator writes to Google Cloud, or its status. A field
 * that was added to crds/aitenants.yaml only is named by this test.
 */

const CRD = readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8');

interface Schema {
  type?: string;
  enum?: string[];
  minimum?: number;
  maximum?: number;
  properties?: Record<string, Schema>;
  items?: Schema;
}
interface Crd {
  spec: { versions: { schema: { openAPIV3Schema: { properties: { spec: Schema } } } }[] };
}

type Value = string | number | boolean | null | { [key: string]: string };
const KMS = 'projects/p/locations/global/keyRings/r/cryptoKeys/';

/** The fields of the spec that hold no others, such as `keys[].env`. */
function leavesOf(schema: Schema, path = ''): { path: string; schema: Schema }[] {
  if (schema.properties) {
    const dot = path === '' ? '' : '.';
    return Object.entries(schema.properties).flatMap(([name, field]) => leavesOf(field, `${path}${dot}${name}`));
  }
  return schema.items ? leavesOf(schema.items, `${path}[]`) : [{ path, schema }];
}

/**
 * The value of a field before and after its change, where the schema's rules or the other fields ask for certain ones. A field that is
 * not listed gets the second and the first value of its enum, true and false, its minimum and one more, or two words.
 */
const VALUES: Record<string, [before: Value, after: Value]> = {
  region: ['asia-northeast1', 'us-central1'],
  'keys[].env': ['KEY_A', 'KEY_B'],
  'keys[].secretRef.external': ['first', 'second'],
  'keys[].secretRef.name': ['object-a', 'object-b'],
  'keys[].version': ['2', '1'],
  'env[].name': ['NAME_A', 'NAME_B'],
  image: ['gcr.io/acme/backend:1', 'gcr.io/acme/backend:2'],
  'scaling.maxInstances': [10, 11],
  'resources.cpu': ['1', '2'],
  'resources.memory': ['1Gi', '2Gi'],
  access: ['Authenticated', 'Public'],
  'invokers[]': ['user:a@example.com', 'user:b@example.com'],
  labels: [{ team: 'red' }, { team: 'blue' }],
  annotations: [{ team: 'red' }, { team: 'blue' }],
  'keys[].file': ['/secrets/a/key', '/secrets/b/key'],
  'volumes[].mountPath': ['/v', '/w'],
  'volumes[].emptyDir.sizeLimit': ['64Mi', '65Mi'],
  'container.dependsOn[]': [null, 'side'],
  'sidecars[].name': ['side', 'beside'],
  'sidecars[].image': ['gcr.io/acme/side:1', 'gcr.io/acme/side:2'],
  'sidecars[].env[].name': ['NAME_A', 'NAME_B'],
  'sidecars[].keys[].name': ['word-a', 'word-a'],
  'sidecars[].keys[].env': ['KEY_A', 'KEY_B'],
  'sidecars[].keys[].file': ['/secrets/a/key', '/secrets/b/key'],
  'sidecars[].resources.cpu': ['500m', '501m'],
  'sidecars[].resources.memory': ['256Mi', '257Mi'],
  'sidecars[].port': [4317, 4318],
  'sidecars[].probes.startup.path': ['/a', '/b'],
  'sidecars[].probes.startup.grpc': ['a', 'b'],
  'sidecars[].probes.startup.periodSeconds': [10, 11],
  'sidecars[].probes.startup.timeoutSeconds': [1, 2],
  'sidecars[].probes.liveness.path': ['/a', '/b'],
  'sidecars[].probes.liveness.grpc': ['a', 'b'],
  'sidecars[].probes.liveness.periodSeconds': [10, 11],
  'container.workingDir': ['/a', '/b'],
  'probes.startup.path': ['/a', '/b'],
  'probes.startup.grpc': ['a', 'b'],
  'probes.startup.periodSeconds': [10, 11],
  'probes.startup.timeoutSeconds': [1, 2],
  'probes.liveness.path': ['/a', '/b'],
  'probes.liveness.grpc': ['a', 'b'],
  'probes.liveness.periodSeconds': [10, 11],
  'resources.gpu.type': [null, 'nvidia-l4'],
  'network.subnetwork': ['word-a', { 'asia-northeast1': 'word-b' }],
  encryptionKey: [`${KMS}a`, { 'asia-northeast1': `${KMS}b` }],
  // Its only word.
  binaryAuthorization: [null, 'Default'],
};
/** Fields that need a second item of a list, which no spec here has. test/unit/tenant-fields.test.ts has two. */
const OF_TWO = ['sidecars[].dependsOn[]', 'sidecars[].keys[].name'];
/** Fields that are absent while the others are changed, because they exclude others or leave them without effect. */
const ABSENT = [
  'keys[].secretRef.name',
  'scaling.manualInstances',
  'probes.startup.grpc',
  'probes.liveness.grpc',
  'resources.gpu.type',
  'resources.gpu.zonalRedundancy',
  'network.connector',
  'sidecars[].dependsOn[]',
  'sidecars[].probes.startup.grpc',
  'sidecars[].probes.liveness.grpc',
];
const WITH_GPU = {
  'resources.cpu': '4',
  'resources.memory': '16Gi',
  'resources.cpuAlways': true,
  executionEnvironment: null,
  // The memory of both containers is more than 4 CPUs allow.
  'sidecars[].resources.cpu': '2',
};
const WITH_CONNECTOR = { 'network.subnetwork': null, 'network.network': null, 'network.tags[]': null };
/** What other fields must be meanwhile for the spec to stay valid or for the field to matter. */
const WITH: Record<string, Record<string, Value>> = {
  'keys[].name': { 'sidecars[].keys[].name': null, 'sidecars[].keys[].env': null, 'sidecars[].keys[].file': null },
  'sidecars[].probes.startup.grpc': { 'sidecars[].probes.startup.path': null },
  'sidecars[].probes.liveness.grpc': { 'sidecars[].probes.liveness.path': null },
  'keys[].secretRef.name': { 'keys[].secretRef.external': null },
  // OnNewVersion and OnRestart differ only where the version is not fixed.
  'keys[].rollout': { 'keys[].version': 'latest' },
  access: { 'invokers[]': null, iap: 'Disabled' },
  'probes.startup.grpc': { 'probes.startup.path': null },
  'probes.liveness.grpc': { 'probes.liveness.path': null },
  'resources.gpu.type': WITH_GPU,
  'resources.gpu.zonalRedundancy': { ...WITH_GPU, 'resources.gpu.type': 'nvidia-l4' },
  'network.connector': WITH_CONNECTOR,
};

function valuesOf(path: string, { type, enum: known, minimum = 1 }: Schema): [before: Value, after: Value] {
  const listed = VALUES[path];
  if (listed) return listed;
  if (known) return [known[0] ?? null, known[1] ?? null];
  if (type === 'boolean') return [false, true];
  return type === 'integer'
    ? [minimum, minimum + 1]
    : (['word-a', 'word-b'].map(word => word.replace('-', type === 'string' && /env/.test(path) ? '_' : '-')) as [
        string,
        string,
      ]);
}

/** A spec of these leaves; each list has one item. Null leaves a field out. */
function specOf(values: Map<string, Value>): JsonObject {
  const spec: JsonObject = {};
  for (const [path, value] of values) {
    if (value === null) continue;
    const names = path.split('.');
    let at = spec;
    for (const [i, name] of names.entries()) {
      const field = name.replace('[]', '');
      if (i < names.length - 1) {
        const next = (at[field] ?? (name.endsWith('[]') ? [{}] : {})) as JsonObject | JsonObject[];
        at[field] = next;
        at = (Array.isArray(next) ? next[0] : next) as JsonObject;
      } else if (!name.endsWith('[]')) at[field] = value;
      else at[field] = [value];
    }
  }
  return spec;
}

/** The status without what follows every edit: generations, times and the hash of the whole desired state. */
function told({ status = {} }: KubeObject): string {
  const { observedGeneration: _, reconciledHash: __, conditions = [], ...rest } = status as JsonObject;
  const bare = (conditions as JsonObject[]).map(({ type, status: value, reason, message }) => ({
    type,
    value,
    reason,
    message,
  }));
  return JSON.stringify({ ...rest, conditions: bare });
}

/** Edits the spec, and waits until the operator has answered to it. */
async function settle(world: World, spec: JsonObject): Promise<KubeObject> {
  const before = (await world.tenant('tenant-a'))?.spec;
  await world.edit('tenant-a', replacing((before ?? {}) as JsonObject, spec));
  return settled(world);
}

/** Waits until a check writes nothing and a former region's service is gone: what an earlier edit left to do is done. */
async function atRest(world: World): Promise<void> {
  let services = 0;
  do {
    world.forget();
    await world.check('tenant-a');
    const { inventory = [] } = (await world.tenant('tenant-a'))?.status ?? {};
    services = inventory.filter(({ type }) => type === 'Service').length;
  } while (world.writes().length > 0 || services > 1);
}

async function settled(world: World): Promise<KubeObject> {
  let last = '';
  return until(
    async () => {
      const tenant = await world.tenant('tenant-a');
      const ready = tenant?.status?.conditions?.find(({ type }) => type === 'Ready');
      last = JSON.stringify(ready);
      const answered = ready?.observedGeneration === tenant?.metadata.generation && ready?.reason !== 'Updating';
      return answered ? tenant : undefined;
    },
    () => `an answer to the edit: ${last}`,
  );
}

/** The fields of the CRD (its YAML text) whose change changes nothing. `only`: the fields to try. */
async function unreadFields(crd: string, only?: string[]): Promise<string[]> {
  const { spec } = parse(crd) as Crd;
  const leaves = spec.versions.flatMap(({ schema }) => leavesOf(schema.openAPIV3Schema.properties.spec));
  // A number or a boolean that has only one value cannot change.
  const changeable = leaves.filter(({ schema: { type, enum: known, minimum, maximum } }) =>
    type === 'boolean' ? known === undefined : minimum === undefined || minimum !== maximum,
  );
  const values = new Map(changeable.map(({ path, schema }) => [path, valuesOf(path, schema)]));
  const base = new Map([...values].map(([path, [value]]) => [path, ABSENT.includes(path) ? null : value]));
  const world = await createWorld({
    crd,
    connector: true,
    settings: { regionMoveGraceMs: 100 },
    operatorGcp: core => core,
  });
  try {
    for (const id of ['first', 'second']) {
      await world.secret(id);
      await world.addVersion(id);
    }
    await world.apply('tenant-a', specOf(base));
    await settled(world);
    const unread: string[] = [];
    for (const [path, [before, after]] of values) {
      if (OF_TWO.includes(path) || (only && !only.includes(path))) continue;
      const around = new Map([...base, ...Object.entries(WITH[path] ?? {})]);
      await settle(world, specOf(around.set(path, before)));
      await atRest(world);
      const then = told(await settled(world));
      const now = told(await settle(world, specOf(around.set(path, after))));
      if (world.writes().length === 0 && now === then) unread.push(path);
    }
    return unread;
  } finally {
    await world.close();
  }
}

test('every field of the spec changes what the operator does', async () => {
  expect(await unreadFields(CRD)).toEqual([]);
}, 400_000);

test('a field that only the CRD has is named', async () => {
  const crd = parse(CRD) as Crd;
  const { properties = {} } = crd.spec.versions[0]?.schema.openAPIV3Schema.properties.spec ?? {};
  properties.priority = { type: 'integer', minimum: 1 };
  Object.assign(properties.keys?.items?.properties ?? {}, { label: { type: 'string' } });
  expect(await unreadFields(stringify(crd), ['keys[].label', 'keys[].env', 'priority'])).toEqual([
    'keys[].label',
    'priority',
  ]);
}, 180_000);
