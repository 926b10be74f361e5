import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parse } from 'yaml';

/**
 * `node scripts/jsonSchema.ts`: writes a JSON schema of each version of the API for editors (yaml-language-server) and kubeconform into
 * crds/schemas/GROUP/KIND_VERSION.json, with the file names that catalogs of CRDs use. A test keeps the files current. JSON Schema cannot
 * express the CRD's CEL rules, so an object that a schema accepts may still be refused by the API server.
 */

type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
type Node = { [name: string]: Json };

const ROOT = new URL('../', import.meta.url);
/** Keywords that mean the same in the CRD and in JSON Schema. */
const SHARED =
  `description type format default enum required pattern minimum maximum minLength maxLength minItems maxItems
  minProperties maxProperties`.split(/\s+/);

const isNode = (value: Json | undefined): value is Node =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The schema of one value. Fields that the CRD does not name are refused, as `kubectl apply` refuses them. */
function jsonSchema(node: Node): Node {
  const schema: Node = {};
  for (const keyword of SHARED) if (node[keyword] !== undefined) schema[keyword] = node[keyword];
  if (node['x-kubernetes-int-or-string'] === true) schema.type = ['integer', 'string'];
  if (node['x-kubernetes-list-type'] === 'set') schema.uniqueItems = true;
  if (isNode(node.items)) schema.items = jsonSchema(node.items);
  if (isNode(node.additionalProperties)) schema.additionalProperties = jsonSchema(node.additionalProperties);
  if (isNode(node.properties)) {
    const properties = Object.entries(node.properties).filter((entry): entry is [string, Node] => isNode(entry[1]));
    schema.properties = Object.fromEntries(properties.map(([name, child]) => [name, jsonSchema(child)]));
    schema.additionalProperties = false;
  }
  return schema;
}

interface Definition {
  spec: { group: string; names: { kind: string }; versions: { name: string; schema: { openAPIV3Schema: Node } }[] };
}

/** The schemas of all versions of a CRD, by their path below crds/schemas/. `crd`: the text of the CRD. */
export function jsonSchemas(crd: string): Map<string, string> {
  const { group, names, versions } = (parse(crd) as Definition).spec;
  const files = new Map<string, string>();
  for (const { name, schema } of versions) {
    const { properties, ...root } = jsonSchema(schema.openAPIV3Schema);
    const file = {
      $schema: 'http://json-schema.org/draft-07/schema#',
      ...root,
      required: ['apiVersion', 'kind', 'metadata', 'spec'],
      properties: {
        ...(properties as Node),
        apiVersion: { type: 'string', enum: [`${group}/${name}`] },
        kind: { type: 'string', enum: [names.kind] },
        // The API server checks the rest of the metadata, which is the same for every kind.
        metadata: { type: 'object', required: ['name'], properties: { name: { type: 'string', maxLength: 253 } } },
      },
    };
    files.set(`${group}/${names.kind.toLowerCase()}_${name}.json`, `${JSON.stringify(file, undefined, 2)}\n`);
  }
  return files;
}

if (import.meta.main) {
  for (const [path, text] of jsonSchemas(readFileSync(new URL('crds/aitenants.yaml', ROOT), 'utf8'))) {
    const target = new URL(`crds/schemas/${path}`, ROOT);
    mkdirSync(new URL('.', target), { recursive: true });
    writeFileSync(target, text);
  }
}
