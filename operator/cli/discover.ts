import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { failureOf } from '../gcp/errors.ts';
import { rpc } from '../gcp/methods.ts';
import { filled, objects } from '../gcp/parse.ts';
import { createReads, type Reads } from '../gcp/reads.ts';
import { parseSecret } from '../gcp/secret.ts';
import { parseService } from '../gcp/service.ts';
import { explained } from '../tenant/context.ts';
import { part, secretName, serviceAccountEmail, serviceAccountId } from '../tenant/names.ts';
import { REGIONS } from '../tenant/regions.ts';
import { secretReferences } from '../tenant/template.ts';
import type { ObservedAccount, ObservedSecret, ObservedService, Policy, Read } from '../tenant/types.ts';
import { each, patiently } from './patience.ts';
import { forReaders } from './readersWords.ts';

/** Reads what was made by hand as in the manual: services called `ai-platform-*`, and what belongs to each. */

const PREFIX = 'ai-platform-';

export interface FoundSecret {
  /** As it can be written from the tenant's project: the bare id there, else `projects/P/secrets/S`. */
  external: string;
  secret: Read<ObservedSecret>;
  policy?: Policy;
}

/** One service and everything that a tenant is made of beside it. */
export interface FoundTenant {
  /** What follows `ai-platform-`. */
  name: string;
  project: string;
  service: ObservedService;
  /** Who may call it. */
  invokers: Policy;
  /** The account that the operator would use, `sa-NAME`. */
  email: string;
  account: Read<ObservedAccount>;
  /** Every secret of the project, and those of other projects that the service reads. */
  secrets: FoundSecret[];
  /** The reference of a template → `external` of `secrets`. */
  externalOf(reference: string): string;
}

export interface Discovery {
  tenants: FoundTenant[];
  /** Services of other names, which are nobody's tenants: `NAME in REGION`. */
  others: string[];
  /** Regions that this project has no access to, with Cloud Run's words. */
  skipped: { region: string; message: string }[];
}

/** Throws with Google Cloud's words where something can't be read: half a fleet is not reported as a whole one. */
export async function discover(
  call: GcpCall,
  project: string,
  regions: string[],
  runtime: Runtime,
): Promise<Discovery> {
  const patient = patiently(call, runtime);
  const reads = createReads(patient);
  const { services, skipped } = await readServices(patient, project, regions);
  const isTenants = ({ name }: ObservedService) => part(name, 'services').startsWith(PREFIX);
  const others = services
    .filter(service => !isTenants(service))
    .map(({ name, region }) => `${part(name, 'services')} in ${region}`);
  const named = services.filter(isTenants);
  if (named.length === 0) return { tenants: [], others, skipped };
  const secrets = await readSecrets(patient, reads, project);
  const tenants = await each(named, service => readFoundTenant(reads, project, secrets, service));
  return { tenants: tenants.sort((a, b) => (a.service.name < b.service.name ? -1 : 1)), others, skipped };
}

/** All Cloud Run services of the project, in the regions that are named or in all. */
async function readServices(
  call: GcpCall,
  project: string,
  regions: string[],
): Promise<{ services: ObservedService[]; skipped: Discovery['skipped'] }> {
  const skipped: Discovery['skipped'] = [];
  const perRegion = await each(regions.length > 0 ? regions : REGIONS, async region => {
    const listed = await list(call, rpc.listServices, `projects/${project}/locations/${region}`, 'services', 100);
    if (listed.ok) return listed.items.flatMap(item => parseService(item) ?? []);
    // Not every project may use every region. A region that was asked for by name must be readable.
    if (regions.length > 0 || !isRegionMissing(listed.message)) throw new Error(`region ${region}: ${listed.message}`);
    skipped.push({ region, message: listed.message });
    return [];
  });
  return { services: perRegion.flat(), skipped };
}

interface ProjectSecrets {
  /** The project's own secrets, each with its IAM policy. */
  own: FoundSecret[];
  externalOf: FoundTenant['externalOf'];
}

async function readSecrets(call: GcpCall, reads: Reads, project: string): Promise<ProjectSecrets> {
  const listed = await list(call, rpc.listSecrets, `projects/${project}`, 'secrets', 1000);
  if (!listed.ok) throw new Error(`secrets of project ${project}: ${listed.message}`);
  const own = await each(
    listed.items.flatMap(item => parseSecret(item) ?? []),
    async value => withPolicy(reads, part(value.name, 'secrets'), { state: 'present', value }),
  );
  // Secret Manager answers with the project's number, and a template may name the project either way.
  const number = own[0]?.secret.state === 'present' ? part(own[0].secret.value.name, 'projects') : undefined;
  return {
    own,
    externalOf(reference) {
      const name = secretName(reference, project);
      return [project, number].includes(part(name, 'projects')) ? part(name, 'secrets') : name;
    },
  };
}

async function withPolicy(reads: Reads, external: string, secret: Read<ObservedSecret>): Promise<FoundSecret> {
  if (secret.state !== 'present') return { external, secret };
  const policy = await reads.secretPolicy(secret.value.name);
  return policy.state === 'present' ? { external, secret, policy: policy.value } : { external, secret };
}

/** What belongs to one service: its account, its callers and the secrets of other projects that it reads. */
async function readFoundTenant(
  reads: Reads,
  project: string,
  { own, externalOf }: ProjectSecrets,
  service: ObservedService,
): Promise<FoundTenant> {
  const name = part(service.name, 'services').slice(PREFIX.length);
  const email = serviceAccountEmail(serviceAccountId(name), project);
  const foreign = new Set(
    secretReferences(service.template)
      .map(externalOf)
      .filter(external => external.startsWith('projects/')),
  );
  const [account, invokers, others] = await Promise.all([
    reads.account(project, email),
    reads.servicePolicy(service.name),
    each([...foreign], async external => withPolicy(reads, external, await reads.secret(external))),
  ]);
  // An account that does not exist may be answered with 403, and one whose id is impossible with 400: it is not there.
  if (account.state === 'failed' && account.failure.kind !== 'Propagating' && account.failure.kind !== 'Invalid') {
    throw new Error(`service account ${email}: ${forReaders(explained(account.failure))}`);
  }
  if (invokers.state === 'failed')
    throw new Error(`callers of ${service.name}: ${forReaders(explained(invokers.failure))}`);
  return {
    name,
    project,
    service,
    invokers: invokers.state === 'present' ? invokers.value : { bindings: [] },
    email,
    account,
    secrets: [...own, ...others],
    externalOf,
  };
}

/** What Cloud Run answers for a location that does not exist or that the project may not use. */
const isRegionMissing = (message: string): boolean => /locations?\b/i.test(message);

type Listed = { ok: true; items: JsonObject[] } | { ok: false; message: string };

async function list(call: GcpCall, method: string, parent: string, field: string, pageSize: number): Promise<Listed> {
  const items: JsonObject[] = [];
  let pageToken: string | undefined;
  do {
    const request = { parent, pageSize, pageToken };
    const result = await call(method, request);
    if (!result.ok) return { ok: false, message: forReaders(explained(failureOf(method, result.status, request))) };
    items.push(...objects(result.response[field]));
    pageToken = filled(result.response.nextPageToken);
  } while (pageToken !== undefined);
  return { ok: true, items };
}
