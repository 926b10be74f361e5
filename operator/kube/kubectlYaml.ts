import {
  type Alias,
  type Document,
  type DocumentOptions,
  isAlias,
  isMap,
  isNode,
  isSeq,
  type Node,
  type ParseOptions,
  Scalar,
  type SchemaOptions,
  type Tags,
  visit,
  type YAMLError,
} from 'yaml';

/**
 * Reads YAML as kubectl does, which uses version 1.1 and sigs.k8s.io/yaml (go-yaml v2): `yes` is a boolean, 010 is 8, and the last of
 * two equal keys counts. Times and numbers of base 60 stay text.
 */
export const AS_KUBECTL: ParseOptions & DocumentOptions & SchemaOptions = {
  version: '1.1',
  uniqueKeys: false,
  // The package prints no warnings; the operator reports errors itself.
  logLevel: 'error',
  customTags: tags =>
    tags
      .filter(tag => typeof tag === 'string' || !(tag.format === 'TIME' || /timestamp$/.test(tag.tag)))
      .map(asKubectl),
};

const EXPONENT = /^[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)[eE][-+]?[0-9]+$/;

/** The whole numbers that are not decimal, by their prefix. go-yaml v2 takes both cases, and 0o besides 0 (resolve.go, ParseInt). */
const RADIX: Record<string, { test: RegExp; digits: RegExp; radix: number }> = {
  BIN: { test: /^[-+]?0[bB][01_]+$/, digits: /0[bB]/, radix: 2 },
  OCT: { test: /^[-+]?0[oO]?[0-7_]+$/, digits: /0[oO]?/, radix: 8 },
  HEX: { test: /^[-+]?0[xX][0-9a-fA-F_]+$/, digits: /0[xX]/, radix: 16 },
};

function asKubectl(tag: Tags[number]): Tags[number] {
  if (typeof tag === 'string') return tag;
  const { test, digits, radix } = RADIX[tag.format ?? ''] ?? {};
  if (test && digits && radix) {
    const resolve = (text: string) => Number.parseInt(text.replace(/_/g, '').replace(digits, ''), radix);
    return { ...tag, test, resolve } as typeof tag;
  }
  // The package takes `E7` for a number and then fails to parse it. kubectl reads it as text.
  if (tag.format === 'EXP') return { ...tag, test: EXPONENT } as typeof tag;
  if (tag.tag !== 'tag:yaml.org,2002:merge') return tag;
  return { ...tag, resolve: () => Object.assign(new Scalar(Symbol('<<')), { addToJSMap: mergeInOrder }) } as typeof tag;
}

type Context = { doc: Document };

/**
 * Merges `<<` as kubectl does: the merged keys override the keys that stand before `<<`, and not those after it. If a list of maps is
 * merged, the first map that has a key determines its value. Source: go-yaml v2, decode.go, `mapping` and `merge`.
 */
function mergeInOrder(ctx: Context, map: object, given: unknown): void {
  const value = isAlias(given) ? resolved(ctx, given) : given;
  const isList = !isAlias(given) && isSeq(value);
  for (const item of isList ? [...value.items].reverse() : [value]) {
    const source = isAlias(item) ? resolved(ctx, item) : item;
    if (!isMap(source)) throw new Error('map merge requires map or sequence of maps as the value');
    const content = source.toJSON(null, ctx as never, Map) as Map<unknown, unknown>;
    for (const [key, content_] of content) {
      const name = key === null ? 'null' : String(key);
      Object.defineProperty(map, name, { value: content_, writable: true, enumerable: true, configurable: true });
    }
  }
}

const resolved = (ctx: Context, alias: Alias): unknown => alias.resolve(ctx.doc, ctx as never);

/** The line of an error, and the package's message without the place, because callers print the line before the message. */
export function yamlProblem({ message, linePos }: YAMLError): { line: number; message: string } {
  const [words = ''] = message.split('\n');
  return { line: linePos?.[0].line ?? 1, message: plainWords(words.replace(/ at line \d+, column \d+:?$/, '')) };
}

/** The most aliases: enough for a file with all tenants, and few enough that nested aliases cannot fill the memory. The package's default is 100. */
const MOST_ALIASES = 10_000;

/**
 * Converts a document into a value. Throws a `ContentError` with the line if an alias has no anchor, if `<<` merges something else than
 * a map, or if a key is a list or a map. Such a key is an error for kubectl too; mostly it is a template's `{{ … }}`.
 */
export function contentOf(document: Document, lineAt: (offset: number) => number = () => 1): unknown {
  const lineOf = (node: unknown) => (isNode(node) && node.range ? lineAt(node.range[0]) : 1);
  const anchors = new Map<string, Node>();
  visit(document, {
    Node(_, node, path) {
      if (!isAlias(node)) {
        if (node.anchor !== undefined) anchors.set(node.anchor, node);
        return;
      }
      const { source } = node;
      const anchored = anchors.get(source);
      if (anchored === undefined) throw new ContentError(`no anchor &${source} stands before *${source}`, lineOf(node));
      if (path.includes(anchored))
        throw new ContentError(`the anchor &${source} contains itself (*${source})`, lineOf(node));
    },
    Pair(_, { key }) {
      if (!isMap(key) && !isSeq(key)) return;
      throw new ContentError(
        'a map or list stands here as a key, and kubectl takes only text as a key. If this is a template ({{ … }}), plan what ' +
          'comes out of it: helm template … | npm run -s plan -- -f -',
        lineOf(key),
      );
    },
  });
  try {
    return document.toJS({ maxAliasCount: MOST_ALIASES });
  } catch (error) {
    throw new ContentError(
      plainWords(error instanceof Error ? error.message : String(error)),
      lineOf(document.contents),
    );
  }
}

export const NESTED = 'it is nested too deeply to be read: some hundreds of lists or maps inside one another';

export class ContentError extends Error {
  readonly line: number;
  constructor(message: string, line: number) {
    super(message);
    this.line = line;
  }
}

/** Replaces messages of the package that describe its own implementation by messages about the file. */
function plainWords(words: string): string {
  if (/call stack/.test(words)) return NESTED;
  if (/^Excessive alias count/.test(words))
    return `its aliases (*name) stand for too much: more than ${MOST_ALIASES} values`;
  return words;
}
