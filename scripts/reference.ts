import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/**
 * docs/reference.md, made of the CRD: every field with its type, default, bounds and description, and every rule with what
 * it says. A test keeps the page equal to what this prints: `node scripts/reference.ts > docs/reference.md`.
 */

interface Node {
  type?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  minItems?: number;
  maxItems?: number;
  format?: string;
  required?: string[];
  properties?: Record<string, Node>;
  items?: Node;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-list-type'?: string;
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-validations'?: { message?: string; fieldPath?: string }[];
}

interface Definition {
  spec: {
    group: string;
    names: { kind: string; plural: string; shortNames?: string[] };
    versions: {
      name: string;
      additionalPrinterColumns: { name: string; description?: string; priority?: number }[];
      schema: { openAPIV3Schema: Node };
    }[];
  };
}

/** The page, from the CRD's text. */
export function reference(crd: string): string {
  const { spec } = parse(crd) as Definition;
  const { group, names, versions } = spec;
  const sections = versions.flatMap(({ name, additionalPrinterColumns, schema: { openAPIV3Schema: root } }) => [
    `## ${group}/${name}`,
    root.description ?? '',
    ...['spec', 'status'].flatMap(part => {
      const node = root.properties?.[part];
      return node ? [`### ${part}`, node.description ?? '', table(node, part)] : [];
    }),
    '### Rules',
    'These rules apply in addition to the limits above. If an object breaks one, `kubectl apply` refuses it with this message or a more exact one.',
    rules(root).join('\n'),
    '### Columns',
    '`kubectl get aitenants` prints these columns. Those marked *wide* are printed with `-o wide`.',
    ['| column | meaning |', '|---|---|', ...additionalPrinterColumns.map(columnRow)].join('\n'),
  ]);
  return [
    `# ${names.kind}`,
    `<!-- scripts/reference.ts generates this page from crds/aitenants.yaml. -->`,
    `After this page you know every field of \`${names.plural}.${group}\`${names.shortNames ? ` (short name \`${names.shortNames.join('`, `')}\`)` : ''}, its type, its default and its limits. \`kubectl explain ${names.kind.toLowerCase()} --recursive\` prints the fields, and \`kubectl explain ${names.kind.toLowerCase()}.spec.keys\` the same descriptions.`,
    ...sections,
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n');
}

function table(node: Node, path: string): string {
  return ['| field | type | default | meaning |', '|---|---|---|---|', ...rows(node, path)].join('\n');
}

function rows(node: Node, path: string): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const own = `${path}.${name}${child.type === 'array' ? '[]' : ''}`;
    const needed = node.required?.includes(name) && child.default === undefined;
    const row = `| \`${own}\` | ${typeOf(child)} | ${needed ? '**required**' : shown(child.default)} | ${cell(child)} |`;
    return [row, ...rows(child.type === 'array' ? (child.items ?? {}) : child, own)];
  });
}

function typeOf(node: Node): string {
  if (node['x-kubernetes-int-or-string']) return 'integer or string';
  if (node.type !== 'array') return node.type ?? '';
  const keys = node['x-kubernetes-list-map-keys'];
  const kind = keys ? ` by ${keys.join(', ')}` : node['x-kubernetes-list-type'] === 'set' ? ', a set' : '';
  return `list of ${node.items?.type ?? ''}s${kind}`;
}

/** A default of `{}` only lets the fields below have theirs. */
function shown(value: unknown): string {
  if (value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0))
    return '';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

function cell(node: Node): string {
  const bounds = [
    node.enum && `one of ${node.enum.map(value => `\`${value}\``).join(', ')}`,
    between(node.minimum, node.maximum, ''),
    between(node.minItems, node.maxItems, ' items'),
    node.enum ? undefined : between(node.minLength, node.maxLength, ' characters'),
  ].filter(text => text !== undefined);
  const text = (node.description ?? '').replaceAll('|', '\\|');
  return bounds.length > 0 ? `${text} (${bounds.join('; ')})` : text;
}

function between(least: number | undefined, most: number | undefined, unit: string): string | undefined {
  if (least === undefined && most === undefined) return undefined;
  if (most === undefined) return `at least ${least}${unit}`;
  return least === undefined ? `at most ${most}${unit}` : `${least} to ${most}${unit}`;
}

function rules(node: Node, path = ''): string[] {
  const own = (node['x-kubernetes-validations'] ?? []).map(
    ({ message = '', fieldPath = '' }) =>
      `- \`${`${path}${fieldPath}`.replace(/^\./, '') || 'the object'}\`: ${message}`,
  );
  const children = Object.entries(node.properties ?? {}).flatMap(([name, child]) => rules(child, `${path}.${name}`));
  return [...own, ...children, ...(node.items ? rules(node.items, `${path}[]`) : [])];
}

function columnRow({
  name,
  description = '',
  priority,
}: {
  name: string;
  description?: string;
  priority?: number;
}): string {
  return `| ${name.toUpperCase()} | ${description}${priority ? ' *wide*' : ''} |`;
}

if (import.meta.main) {
  process.stdout.write(reference(readFileSync(new URL('../crds/aitenants.yaml', import.meta.url), 'utf8')));
}
