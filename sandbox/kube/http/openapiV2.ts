import { stringify } from 'yaml';
import type { Registry } from '../resources/registry.ts';
import type { ResourceDef, ResourceVersion } from '../resources/resource.ts';
import { goJson } from './goJson.ts';
import type { KubeAnswer } from './request.ts';

/**
 * What kubectl before 1.28 asks of OpenAPI v2: which query parameters a kind's PATCH takes. It wants the document as
 * gnostic's protobuf (github.com/google/gnostic-models, openapiv2/OpenAPIv2.proto) and nothing else; others may have
 * JSON. The schemas themselves are in v3 only.
 */
/** With a dot where the request has an `@`, which no MIME parser takes. */
const PROTOBUF = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

const QUERY_PARAMETERS = ['dryRun', 'fieldManager', 'fieldValidation'];

interface Entry {
  path: string;
  gvk: { group: string; kind: string; version: string };
}

function entryOf(def: ResourceDef, version: ResourceVersion): Entry {
  const root = def.group ? `/apis/${def.group}/${version.name}` : `/api/${version.name}`;
  const scope = def.namespaced ? '/namespaces/{namespace}' : '';
  return {
    path: `${root}${scope}/${def.plural}/{name}`,
    gvk: { group: def.group, kind: def.kind, version: version.name },
  };
}

export function openApiV2(registry: Registry, accept: string | undefined): KubeAnswer {
  const entries = registry.all().flatMap(def => def.versions.map(version => entryOf(def, version)));
  // The `@` in the type keeps it out of the usual parsers, so it is looked for as it stands.
  if (accept?.includes('proto-openapi.spec.v2')) {
    return { code: 200, headers: { 'Content-Type': PROTOBUF }, body: encoded(entries) };
  }
  const parameters = QUERY_PARAMETERS.map(name => ({ name, in: 'query', type: 'string', uniqueItems: true }));
  const paths = entries.map(({ path, gvk }) => [
    path,
    { patch: { parameters, responses: {}, 'x-kubernetes-action': 'patch', 'x-kubernetes-group-version-kind': gvk } },
  ]);
  const document = {
    swagger: '2.0',
    info: { title: 'Kubernetes', version: 'v1.37.2' },
    paths: Object.fromEntries(paths),
    definitions: {},
  };
  return { code: 200, headers: { 'Content-Type': 'application/json' }, body: `${goJson(document)}\n` };
}

function encoded(entries: Entry[]): Uint8Array {
  const parameter = (name: string) => {
    const query = message([2, 'query'], [4, name], [6, 'string']);
    // ParametersItem > Parameter > NonBodyParameter > QueryParameterSubSchema
    return message([1, message([2, message([3, query])])]);
  };
  const items = entries.map(({ path, gvk }) => {
    const any = message([2, stringify(gvk)]);
    const extension = message([1, 'x-kubernetes-group-version-kind'], [2, any]);
    const operation = message(...QUERY_PARAMETERS.map((name): Field => [8, parameter(name)]), [13, extension]);
    return message([1, path], [2, message([8, operation])]);
  });
  const info = message([1, 'Kubernetes'], [2, 'v1.37.2']);
  const paths = message(...items.map((item): Field => [2, item]));
  return message([1, '2.0'], [2, info], [8, paths]);
}

type Field = [number: number, value: string | Buffer];

/** A protobuf message of length-delimited fields, the only ones needed here. */
function message(...fields: Field[]): Buffer {
  return Buffer.concat(
    fields.flatMap(([number, value]) => {
      const bytes = Buffer.from(value as string);
      return [varint(number * 8 + 2), varint(bytes.length), bytes];
    }),
  );
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}
