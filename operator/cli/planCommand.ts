import { realRuntime as runtime } from '../../ports/runtime.ts';
import { createGcpClient } from '../gcp/client.ts';
import { endpointsFrom } from '../gcp/endpoints.ts';
import { createSharedReads } from '../gcp/lists.ts';
import { FLAG_NAMES, type Options, optionsOf, parseFlags, UsageError } from '../process/options.ts';
import { isProjectId } from '../tenant/names.ts';
import { logLine } from '../tenant/printable.ts';
import { withCluster } from './clusterAccess.ts';
import { type Command, type Context, checkNpm, type Program, withSuggestion } from './command.ts';
import { type Live, readLive } from './live.ts';
import { type Manifests, readManifests, shownPath } from './manifests.ts';
import { each, patiently } from './patience.ts';
import { asMarkdown } from './planMarkdown.ts';
import { asJson, asText } from './planOutput.ts';
import { AMBIENT_PROJECT, planTenant, type TenantResult } from './planTenant.ts';
import { printed } from './printed.ts';

/** `aitenant plan` shows what the operator would change. It makes no writes. */

const usage = ({ start }: Program): string => `Usage: ${start('plan')} -f FILE… [-o json|markdown] [FLAG…]
       ${start('plan')} --live [-f FILE…]

Shows what the operator would change in Google Cloud for these manifests. Changes nothing; without --live it needs no cluster.

  -f, --filename PATH   a file, a folder, or - for standard input; may be repeated
  -o, --output FORMAT   text (default), json, or markdown for a comment on a pull request
      --live            read status, Namespaces and cluster id from the cluster of the current kubeconfig; without -f all
                        AiTenants of the cluster, or of --namespace. Files are merged as kubectl apply would do it
  -n, --namespace NAME  namespace of manifests that name none (default); with --live and without -f: only its AiTenants
      --context NAME    with --live: the context of the kubeconfig (the current one)
      --kubeconfig PATH with --live: the kubeconfig (KUBECONFIG, else ~/.kube/config)
      --cluster-id ID   the operator's --cluster-id, if it has one; without it and without --live, owner marks of any cluster
                        with the tenant's namespace and name count as the tenant's
  Also the operator's flags: --project, --projects, --default-image, --claim-policy, --region-move-grace.
  The project: that of the Namespace (its annotation, in the files or with --live), else --project, else AITENANT_PROJECT, else
  GOOGLE_CLOUD_PROJECT, else that of the status.
  Removals of what has left the spec are shown only with --live, or if the manifest has a status (kubectl get aitenant NAME -o yaml).

Exit code: 0 nothing to do, 2 changes or blocked tenants, 1 error: wrong flags, an invalid manifest, or something that could
not be read.`;

/** An answer is used for all tenants of this run: 1 h is longer than a run takes. */
const CACHE_AGES = { listed: 3_600_000, single: 3_600_000 };

const OWN_FLAGS = {
  filename: { type: 'string', short: 'f', multiple: true },
  output: { type: 'string', short: 'o' },
  live: { type: 'boolean' },
  namespace: { type: 'string', short: 'n' },
  context: { type: 'string' },
  kubeconfig: { type: 'string' },
} as const;

const FORMATS: Record<string, (results: TenantResult[]) => string> = {
  text: asText,
  json: asJson,
  markdown: asMarkdown,
};

interface Arguments {
  files: string[];
  output: string;
  live: boolean;
  context?: string;
  kubeconfig?: string;
  options: Options;
  projectFrom?: string;
}

/** The flags as given; `projectFrom` is missing. */
interface Given extends Pick<Arguments, 'context' | 'kubeconfig'> {
  filename?: string[];
  output?: string;
  live?: boolean;
}

function readArguments(argv: string[], { env, program }: Context): Arguments {
  const { values, positionals } = parsed(argv);
  const start = program.start('plan');
  const example = `${start} -f tenant-a.yaml`;
  const own = [...Object.keys(OWN_FLAGS), 'project', 'projects', 'cluster-id'];
  checkNpm({ env, program }, own, argv, positionals, example);
  if (positionals.length > 0) {
    // `aitenant plan -- -f FILE`, as after npm run: parseArgs takes no flag after `--`.
    if (positionals[0]?.startsWith('-'))
      throw new UsageError(`no -- stands before the flags here: ${start} ${positionals.join(' ')}`);
    throw new UsageError(`Files are named with -f: ${start} -f ${positionals[0]}`);
  }
  const { filename: files = [], output = 'text', live = false, context, kubeconfig } = values as Given;
  if (files.length === 0 && !live) throw new UsageError(`name the manifests: ${example}`);
  if (!Object.hasOwn(FORMATS, output)) throw new UsageError('-o takes text, json or markdown.');
  if (!live && (context ?? kubeconfig) !== undefined)
    throw new UsageError('--context and --kubeconfig need --live: without it no cluster is read.');
  const given = { files, output, live, context, kubeconfig };
  const ambient = env[AMBIENT_PROJECT] || undefined;
  const options = optionsOf(values, env);
  if (values.project !== undefined) return { ...given, options, projectFrom: '--project' };
  if (options.settings.project !== undefined) return { ...given, options, projectFrom: 'AITENANT_PROJECT' };
  if (ambient === undefined) return { ...given, options };
  if (!isProjectId(ambient))
    throw new UsageError(`${AMBIENT_PROJECT}=${ambient} is not a project id (a project number will not do).`);
  const settings = { ...options.settings, project: ambient };
  return { ...given, options: { ...options, settings }, projectFrom: AMBIENT_PROJECT };
}

function parsed(argv: string[]): ReturnType<typeof parseFlags> {
  try {
    return parseFlags(argv, OWN_FLAGS);
  } catch (error) {
    throw new UsageError(withSuggestion((error as Error).message, [...Object.keys(OWN_FLAGS), ...FLAG_NAMES]));
  }
}

async function run(argv: string[], context: Context): Promise<number> {
  const given = readArguments(argv, context);
  const { files, options } = given;
  const manifests = files.length > 0 ? readManifests(files, options.namespace) : undefined;
  if (manifests && manifests.problems.length > 0) {
    for (const problem of manifests.problems) console.error(logLine(problem));
    return 1;
  }
  if (manifests?.tenants.length === 0)
    throw new UsageError(`there is no AiTenant in ${files.map(shownPath).join(', ')}`);
  const choice = { ...given, env: context.env, flag: '--live' };
  const live = given.live
    ? await withCluster(choice, ({ kube }) => readLive(kube, manifests, options.namespace))
    : undefined;
  const results = await planAll(given, manifests, live, context.env);
  await printed(`${FORMATS[given.output]?.(results)}\n`);
  if (results.some(({ state }) => state === 'unread')) return 1;
  return results.some(({ steps, blocked }) => steps.length + blocked.length > 0) ? 2 : 0;
}

async function planAll(
  { options, projectFrom }: Arguments,
  manifests: Manifests | undefined,
  live: Live | undefined,
  env: NodeJS.ProcessEnv,
): Promise<TenantResult[]> {
  const tenants = live?.tenants ?? manifests?.tenants.map(({ object }) => object) ?? [];
  const around = live?.around ?? (manifests as Manifests);
  const settings = { ...options.settings, clusterId: options.clusterId, projectFrom };
  const google = createGcpClient({ runtime, endpoints: endpointsFrom(env) });
  try {
    const reads = createSharedReads(patiently(google.call, runtime), runtime).at(CACHE_AGES);
    return await each(tenants, object => planTenant(object, around, settings, reads, runtime.now()));
  } finally {
    google.close();
  }
}

export const planCommand: Command = {
  summary: 'show what the operator would change in Google Cloud for manifests',
  usage,
  run,
};
