import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { compileCrd } from '../../schema/index.ts';
import type { CompiledVersion, FieldCause, PlainObject } from '../../schema/types.ts';
import { accepted, refusals, tenant } from './crd.cases.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string): PlainObject => parse(readFileSync(new URL(path, root), 'utf8'));
const result = compileCrd(read('crds/aitenants.yaml'));
if (!result.ok) throw new Error(JSON.stringify(result.causes));
const { crd } = result;
const version = crd.versions[0] as CompiledVersion;
const admit = (object: PlainObject): PlainObject => version.prune(version.applyDefaults(object));
const sorted = (causes: FieldCause[]): string[] =>
  causes.map(({ field, reason, message }) => [field, reason, message].join(' | ')).sort();

describe('the API refuses', () => {
  it.each(refusals)('$name', ({ tenant: name, spec, causes }) => {
    expect(sorted(version.validate(admit(tenant(name, spec))))).toEqual(sorted(causes));
  });
});

describe('the API takes', () => {
  it.each(accepted)('$name', ({ tenant: name, spec }) => {
    expect(version.validate(admit(tenant(name, spec)))).toEqual([]);
  });

  it.each(readdirSync(new URL('examples/', root)).filter(file => file.endsWith('.yaml')))('examples/%s', file => {
    const documents = parseAllDocuments(readFileSync(new URL(`examples/${file}`, root), 'utf8'));
    const tenants = documents.map(document => document.toJS()).filter(({ kind }) => kind === 'AiTenant');
    expect(tenants).not.toEqual([]);
    for (const object of tenants) {
      expect(object.apiVersion).toBe('ai-platform.dev/v1alpha1');
      expect(version.unknownFields(object)).toEqual([]);
      expect(version.validate(admit(object))).toEqual([]);
    }
  });

  it('every field of a spec and a status may change', () => {
    const before = admit(tenant('tenant-a'));
    const after = admit(read('examples/tenant-with-everything.yaml'));
    expect(version.validate({ ...after, metadata: before.metadata }, before)).toEqual([]);
  });

  it('the status that the contract describes', () => {
    const time = '2026-01-02T03:04:05Z';
    const status = {
      observedGeneration: 3,
      conditions: ['Ready', 'ServiceAccountReady', 'SecretAccessReady', 'ServiceReady', 'Stalled'].map(type => ({
        type,
        status: 'True',
        reason: 'UpToDate',
        message: '',
        lastTransitionTime: time,
        observedGeneration: 3,
      })),
      url: 'https://ai-platform-tenant-a-abc-an.a.run.app',
      serviceAccountEmail: 'sa-tenant-a@my-project.iam.gserviceaccount.com',
      impersonatedServiceAccount: 'team-operator@my-project.iam.gserviceaccount.com',
      latestReadyRevision: 'ai-platform-tenant-a-00001-abc',
      projectId: 'my-project',
      region: 'asia-northeast1',
      image: 'gcr.io/cloudrun/hello',
      keys: [{ name: 'openai', version: '3', granted: true }],
      lastHandledReconcileAt: 'now',
      inventory: [
        { type: 'ServiceAccount', name: 'n', uniqueId: '1', time },
        { type: 'SecretAccess', name: 'n', uniqueId: '1', time },
        { type: 'Service', name: 'n', time, retireAt: time, deletedAt: time },
        { type: 'Invoker', name: 'n', member: 'user:jane@example.com', time },
        { type: 'Variable', name: 'n', variable: 'A', time },
      ],
    };
    const object = { ...tenant('tenant-a'), status };
    expect(version.unknownFields(object)).toEqual([]);
    expect(version.validate(admit(object))).toEqual([]);
  });
});

describe('the smallest useful tenant', () => {
  const smallest = read('examples/tenant-a.yaml');

  it('is the one of the contract', () => {
    expect(smallest).toEqual({
      apiVersion: 'ai-platform.dev/v1alpha1',
      kind: 'AiTenant',
      metadata: { name: 'tenant-a' },
      spec: {
        region: 'asia-northeast1',
        keys: [{ name: 'openai', secretRef: { external: 'tenant-a-openai-key' }, env: 'OPENAI_API_KEY' }],
        scaling: { minInstances: 0, maxInstances: 10 },
      },
    });
  });

  it("shows the contract's defaults", () => {
    const { spec } = admit({ ...smallest, spec: { ...(smallest.spec as PlainObject), scaling: undefined } });
    expect(admit(smallest).spec).toEqual(spec);
    expect(spec).toEqual({
      region: 'asia-northeast1',
      keys: [
        {
          name: 'openai',
          secretRef: { external: 'tenant-a-openai-key' },
          env: 'OPENAI_API_KEY',
          version: 'latest',
          rollout: 'OnNewVersion',
        },
      ],
      scaling: { minInstances: 0, maxInstances: 10, concurrency: 80 },
      resources: { cpu: '1', memory: '1Gi' },
      timeoutSeconds: 300,
      access: 'Public',
      suspend: false,
    });
  });
});

describe('the definition', () => {
  it('has the names of the contract', () => {
    expect(crd).toMatchObject({
      group: 'ai-platform.dev',
      kind: 'AiTenant',
      listKind: 'AiTenantList',
      plural: 'aitenants',
      singular: 'aitenant',
      shortNames: ['ait'],
      categories: ['gcp'],
      namespaced: true,
    });
    expect(version).toMatchObject({ name: 'v1alpha1', served: true, storage: true, hasStatus: true });
  });

  it('prints the columns of the contract', () => {
    const names = (wide: boolean): string[] =>
      version.printerColumns
        .filter(column => (column.priority ?? 0) > 0 === wide)
        .map(column => column.name.toUpperCase());
    expect(names(false)).toEqual(['READY', 'STATUS', 'REGION', 'URL', 'AGE']);
    expect(names(true)).toEqual(['REVISION', 'MESSAGE']);
  });

  const fields = [...fieldsOf(version.openAPIV3Schema, '')];
  // The server describes metadata itself and lets a CRD say nothing about it.
  const own = fields.filter(([path]) => !path.startsWith('.metadata'));

  it.each(own)('%s has a description', (_path, schema) => {
    expect(schema.description).toMatch(/^[A-Z].*\.$/s);
  });

  it.each(fields.filter(([path]) => path !== '.apiVersion' && path !== '.kind'))('%s is bounded', (_path, schema) => {
    const { type, format } = schema;
    if (type === 'array') expect(schema.maxItems).toBeGreaterThan(0);
    if ((type === 'string' && !schema.enum) || schema['x-kubernetes-int-or-string'])
      expect(schema.maxLength).toBeGreaterThan(0);
    if (type === 'integer')
      expect([format, schema.minimum]).toEqual([expect.stringMatching(/^int(32|64)$/), expect.any(Number)]);
    if (type === 'object')
      expect(schema.additionalProperties === undefined || schema.maxProperties !== undefined).toBe(true);
    // A name or a map from region to name.
    if (type === undefined && !schema['x-kubernetes-int-or-string'])
      expect(schema).toMatchObject({
        maxLength: expect.any(Number),
        pattern: expect.stringMatching(/^\^.*\$$/),
        maxProperties: 10,
      });
    else expect(schema['x-kubernetes-preserve-unknown-fields']).toBeUndefined();
  });

  it('says in a comment beside each bound where it comes from, or that it is not Google’s', () => {
    const lines = readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8').split('\n');
    const depth = (line = '') => (line.trim() === '' ? Number.POSITIVE_INFINITY : line.search(/\S/));
    const isExplained = (at: number): boolean => {
      if (/\s# /.test(lines[at] ?? '')) return true;
      const own = depth(lines[at]);
      for (let i = at - 1; i >= 0 && depth(lines[i]) >= own; i--)
        if (depth(lines[i]) === own && lines[i]?.trim().startsWith('#')) return true;
      return false;
    };
    const bounds = [...lines.keys()].filter(at => /^ *(?:max[A-Z]\w*|maximum): \d/.test(lines[at] ?? ''));
    expect(bounds.length).toBeGreaterThan(60);
    expect(bounds.filter(at => !isExplained(at)).map(at => `${at + 1}: ${lines[at]?.trim()}`)).toEqual([]);
  });

  it('has no rule on the status: a status must always be writable', () => {
    const rules = fields.filter(([path, schema]) => path.startsWith('.status') && schema['x-kubernetes-validations']);
    expect(rules).toEqual([]);
  });
});

function* fieldsOf(schema: PlainObject, path: string): Generator<[string, PlainObject]> {
  const { properties, items } = schema as { properties?: Record<string, PlainObject>; items?: PlainObject };
  if (path !== '') yield [path, schema];
  for (const [name, property] of Object.entries(properties ?? {})) yield* fieldsOf(property, `${path}.${name}`);
  if (items) yield* fieldsOf(items, `${path}[]`);
}

it('every bound of a number or a list in the spec says where it comes from', () => {
  const lines = readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8').split('\n');
  const spec = lines.slice(0, lines.indexOf('            status:'));
  const silent = spec.filter((line, at) => {
    const isBound = /^\s+(?:maximum|maxItems): \d/.test(line);
    return isBound && !spec.slice(Math.max(0, at - 10), at).some(before => /^\s+# /.test(before));
  });
  expect(spec.length).toBeGreaterThan(100);
  expect(silent).toEqual([]);
});
