import { readFileSync, writeFileSync } from 'node:fs';
import { parse } from 'yaml';
import { FIELDS } from '../operator/tenant/fields/laid.ts';

/**
 * Writes docs/reference.md, from the CRD: every field with its type, default, bounds and description, and every rule with its message;
 * the settings of Cloud Run from the operator's table of fields; and docs/ja/reference.md, whose descriptions are in reference.ja.yaml. A test compares both pages with what this file generates:
 * `node scripts/reference.ts` writes them again.
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
  additionalProperties?: Node;
  maxProperties?: number;
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-preserve-unknown-fields'?: boolean;
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

/** What the page says in one language, besides the texts of the CRD. */
interface Words {
  /** The translation of a description or message of the CRD. Throws if there is none. */
  text(english: string): string;
  intro(kind: string, name: string, shortNames: string[]): string;
  rules: { heading: string; intro: string; object: string };
  columns: { heading: string; intro: string; head: string; wide: string };
  settings: {
    heading: string;
    intro: string;
    head: string;
    level: Record<'service' | 'template', string>;
    leaves: Record<'default' | 'stays', string>;
    none: string;
  };
  fields: { head: string; required: string };
  oneOf(values: string): string;
  between(least: number | undefined, most: number | undefined, unit: 'items' | 'characters' | ''): string;
  type(node: Node): string;
  /** What separates the limits of a field, and what encloses them after its description. */
  separator: string;
  enclosed(limits: string): string;
  /** A message of the API server, which is English, with its translation. */
  message(english: string): string;
}

/** The fields without a type of this CRD are a name, or a map from region to name. */
const isNameOrMap = (node: Node): boolean =>
  node.type === undefined && node['x-kubernetes-preserve-unknown-fields'] === true;

const ENGLISH: Words = {
  text: english => english,
  intro: (kind, name, shortNames) =>
    `After this page you know every field of \`${name}\`${shortNames.length > 0 ? ` (short name \`${shortNames.join('`, `')}\`)` : ''}, its type, its default and its limits. \`kubectl explain ${kind} --recursive\` prints the fields, and \`kubectl explain ${kind}.spec.keys\` the same descriptions.`,
  rules: {
    heading: 'Rules',
    intro:
      'These rules apply in addition to the limits above. If an object breaks one, `kubectl apply` refuses it with this message or a more exact one.',
    object: 'the object',
  },
  columns: {
    heading: 'Columns',
    intro: '`kubectl get aitenants` prints these columns. Those marked *wide* are printed with `-o wide`.',
    head: '| column | meaning |',
    wide: '*wide*',
  },
  settings: {
    heading: 'Settings of Cloud Run',
    intro:
      "The operator writes these fields only if the spec names them. A field that was never named keeps the value that others set. A field that leaves the spec goes back to Google's default, or stays if it limits access or what may run; the message of Ready then says how to open it.",
    head: "| field | in Cloud Run's API | a change makes a revision | Google's default | if it leaves the spec |",
    level: { service: 'no', template: 'yes' },
    leaves: { default: "Google's default", stays: 'stays' },
    none: 'none',
  },
  fields: { head: '| field | type | default | meaning |', required: '**required**' },
  oneOf: values => `one of ${values}`,
  between(least, most, unit) {
    const after = unit && ` ${unit}`;
    if (most === undefined) return `at least ${least}${after}`;
    return least === undefined ? `at most ${most}${after}` : `${least} to ${most}${after}`;
  },
  type(node) {
    if (node['x-kubernetes-int-or-string']) return 'integer or string';
    if (isNameOrMap(node)) return 'string, or map of strings';
    if (node.additionalProperties) return `map of ${node.additionalProperties.type ?? ''}s`;
    if (node.type !== 'array') return node.type ?? '';
    const keys = node['x-kubernetes-list-map-keys'];
    const kind = keys ? ` by ${keys.join(', ')}` : node['x-kubernetes-list-type'] === 'set' ? ', a set' : '';
    return `list of ${node.items?.type ?? ''}s${kind}`;
  },
  separator: '; ',
  enclosed: limits => ` (${limits})`,
  message: english => english,
};

const JAPANESE_TYPES: Record<string, string> = {
  string: '文字列',
  integer: '整数',
  boolean: '真偽値',
  object: 'オブジェクト',
};

/** `translations`: the text of reference.ja.yaml. */
function japanese(translations: string): Words {
  const texts = new Map((parse(translations) as { en: string; ja: string }[]).map(({ en, ja }) => [en, ja]));
  const text = (english: string): string => {
    if (english === '') return '';
    const found = texts.get(english);
    if (found === undefined) throw new Error(`scripts/reference.ja.yaml has no translation of: ${english}`);
    return found;
  };
  return {
    text,
    intro: (kind, name, shortNames) =>
      `このページを読むと、\`${name}\`${shortNames.length > 0 ? `（短縮名 \`${shortNames.join('`、`')}\`）` : ''}のすべてのフィールドについて、型、デフォルト、制限が分かります。\`kubectl explain ${kind} --recursive\` はフィールドの一覧を、\`kubectl explain ${kind}.spec.keys\` は各フィールドの説明を英語で表示します。`,
    rules: {
      heading: 'ルール',
      intro:
        '上記の制限に加えて、次のルールが適用されます。ルールに反するオブジェクトは、`kubectl apply` の時点で、次のメッセージまたはより詳しいメッセージとともに拒否されます。メッセージは英語です。',
      object: 'オブジェクト',
    },
    columns: {
      heading: '列',
      intro:
        '`kubectl get aitenants` は、次の列を表示します。*wide* と書かれた列は、`-o wide` を指定すると表示されます。',
      head: '| 列 | 意味 |',
      wide: '*wide*',
    },
    settings: {
      heading: 'Cloud Run の設定',
      intro:
        'オペレーターがこれらのフィールドを書き込むのは、spec で指定された場合だけです。一度も指定されていないフィールドでは、ほかの人が設定した値が残ります。spec から削除されたフィールドは、Google のデフォルトに戻ります。ただし、アクセスや実行できるものを制限するフィールドは、そのまま残ります。その場合、Ready のメッセージに、制限を解除する方法が示されます。',
      head: '| フィールド | Cloud Run の API での名前 | 変更すると新しいリビジョンが作成されるか | Google のデフォルト | spec から削除した場合 |',
      level: { service: 'いいえ', template: 'はい' },
      leaves: { default: 'Google のデフォルトに戻る', stays: 'そのまま残る' },
      none: 'なし',
    },
    fields: { head: '| フィールド | 型 | デフォルト | 意味 |', required: '**必須**' },
    oneOf: values => `${values} のいずれか`,
    between(least, most, unit) {
      const after = { items: ' 個', characters: ' 文字', '': '' }[unit];
      if (most === undefined) return `${least}${after || ' '}以上`;
      return least === undefined ? `${most}${after || ' '}以下` : `${least}～${most}${after}`;
    },
    type(node) {
      if (node['x-kubernetes-int-or-string']) return '整数または文字列';
      if (isNameOrMap(node)) return '文字列、または文字列のマップ';
      if (node.additionalProperties) return `${JAPANESE_TYPES[node.additionalProperties.type ?? ''] ?? ''}のマップ`;
      if (node.type !== 'array') return JAPANESE_TYPES[node.type ?? ''] ?? node.type ?? '';
      const of = JAPANESE_TYPES[node.items?.type ?? ''] ?? '';
      const keys = node['x-kubernetes-list-map-keys'];
      const kind = keys
        ? `（${keys.join('、')} で区別）`
        : node['x-kubernetes-list-type'] === 'set'
          ? '（重複なし）'
          : '';
      return `${of}のリスト${kind}`;
    },
    separator: '、',
    enclosed: limits => `（${limits}）`,
    message: english => `${english} — ${text(english)}`,
  };
}

/** The page in English, from the text of the CRD. With the text of reference.ja.yaml, the page in Japanese. */
function reference(crd: string, translations?: string): string {
  const words = translations === undefined ? ENGLISH : japanese(translations);
  const { spec } = parse(crd) as Definition;
  const { group, names, versions } = spec;
  const sections = versions.flatMap(({ name, additionalPrinterColumns, schema: { openAPIV3Schema: root } }) => [
    `## ${group}/${name}`,
    words.text(root.description ?? ''),
    ...['spec', 'status'].flatMap(part => {
      const node = root.properties?.[part];
      return node ? [`### ${part}`, words.text(node.description ?? ''), table(node, part, words)] : [];
    }),
    `### ${words.settings.heading}`,
    words.settings.intro,
    settings(words),
    `### ${words.rules.heading}`,
    words.rules.intro,
    rules(root, words).join('\n'),
    `### ${words.columns.heading}`,
    words.columns.intro,
    [words.columns.head, '|---|---|', ...additionalPrinterColumns.map(column => columnRow(column, words))].join('\n'),
  ]);
  return [
    `# ${names.kind}`,
    `<!-- scripts/reference.ts generates this page from crds/aitenants.yaml${translations === undefined ? '' : ' and scripts/reference.ja.yaml'}. -->`,
    words.intro(names.kind.toLowerCase(), `${names.plural}.${group}`, names.shortNames ?? []),
    ...sections,
    '',
  ]
    .join('\n\n')
    .replace(/\n+$/, '\n');
}

function table(node: Node, path: string, words: Words): string {
  return [words.fields.head, '|---|---|---|---|', ...rows(node, path, words)].join('\n');
}

function rows(node: Node, path: string, words: Words): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const own = `${path}.${name}${child.type === 'array' ? '[]' : ''}`;
    const needed = node.required?.includes(name) && child.default === undefined;
    const preset = needed ? words.fields.required : shown(child.default);
    const row = `| \`${own}\` | ${words.type(child)} | ${preset} | ${cell(child, words)} |`;
    const value = child.additionalProperties;
    if (value) return [row, `| \`${own}.KEY\` | ${words.type(value)} |  | ${cell(value, words)} |`];
    return [row, ...rows(child.type === 'array' ? (child.items ?? {}) : child, own, words)];
  });
}

/** A default of `{}` only lets the fields below have theirs. */
function shown(value: unknown): string {
  if (value === undefined || (typeof value === 'object' && value !== null && Object.keys(value).length === 0))
    return '';
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

function cell(node: Node, words: Words): string {
  const between = (least: number | undefined, most: number | undefined, unit: 'items' | 'characters' | '') =>
    least === undefined && most === undefined ? undefined : words.between(least, most, unit);
  const bounds = [
    node.enum && words.oneOf(node.enum.map(value => `\`${value}\``).join(', ')),
    between(node.minimum, node.maximum, ''),
    between(node.minItems, node.maxItems ?? node.maxProperties, 'items'),
    node.enum ? undefined : between(node.minLength, node.maxLength, 'characters'),
  ].filter(text => text !== undefined);
  const text = words.text(node.description ?? '').replaceAll('|', '\\|');
  return bounds.length > 0 ? `${text}${words.enclosed(bounds.join(words.separator))}` : text;
}

/** The operator's table of optional fields. */
function settings({ settings: words }: Words): string {
  const rows = FIELDS.map(({ path, keyed, level, places, standard, leaves }) => {
    const inApi = places.map(place => `\`${level === 'template' ? 'template.' : ''}${place}\``).join(', ');
    const initial =
      standard === undefined || standard === '' || String(standard) === '' ? words.none : `\`${standard}\``;
    const field = `\`spec.${path}${keyed ? '.KEY' : ''}\``;
    return `| ${field} | ${inApi} | ${words.level[level]} | ${initial} | ${words.leaves[leaves]} |`;
  });
  return [words.head, '|---|---|---|---|---|', ...rows].join('\n');
}

function rules(node: Node, words: Words, path = ''): string[] {
  const own = (node['x-kubernetes-validations'] ?? []).map(
    ({ message = '', fieldPath = '' }) =>
      `- \`${`${path}${fieldPath}`.replace(/^\./, '') || words.rules.object}\`: ${words.message(message)}`,
  );
  const children = Object.entries(node.properties ?? {}).flatMap(([name, child]) =>
    rules(child, words, `${path}.${name}`),
  );
  return [...own, ...children, ...(node.items ? rules(node.items, words, `${path}[]`) : [])];
}

function columnRow(
  { name, description = '', priority }: { name: string; description?: string; priority?: number },
  words: Words,
): string {
  return `| ${name.toUpperCase()} | ${words.text(description)}${priority ? ` ${words.columns.wide}` : ''} |`;
}

/** Both pages, by their path in the repository. */
export function referencePages(): Record<string, string> {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');
  const crd = read('../crds/aitenants.yaml');
  return {
    'docs/reference.md': reference(crd),
    'docs/ja/reference.md': reference(crd, read('reference.ja.yaml')),
  };
}

if (import.meta.main) {
  for (const [path, page] of Object.entries(referencePages()))
    writeFileSync(new URL(`../${path}`, import.meta.url), page);
}
