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
import { accountName, part, secretName, serviceAccountEmail, serviceAccountId } from '../tenant/names.ts';
import { REGIONS } from '../tenant/regions.ts';
import { secretReferences } from '../tenant/template.ts';
import type { ObservedAccount, ObservedSecret, ObservedService, Policy, Read } from '../tenant/types.ts';
import { each, patiently } from './patience.ts';
import { forImporters } from './readersWords.ts';

/**
 * Reads the tenants that were created by hand, as the manual describes it: the Cloud Run services called `ai-platform-*`, and the
 * account, the callers and the secrets of each.
 */

const PREFIX = 'ai-platform-';

export interface FoundSecret {
  /** The value for `secretRef.external`: the bare ID for a secret of the tenant's project, else `projects/P/secrets/S`. */
  external: string;
  secret: Read<ObservedSecret>;
  policy?: Policy;
}

/** A service that was created by hand, with all other resources that make up its tenant. */
export interface FoundTenant {
  /** The tenant's name: the service's name without `ai-platform-`. */
  name: string;
  project: string;
  service: ObservedService;
  /** The IAM policy of the service. */
  invokers: Policy;
  /** E-mail of the account that the operator would use, `sa-NAME`. */
  email: string;
  account: Read<ObservedAccount>;
  /** Every secret of the project, and those of other projects that the service reads. */
  secrets: FoundSecret[];
  /** Turns a secret reference of a template into the `external` of `FoundSecret`. */
  externalOf(reference: string): string;
}

export interface Discovery {
  tenants: FoundTenant[];
  /** Services with other names, which cannot be tenants, as `NAME in REGION`. */
  others: string[];
  /** Regions that this project may not use, each with Cloud Run's message. */
  skipped: { region: string; message: string }[];
}

/** Throws with Google Cloud's message if something cannot be read, because an incomplete list would look like a complete one. */
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

/** All Cloud Run services of the project in these regions. Without regions: in every region. */
async function readServices(
  call: GcpCall,
  project: string,
  regions: string[],
): Promise<{ services: ObservedService[]; skipped: Discovery['skipped'] }> {
  const skipped: Discovery['skipped'] = [];
  const perRegion = await each(regions.length > 0 ? regions : REGIONS, async region => {
    const listed = await list(call, rpc.listServices, `projects/${project}/locations/${region}`, 'services', 100);
    if (listed.ok) return listed.items.flatMap(item => parseService(item) ?? []);
    // Some projects may not use every region, so such a region is skipped. It is an error if the user named the region.
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
  // Secret Manager's answers name the project by its number. A template may use the ID or the number.
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

/** Reads the account and the callers of one service, and the secrets of other projects that the service uses. */
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
    reads.account(accountName(project, email)),
    reads.servicePolicy(service.name),
    each([...foreign], async external => withPolicy(reads, external, await reads.secret(external))),
  ]);
  // For an account that does not exist, IAM may answer 403, and 400 if its ID is not valid. Neither is an error here.
  if (account.state === 'failed' && account.failure.kind !== 'Propagating' && account.failure.kind !== 'Invalid') {
    throw new Error(`service account ${email}: ${forImporters(explained(account.failure))}`);
  }
  if (invokers.state === 'failed')
    throw new Error(`callers of ${service.name}: ${forImporters(explained(invokers.failure))}`);
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

/** Whether Cloud Run's message says that the region does not exist or that the project may not use it. */
const isRegionMissing = (message: string): boolean => /locations?\b/i.test(message);

type Listed = { ok: true; items: JsonObject[] } | { ok: false; message: string };

async function list(call: GcpCall, method: string, parent: string, field: string, pageSize: number): Promise<Listed> {
  const items: JsonObject[] = [];
  let pageToken: string | undefined;
  do {
    const request = { parent, pageSize, pageToken };
    const result = await call(method, request);
    if (!result.ok) return { ok: false, message: forImporters(explained(failureOf(method, result.status, request))) };
    items.push(...objects(result.response[field]));
    pageToken = filled(result.response.nextPageToken);
  } while (pageToken !== undefined);
  return { ok: true, items };
}
