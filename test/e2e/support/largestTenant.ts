import type { JsonObject } from '../../../ports/json.ts';

/**
 * The largest specs that the CRD allows: every list has maxItems items and every text maxLength characters. No spec can have all fields,
 * so the variants have all of them together. A new list or text without a rule needs nothing here. One with a rule needs
 * an entry in TEXTS, VALUES or VARIANTS.
 */

export interface SpecSchema {
  type?: string;
  enum?: (string | boolean)[];
  minimum?: number;
  maximum?: number;
  maxLength?: number;
  maxItems?: number;
  maxProperties?: number;
  properties?: Record<string, SpecSchema>;
  items?: SpecSchema;
  additionalProperties?: SpecSchema;
}

interface Position {
  /** The number of the list item or map entry that contains the value. */
  index: number;
  /** The maxLength of the text. */
  length: number;
  /** Of which texts consist that no rule limits to certain characters. */
  character: string;
}

const digits = (index: number): string => String(index).padStart(3, '0');
/** A text of that length which differs from that of another index only at its end, so that a comparison reads all of it. */
const unique = (start: string, filling: string, { index, length }: Position): string =>
  start + filling.repeat(length - start.length - 3) + digits(index);
const name = (at: Position) => unique('n', 'n', at);
const variable = (at: Position) => unique('V', 'V', at);
const path = ({ length, character }: Position) => `/${character.repeat(length - 1)}`;
const kmsKey = (at: Position) => unique('projects/p/locations/l/keyRings/r/cryptoKeys/', 'k', at);
/** A name of 63 characters after a project, a region and the like, which fill the rest. */
const qualified =
  (middle: string) =>
  ({ index, length }: Position) =>
    `projects/${'p'.repeat(length - 9 - middle.length - 63)}${middle}${'n'.repeat(60)}${digits(index)}`;

/** Texts that a rule limits. A field of a sidecar without an own entry has that of the field of the tenant, here and below. */
const TEXTS: Record<string, (at: Position) => string> = {
  region: ({ length }) => `r-${'r'.repeat(length - 3)}1`,
  'keys[].name': name,
  'keys[].secretRef.external': ({ length }) => `projects/${'1'.repeat(length - 273)}/secrets/${'s'.repeat(255)}`,
  'keys[].secretRef.name': name,
  'keys[].env': at => variable({ ...at, index: 900 + at.index }),
  'keys[].file': ({ index, length }) => `/${'d'.repeat(length - 7)}/${digits(index)}/k`,
  image: name,
  'env[].name': variable,
  'invokers[]': at => unique('user:', 'u', at),
  'labels{}': ({ length }) => 'v'.repeat(length),
  encryptionKey: kmsKey,
  'network.network': qualified('/global/networks/'),
  'network.subnetwork': qualified('/regions/r/subnetworks/'),
  'network.tags[]': name,
  'network.connector': qualified('/locations/r/connectors/'),
  'container.workingDir': path,
  'probes.startup.path': path,
  'probes.liveness.path': path,
  'container.dependsOn[]': name,
  'sidecars[].name': name,
  'volumes[].name': name,
  'volumes[].mountPath': at => unique('/', 'v', at),
};

/** Values that depend on other fields, and those of which the longest text is not known from maxLength alone. */
const VALUES: Record<string, unknown> = {
  // 6 CPUs and 20 GiB, and for each sidecar 80m and 128 MiB: in all less than 8 CPUs, which allow 24 GiB.
  'keys[].version': '9'.repeat(18),
  'resources.cpu': `6.${'0'.repeat(14)}`,
  'resources.memory': `21474836480.${'0'.repeat(4)}`,
  'sidecars[].resources.cpu': `0.08${'0'.repeat(12)}`,
  'sidecars[].resources.memory': `134217728.${'0'.repeat(6)}`,
  'volumes[].emptyDir.sizeLimit': `1.${'0'.repeat(12)}Mi`,
  executionEnvironment: 'Gen2',
  'probes.startup.initialDelaySeconds': 1,
  'probes.startup.periodSeconds': 1,
  'probes.startup.timeoutSeconds': 1,
  'probes.startup.failureThreshold': 239,
};

/** Texts and lists whose bound no valid spec of this size reaches, and why. */
export const SHORTER: Record<string, string> = {
  'keys[].version': 'the rule allows 18 digits, and maxLength bounds what it reads',
  'env[].value': 'all values together have at most 65536 characters',
  'sidecars[].env[].value': 'the values and words of all sidecars together have at most 32768 characters',
  'sidecars[].command[]': 'the same',
  'sidecars[].args[]': 'the same',
  'sidecars[].dependsOn': 'only sidecars before this one can be named',
};

/** `absent`: fields that exclude others or make them shorter. `maps`: whether what may be a name or a map from region to name is a map. */
const VARIANTS = [
  {
    maps: true,
    absent: [
      'keys[].secretRef.name',
      'network.connector',
      'probes.startup.path',
      'probes.startup.tcp',
      'probes.liveness.path',
    ],
  },
  {
    maps: false,
    absent: [
      'keys[].secretRef.external',
      'network.connector',
      'probes.startup.tcp',
      'probes.startup.grpc',
      'probes.liveness.grpc',
      'invokers',
      'iap',
    ],
  },
  ...[true, false].map(maps => ({
    maps,
    absent: [
      'keys[].secretRef.external',
      'network.network',
      'network.tags',
      'network.subnetwork',
      'probes.startup.path',
      'probes.startup.grpc',
      'probes.liveness.grpc',
    ],
  })),
];
const ALL_VALUES = 65_536;
const ALL_SIDECARS = 32_768;

interface Texts {
  env: { value: string }[];
}
interface Sidecar extends Texts {
  name: string;
  port: number;
  dependsOn: string[];
  command: string[];
  args: string[];
}

/** The variants of the largest spec. `character`: of which texts consist, where no rule limits them. */
export function largestSpecs(spec: SpecSchema, character: string): JsonObject[] {
  return VARIANTS.map(({ absent, maps }) => {
    const built = valueAt(spec, '', { index: 0, character, absent, maps }) as JsonObject &
      Texts & { sidecars: Sidecar[] };
    const invokers = (built.invokers as string[] | undefined) ?? [];
    const each = Math.floor((ALL_VALUES - invokers.join('').length) / built.env.length);
    for (const variable of built.env) variable.value = character.repeat(each);
    fitSidecars(built.sidecars, character);
    return built;
  });
}

/** What depends on the sidecar's place in the list, and on all sidecars together. */
function fitSidecars(sidecars: Sidecar[], character: string): void {
  const texts = sidecars.reduce((sum, { env, command, args }) => sum + env.length + command.length + args.length, 0);
  const word = character.repeat(Math.floor(ALL_SIDECARS / texts));
  for (const [i, sidecar] of sidecars.entries()) {
    sidecar.port = 60_000 + i;
    sidecar.dependsOn = sidecars.slice(0, i).map(before => before.name);
    sidecar.command.fill(word);
    sidecar.args.fill(word);
    for (const variable of sidecar.env) variable.value = word;
  }
}

interface Scope {
  index: number;
  character: string;
  absent: string[];
  maps: boolean;
}

function valueAt(schema: SpecSchema, at: string, scope: Scope): unknown {
  const fixed = entryOf(VALUES, at);
  if (fixed !== undefined) return fixed;
  if (schema.items) {
    const { items, maxItems = 0 } = schema;
    return Array.from({ length: maxItems }, (_, index) => valueAt(items, `${at}[]`, { ...scope, index }));
  }
  if (schema.maxProperties && (schema.additionalProperties || scope.maps)) {
    const { additionalProperties: one = { maxLength: schema.maxLength }, maxProperties } = schema;
    const below = schema.additionalProperties ? `${at}{}` : at;
    const entry = (index: number) => valueAt(one, below, { ...scope, index });
    return Object.fromEntries(Array.from({ length: maxProperties }, (_, index) => [keyOf(at, index), entry(index)]));
  }
  if (schema.properties) {
    const fields = Object.entries(schema.properties).map(
      ([field, below]) => [childOf(at, field), field, below] as const,
    );
    const present = fields.filter(([below]) => !scope.absent.includes(asOfTenant(below)));
    return Object.fromEntries(present.map(([below, field, value]) => [field, valueAt(value, below, scope)]));
  }
  if (schema.enum) return schema.enum.at(-1);
  if (schema.type === 'boolean') return true;
  if (schema.type === 'integer') return schema.maximum;
  const { index, character } = scope;
  const position = { index, character, length: schema.maxLength ?? 0 };
  return (entryOf(TEXTS, at) ?? text)(position);
}

const asOfTenant = (at: string): string => at.replace('sidecars[].', '');
const entryOf = <T>(entries: Record<string, T>, at: string): T | undefined => entries[at] ?? entries[asOfTenant(at)];

/** Items of a set have to differ. */
const text = ({ index, length, character }: Position): string => character.repeat(length - 3) + digits(index);

/** The longest key that the rules allow. */
function keyOf(at: string, index: number): string {
  if (at === 'annotations') return `${'d'.repeat(253)}/${'k'.repeat(60)}${digits(index)}`;
  return 'k'.repeat(60) + digits(index);
}

/** The lists, texts and maps (with # at the end) of a schema, with the most items, characters or entries that each may have. */
export function boundsOf(schema: SpecSchema, at = ''): [path: string, most: number][] {
  const own: [string, number | undefined][] = [
    [at, schema.maxLength ?? schema.maxItems],
    [`${at}#`, schema.maxProperties],
  ];
  const below: [string, SpecSchema | undefined][] = [
    ...Object.entries(schema.properties ?? {}).map(([field, value]): [string, SpecSchema] => [
      childOf(at, field),
      value,
    ]),
    [`${at}[]`, schema.items],
    [`${at}{}`, schema.additionalProperties],
  ];
  return [
    ...own.flatMap(([path, most]): [string, number][] => (most === undefined ? [] : [[path, most]])),
    ...below.flatMap(([path, value]) => (value ? boundsOf(value, path) : [])),
  ];
}

const childOf = (at: string, field: string): string => (at ? `${at}.${field}` : field);

/** The most items, characters or entries that a value has at each path of `boundsOf`. */
export function sizesOf(
  value: unknown,
  schema: SpecSchema,
  at = '',
  found = new Map<string, number>(),
): Map<string, number> {
  const note = (path: string, size: number) => found.set(path, Math.max(size, found.get(path) ?? 0));
  if (typeof value === 'string') note(at, [...value].length);
  else if (Array.isArray(value)) {
    note(at, value.length);
    for (const item of value) sizesOf(item, schema.items ?? {}, `${at}[]`, found);
  } else if (value && typeof value === 'object') {
    note(`${at}#`, Object.keys(value).length);
    for (const [field, item] of Object.entries(value)) {
      const below = schema.properties?.[field];
      sizesOf(item, below ?? schema.additionalProperties ?? {}, below ? childOf(at, field) : `${at}{}`, found);
    }
  }
  return found;
}
