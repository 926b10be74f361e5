import { Document, isMap, Scalar, visit } from 'yaml';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import type { PlainObject } from '../../schema/index.ts';
import { labelNameErrors } from '../../schema/names.ts';
import { createGcpClient } from '../gcp/client.ts';
import { endpointsFrom } from '../gcp/endpoints.ts';
import { isObject } from '../gcp/parse.ts';
import { checkClusterId, UsageError } from '../process/options.ts';
import { isProjectId, part } from '../tenant/names.ts';
import { labelledOwner } from '../tenant/ownership.ts';
import { escaped, logLine } from '../tenant/printable.ts';
import { type Command, type Context, checkNoArguments, checkNpm, type Program, parsedFlags } from './command.ts';
import { discover, type FoundTenant } from './discover.ts';
import { type ImportedTenant, importTenant } from './importedTenant.ts';
import { tenantSchema } from './manifests.ts';
import { printed } from './printed.ts';

/** `aitenant import` prints AiTenant manifests for tenants that were created by hand. It only reads. Exit codes: 0 done, 1 error. */

const usage = ({
  start,
}: Program): string => `Usage: ${start('import')} --project P [--region R…] [FLAG…] > tenants.yaml

Finds tenants that were made by hand as in the manual (Cloud Run services called ai-platform-*) and prints an AiTenant
manifest for each, and the commands by which their owners let the operator take them over. Changes nothing.

      --project ID      the Google Cloud project to search
      --region NAME     a region to search; may be repeated (all)
      --namespace NAME  the namespace of the manifests (default)
      --cluster-id ID   the operator's --cluster-id; without it, consent for any cluster counts
  -o, --output yaml     the only format

The project: --project, else GOOGLE_CLOUD_PROJECT. Comments above each manifest, and standard error, say
what the manifest cannot express and which services are left out.
Exit code: 0 done, 1 error: wrong flags, or something that could not be read. Next steps:
  sed -n 's/^#\\$ //p' tenants.yaml | sh -ex      consent, after reading it
  ${`${start('plan')} -f tenants.yaml`.padEnd(47)}it should show changes of owner marks only
  kubectl apply -f tenants.yaml`;

export interface ImportOptions {
  project: string;
  namespace: string;
  clusterId?: string;
  /** How to start `plan`, for the comment above the manifests. */
  plan: string;
}

/** The manifests as YAML, empty if there is no tenant to import, and the warnings, each as `TENANT: …`. */
export function renderImport(found: FoundTenant[], options: ImportOptions): { yaml: string; warnings: string[] } {
  const { project, namespace, clusterId, plan } = options;
  const warnings: string[] = [];
  const documents: string[] = [namespaceDocument(project, namespace, plan)];
  const schema = tenantSchema();
  const firstOfName = new Map<string, FoundTenant>();
  for (const tenant of found) {
    const owner = labelledOwner(tenant.service.labels);
    const first = firstOfName.get(tenant.name);
    if (owner !== undefined) {
      warnings.push(`${tenant.name}: ${tenant.service.name} has an owner already (${owner}): left out.`);
      continue;
    }
    if (first) {
      warnings.push(
        `${tenant.name}: it is in ${first.service.region} and in ${tenant.service.region}, and a tenant has one region: the service in ${tenant.service.region} is left out.`,
      );
      continue;
    }
    firstOfName.set(tenant.name, tenant);
    const rules = {
      owner: { cluster: clusterId ?? '', namespace, name: tenant.name },
      policy: 'labelled' as const,
      anyCluster: clusterId === undefined,
      inventory: [],
      adopt: true,
    };
    const imported = importTenant(tenant, rules, manifest =>
      schema.validate(schema.applyDefaults(manifest as PlainObject)).map(({ field }) => field),
    );
    const defaulted = schema.applyDefaults(imported.manifest as PlainObject);
    const refused = schema
      .validate(defaulted)
      .map(({ field, message }) => `${field}: ${hasNoKey(imported) && field === 'spec.keys' ? NO_KEY : message}`);
    documents.push(tenantDocument(tenant, imported, refused));
    const messages = [...imported.notes, ...refused.map(cause => `can't be an AiTenant as it is: ${cause}`)];
    warnings.push(...messages.map(note => `${tenant.name}: ${oneLine(note)}`));
  }
  return { yaml: firstOfName.size === 0 ? '' : documents.join('---\n'), warnings };
}

const hasNoKey = ({ manifest: { spec } }: ImportedTenant): boolean =>
  isObject(spec) && Array.isArray(spec.keys) && spec.keys.length === 0;

const NO_KEY =
  'this service reads no secret, and a tenant has at least one key: name the secret that it is to read, or leave the service out';

/** Keeps a string in double quotes on one line: a CI system would run a command of its log that stands at the start of a line. */
const ON_ONE_LINE = { lineWidth: 0, doubleQuotedMinMultiLineLength: Number.POSITIVE_INFINITY };

function namespaceDocument(project: string, namespace: string, plan: string): string {
  const document = new Document({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: namespace, annotations: { 'ai-platform.dev/project-id': project } },
  });
  document.commentBefore = comment([
    `AiTenants for what was made by hand in project ${project}.`,
    '',
    'Lines that begin with "#$" are the consent of those who own the things in Google Cloud; none makes a revision:',
    "  sed -n 's/^#\\$ //p' FILE | sh -ex",
    'After that this shows nothing but owner marks to change:',
    `  ${plan} -f FILE`,
    '',
    'All tenants of this namespace live in that project. Leave this document out where the operator runs with it as --project.',
  ]);
  return document.toString();
}

function tenantDocument({ service }: FoundTenant, imported: ImportedTenant, refused: string[]): string {
  const { manifest, notes, consent, image } = imported;
  const document = new Document(manifest);
  visit(document, {
    Scalar(key, node) {
      if ((key === 'value' && quotedValue(node.value)) || needsEscapes(node.value)) node.type = 'QUOTE_DOUBLE';
    },
    Pair(_, { key, value }) {
      if (['secretRef', 'scaling', 'resources'].includes(String(key)) && isMap(value)) value.flow = true;
    },
  });
  const head = [
    `${part(service.name, 'services')} in ${service.region}`,
    ...(image === undefined
      ? []
      : [`Its image, ${image}, is left to whoever deploys it; spec.image would make it the operator's.`]),
    ...notes.map(note => `NOTE ${note}`),
    ...refused.map(cause => `REFUSED ${cause}`),
  ];
  // A tenant whose manifest would be refused gets no consent.
  const commands = refused.length === 0 ? consent.map(command => `$ ${oneLine(command)}`) : [];
  const lines = [...head.map(line => ` ${oneLine(line)}`), ...commands];
  const text = escaped(document.toString(ON_ONE_LINE));
  // A manifest that the API server would refuse is commented out, so that the user corrects it first.
  const body = refused.length === 0 ? text : text.replace(/^(?=.)/gm, '# ');
  return `${lines.map(line => `#${line}\n`).join('')}${body}`;
}

/** Strings that need no quotes, neither in YAML 1.1, which kubectl reads, nor in YAML 1.2. All others are quoted. */
const PLAIN = /^(?!(?:y|n|yes|no|on|off|true|false|null)$)[a-z][a-z0-9]*(?:[-._/][a-z0-9]+)*$/i;
const quotedValue = (value: unknown): boolean => typeof value === 'string' && !PLAIN.test(value);

/** YAML resolves escapes in double quotes only, so a string with characters that must be escaped needs double quotes. */
const needsEscapes = (value: unknown): boolean =>
  typeof value === 'string' && (/[\r\n]/.test(value) || escaped(value) !== value);

/** A string as `import` writes it in a manifest. */
export function valueNode(value: string): string {
  const node = new Scalar(value);
  if (quotedValue(value)) node.type = 'QUOTE_DOUBLE';
  return escaped(new Document(node).toString(ON_ONE_LINE)).trimEnd();
}

const comment = (lines: string[]): string => lines.map(line => (line === '' ? '' : ` ${line}`)).join('\n');

/** Text from Google Cloud on one line, so that it cannot end a comment. */
const oneLine = (text: string): string => logLine(text);

const MOST_NAMES_SHOWN = 20;

/** The message about services with other names. A tenant's name determines its service's name, and no service can be renamed. */
function leftOutMessage(others: string[]): string {
  const more = others.length > MOST_NAMES_SHOWN ? ` and ${others.length - MOST_NAMES_SHOWN} more` : '';
  return (
    `Left out, because only a service called ai-platform-NAME can be a tenant's: ${others.slice(0, MOST_NAMES_SHOWN).join(', ')}${more}. ` +
    'To make one a tenant, write an AiTenant with its image and keys: the operator makes a service beside it.'
  );
}

interface Arguments extends ImportOptions {
  regions: string[];
}

const FLAGS = {
  project: { type: 'string' },
  region: { type: 'string', multiple: true, default: [] as string[] },
  namespace: { type: 'string', default: 'default' },
  'cluster-id': { type: 'string' },
  output: { type: 'string', short: 'o', default: 'yaml' },
} as const;

/** Throws `UsageError`. */
export function readImportArguments(argv: string[], { env, program }: Context): Arguments {
  const start = program.start('import');
  checkNpm({ env, program }, Object.keys(FLAGS), argv, [], `${start} --project my-project`);
  const { values, positionals } = parsedFlags(argv, FLAGS);
  checkNoArguments(positionals);
  const { project = env.GOOGLE_CLOUD_PROJECT, namespace, region: regions, 'cluster-id': clusterId } = values;
  if (project === undefined || !isProjectId(project)) {
    throw new UsageError(`name the project by its id: ${start} --project my-project`);
  }
  const [wrong] = labelNameErrors(namespace);
  if (wrong !== undefined) throw new UsageError(`--namespace=${namespace} can't be a namespace: ${wrong}`);
  for (const region of regions) {
    if (/^[a-z]+(?:-[a-z]+)*-?[0-9]*$/.test(region)) continue;
    throw new UsageError(
      `--region=${region} is no region such as asia-northeast1: gcloud run regions list prints them.`,
    );
  }
  if (clusterId !== undefined) checkClusterId(clusterId);
  if (values.output !== 'yaml') throw new UsageError('-o takes yaml.');
  return { project, namespace, regions, clusterId, plan: program.start('plan') };
}

async function run(argv: string[], context: Context): Promise<number> {
  const given = readImportArguments(argv, context);
  const { project, regions } = given;
  const google = createGcpClient({ runtime, endpoints: endpointsFrom(context.env) });
  try {
    const { tenants, others, skipped } = await discover(google.call, project, regions, runtime);
    for (const { region: name, message } of skipped) console.error(logLine(`Not looked through: ${name}: ${message}`));
    if (others.length > 0) console.error(logLine(leftOutMessage(others)));
    if (tenants.length === 0) {
      const where = regions.length === 0 ? '' : ` in ${regions.join(', ')}`;
      console.error(`No Cloud Run service called ai-platform-* in project ${project}${where}.`);
      return 0;
    }
    const { yaml, warnings } = renderImport(tenants, given);
    for (const warning of warnings) console.error(warning);
    if (yaml === '') console.error('Nothing is left to import, so no manifest is printed.');
    else await printed(yaml);
    return 0;
  } finally {
    google.close();
  }
}

export const importCommand: Command = {
  summary: 'print AiTenant manifests for tenants that were made by hand',
  usage,
  run,
};
