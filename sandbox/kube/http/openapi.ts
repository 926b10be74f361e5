import { createHash } from 'node:crypto';
import type { PlainObject } from '../../../schema/types.ts';
import type { ModelRef } from '../resources/builtins.ts';
import { addSchemas, fieldDescription } from '../resources/models.ts';
import type { Registry } from '../resources/registry.ts';
import type { ResourceDef, ResourceVersion } from '../resources/resource.ts';

/**
 * The OpenAPI v3 documents that kubectl reads: the schemas for `explain`, and of the paths as much as says which query
 * parameters a verb takes (kubectl looks for `dryRun` and `fieldValidation` before it relies on them).
 */

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const REF = '#/components/schemas/';

const groupPath = (group: string, version: string) => (group ? `apis/${group}/${version}` : `api/${version}`);

/** `ai.example.com`, `v1`, `Thing` is `com.example.ai.v1.Thing`. */
const customName = (group: string, version: string, kind: string) =>
  `${group.split('.').reverse().join('.')}.${version}.${kind}`;

function versionsOf(registry: Registry) {
  const documents = new Map<string, { def: ResourceDef; version: ResourceVersion }[]>();
  for (const def of registry.all()) {
    for (const version of def.versions) {
      const path = groupPath(def.group, version.name);
      documents.set(path, [...(documents.get(path) ?? []), { def, version }]);
    }
  }
  return documents;
}

/** The index of the documents; the hash in each address changes with its content. */
export function openApiIndex(registry: Registry) {
  const paths: PlainObject = {};
  for (const [path, entries] of versionsOf(registry)) {
    const digest = createHash('sha512').update(JSON.stringify(entries.map(({ version }) => version.openAPI)));
    const hash = digest.digest('hex').toUpperCase();
    paths[path] = { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` };
  }
  return { paths };
}

export function openApiDocument(registry: Registry, path: string): PlainObject | undefined {
  const entries = versionsOf(registry).get(path);
  if (!entries) return undefined;
  const schemas: PlainObject = {};
  const paths: PlainObject = {};
  for (const { def, version } of entries) Object.assign(paths, pathsOf(def, version, addKind(schemas, def, version)));
  return { openapi: '3.0.0', info: { title: 'Kubernetes', version: 'v1.37.2' }, paths, components: { schemas } };
}

/** Adds the kind and its list; answers the name of the kind's schema. */
function addKind(schemas: PlainObject, def: ResourceDef, version: ResourceVersion): string {
  const { group, kind, listKind } = def;
  let name: string;
  if (def.custom) {
    name = customName(group, version.name, kind);
    schemas[name] = customSchema(schemas, version.openAPI);
  } else {
    const { model, goPackage } = version.openAPI as ModelRef;
    name = addSchemas(schemas, model, goPackage);
  }
  const gvk = (of: string) => [{ group, kind: of, version: version.name }];
  const fields = def.custom ? Object.keys(def.selectable).map(fieldPath => ({ fieldPath })) : [];
  const selectable = fields.length > 0 && { 'x-kubernetes-selectable-fields': fields };
  schemas[name] = { ...(schemas[name] as PlainObject), 'x-kubernetes-group-version-kind': gvk(kind), ...selectable };
  const listMeta = addSchemas(schemas, 'V1ListMeta', META);
  schemas[`${name.slice(0, -kind.length)}${listKind}`] = {
    description: `${listKind} is a list of ${kind}`,
    type: 'object',
    required: ['items'],
    properties: {
      ...typeMeta(),
      items: {
        description: `List of ${def.plural}. More info: ${CONVENTIONS}`,
        type: 'array',
        items: { $ref: REF + name },
      },
      metadata: {
        description: `Standard list metadata. More info: ${CONVENTIONS}#types-kinds`,
        allOf: [{ $ref: REF + listMeta }],
      },
    },
    'x-kubernetes-group-version-kind': gvk(listKind),
    ...selectable,
  };
  return name;
}

const CONVENTIONS = 'https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md';

/** The words of any kind's. */
const typeMeta = () => ({
  apiVersion: { description: fieldDescription('V1Namespace', 'apiVersion'), type: 'string' },
  kind: { description: fieldDescription('V1Namespace', 'kind'), type: 'string' },
});

function customSchema(schemas: PlainObject, written: PlainObject): PlainObject {
  const meta = addSchemas(schemas, 'V1ObjectMeta', META);
  const properties = intOrString(written.properties ?? {}) as PlainObject;
  const metadata = {
    description: `Standard object's metadata. More info: ${CONVENTIONS}#metadata`,
    allOf: [{ $ref: REF + meta }],
  };
  return { ...written, properties: { ...properties, ...typeMeta(), metadata } };
}

/** Said with an extension in the CRD, and in so many words in its OpenAPI. */
function intOrString(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(intOrString);
  if (typeof schema !== 'object' || schema === null) return schema;
  const entries = Object.entries(schema).map(([key, inner]) => [key, intOrString(inner)] as const);
  const either = (schema as PlainObject)['x-kubernetes-int-or-string'] === true;
  return { ...(either && { anyOf: [{ type: 'integer' }, { type: 'string' }] }), ...Object.fromEntries(entries) };
}

const parameter = (name: string, description: string) => ({
  name,
  in: 'query',
  description,
  schema: { type: 'string', uniqueItems: true },
});
const DRY_RUN = parameter('dryRun', 'All: the request is checked in full and nothing is stored.');
const WRITE_PARAMETERS = [
  DRY_RUN,
  parameter('fieldManager', 'Who makes the change.'),
  parameter('fieldValidation', 'What becomes of unknown fields: Ignore, Warn or Strict.'),
];

function pathsOf(def: ResourceDef, version: ResourceVersion, schema: string): PlainObject {
  const gvk = { group: def.group, kind: def.kind, version: version.name };
  const content = { 'application/json': { schema: { $ref: REF + schema } } };
  const operation = (action: string, parameters: unknown[], body?: unknown) => ({
    tags: [groupPath(def.group, version.name).replaceAll('/', '_')],
    operationId: `${action}${def.kind}`,
    parameters,
    ...(body ? { requestBody: { content: body, required: true } } : {}),
    responses: { 200: { description: 'OK', content } },
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': gvk,
  });
  const change = Object.fromEntries(def.patchTypes.map(type => [type, { schema: { type: 'object' } }]));
  const base = `/${groupPath(def.group, version.name)}/${def.namespaced ? 'namespaces/{namespace}/' : ''}${def.plural}`;
  const pathParameters = (names: string[]) =>
    names.map(name => ({ name, in: 'path', required: true, schema: { type: 'string', uniqueItems: true } }));
  const scope = def.namespaced ? ['namespace'] : [];
  const one = {
    get: operation('get', []),
    put: operation('put', WRITE_PARAMETERS, content),
    patch: operation('patch', WRITE_PARAMETERS, change),
  };
  const paths: PlainObject = {
    [base]: {
      parameters: pathParameters(scope),
      get: operation('list', []),
      post: operation('post', WRITE_PARAMETERS, content),
    },
    [`${base}/{name}`]: {
      parameters: pathParameters(['name', ...scope]),
      ...one,
      delete: operation('delete', [DRY_RUN]),
    },
  };
  if (version.hasStatus) paths[`${base}/{name}/status`] = { parameters: pathParameters(['name', ...scope]), ...one };
  return paths;
}
