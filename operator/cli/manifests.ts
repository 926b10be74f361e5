import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Document,
  type DocumentOptions,
  isNode,
  LineCounter,
  type ParseOptions,
  parseAllDocuments,
  type SchemaOptions,
} from 'yaml';
import { type CompiledVersion, compileCrd, type PlainObject } from '../../schema/index.ts';
import type { KubeObject } from '../ports.ts';
import { AI_TENANTS } from '../tenantResource.ts';

/** What a set of manifest files holds for the operator: AiTenants, Namespaces, SecretManagerSecrets; others are skipped. */
export interface Manifests {
  tenants: { object: KubeObject; where: string }[];
  namespaces: Map<string, KubeObject>;
  /** By `namespace/name`. */
  connectorSecrets: Map<string, KubeObject>;
  /** What is wrong, each with file and line. */
  problems: string[];
}

/**
 * kubectl reads YAML 1.1 by sigs.k8s.io/yaml (go-yaml v2): `yes` is a boolean, 010 is 8, << merges, the last of two equal keys
 * counts; but times and numbers of base 60 stay text.
 */
export const AS_KUBECTL: ParseOptions & DocumentOptions & SchemaOptions = {
  version: '1.1',
  uniqueKeys: false,
  customTags: tags =>
    tags
      .filter(tag => typeof tag === 'string' || !(tag.format === 'TIME' || /timestamp$/.test(tag.tag)))
      // The package takes E7 for a number, which it then can't read; for kubectl it is text.
      .map(tag => (typeof tag !== 'string' && tag.format === 'EXP' ? ({ ...tag, test: EXPONENT } as typeof tag) : tag)),
};
const EXPONENT = /^[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)[eE][-+]?[0-9]+$/;

/** Reads files and folders (`*.yaml`, `*.yml`, `*.json`, folders inside them too); `-` is standard input. */
export function readManifests(paths: string[], defaultNamespace = 'default'): Manifests {
  const out: Manifests = { tenants: [], namespaces: new Map(), connectorSecrets: new Map(), problems: [] };
  const version = tenantSchema();
  for (const path of paths.flatMap(expand)) {
    let text: string;
    try {
      text = readFileSync(path === '-' ? 0 : path, 'utf8');
    } catch (error) {
      out.problems.push(`${path}: ${error instanceof Error ? error.message : String(error)}`);
      continue;
    }
    const lines = new LineCounter();
    for (const document of parseAllDocuments(text, { ...AS_KUBECTL, lineCounter: lines }) as Document[]) {
      readDocument(path, document, lines, version, defaultNamespace, out);
    }
  }
  return out;
}

function readDocument(
  path: string,
  document: Document,
  lines: LineCounter,
  version: CompiledVersion,
  defaultNamespace: string,
  out: Manifests,
): void {
  for (const { message, linePos } of document.errors) {
    out.problems.push(`${path}:${linePos?.[0].line ?? 1}: ${message.split('\n')[0]}`);
  }
  if (document.errors.length > 0) return;
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    // What the reader can't resolve shows only here: an alias without its anchor.
    const line = document.contents?.range ? lines.linePos(document.contents.range[0]).line : 1;
    out.problems.push(`${path}:${line}: ${error instanceof Error ? error.message : String(error)}`);
    return;
  }
  const items = isObject(value) && value.kind === 'List' && Array.isArray(value.items) ? value.items : [value];
  items.forEach((item, index) => {
    if (!isObject(item) || !isObject(item.metadata) || typeof item.metadata.name !== 'string') return;
    const object = item as KubeObject;
    const base = items.length > 1 || value !== item ? ['items', index] : [];
    const { metadata } = object;
    if (object.kind === 'Namespace' && object.apiVersion === 'v1') out.namespaces.set(metadata.name, object);
    const namespace = metadata.namespace ?? defaultNamespace;
    if (object.kind === 'SecretManagerSecret') out.connectorSecrets.set(`${namespace}/${metadata.name}`, object);
    if (object.kind !== AI_TENANTS.kind || !object.apiVersion?.startsWith(`${AI_TENANTS.group}/`)) return;
    const line = (field: string) => lineOf(document, lines, [...base, ...fieldPath(field)]);
    const at = (field: string) => `${path}:${line(field)}`;
    const defaulted = version.prune(version.applyDefaults(object as PlainObject));
    const causes = [
      ...version.unknownFields(object as PlainObject).map(field => ({ field, message: 'unknown field' })),
      ...version.validate(defaulted),
    ];
    if (object.apiVersion !== `${AI_TENANTS.group}/${AI_TENANTS.version}`) {
      out.problems.push(`${at('apiVersion')}: apiVersion must be ${AI_TENANTS.group}/${AI_TENANTS.version}`);
      return;
    }
    for (const { field, message } of causes.sort((a, b) => line(a.field) - line(b.field))) {
      out.problems.push(`${at(field)}: AiTenant ${metadata.name}: ${field}: ${message}`);
    }
    if (causes.length > 0) return;
    const tenant = defaulted as unknown as KubeObject;
    const placed = { ...tenant, metadata: { ...metadata, namespace } };
    out.tenants.push({ object: placed, where: at('metadata') });
  });
}

export function tenantSchema(): CompiledVersion {
  const text = readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8');
  const compiled = compileCrd(parseAllDocuments(text)[0]?.toJS() as PlainObject);
  const version = compiled.ok ? compiled.crd.versions.find(({ name }) => name === AI_TENANTS.version) : undefined;
  if (!version) throw new Error('crds/aitenants.yaml is broken: run npm test');
  return version;
}

function expand(path: string): string[] {
  if (path === '-') return [path];
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat?.isDirectory()) return [path];
  return readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter(name => /\.(ya?ml|json)$/.test(name))
    .sort()
    .map(name => join(path, name));
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `spec.keys[0].name` → spec, keys, 0, name. */
const fieldPath = (field: string): (string | number)[] =>
  (field.match(/[^.[\]]+/g) ?? []).map(part => (/^\d+$/.test(part) ? Number(part) : part));

/** The line of the field, or of the nearest thing around it that is written in the file. */
function lineOf(document: Document, lines: LineCounter, path: (string | number)[]): number {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}
