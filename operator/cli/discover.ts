import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { failureOf } from '../gcp/errors.ts';
import { rpc } from '../gcp/methods.ts';
import { filled, objects } from '../gcp/parse.ts';
import { createReads } from '../gcp/reads.ts';
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
  const skipped: Discovery['skipped'] = [];
  const perRegion = await each(regions.length > 0 ? regions : REGIONS, async region => {
    const listed = await list(patient, rpc.listServices, `projects/${project}/locations/${region}`, 'services', 100);
    if (listed.ok) return listed.items.flatMap(item => parseService(item) ?? []);
    // Not every project has every region; one that was asked for by name has to be there.
    if (regions.length > 0 || !isRegionMissing(listed.message)) throw new Error(`region ${region}: ${listed.message}`);
    skipped.push({ region, message: listed.message });
    return [];
  });
  const isTenants = ({ name }: ObservedService) => part(name, 'services').startsWith(PREFIX);
  const services = perRegion.flat().filter(isTenants);
  const others = perRegion
    .flat()
    .filter(service => !isTenants(service))
    .map(({ name, region }) => `${part(name, 'services')} in ${region}`);
  if (services.length === 0) return { tenants: [], others, skipped };

  const listed = await list(patient, rpc.listSecrets, `projects/${project}`, 'secrets', 1000);
  if (!listed.ok) throw new Error(`secrets of project ${project}: ${listed.message}`);
  const own = await each(
    listed.items.flatMap(item => parseSecret(item) ?? []),
    async value => withPolicy(part(value.name, 'secrets'), { state: 'present', value }),
  );
  const number = own[0]?.secret.state === 'present' ? part(own[0].secret.value.name, 'projects') : undefined;
  const externalOf = (reference: string): string => {
    const name = secretName(reference, project);
    return [project, number].includes(part(name, 'projects')) ? part(name, 'secrets') : name;
  };

  async function withPolicy(external: string, secret: Read<ObservedSecret>): Promise<FoundSecret> {
    if (secret.state !== 'present') return { external, secret };
    const policy = await reads.secretPolicy(secret.value.name);
    return policy.state === 'present' ? { external, secret, policy: policy.value } : { external, secret };
  }

  const tenants = await each(services, async (service): Promise<FoundTenant> => {
    const name = part(service.name, 'services').slice(PREFIX.length);
    const email = serviceAccountEmail(serviceAccountId(name), project);
    const foreign = [...new Set(secretReferences(service.template).map(externalOf))].filter(external =>
      external.startsWith('projects/'),
    );
    const [account, invokers, others] = await Promise.all([
      reads.account(project, email),
      reads.servicePolicy(service.name),
      each(foreign, async external => withPolicy(external, await reads.secret(external))),
    ]);
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
  });
  return { tenants: tenants.sort((a, b) => (a.service.name < b.service.name ? -1 : 1)), others, skipped };
}

/** What Cloud Run answers for a location that does not exist or that the project may not use. */
const isRegionMissing = (message: string): boolean => /locations?\b/i.test(message);

type Listed = { ok: true; items: JsonObject[] } | { ok: false; message: string };

async function list(call: GcpCall, method: string, parent: string, field: string, pageSize: number): Promise<Listed> {
  const items: JsonObject[] = [];
  let pageToken: string | undefined;
  do {
    const result = await call(method, { parent, pageSize, pageToken });
    if (!result.ok) return { ok: false, message: forReaders(explained(failureOf(method, result.status))) };
    items.push(...objects(result.response[field]));
    pageToken = filled(result.response.nextPageToken);
  } while (pageToken !== undefined);
  return { ok: true, items };
}
