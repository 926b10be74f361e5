import { realRuntime as runtime } from '../../ports/runtime.ts';
import { labelNameErrors, subdomainErrors } from '../../schema/names.ts';
import { UsageError } from '../process/options.ts';
import { quoted } from '../tenant/printable.ts';
import { ClusterUnread, withCluster } from './clusterAccess.ts';
import { type Command, type Context, checkNpm, type Program, parsedFlags } from './command.ts';
import { printed } from './printed.ts';
import { asJson, tableLines, tenantLines } from './statusOutput.ts';
import { watchStatus } from './statusWatch.ts';
import { noTenants, readTenants, type Scope } from './tenantReads.ts';
import { type TenantStatusView, tenantStatus } from './tenantStatus.ts';
import { terminalSize } from './terminalSize.ts';

/** `aitenant status` shows what tenants wait for, from their objects in the cluster. It reads neither Google Cloud nor anything else. */

const usage = ({ start }: Program): string => `Usage: ${start('status')} [NAME] [-n NAMESPACE | -A] [--watch] [-o json]

With NAME: the way of one tenant from the service account over the grants and the service to the URL, what of it is done, what is
waited for, and why. Without NAME: a table of all tenants. Reads the cluster only; it shows what the operator last reported.

  NAME                  the tenant; NAMESPACE/NAME is possible too
  -n, --namespace NAME  the namespace (that of the kubeconfig's context, else default)
  -A, --all-namespaces  the tenants of all namespaces
  -w, --watch           show each change until Ctrl-C or, with NAME, until the tenant is deleted
  -o, --output FORMAT   text (default) or json; with --watch one line of JSON for each change
      --context NAME    the context of the kubeconfig (the current one)
      --kubeconfig PATH the kubeconfig (KUBECONFIG, else ~/.kube/config)

Exit code: 0 shown, 1 error: wrong flags, no such tenant, or a cluster that can't be read. To wait for a tenant in a script:
kubectl wait --for=condition=Ready aitenant/NAME`;

const FLAGS = {
  namespace: { type: 'string', short: 'n' },
  'all-namespaces': { type: 'boolean', short: 'A' },
  watch: { type: 'boolean', short: 'w' },
  output: { type: 'string', short: 'o' },
  context: { type: 'string' },
  kubeconfig: { type: 'string' },
} as const;

interface Arguments {
  name?: string;
  namespace?: string;
  all: boolean;
  watch: boolean;
  isJson: boolean;
  context?: string;
  kubeconfig?: string;
}

/** Throws `UsageError`. */
export function readStatusArguments(argv: string[], { env, program }: Context): Arguments {
  const { values, positionals } = parsedFlags(argv, FLAGS);
  const start = program.start('status');
  checkNpm({ env, program }, Object.keys(FLAGS), argv, positionals, `${start} tenant-a --watch`);
  const [given, second] = positionals;
  if (second !== undefined)
    throw new UsageError(`one NAME at a time, or none for all tenants; ${quoted(second)} is one more.`);
  const { output = 'text', 'all-namespaces': all = false, watch = false, context, kubeconfig } = values;
  if (output !== 'text' && output !== 'json') throw new UsageError('-o takes text or json.');
  const named: Partial<ReturnType<typeof nameOf>> = given === undefined ? {} : nameOf(given);
  const { name } = named;
  if (named.namespace !== undefined && values.namespace !== undefined && named.namespace !== values.namespace)
    throw new UsageError(`${given} names another namespace than -n ${values.namespace}.`);
  const namespace = named.namespace ?? values.namespace;
  if (all && (name ?? namespace) !== undefined)
    throw new UsageError('-A shows all tenants of all namespaces: leave out NAME and -n, or -A.');
  const [wrong] = namespace === undefined ? [] : labelNameErrors(namespace);
  if (wrong !== undefined) throw new UsageError(`-n ${quoted(namespace ?? '')} can't be a namespace: ${wrong}`);
  const [wrongName] = name === undefined ? [] : subdomainErrors(name);
  if (wrongName !== undefined)
    throw new UsageError(`${quoted(name ?? '')} can't be the name of a tenant: ${wrongName}`);
  return { name, namespace, all, watch, isJson: output === 'json', context, kubeconfig };
}

/** `NAME`, `NAMESPACE/NAME` as `plan` prints it, or `aitenant/NAME` as kubectl takes it. */
function nameOf(given: string): { name: string; namespace?: string } {
  const [before = '', ...rest] = given.split('/');
  if (rest.length === 0) return { name: given };
  const name = rest.join('/');
  return /^(ait|aitenants?)(\.|$)/.test(before) ? { name } : { name, namespace: before };
}

async function run(argv: string[], context: Context): Promise<number> {
  const given = readStatusArguments(argv, context);
  return withCluster({ ...given, env: context.env }, async cluster => {
    const namespace = given.all ? undefined : (given.namespace ?? cluster.namespace ?? 'default');
    const scope = { name: given.name, namespace, isJson: given.isJson };
    const objects = await readTenants(cluster.kube, scope).catch((error: unknown) => {
      throw withNpmHint(error, given.name, context);
    });
    if (objects.length === 0) console.error(await noTenants(cluster.kube, namespace));
    if (given.watch) return watchStatus(cluster.kube, scope, runtime);
    if (objects.length > 0 || given.isJson) await printed(`${shown(objects.map(tenantStatus), scope)}\n`);
    return 0;
  });
}

/** npm takes `-n NAME` as its own `--no-yes` and leaves NAME, which then counts as the name of a tenant. */
function withNpmHint(error: unknown, name: string | undefined, { env, program }: Context): unknown {
  const isMissing = error instanceof ClusterUnread && error.status === undefined && name !== undefined;
  if (!isMissing || !program.byNpm || env.npm_config_yes !== '') return error;
  return new ClusterUnread(`${error.message} If ${name} is the namespace: ${program.start('status')} -n ${name}`);
}

function shown(views: TenantStatusView[], { name, namespace, isJson }: Scope): string {
  if (isJson) return asJson(views);
  const width = terminalSize().columns;
  if (name === undefined) return tableLines(views, { withNamespace: namespace === undefined, width }).join('\n');
  return views.flatMap(view => tenantLines(view, runtime.now())).join('\n');
}

export const statusCommand: Command = {
  summary: 'show what tenants wait for: service account, grants, service, URL',
  usage,
  run,
};
