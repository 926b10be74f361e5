import { open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Json, JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { keyOf } from '../../ports/kubeResources.ts';
import type { GcpCore } from '../gcp/core.ts';
import type { KeyPicture, RevisionPicture, ServicePicture, TenantPicture } from './contract.ts';
import { conditionsOf } from './watchTenants.ts';

export const SECRETS = 'google.cloud.secretmanager.v1.SecretManagerService';
export const RUN = 'google.cloud.run.v2';
const IAM = 'google.iam.admin.v1.IAM';
/** The label by which a secret's owner lets a namespace use it (docs/concepts.md). */
export const CONSENT_LABEL = 'ai-tenant-namespace';
const ACCESSOR = 'roles/secretmanager.secretAccessor';
/** How much of a log is read, in bytes, and how much of it is shown, in lines. */
const LOG_BYTES = 64 * 1024;
const LOG_LINES = 20;

/** An AiTenant as the console reads it. A field may be absent, because the operator may not have written the status yet. */
interface TenantObject extends KubeObject {
  spec?: {
    region?: string;
    image?: string;
    keys?: { name: string; env?: string; secretRef?: { external?: string } }[];
    scaling?: { minInstances?: number; maxInstances?: number };
  };
  status?: {
    projectId?: string;
    region?: string;
    serviceAccountEmail?: string;
    url?: string;
    keys?: { name: string; secret?: string; version?: string }[];
  };
}

/** Makes a call to the local Google Cloud past its faults and quotas. Returns undefined if the call fails. */
async function see(core: GcpCore, method: string, request: JsonObject): Promise<JsonObject | undefined> {
  const result = await core.invoke(method, request, { caller: {}, internal: true });
  return result.ok ? result.response : undefined;
}

const lastPart = (path: Json | undefined): string =>
  String(path ?? '')
    .split('/')
    .pop() ?? '';

/** Reads one tenant's resources from Google Cloud. Resolves without `broken` and `moments`, which breakers and watch know. */
export async function pictureOf(
  { core, project: ownProject, operatorLog }: { core: GcpCore; project: string; operatorLog: string },
  tenant: TenantObject,
): Promise<Omit<TenantPicture, 'broken' | 'moments'>> {
  const { spec = {}, status = {}, metadata } = tenant;
  const { name, namespace = '' } = metadata;
  const project = status.projectId ?? ownProject;
  const email = status.serviceAccountEmail ?? `sa-${name}@${project}.iam.gserviceaccount.com`;
  const region = status.region ?? spec.region ?? '-';
  const path = `projects/${project}/locations/${region}/services/ai-platform-${name}`;
  const [account, service, ...keys] = await Promise.all([
    see(core, `${IAM}.GetServiceAccount`, { name: `projects/${project}/serviceAccounts/${email}` }),
    see(core, `${RUN}.Services.GetService`, { name: path }),
    ...(spec.keys ?? []).map(({ name, env, secretRef }) => {
      const { secret, version } = status.keys?.find(key => key.name === name) ?? {};
      const { external = '' } = secretRef ?? {};
      const given = external.includes('/') ? external : `projects/${project}/secrets/${external}`;
      return keyPicture(core, { name, env, path: secret ?? given, live: version }, namespace, email);
    }),
  ]);
  const listed = service && (await see(core, `${RUN}.Revisions.ListRevisions`, { parent: path }));
  const revisions = ((listed?.revisions ?? []) as JsonObject[]).sort((a, b) =>
    String(a.name) < String(b.name) ? 1 : -1,
  );
  const key = keyOf(metadata);
  const instanceLog = String(revisions[0]?.logUri ?? '');
  const [operator, instance] = await Promise.all([
    tail(operatorLog, line => line.includes(`"tenant":${JSON.stringify(key)}`)),
    instanceLog.startsWith('file:') ? tail(fileURLToPath(instanceLog), () => true) : '',
  ]);
  const { minInstances = 0, maxInstances = 0 } = spec.scaling ?? {};
  return {
    key,
    wanted: { minInstances, maxInstances, image: spec.image },
    conditions: conditionsOf(tenant),
    account: { email, exists: account !== undefined && account.disabled !== true },
    keys,
    service: service && servicePicture(service, revisions, region),
    hasServed: status.url !== undefined,
    logs: { operator, service: instance },
  };
}

async function keyPicture(
  core: GcpCore,
  key: Pick<KeyPicture, 'name' | 'env' | 'path' | 'live'>,
  namespace: string,
  email: string,
): Promise<KeyPicture> {
  const { path } = key;
  const [secret, listed, policy] = await Promise.all([
    see(core, `${SECRETS}.GetSecret`, { name: path }),
    see(core, `${SECRETS}.ListSecretVersions`, { parent: path }),
    see(core, `${SECRETS}.GetIamPolicy`, { resource: path }),
  ]);
  const bindings = (policy?.bindings ?? []) as { role: string; members: string[] }[];
  return {
    ...key,
    secret: lastPart(path),
    exists: secret !== undefined,
    versions: ((listed?.versions ?? []) as JsonObject[]).map(({ name, state }) => ({
      number: lastPart(name),
      state: String(state),
    })),
    consents: (secret?.labels as JsonObject | undefined)?.[CONSENT_LABEL] === namespace,
    granted: bindings.some(({ role, members }) => role === ACCESSOR && members.includes(`serviceAccount:${email}`)),
  };
}

function servicePicture(service: JsonObject, revisions: JsonObject[], region: string): ServicePicture {
  const latest = lastPart(service.latestReadyRevision);
  const scaling = (service.scaling ?? {}) as { minInstanceCount?: number; maxInstanceCount?: number };
  const percents = new Map<string, number>();
  for (const { revision, percent = 0 } of (service.trafficStatuses ?? []) as {
    revision?: string;
    percent?: number;
  }[]) {
    const name = lastPart(revision) || latest;
    percents.set(name, (percents.get(name) ?? 0) + percent);
  }
  const picture = ({ name, containers, conditions }: JsonObject): RevisionPicture => {
    const [container] = containers as JsonObject[];
    const ready = ((conditions ?? []) as JsonObject[]).find(({ type }) => type === 'Ready')?.state;
    return {
      name: lastPart(name),
      image: String(container?.image),
      state: ready === 'CONDITION_SUCCEEDED' ? 'ready' : ready === 'CONDITION_FAILED' ? 'failed' : 'starting',
      percent: percents.get(lastPart(name)) ?? 0,
    };
  };
  const path = String(service.name);
  return {
    path,
    name: lastPart(path),
    region,
    url: String(service.uri ?? ''),
    isPublic: service.invokerIamDisabled === true,
    minInstances: scaling.minInstanceCount ?? 0,
    maxInstances: scaling.maxInstanceCount ?? 0,
    revisions: revisions.map(picture),
  };
}

/** The last lines of a log of which `isWanted` is true; an empty text if the log cannot be read. */
async function tail(file: string, isWanted: (line: string) => boolean): Promise<string> {
  try {
    await using log = await open(file);
    const { size } = await log.stat();
    const from = Math.max(0, size - LOG_BYTES);
    const { buffer, bytesRead } = await log.read(Buffer.alloc(LOG_BYTES), 0, LOG_BYTES, from);
    const lines = buffer.toString('utf8', 0, bytesRead).trimEnd().split('\n');
    // The first line may have been cut.
    return (from > 0 ? lines.slice(1) : lines).filter(isWanted).slice(-LOG_LINES).join('\n');
  } catch {
    return '';
  }
}
