import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isNode, parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS, SECRET_MANAGER_SECRETS } from '../../ports/kubeResources.ts';
import { type CompiledVersion, compileCrd, type FieldCause, type PlainObject } from '../../schema/index.ts';
import { invalidValue, mapErrors, metaTypeError } from '../../schema/metadata.ts';
import { labelNameErrors, subdomainErrors } from '../../schema/names.ts';
import { readInputFile, textOf } from '../kube/inputFile.ts';
import { type FilePart, readParts } from '../kube/manifestFile.ts';
import { crdText } from './crdText.ts';

/** The AiTenants, Namespaces and SecretManagerSecrets of a set of manifest files. Other objects are skipped. */
export interface Manifests {
  /** `object`: with the CRD's defaults. `written`: as the file has it. `where`: file and line. */
  tenants: { object: KubeObject; written: KubeObject; where: string }[];
  namespaces: Map<string, KubeObject>;
  /** By `namespace/name`. */
  connectorSecrets: Map<string, KubeObject>;
  /** Messages about errors, each with file and line. */
  problems: string[];
}

/** One object of a file. `at` finds the file and line of a field. */
interface Item {
  value: Record<string, unknown>;
  at(field: string): { text: string; line: number };
}

/** Reads files and, with their subfolders, folders (`*.yaml`, `*.yml`, `*.json`). `-` stands for standard input. */
export function readManifests(paths: string[], defaultNamespace = 'default'): Manifests {
  const out: Manifests = { tenants: [], namespaces: new Map(), connectorSecrets: new Map(), problems: [] };
  const version = tenantSchema();
  // A file that is named twice, or together with its folder, is read once.
  const files = new Map(paths.flatMap(expand).map(path => [path === '-' || path === '' ? path : resolve(path), path]));
  for (const path of files.values()) {
    let text: string;
    try {
      text = textOf(readInputFile(path === '-' ? 0 : path));
    } catch (error) {
      out.problems.push(fileProblem(path, error));
      continue;
    }
    const problem = (line: number, message: string) => out.problems.push(`${shownPath(path)}:${line}: ${message}`);
    const read = (part: FilePart) => {
      for (const item of itemsOf(path, part, problem)) readItem(item, version, defaultNamespace, out);
    };
    readParts(text, read, problem);
  }
  return out;
}

function fileProblem(path: string, error: unknown): string {
  if (path === '') return '-f has an empty name: give the path of a file or folder, or - for standard input';
  const isUrl = /^https?:\/\/\S+$/.test(path);
  if (isUrl)
    return `${path}: only kubectl reads an address. Fetch the file first, and give plan what comes: curl -fsSL ADDRESS | … -f -`;
  return `${shownPath(path)}: ${error instanceof Error ? error.message : String(error)}`;
}

/** The name of a file in messages. */
export const shownPath = (path: string): string => (path === '-' ? 'standard input' : path);

/** The objects of a document. As in kubectl, every object with `items` counts as a list, and its items are returned one by one. */
function itemsOf(path: string, part: FilePart, problem: (line: number, message: string) => void): Item[] {
  const { value } = part;
  if (Array.isArray(value) && value.some(item => isObject(item) && isMeantAsTenant(item))) {
    problem(
      part.lineAt(part.document.contents?.range?.[0] ?? 0),
      'AiTenants stand in a YAML list here, which kubectl does not accept: make each of them a document, with --- between them',
    );
    return [];
  }
  const flat = (object: unknown, base: (string | number)[]): Item[] => {
    if (!isObject(object)) return [];
    if (Array.isArray(object.items)) {
      const { apiVersion, kind } = object;
      // Items of a typed list (`AiTenantList`) may lack apiVersion and kind, which the list determines.
      const own = typeof kind === 'string' && kind !== 'List' ? { apiVersion, kind: kind.replace(/List$/, '') } : {};
      return object.items.flatMap((item, index) =>
        flat(isObject(item) ? { ...own, ...item } : item, [...base, 'items', index]),
      );
    }
    const at = (field: string) => {
      const line = lineOf(part, [...base, ...fieldPath(field)]);
      return { line, text: `${shownPath(path)}:${line}` };
    };
    return [{ value: object, at }];
  };
  return flat(value, []);
}

const TENANT_SPELLINGS = /^ai[-_ ]?tenants?$/i;

function readItem(item: Item, version: CompiledVersion, defaultNamespace: string, out: Manifests): void {
  const { value } = item;
  const metadata = isObject(value.metadata) ? value.metadata : {};
  const name = typeof metadata.name === 'string' ? metadata.name : '';
  const namespace = typeof metadata.namespace === 'string' ? metadata.namespace : defaultNamespace;
  const [group = '', ...rest] = String(value.apiVersion ?? '').split('/');
  if (value.kind === 'Namespace' && value.apiVersion === 'v1' && name !== '') {
    out.namespaces.set(name, value as unknown as KubeObject);
  } else if (value.kind === SECRET_MANAGER_SECRETS.kind && group === SECRET_MANAGER_SECRETS.group && name !== '') {
    out.connectorSecrets.set(`${namespace}/${name}`, value as unknown as KubeObject);
  } else if (isMeantAsTenant(value)) {
    readTenantItem(item, `${group}/${rest.join('/')}`, version, namespace, out);
  }
}

/** Whether the object is meant as an AiTenant. One whose kind or apiVersion is wrong must be reported and not skipped. */
const isMeantAsTenant = (value: Record<string, unknown>): boolean =>
  String(value.apiVersion ?? '').startsWith(`${AI_TENANTS.group}/`) ||
  value.apiVersion === AI_TENANTS.group ||
  TENANT_SPELLINGS.test(String(value.kind ?? '')) ||
  isUnnamedTenant(value);

/** Whether an object without kind or apiVersion has keys as only an AiTenant has them. */
const isUnnamedTenant = ({ kind, apiVersion, spec }: Record<string, unknown>): boolean =>
  (kind === undefined || apiVersion === undefined) &&
  isObject(spec) &&
  Array.isArray(spec.keys) &&
  spec.keys.some(key => isObject(key) && key.secretRef !== undefined);

function readTenantItem(
  { value, at }: Item,
  apiVersion: string,
  version: CompiledVersion,
  namespace: string,
  out: Manifests,
): void {
  const { group, version: served, kind } = AI_TENANTS;
  const problems = out.problems.length;
  if (value.kind !== kind) {
    out.problems.push(`${at('kind').text}: kind must be ${kind}, and not ${JSON.stringify(value.kind ?? '')}`);
  }
  if (apiVersion !== `${group}/${served}`) {
    out.problems.push(`${at('apiVersion').text}: apiVersion must be ${group}/${served}`);
  }
  if (out.problems.length > problems) return;
  const metadata = isObject(value.metadata) ? value.metadata : {};
  const object = { ...value, metadata } as PlainObject;
  const meta = metadataCauses(metadata, namespace);
  const defaulted = version.prune(version.applyDefaults(object));
  const all = [
    ...version.unknownFields(object).map(field => ({ field, message: 'unknown field' })),
    ...withoutRepetition(
      meta,
      // Some CEL rules need a valid name, so with wrong metadata the causes of skipped CEL rules are left out.
      meta.length > 0 ? version.validate(defaulted, undefined, meta).filter(isOfField) : version.validate(defaulted),
    ),
  ];
  // The message that further rules were not checked (it has no field) is shown only if there is no other error.
  const causes = all.some(isOfField) ? all.filter(isOfField) : all;
  const name = typeof metadata.name === 'string' ? metadata.name : '(without a name)';
  for (const { field, message } of causes.sort((a, b) => at(a.field).line - at(b.field).line)) {
    out.problems.push(`${at(field).text}: AiTenant ${name}: ${field}: ${message}`);
  }
  if (causes.length > 0) return;
  const first = out.tenants.find(
    ({ object: { metadata: other } }) => other.name === name && other.namespace === namespace,
  );
  if (first) {
    const both = `AiTenant ${namespace}/${name} stands here and at ${first.where}`;
    out.problems.push(
      `${at('metadata').text}: ${both}: the later one would replace the earlier one; leave one of them out`,
    );
    return;
  }
  const tenant = defaulted as unknown as KubeObject;
  out.tenants.push({
    object: { ...tenant, metadata: { ...(metadata as unknown as KubeObject['metadata']), namespace } },
    written: value as unknown as KubeObject,
    where: at('metadata').text,
  });
}

/** One cause for each field: about a wrong type that of the metadata, else that of the schema, which says what a tenant's name may be. */
function withoutRepetition(meta: FieldCause[], schema: FieldCause[]): Pick<FieldCause, 'field' | 'message'>[] {
  const isOfType = ({ message }: FieldCause) => message.startsWith('json: ');
  const has = (causes: FieldCause[], field: string) => causes.some(cause => cause.field === field);
  return [
    ...meta.filter(cause => isOfType(cause) || !has(schema, cause.field)),
    ...schema.filter(({ field }) => !has(meta.filter(isOfType), field)),
  ];
}

const isOfField = ({ field }: Pick<FieldCause, 'field'>): boolean => field !== '<nil>';

/** Errors in the metadata for which kubectl or the API server refuses the object. */
function metadataCauses(metadata: Record<string, unknown>, namespace: string): FieldCause[] {
  const wrong = metaTypeError(metadata, 'metadata.');
  if (wrong !== undefined) {
    const field = /ObjectMeta\.(\S+)/.exec(wrong)?.[1] ?? 'metadata';
    return [
      {
        reason: 'FieldValueInvalid',
        field,
        message: wrong + (/unmarshal (?:number|bool)/.test(wrong) ? ': put it into quotes' : ''),
      },
    ];
  }
  const { name, generateName } = metadata as { name?: string; generateName?: string };
  const invalid = (field: string, value: string, errors: string[]) =>
    errors.map(error => invalidValue(`metadata.${field}`, value, error));
  const causes = invalid('namespace', namespace, labelNameErrors(namespace));
  if (name) causes.push(...invalid('name', name, subdomainErrors(name)));
  else if (generateName) {
    const message =
      'kubectl apply takes no generateName, and the name is part of the names in Google Cloud: write metadata.name';
    causes.push({ reason: 'FieldValueForbidden', field: 'metadata.generateName', message });
  } else causes.push({ reason: 'FieldValueRequired', field: 'metadata.name', message: 'Required value' });
  return [...causes, ...mapErrors(metadata)];
}

export function tenantSchema(): CompiledVersion {
  const compiled = compileCrd(parseAllDocuments(crdText())[0]?.toJS() as PlainObject);
  const version = compiled.ok ? compiled.crd.versions.find(({ name }) => name === AI_TENANTS.version) : undefined;
  if (!version) throw new Error('crds/aitenants.yaml is broken: run npm test');
  return version;
}

function expand(path: string): string[] {
  if (path === '-') return [path];
  try {
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [path];
    return readdirSync(path, { recursive: true, encoding: 'utf8' })
      .filter(name => /\.(ya?ml|json)$/.test(name))
      .sort()
      .map(name => join(path, name));
  } catch {
    // The later attempt to read the path reports the error.
    return [path];
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `spec.keys[0].name` → spec, keys, 0, name. */
const fieldPath = (field: string): (string | number)[] =>
  (field.match(/[^.[\]]+/g) ?? []).map(part => (/^\d+$/.test(part) ? Number(part) : part));

/** The line of the field. If the file lacks the field, the line of the nearest parent that it has. */
function lineOf({ document, lineAt }: FilePart, path: (string | number)[]): number {
  for (let length = path.length; length >= 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lineAt(node.range[0]);
  }
  return lineAt(0);
}
