import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Condition } from '../../operator/tenant/types.ts';
import type { Json, JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import { command, type Run } from './support/command.ts';
import { obey, rest } from './support/handmade.ts';
import { createWorld, must, NUMBER, PROJECT, REGION, until, type World } from './support/world.ts';

/**
 * Services as people publish them, of every kind: `test/fixtures/services/` has one a file, with its source in the first line. Each
 * is created in the local Google Cloud as it stands, imported, adopted, edited and moved, and may lose no field by that.
 */

const FOLDER = new URL('../fixtures/services/', import.meta.url);

const ELSEWHERE = 'europe-west1';

interface Shape {
  /** The name of the file and of the tenant. */
  name: string;
  /** What was written one after the other; the last one is the service as it was published. */
  writes: JsonObject[];
}

const SHAPES: Shape[] = readdirSync(FOLDER)
  .filter(file => file.endsWith('.yaml'))
  .map(file => ({
    name: file.replace('.yaml', ''),
    writes: parseAllDocuments(readFileSync(new URL(file, FOLDER), 'utf8')).map(one => one.toJS() as JsonObject),
  }));

/** Why a shape's manifest is refused: the one reason for which nothing of it is adopted. */
const REFUSED: Record<string, string> = { 'gpu-rtx-pro': 'spec.resources.cpu' };

let world: World;
let imported: Run;
const courses = new Map<string, Promise<Course>>();
beforeAll(async () => {
  world = await createWorld({ workers: 8 });
  await Promise.all(SHAPES.map(publish));
  imported = await command(world, 'import', '--project', PROJECT, '--region', REGION);
  // Several at once, because each of them waits more than it works.
  const names = SHAPES.map(({ name }) => name).filter(name => !(name in REFUSED));
  const work = async (): Promise<void> => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      courses.set(name, adoptAndEdit(name));
      await Promise.allSettled([courses.get(name)]);
    }
  };
  await Promise.all(Array.from({ length: 8 }, work));
}, 240_000);
afterAll(() => world.close());

describe('a published service', () => {
  test('has its source in the first line', () => {
    expect(SHAPES.length).toBeGreaterThanOrEqual(25);
    for (const { name } of SHAPES) {
      expect(readFileSync(new URL(`${name}.yaml`, FOLDER), 'utf8'), name).toMatch(/^# Source: \S+/);
    }
  });

  test.each(SHAPES)('$name is stored with every field', async ({ name, writes }) => {
    const { published = await answerOf(name) } = (await courses.get(name)) ?? {};
    expect(inItsForm(published)).toMatchObject(stated(inItsForm(writes.at(-1) ?? {})));
  });

  test.each(SHAPES.map(({ name }) => name).filter(name => !(name in REFUSED)))(
    '%s is imported, adopted and edited without losing a field',
    async name => {
      const { before, adopted, edited } = (await courses.get(name)) as Course;
      expect(labelsOf(adopted)).toMatchObject({ 'ai-tenant-owner-name': name });
      expect(kept(adopted)).toEqual(kept(before));
      // What the manifest says in full is taken over as it is.
      if (templateOf(before).serviceAccount === emailOf(name) && !isSplit(before)) {
        expect(adopted.latestCreatedRevision).toBe(before.latestCreatedRevision);
      }
      expect(templateOf(edited)).toMatchObject({ timeout: '123s', serviceAccount: emailOf(name) });
      const isManual = (before.scaling as JsonObject | undefined)?.scalingMode === 'MANUAL';
      expect(edited.scaling).toMatchObject(
        isManual ? { scalingMode: 'MANUAL' } : { minInstanceCount: 1, maxInstanceCount: 7 },
      );
      expect(kept(edited)).toEqual(kept(before));
    },
  );

  test.each(SHAPES.map(({ name }) => name).filter(name => !(name in REFUSED)))(
    '%s moves to another region without losing a field, or is stopped for one of its own region',
    async name => {
      const { edited, moved, stopped } = (await courses.get(name)) as Course;
      if (moved) expect(settings(moved)).toEqual(settings(edited));
      else expect(stopped).toMatch(/nothing says what takes its place in europe-west1|has no name for europe-west1/);
    },
  );

  test.each(Object.entries(REFUSED))('%s cannot be an AiTenant, and import says why: %s', (name, why) => {
    expect(imported.out).toContain(`#   name: ${name}\n`);
    expect(imported.err).toContain(`${name}: can't be an AiTenant as it is: ${why}`);
  });
});

// --------------------------------------------------------------------------------------------------------- helpers

const emailOf = (name: string): string => `sa-${name}@${PROJECT}.iam.gserviceaccount.com`;
const pathOf = (name: string, region = REGION): string =>
  `projects/${PROJECT}/locations/${region}/services/ai-platform-${name}`;
const serviceOf = (name: string, region?: string): Promise<JsonObject> =>
  rest(world, 'GET', `/v2/${pathOf(name, region)}`);
/** Whether the template has a network or a key, which may exist in the service's region only. */
const belongsToRegion = (service: JsonObject): boolean =>
  ['vpcAccess', 'encryptionKey'].some(field => field in templateOf(service));
const isV1 = (service: JsonObject): boolean => service.apiVersion !== undefined;
/** The service in the API version of its file. */
const answerOf = (name: string): Promise<JsonObject> => {
  const face = SHAPES.some(shape => shape.name === name && shape.writes.some(isV1)) ? 'v1' : 'v2';
  return rest(world, 'GET', `/${face}/${pathOf(name)}`);
};
const templateOf = (service: JsonObject) => service.template as JsonObject;
const labelsOf = (service: JsonObject) => (service.labels ?? {}) as Record<string, string>;
const targetsOf = (service: JsonObject) =>
  (service.traffic ?? []) as { type: string; percent?: number; tag?: string }[];
const isSplit = (service: JsonObject): boolean =>
  targetsOf(service).some(({ type, percent = 0 }) => type.endsWith('_REVISION') && percent > 0);

/** The manifest that import wrote for a service, and the commands that give consent to it. */
function importOf(name: string): { manifest: KubeObject; consent: string[] } {
  const document = imported.out.split(/^---$/m).find(text => new RegExp(`^  name: ${name}$`, 'm').test(text));
  if (document === undefined) throw new Error(`no manifest of ${name}:\n${imported.err}`);
  const [manifest] = parseAllDocuments(document).map(one => one.toJS() as KubeObject);
  return {
    manifest: manifest as KubeObject,
    consent: [...document.matchAll(/^#\$ (.*)$/gm)].map(([, line = '']) => line),
  };
}

interface Course {
  /** The service in the API version of its file. */
  published: JsonObject;
  /** The service as v2 shows it before its adoption, adopted, and after an edit of the tenant. */
  before: JsonObject;
  adopted: JsonObject;
  edited: JsonObject;
  /** The service in another region; undefined: `stopped` says why there is none. */
  moved?: JsonObject;
  stopped?: string;
}

async function adoptAndEdit(name: string): Promise<Course> {
  const published = await answerOf(name);
  const { manifest, consent } = importOf(name);
  for (const line of consent) await obey(world, line);
  if (labelsOf(await serviceOf(name))['managed-by-cnrm'] === 'true') await abandonInConfigConnector(name);
  const before = await serviceOf(name);
  await must(world.kube.create(AI_TENANTS, 'default', manifest));
  await world.ready(name);
  const adopted = await serviceOf(name);
  const scaling = { ...(manifest.spec as { scaling?: JsonObject }).scaling, minInstances: 1, maxInstances: 7 };
  await world.edit(name, { timeoutSeconds: 123, scaling });
  await world.ready(name);
  const edited = await serviceOf(name);
  await world.edit(name, { region: ELSEWHERE });
  const { reason, message: stopped } = await endOfMove(name);
  if (reason === 'InvalidSpec' && belongsToRegion(edited)) return { published, before, adopted, edited, stopped };
  await world.ready(name);
  return { published, before, adopted, edited, moved: await serviceOf(name, ELSEWHERE) };
}

/** Ready as soon as the tenant has moved, or cannot move. */
const endOfMove = (name: string): Promise<Condition> =>
  until(
    async () => {
      const tenant = await world.tenant(name);
      const ready = tenant?.status?.conditions?.find(({ type }) => type === 'Ready');
      const isOver = ready?.reason === 'UpToDate' || ready?.reason === 'InvalidSpec';
      return isOver && ready.observedGeneration === tenant?.metadata.generation ? ready : undefined;
    },
    () => `${name} to move`,
  );

/** Creates a service as its file says, with the account, the secrets and the key that make a tenant of it. */
async function publish({ name, writes }: Shape): Promise<void> {
  const account = { accountId: `sa-${name}`, serviceAccount: {} };
  await rest(world, 'POST', `/v1/projects/${PROJECT}/serviceAccounts`, account);
  for (const secret of [`${name}-key`, ...secretsOf(writes)]) await makeSecret(secret, name);
  for (const [i, service] of writes.entries()) {
    const parent = `projects/${PROJECT}/locations/${REGION}/services`;
    if (isV1(service)) await rest(world, i > 0 ? 'PUT' : 'POST', `/v1/${i > 0 ? pathOf(name) : parent}`, service);
    else if (i > 0) await rest(world, 'PATCH', `/v2/${pathOf(name)}`, service);
    else await rest(world, 'POST', `/v2/${parent}?serviceId=ai-platform-${name}`, service);
    await settled(name);
  }
}

/** Waits until the last write is rolled out, and fails if it was not. */
async function settled(name: string): Promise<void> {
  const service = await until(
    async () => {
      const found = await serviceOf(name);
      return found.reconciling ? undefined : found;
    },
    () => `${name} to be up`,
  );
  expect(service.terminalCondition, name).toMatchObject({ state: 'CONDITION_SUCCEEDED' });
}

/** Every secret that is named anywhere in the messages: by v2, by v1, and by v1's aliases in their place. */
function secretsOf(value: Json | undefined): string[] {
  const text = JSON.stringify(value);
  const aliases = new Map(
    [...text.matchAll(/"run\.googleapis\.com\/secrets":"([^"]*)"/g)]
      .flatMap(([, list = '']) => list.split(','))
      .map(one => one.split(':') as [alias: string, name: string]),
  );
  const named = [...text.matchAll(/"(?:secret|secretName)":"([^"]*)"|"secretKeyRef":{[^}]*"name":"([^"]*)"/g)];
  return [...new Set(named.map(([, volume, variable]) => volume ?? variable ?? ''))].map(
    one => aliases.get(one) ?? one,
  );
}

/** A secret with one version that the tenant's account and the project's default account may read. */
async function makeSecret(reference: string, tenant: string): Promise<void> {
  const [, project = PROJECT, id = reference] = /^projects\/([^/]+)\/secrets\/(.+)$/.exec(reference) ?? [];
  await world.secret(id, { project, labels: {}, value: null });
  await rest(world, 'POST', `/v1/projects/${project}/secrets/${id}:addVersion`, { payload: { data: 'eA==' } });
  const members = [emailOf(tenant), `${NUMBER}-compute@developer.gserviceaccount.com`].map(
    one => `serviceAccount:${one}`,
  );
  await rest(world, 'POST', `/v1/projects/${project}/secrets/${id}:setIamPolicy`, {
    policy: { bindings: [{ role: 'roles/secretmanager.secretAccessor', members }] },
  });
}

/** What docs/config-connector.md asks for before the operator takes over a service of Config Connector. */
async function abandonInConfigConnector(name: string): Promise<void> {
  expect(imported.err).toContain(`${name}: Config Connector manages this service`);
  const { 'managed-by-cnrm': _, ...labels } = labelsOf(await serviceOf(name));
  await rest(world, 'PATCH', `/v2/${pathOf(name)}?updateMask=labels`, { labels });
}

/** Parts of an exported v1 object that the server writes, so that it takes them and ignores what they say. */
const EXPORTED =
  /^(status|namespace|selfLink|client\.knative\.dev\/nonce|serving\.knative\.dev\/.*|run\.googleapis\.com\/(operation-id|urls|ingress-status|satisfiesPzs|startupProbeType))$/;

/** An object of v1 in one form: the aliases of secrets, which v1 makes anew, are their ids, and JSON has its keys in order. */
function inItsForm(service: JsonObject): JsonObject {
  let text = JSON.stringify(service);
  for (const [, alias = '', id = ''] of text.matchAll(/"run\.googleapis\.com\/secrets":"([^:"]*):[^"]*\/([^"/]*)"/g)) {
    text = text.replaceAll(new RegExp(`"${alias}([":])`, 'g'), `"${id}$1`);
  }
  return JSON.parse(text, (name, value) => {
    if (name !== 'run.googleapis.com/container-dependencies') return value;
    return JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(value)).sort(([a], [b]) => (a < b ? -1 : 1))));
  }) as JsonObject;
}

/** What says nothing: CPU only during requests is v1's default, and Cloud Run does not use a mount's readOnly (v1's discovery document). */
const saysNothing = (name: string, one: Json | undefined, around: JsonObject): boolean =>
  (name === 'run.googleapis.com/cpu-throttling' && one === 'true') || (name === 'readOnly' && 'mountPath' in around);

/** What a message says, without the values that JSON leaves out because they are the defaults. */
function stated<T extends Json>(value: T): T {
  if (Array.isArray(value)) return value.map(stated) as T;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(
    ([name, one]) =>
      !EXPORTED.test(name) &&
      !saysNothing(name, one, value) &&
      one !== false &&
      one !== 0 &&
      one !== '' &&
      !(Array.isArray(one) && !one[0]),
  );
  return Object.fromEntries(entries.map(([name, one]) => [name, stated(one as Json)])) as T;
}

/** Fields of a Service that the server writes. */
const OUTPUT = [
  ...['uid', 'etag', 'generation', 'observedGeneration', 'createTime', 'updateTime', 'creator', 'lastModifier'],
  ...[
    'conditions',
    'terminalCondition',
    'latestReadyRevision',
    'latestCreatedRevision',
    'trafficStatuses',
    'reconciling',
  ],
];
/** Fields of the AiTenant, which the test looks at by themselves. */
const OWNED = {
  labels: /^ai-tenant-/,
  scaling: /^(min|max|manual)InstanceCount$|^scalingMode$/,
  template: /^(revision|timeout|serviceAccount)$/,
  'template.scaling': /^(min|max)InstanceCount$/,
};

/** The service without what the server or the operator owns. Of the traffic, the tags. */
function kept(service: JsonObject): JsonObject {
  const rest = without(service, name => OUTPUT.includes(name));
  const template = without(templateOf(rest), name => OWNED.template.test(name));
  return {
    ...rest,
    labels: without((rest.labels ?? {}) as JsonObject, name => OWNED.labels.test(name)),
    scaling: without((rest.scaling ?? {}) as JsonObject, name => OWNED.scaling.test(name)),
    template: {
      ...template,
      scaling: without((template.scaling ?? {}) as JsonObject, name => OWNED['template.scaling'].test(name)),
    },
    traffic: targetsOf(rest).flatMap(({ tag }) => tag ?? []),
  };
}

/** What a service in another region has of it too: no address, no revision with a tag, no name of the client that wrote it. */
const settings = (service: JsonObject): JsonObject =>
  without(kept(service), name => ['name', 'uri', 'urls', 'traffic', 'client', 'clientVersion'].includes(name));

const without = (object: JsonObject, isLeftOut: (name: string) => boolean): JsonObject =>
  Object.fromEntries(Object.entries(object).filter(([name]) => !isLeftOut(name)));
