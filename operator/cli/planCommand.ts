import { parseArgs, styleText } from 'node:util';
import { readConnectorSecret } from '../connectorSecret.ts';
import { createGcpClient } from '../gcp/client.ts';
import { endpointsFrom } from '../gcp/endpoints.ts';
import { createSharedReads } from '../gcp/lists.ts';
import { observe } from '../gcp/observe.ts';
import type { Reads } from '../gcp/reads.ts';
import { readOptions, UsageError } from '../options.ts';
import type { KubeObject } from '../ports.ts';
import { realRuntime as runtime } from '../runtime.ts';
import { desiredState } from '../tenant/desired.ts';
import { foresee } from '../tenant/foresee.ts';
import { markedCluster } from '../tenant/ownership.ts';
import { plan as planFor, targets } from '../tenant/plan.ts';
import { escaped, logLine } from '../tenant/printable.ts';
import { readTenant } from '../tenant/resource.ts';
import type { Blocker, Change, Desired, Observed, Settings, Step, Tenant } from '../tenant/types.ts';
import { type Manifests, readManifests } from './manifests.ts';
import { each, patiently } from './patience.ts';

/** `npm run plan`: the operator's own road without the writes. Exit codes: 0 nothing to do, 2 changes, 1 error. */

const USAGE = `Usage: npm run plan -- -f FILE… [-o json] [FLAG…]

Shows what the operator would change in Google Cloud for these manifests. Changes nothing, needs no cluster.

  -f, --filename PATH   a file, a folder, or - for standard input; may be repeated
  -o, --output FORMAT   text (default) or json
      --cluster-id ID   whose marks count as its own; without it, marks of the same namespace and name do
  Also the operator's flags: --project, --projects, --default-image, --claim-policy, --region-move-grace.
  Namespaces' project annotations are read from Namespace documents in the files.
  What has left the spec is shown where the manifest carries its status (kubectl get aitenant NAME -o yaml).

Exit code: 0 nothing to do, 2 changes or something in the way, 1 error.`;

export interface TenantResult {
  namespace: string;
  name: string;
  project?: string;
  steps: { action: Step['verb']; target: string; changes: Change[] }[];
  blocked: { reason: string; message: string }[];
  notes: string[];
}

/** As many rounds of "and then?" as any tenant can need. */
const ROUNDS = 6;
const UNKNOWN_CLUSTER = 'this-cluster';
/** What one tenant needed is good enough for all the others of this run. */
const ONE_LOOK = { listed: 3_600_000, single: 3_600_000 };

/** What the operator would do for one tenant, step after step until nothing is left to do. Reads only. */
export async function planTenant(
  object: KubeObject,
  manifests: Pick<Manifests, 'namespaces' | 'connectorSecrets'>,
  settings: Omit<Settings, 'clusterId'> & { clusterId?: string },
  reads: Reads,
  now: number,
): Promise<TenantResult> {
  const tenant = readTenant(object);
  const { namespace, name } = tenant;
  const namespaceAnnotations = manifests.namespaces.get(namespace)?.metadata.annotations ?? {};
  const around = {
    namespaceAnnotations,
    connectorSecret: (ref: string, project: string) => {
      const object = manifests.connectorSecrets.get(`${namespace}/${ref}`);
      return readConnectorSecret(object && asApplied(object), namespaceAnnotations, project);
    },
  };
  // A manifest without a status has no inventory: full marks of this namespace and name are taken for its own.
  const restore = settings.restore === true || tenant.status.inventory.length === 0;
  const known = { ...settings, restore, clusterId: settings.clusterId ?? UNKNOWN_CLUSTER };
  const wanted = desiredState(tenant, known, around);
  if (!wanted.ok) {
    return { namespace, name, steps: [], blocked: [{ reason: 'InvalidSpec', message: wanted.message }], notes: [] };
  }
  const base = { namespace, name, project: wanted.desired.project };
  if (tenant.spec.suspend) return { ...base, steps: [], blocked: [], notes: ['Suspended: nothing would be touched.'] };
  const observed = await observe(reads, targets(wanted.desired, tenant.status.inventory), {
    actAs: wanted.desired.actAs,
  });
  const desired = settings.clusterId === undefined ? withMarkedCluster(wanted.desired, observed) : wanted.desired;
  return { ...base, ...foreseen(tenant, desired, observed, known, now, settings.clusterId === undefined) };
}

/** A manifest says nothing of whether Config Connector has done its work: whether the secret is there, Google Cloud says. */
const asApplied = (object: KubeObject): KubeObject =>
  object.status === undefined ? { ...object, status: { conditions: [{ type: 'Ready', status: 'True' }] } } : object;

function foreseen(
  start: Tenant,
  desired: Desired,
  seen: Observed,
  settings: Settings,
  now: number,
  anyCluster: boolean,
): Pick<TenantResult, 'steps' | 'blocked' | 'notes'> {
  let [tenant, observed] = [start, seen];
  const steps: Step[] = [];
  let blocked: Blocker[] = [];
  let notes: string[] = [];
  let adopted: string[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const plan = planFor(tenant, desired, observed, settings, now, { anyCluster });
    if (round === 0) [blocked, adopted] = [plan.blockers, plan.adopted];
    notes = [...adopted, ...plan.notes, ...plan.waiting.map(({ message }) => message)];
    if (plan.steps.length === 0) break;
    steps.push(...plan.steps);
    observed = foresee(observed, plan.steps);
    tenant = { ...tenant, status: { ...tenant.status, inventory: plan.inventory } };
  }
  return {
    steps: steps.map(({ verb, target, changes }) => ({ action: verb, target, changes })),
    blocked: blocked.map(({ reason, message }) => ({ reason, message })),
    notes: [...new Set(notes)],
  };
}

function withMarkedCluster(desired: Desired, observed: Observed): Desired {
  const description = observed.account.state === 'present' ? observed.account.value.description : '';
  const labels = observed.services.map(({ service }) => (service.state === 'present' ? service.value.labels : {}));
  const found = [{}, ...labels].map(each => markedCluster(each, description, desired.owner));
  const cluster = found.find(value => value !== undefined);
  return cluster === undefined ? desired : { ...desired, owner: { ...desired.owner, cluster } };
}

// ----------------------------------------------------------------------------------------------------------- output

const SIGNS: Record<Step['verb'], { sign: string; color: 'green' | 'yellow' | 'red' }> = {
  Create: { sign: '+', color: 'green' },
  Grant: { sign: '+', color: 'green' },
  Update: { sign: '~', color: 'yellow' },
  Adopt: { sign: '~', color: 'yellow' },
  Abandon: { sign: '~', color: 'yellow' },
  Revoke: { sign: '-', color: 'red' },
  Delete: { sign: '-', color: 'red' },
};

function asText(results: TenantResult[]): string {
  const lines: string[] = [];
  for (const { namespace, name, project, steps, blocked, notes } of results) {
    lines.push(styleText('bold', logLine(`${namespace}/${name}${project ? ` in project ${project}` : ''}`)));
    for (const { action, target, changes } of steps) {
      const { sign, color } = SIGNS[action];
      lines.push(styleText(color, logLine(`  ${sign} ${action} ${target}`)));
      for (const { field, from, to } of changes) {
        lines.push(logLine(`      ${field}: ${from === undefined ? (to ?? '') : `${from} → ${to ?? '(removed)'}`}`));
      }
    }
    for (const { reason, message } of blocked) lines.push(styleText('red', logLine(`  ! ${reason}: ${message}`)));
    for (const note of notes) lines.push(logLine(`  · ${note}`));
    if (steps.length + blocked.length + notes.length === 0) lines.push('  Nothing to change.');
  }
  const count = (signs: string) =>
    results.flatMap(({ steps }) => steps).filter(({ action }) => SIGNS[action].sign === signs).length;
  const stuck = results.filter(({ blocked }) => blocked.length > 0).length;
  lines.push(
    '',
    `Plan: ${count('+')} to add, ${count('~')} to change, ${count('-')} to remove${stuck > 0 ? `; ${stuck} of ${results.length} tenants blocked` : ''}.`,
  );
  return lines.join('\n');
}

async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    strict: false,
    options: {
      filename: { type: 'string', short: 'f', multiple: true },
      output: { type: 'string', short: 'o', default: 'text' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const files = (values.filename ?? []) as string[];
  if (files.length === 0) throw new UsageError('name the manifests: npm run plan -- -f tenant-a.yaml');
  if (values.output !== 'text' && values.output !== 'json') throw new UsageError('-o takes text or json.');
  const options = readOptions(withoutOwn(argv), process.env);
  if (options === 'help') return 0;

  const manifests = readManifests(files);
  if (manifests.problems.length > 0) {
    for (const problem of manifests.problems) console.error(logLine(problem));
    return 1;
  }
  if (manifests.tenants.length === 0) throw new UsageError(`there is no AiTenant in ${files.join(', ')}`);

  const google = createGcpClient({ runtime, endpoints: endpointsFrom(process.env) });
  const reads = createSharedReads(patiently(google.call, runtime), runtime).at(ONE_LOOK);
  const settings = { ...options.settings, clusterId: options.clusterId };
  const results = await each(manifests.tenants, ({ object }) =>
    planTenant(object, manifests, settings, reads, runtime.now()),
  );
  google.close();
  console.log(values.output === 'json' ? escaped(JSON.stringify({ tenants: results }, null, 2)) : asText(results));
  const unread = results.flatMap(({ blocked }) => blocked).filter(({ message }) => message.startsWith('Cannot read'));
  if (unread.length > 0) return 1;
  return results.some(({ steps, blocked }) => steps.length + blocked.length > 0) ? 2 : 0;
}

/** The arguments that are the operator's flags. */
function withoutOwn(argv: string[]): string[] {
  const rest: string[] = [];
  for (let i = 0; i < argv.length; i++) {
    const argument = argv[i] ?? '';
    if (/^(-f|--filename|-o|--output)$/.test(argument)) i++;
    else if (!/^(-f.|--filename=|-o.|--output=)/.test(argument)) rest.push(argument);
  }
  return rest;
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    console.error(logLine(`plan: ${error instanceof Error ? error.message : String(error)}`));
    if (error instanceof UsageError) console.error('See npm run plan -- --help.');
    process.exitCode = 1;
  }
}
