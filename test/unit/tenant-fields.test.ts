import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { renderImport } from '../../operator/cli/importCommand.ts';
import { parseService } from '../../operator/gcp/service.ts';
import { FIELDS, layFields, wantedFields } from '../../operator/tenant/fields/laid.ts';
import { usesOf } from '../../operator/tenant/fields/sidecarSpec.ts';
import { readTenant } from '../../operator/tenant/resource.ts';
import type { FieldKeys } from '../../operator/tenant/template.ts';
import type { ObservedService, Step, TenantSpec, TenantStatus } from '../../operator/tenant/types.ts';
import type { Json, JsonObject } from '../../ports/json.ts';
import { compileCrd } from '../../schema/index.ts';
import type { PlainObject } from '../../schema/types.ts';
import { createRandom } from '../sim/clock.ts';
import { FIELD_CASES, type FieldCase, kmsKey } from './support/fieldCases.ts';
import { createScene, type Scene, TENANT } from './support/scene.ts';
import {
  atRest,
  entry,
  grantTo,
  invokedBy,
  keyA,
  LONG_AGO,
  MEMBER,
  planFor,
  present,
  REGION,
  SERVICE,
  seen,
  sentFields,
  serviceA,
  templateA,
  UID,
} from './support/tenantWorld.ts';

/** Every optional field of the spec, through its life: the same properties for each row of the table. */

const RUN = 'google.cloud.run.v2.Services';
const [HERE, THERE] = ['asia-northeast1', 'us-central1'] as const;
/** Long enough for two checks and for a rollout. */
const CHECKS_MS = 300_000;
const nameIn = (region: string) => `projects/demo-project/locations/${region}/services/ai-platform-alpha`;

const CRD = compileCrd(parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')));
const version = CRD.ok ? CRD.crd.versions[0] : undefined;

/** A spec in which the field has this value. Undefined: the spec does not name it. */
function specWith(
  { path, around = {}, spec: fieldsOf }: FieldCase,
  value: Json | undefined,
  region: string = HERE,
): JsonObject {
  const spec: JsonObject = {
    region,
    keys: [{ name: 'openai', secretRef: { external: 'key-1' }, env: 'KEY' }],
    image: 'registry.example/app:1',
    ...structuredClone(around),
  };
  if (fieldsOf) return { ...spec, ...fieldsOf(value) };
  if (value === undefined) return spec;
  const [, map, key] = /^(labels|annotations)\.(.+)$/.exec(path) ?? [];
  const names = map && key ? [map, key] : path.split('.');
  let at = spec;
  for (const name of names.slice(0, -1)) {
    at[name] = { ...((at[name] ?? {}) as JsonObject) };
    at = at[name] as JsonObject;
  }
  at[names.at(-1) ?? ''] = value;
  return spec;
}

const OPTIONS = { project: 'demo-project', namespace: 'default', plan: 'npm run plan --' };
const foundTenant = (service: ObservedService) => ({
  name: 'alpha',
  project: 'demo-project',
  service,
  invokers: { bindings: [] },
  email: 'sa-alpha@demo-project.iam.gserviceaccount.com',
  account: { state: 'absent' as const },
  secrets: [],
  externalOf: (reference: string) => reference,
});

/** The keys of the spec's sidecars, as the plan of the keys answers them. */
const keysOf = (spec: TenantSpec): FieldKeys => ({
  files: [],
  ofSidecars: spec.keys.flatMap(({ name, secretRef, version }) =>
    usesOf(spec, name).map(use => ({
      ...use,
      key: { secret: secretRef.external ?? '', projects: ['', 'demo-project'], version },
    })),
  ),
});

/** Everything of `wanted` is in `found`; undefined stands for proto3's default too. */
function has(found: Json | undefined, wanted: Json | undefined): boolean {
  if (wanted === undefined || wanted === false)
    return found === undefined || found === '' || found === false || isDeepStrictEqual(found, []);
  if (typeof wanted !== 'object' || wanted === null) return found === wanted;
  if (Array.isArray(wanted)) {
    return Array.isArray(found) && found.length === wanted.length && wanted.every((one, at) => has(found[at], one));
  }
  const object = (found ?? {}) as JsonObject;
  return Object.entries(wanted).every(([name, value]) => has(object[name], value));
}

async function start(spec: JsonObject, seed = 7): Promise<Stage> {
  const scene = await createScene(createRandom(seed));
  await scene.act({ who: 'secrets', do: 'create', secret: 'key-1' });
  for (let versions = 2; versions > 0; versions--)
    await scene.act({ who: 'rotation', do: 'add', secret: 'key-1', back: 0 });
  await scene.act({ who: 'secrets', do: 'consent', secret: 'key-1', namespace: 'default' });
  const stage = stageOf(scene);
  await stage.apply(spec);
  await scene.operate(CHECKS_MS);
  return stage;
}

type Stage = ReturnType<typeof stageOf>;
function stageOf(scene: Scene) {
  const service = async (region: string = HERE): Promise<JsonObject> => {
    const found = await scene.gcp.call(`${RUN}.GetService`, { name: nameIn(region) });
    if (!found.ok) throw new Error(`${region}: ${found.status.message}`);
    return found.response as JsonObject;
  };
  return {
    scene,
    service,
    async apply(spec: JsonObject) {
      const said = await scene.act({ who: 'kubectl', do: 'apply', spec, ...TENANT });
      if (said !== 'done') throw new Error(said);
    },
    /** What somebody with the console does. A map is written whole, as they read it before. */
    async byHand(json: JsonObject) {
      const before = await service();
      const merged = merge(before, json);
      if (json.template) delete (merged.template as JsonObject).revision;
      const fields = Object.fromEntries(Object.keys(json).map(name => [name, merged[name]])) as JsonObject;
      const result = await scene.gcp.call(`${RUN}.UpdateService`, {
        service: { name: nameIn(HERE), ...fields },
        updateMask: Object.keys(json).join(','),
      });
      if (!result.ok) throw new Error(result.status.message);
    },
    revision: async () => String((await service()).latestCreatedRevision),
    async status(): Promise<TenantStatus> {
      return ((await scene.tenant())?.status ?? {}) as unknown as TenantStatus;
    },
    async entries(around: string[] = []): Promise<string[]> {
      const { inventory } = ((await scene.tenant())?.status ?? {}) as unknown as TenantStatus;
      return inventory.flatMap(entry =>
        entry.type === 'Field' && !around.includes(entry.field) ? `${entry.name.split('/')[3]} ${entry.field}` : [],
      );
    },
    async ready() {
      const { conditions } = ((await scene.tenant())?.status ?? {}) as unknown as TenantStatus;
      return conditions.find(({ type }) => type === 'Ready');
    },
  };
}

/** Lists are merged item by item, so that a change can name one field of a container. */
function merge(before: JsonObject, change: JsonObject): JsonObject {
  const result: JsonObject = { ...before };
  for (const [name, value] of Object.entries(change)) {
    const was = result[name];
    const both = [was, value].every(one => typeof one === 'object' && one !== null && !Array.isArray(one));
    if (name === 'containers') {
      const [before, changed] = [was as JsonObject[], value as JsonObject[]];
      const all = before.length > changed.length ? before : changed;
      result[name] = all.map((_, at) => merge(before[at] ?? {}, changed[at] ?? {}));
    } else if (both && !/^(binaryAuthorization|startupProbe|livenessProbe|vpcAccess)$/.test(name)) {
      result[name] = merge(was as JsonObject, value as JsonObject);
    } else result[name] = value;
    if (value === undefined) delete result[name];
  }
  return result;
}

const upToDate = expect.objectContaining({ status: 'True', reason: 'UpToDate' });

test('every row of the table has a case, and every case a row', () => {
  const covered = (path: string) =>
    FIELD_CASES.some(
      one =>
        one.path === path ||
        (one.path.startsWith(`${path}.`) && /^(labels|annotations|files|volumes|sidecars)$/.test(path)),
    );
  expect(FIELDS.map(({ path }) => path).filter(path => !covered(path))).toEqual([]);
  const rows = FIELD_CASES.filter(
    ({ path }) => !FIELDS.some(field => field.path === path || (field.keyed && path.startsWith(`${field.path}.`))),
  );
  expect(rows).toEqual([]);
});

describe.each(FIELD_CASES.map(one => [one.path, one] as const))('%s', (path, field) => {
  const [first] = field.values;
  /** Optional fields that the case needs besides. */
  const besides =
    { 'resources.gpu': ['resources.cpuAlways'], 'container.dependsOn': ['sidecars.otel', 'sidecars.log'] }[path] ?? [];
  const level = FIELDS.find(row => row.path === path || (row.keyed && path.startsWith(`${row.path}.`)))?.level;

  test('is set with the first service, and the next checks write nothing', async () => {
    const stage = await start(specWith(field, first));
    expect(await stage.ready()).toEqual(upToDate);
    expect(has(await stage.service(), field.json[0]), JSON.stringify(await stage.service())).toBe(true);
    expect(await stage.entries()).toContain(`${HERE} ${path}`);
    expect(await stage.scene.operate(CHECKS_MS)).toEqual([]);
  });

  test('is set, changed and removed on a live service; a service-level field makes no revision', async () => {
    const stage = await start(specWith(field, undefined));
    const before = await stage.revision();
    expect(has(await stage.service(), field.unset)).toBe(true);
    for (const [at, value] of field.values.entries()) {
      await stage.apply(specWith(field, value));
      await stage.scene.operate(CHECKS_MS);
      expect(await stage.ready()).toEqual(upToDate);
      expect(has(await stage.service(), field.json[at]), JSON.stringify(await stage.service())).toBe(true);
      expect(await stage.entries()).toContain(`${HERE} ${path}`);
      expect(await stage.scene.operate(CHECKS_MS)).toEqual([]);
    }
    if (level === 'service') expect(await stage.revision()).toBe(before);
    await stage.apply(specWith(field, first));
    await stage.scene.operate(CHECKS_MS);
    // The operator is not running when the field leaves the spec: what was set is on record.
    await stage.apply(specWith(field, undefined));
    await stage.scene.operate(CHECKS_MS);
    expect(await stage.ready()).toEqual(upToDate);
    if (!field.stays) {
      expect(has(await stage.service(), field.unset), JSON.stringify(await stage.service())).toBe(true);
      expect(await stage.entries(besides)).toEqual([]);
    } else {
      expect(has(await stage.service(), field.json[0])).toBe(true);
      expect((await stage.ready())?.message).toContain(`spec.${path} is no longer set and stays`);
      expect(await stage.entries(besides)).toEqual([`${HERE} ${path}`]);
      if (field.opens === undefined) return;
      await stage.apply(specWith(field, field.opens));
      await stage.scene.operate(CHECKS_MS);
      expect(has(await stage.service(), field.unset)).toBe(true);
      await stage.apply(specWith(field, undefined));
      await stage.scene.operate(CHECKS_MS);
      expect(await stage.entries(besides)).toEqual([]);
      expect((await stage.ready())?.message).not.toContain('no longer set');
    }
    expect(await stage.scene.operate(CHECKS_MS)).toEqual([]);
    if (level === 'service') expect(await stage.revision()).toBe(before);
  });

  test('is put back when somebody changes it, while the spec names it', async () => {
    const stage = await start(specWith(field, first));
    const otherwise = isDeepStrictEqual(field.json[0], field.others) ? field.json[1] : field.others;
    await stage.byHand(field.drift ?? otherwise);
    await stage.scene.operate(CHECKS_MS);
    expect(has(await stage.service(), field.json[0]), JSON.stringify(await stage.service())).toBe(true);
    expect(await stage.ready()).toEqual(upToDate);
  });

  test('stays as others set it, while the spec has never named it', async () => {
    const stage = await start(specWith(field, undefined));
    await stage.byHand(field.others);
    await stage.scene.operate(CHECKS_MS);
    await stage.apply({ ...specWith(field, undefined), timeoutSeconds: 61 });
    await stage.scene.operate(CHECKS_MS);
    expect(has(await stage.service(), field.others), JSON.stringify(await stage.service())).toBe(true);
    expect(await stage.entries(besides)).toEqual([]);
  });

  test('moves with the tenant: the value of the spec, one that stays, and one that others set', async () => {
    const named = await start(specWith(field, first));
    await named.apply({ ...specWith(field, first, THERE), ...(field.elsewhere as JsonObject | undefined) });
    await named.scene.operate(CHECKS_MS);
    expect(has(await named.service(THERE), field.jsonElsewhere ?? field.json[0])).toBe(true);
    expect(await named.entries()).toContain(`${THERE} ${path}`);

    const left = await start(specWith(field, first));
    await left.apply(specWith(field, undefined, THERE));
    await left.scene.operate(CHECKS_MS);
    if (field.jsonElsewhere) {
      // What stays is of the former region, so the move stops before anything is made.
      expect(await left.ready()).toMatchObject({ status: 'False', reason: 'InvalidSpec' });
      expect((await left.ready())?.message).toContain(`Write spec.${path}`);
      await expect(left.service(THERE)).rejects.toThrow();
    } else {
      expect(has(await left.service(THERE), field.stays ? field.json[0] : field.unset)).toBe(true);
      const kept = (await left.entries(besides)).filter(entry => entry.startsWith(THERE));
      expect(kept).toEqual(field.stays ? [`${THERE} ${path}`] : []);
    }

    const others = await start(specWith(field, undefined));
    await others.byHand(field.others);
    await others.apply(specWith(field, undefined, THERE));
    await others.scene.operate(CHECKS_MS);
    expect(has(await others.service(THERE), field.others)).toBe(true);
    for (const stage of [named, others, ...(field.jsonElsewhere ? [] : [left])])
      expect(await stage.ready()).toEqual(upToDate);
  });

  test('is imported from a service that was made by hand, and the operator then changes nothing of it', async () => {
    const { labels, ...json } = await (await start(specWith(field, first))).service();
    const others = Object.entries(labels ?? {}).filter(([key]) => !key.startsWith('ai-tenant-owner-'));
    const service = parseService({ ...json, labels: Object.fromEntries(others) });
    if (!service) throw new Error('no service');
    const { yaml, warnings } = renderImport([foundTenant(service)], OPTIONS);
    const manifest = parseAllDocuments(yaml)[1]?.toJS() as { spec: JsonObject };
    expect(warnings.filter(warning => warning.includes('cannot say'))).toEqual([]);
    const { spec } = readTenant({ metadata: { name: 'alpha' }, spec: manifest.spec });
    expect(spec.fields?.[path]).toEqual(has(field.unset, field.json[0]) ? undefined : spec.fields?.[path]);
    if (path.startsWith('files.'))
      expect(manifest.spec.keys).toMatchObject([{ env: 'KEY', file: '/secrets/openai/key', version: 1 }]);
    else expect(has(field.unset, field.json[0]) || spec.fields?.[path] !== undefined).toBe(true);
    const wanted = wantedFields(spec, [], { project: 'demo-project', region: HERE }, keysOf(spec));
    expect(layFields('service', service.raw, wanted).changes).toEqual([]);
    expect(layFields('template', service.template, wanted).changes).toEqual([]);
  });

  test('is refused by kubectl apply with a bad value, and the message says what to write', () => {
    for (const [value, message] of field.refused) {
      const object = { metadata: { name: 'alpha' }, spec: specWith(field, value) } as unknown as PlainObject;
      const causes = version?.validate(version.applyDefaults(object)) ?? [];
      expect(causes.map(cause => `${cause.field}: ${cause.message}`).join()).toContain(message);
      // The API server has no field for a schema that must fit as one of several (oneOf); its message names it.
      expect(`${causes[0]?.field} ${causes[0]?.message}`).toContain(path.split('.')[0]);
    }
  });
});

test('a regional name that the API server cannot check is written only if it has the right form; otherwise the message names the field', () => {
  const names = fc.oneof(fc.constantFrom('tokyo', kmsKey(HERE, 'one'), 'A b', '', 'a/b', '__proto__'), fc.jsonValue());
  const values = fc.oneof(names, fc.dictionary(fc.constantFrom(HERE, 'us-central1', 'constructor'), names));
  fc.assert(
    fc.property(values, values, fc.boolean(), (name, key, isConnector) => {
      const given = { network: { [isConnector ? 'connector' : 'subnetwork']: name }, encryptionKey: key };
      const { spec, unknownValues } = readTenant({ metadata: { name: 'alpha' }, spec: given as JsonObject });
      expect(unknownValues).toEqual([]);
      const wanted = wantedFields(spec, [], { project: 'demo-project', region: HERE }, keysOf(spec));
      const template = layFields('template', {}, wanted).json;
      const named = { network: template.vpcAccess, encryptionKey: template.encryptionKey };
      for (const { path, missing } of wanted) {
        if (named[path as keyof typeof named] === undefined) expect(missing).toContain(path);
        else expect(missing).toBeUndefined();
      }
      expect([undefined, kmsKey(HERE, 'one')]).toContain(named.encryptionKey);
      if (named.network === undefined) return;
      const { networkInterfaces: [one] = [], connector } = named.network as {
        [field: string]: JsonObject[] | undefined;
      };
      expect(String(one?.subnetwork ?? connector)).toMatch(/^(?:[^ ]*\/)?[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/);
    }),
  );
});

test('an unknown word is InvalidSpec, not the default', () => {
  const spec = { ingress: 'Tomorrow', defaultUrl: 1, iap: '', binaryAuthorization: 'Own' };
  const { unknownValues, spec: read } = readTenant({ metadata: { name: 'alpha' }, spec });
  expect(unknownValues.map(text => text.split(' ')[0]).sort()).toEqual(
    Object.keys(spec)
      .sort()
      .map(name => `spec.${name}`),
  );
  expect(read.fields).toBeUndefined();
});

test.each([
  'labels.ai-tenant-owner-name',
  'labels.ai-tenant-namespace',
  'annotations.run.googleapis.com/x',
  'tomorrow',
  '',
])('an inventory entry for %s, which no spec can name, changes nothing', field => {
  const inventory = [...atRest, { type: 'Field' as const, name: SERVICE, field, time: LONG_AGO }];
  const labels = { ...serviceA().labels, 'ai-tenant-namespace': 'team' };
  const raw = { ingress: 'INGRESS_TRAFFIC_ALL', annotations: { 'run.googleapis.com/x': '1' } };
  const planned = planFor({ status: { inventory }, cloud: { services: [seen(present(serviceA({ labels, raw })))] } });
  expect(planned.steps).toEqual([]);
});

test('only closing: each field that closes is an update of its own, and nothing else is written before', () => {
  const spec = { access: 'Authenticated', ingress: 'Internal', iap: 'Enabled', description: 'new', timeoutSeconds: 9 };
  const services = [seen(present(serviceA({ raw: { ingress: 'INGRESS_TRAFFIC_ALL' } })), REGION, present(invokedBy()))];
  const { steps } = planFor({ spec, cloud: { services } });
  expect(steps.map(({ id, closes }) => [id, closes])).toEqual([
    [`close:${SERVICE}`, true],
    [`close:${SERVICE}:ingress`, true],
    [`close:${SERVICE}:iap`, true],
  ]);
  expect(steps.map(step => sentFields(step))).toEqual([
    { name: SERVICE, etag: '"e1"', invokerIamDisabled: false },
    { name: SERVICE, etag: '"e1"', ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY' },
    { name: SERVICE, etag: '"e1"', iapEnabled: true },
  ]);
});

test('IAP: Ready names the service agent until it is an invoker', () => {
  const urls = ['https://ai-platform-tenant-a-123456.asia-northeast1.run.app'];
  const raw = { ingress: 'INGRESS_TRAFFIC_ALL', iapEnabled: true };
  const agent = 'serviceAccount:service-123456@gcp-sa-iap.iam.gserviceaccount.com';
  const notes = (invokers: string[], known = urls) =>
    planFor({
      spec: { access: 'Authenticated', iap: 'Enabled', invokers },
      cloud: {
        services: [
          seen(present(serviceA({ raw, urls: known, invokerIamDisabled: false })), REGION, present(invokedBy())),
        ],
      },
    }).notes.join();
  expect(notes([])).toContain(`among spec.invokers: ${agent}.`);
  expect(notes([agent])).toBe('');
  expect(notes([], [])).toContain("gcloud projects describe tenants-1 --format='value(projectNumber)'");
  expect(notes([agent], [])).toBe('');
});

describe('a key that was mounted as a file and has left the spec', () => {
  const FORMER = 'projects/123456/secrets/old-key';
  const FILE = '/secrets/old/key';
  const volume = { name: 'v', secret: { secret: 'old-key', items: [{ path: 'key', version: '1' }] } };
  const mounted = templateA({ volumes: [volume] }, { volumeMounts: [{ name: 'v', mountPath: '/secrets/old' }] });
  const planned = (service: Partial<ObservedService>) =>
    planFor({
      status: {
        inventory: [
          ...atRest,
          entry({ type: 'SecretAccess', name: FORMER, uniqueId: UID }),
          entry({ type: 'Field', name: SERVICE, field: `files.${FILE}` }),
        ],
      },
      cloud: {
        services: [seen(present(serviceA(service)))],
        formerGrants: [
          {
            secret: FORMER,
            policy: present(grantTo(MEMBER)),
            read: present({ name: FORMER, labels: { 'ai-tenant-namespace': 'team' } }),
          },
        ],
      },
    });

  test('is unmounted first: its grant stays until the revision with the file has stopped serving', () => {
    const first = planned({ template: mounted });
    expect(first.steps.map(({ id }) => id)).toEqual([`service:${SERVICE}`]);
    expect(first.steps[0]?.changes).toEqual([{ field: `files.${FILE}`, from: 'old-key:1', to: undefined }]);
    const { template } = sentFields(first.steps[0] as Step) as { template: JsonObject };
    expect(template.volumes).toBeUndefined();

    const coming = { template: templateA(), reconciling: true, latestCreatedRevision: 'r2' };
    expect(planned(coming).steps).toEqual([]);
    const refused = { template: templateA(), terminal: { state: 'FAILED' as const, reason: '', message: 'no' } };
    expect(planned(refused).steps.filter(({ verb }) => verb === 'Revoke')).toEqual([]);

    const done = planned({ template: templateA() });
    expect(done.steps.map(({ id }) => id)).toEqual([`revoke:${FORMER}`]);
    expect(done.inventory.filter(({ type }) => type === 'Field')).toEqual([]);
  });
});

test('a file that takes another one’s directory leaves no volume that nobody mounts', () => {
  const row = FIELDS.find(({ path }) => path === 'files');
  const key = { secret: 'a', version: '1' };
  const empty = { containers: [{ image: 'x', ports: [{ containerPort: 8080 }] }] };
  const before = row?.write(empty, key, '/secrets/openai/key') ?? {};
  const after = row?.write(before, { ...key, secret: 'b' }, '/secrets/openai/other') ?? {};
  expect(after.volumes).toEqual([
    expect.objectContaining({ secret: { secret: 'b', items: [{ path: 'other', version: '1' }] } }),
  ]);
  expect(row?.write(after, undefined, '/secrets/openai/other')).not.toHaveProperty('volumes');
});

test('a key that is only a file is read, pinned and rolled like one in a variable', () => {
  const file = { name: 'openai', secretRef: { external: 'openai-key' }, file: '/secrets/openai/key' };
  const { steps } = planFor({ spec: { keys: [file] } });
  const { template } = sentFields(steps[0] as Step) as { template: JsonObject };
  expect(template).toMatchObject({
    volumes: [{ secret: { secret: 'openai-key', items: [{ path: 'key', version: '3' }] } }],
    containers: [{ env: [], volumeMounts: [{ mountPath: '/secrets/openai' }] }],
  });
  const service = serviceA({ template });
  const newer = { ...keyA(), version: present({ version: 4, state: 'ENABLED' as const }) };
  const inventory = [...atRest, entry({ type: 'Field', name: SERVICE, field: `files.${file.file}` })];
  const rolled = planFor({
    spec: { keys: [file] },
    status: { inventory },
    cloud: { services: [seen(present(service))], keys: [newer] },
  });
  expect(rolled.steps[0]?.changes).toEqual([{ field: `files.${file.file}`, from: 'openai-key:3', to: 'openai-key:4' }]);
  // A newer version is a rotation, not drift.
  expect(rolled.steps[0]?.drift).toBe(false);
  // An older one is never brought back silently.
  const older = { ...keyA(), version: present({ version: 2, state: 'ENABLED' as const }) };
  const held = planFor({
    spec: { keys: [file] },
    status: { inventory },
    cloud: { services: [seen(present(service))], keys: [older] },
  });
  expect(held.steps).toEqual([]);
  expect(held.blockers[0]?.message).toContain('the running service cannot read its mounted file');
});
