import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import { must } from '../cluster.ts';
import { Failure, poll, type Step } from '../progress.ts';
import { GOOD_KEY, PROJECT, type World } from '../world.ts';
import { readBack } from './readBack.ts';
import { rest } from './rest.ts';

export const TENANT = 'tenant-a';
const NAMESPACE = 'default';
const SECRET = 'tenant-a-openai-key';
const READY_MS = 25_000;
const CALL_MS = 15_000;

/**
 * What a person would do by hand for a first tenant: a secret, `kubectl apply`, waiting, looking, calling. Answers the
 * tenant's URL; throws `Failure` at the first step that does not go as it should.
 */
export async function demonstrate(world: World, step: Step, print: (line: string) => void): Promise<string> {
  const example = new URL('../../examples/tenant-a.yaml', import.meta.url);
  const tenant = parse(await readFile(example, 'utf8')) as KubeObject;

  await step(`Secret Manager holds ${SECRET}, which the namespace ${NAMESPACE} may use, in version 1`, () =>
    seedSecret(world.cloudUrl),
  );
  await step('applied examples/tenant-a.yaml', () => apply(world, tenant));
  const status = await step(
    ({ url, latestReadyRevision }) => `aitenant/${TENANT} is Ready: ${latestReadyRevision} serves at ${url}`,
    () => untilReady(world, TENANT),
  );
  const url = status.url ?? '';
  const rows = await step('read back from Google Cloud:', () => readBack(world.cloudUrl));
  for (const { what, is } of rows) print(`      ${what.padEnd(17)}${is}`);
  for (const { what, is, should } of rows) {
    if (is !== should)
      throw new Failure(`Google Cloud has another ${what} than the manual says: ${is}, not ${should}.`);
  }
  await step(
    body => `GET ${url}/health answered ${body}`,
    () => call(`${url}/health`, undefined, body => body.status === 'ok'),
  );
  await step(
    body => `POST ${url}/chat {"message":"Hello"} answered ${body}`,
    () => call(`${url}/chat`, { message: 'Hello' }, body => typeof body.response === 'string'),
  );
  return url;
}

async function seedSecret(cloudUrl: string): Promise<void> {
  const parent = `v1/projects/${PROJECT.id}/secrets`;
  const secret = { replication: { automatic: {} }, labels: { 'ai-tenant-namespace': NAMESPACE } };
  await rest(cloudUrl, 'POST', `${parent}?secretId=${SECRET}`, secret);
  const data = Buffer.from(`${GOOD_KEY}tenant-a`).toString('base64');
  await rest(cloudUrl, 'POST', `${parent}/${SECRET}:addVersion`, { payload: { data } });
}

/** As `kubectl apply` would: create it, or bring it to what the file says. */
async function apply({ kube }: World, tenant: KubeObject): Promise<void> {
  const { name } = tenant.metadata;
  const found = await kube.get(AI_TENANTS, NAMESPACE, name);
  await must(
    `apply aitenant/${name}`,
    found.ok
      ? kube.patch(AI_TENANTS, NAMESPACE, name, { spec: tenant.spec as never })
      : kube.create(AI_TENANTS, NAMESPACE, tenant),
  );
}

/** The fields of an AiTenant's status that the demonstration reads. */
interface ShownStatus {
  url?: string;
  latestReadyRevision?: string;
  conditions?: { type: string; status: string; reason: string; message: string; observedGeneration?: number }[];
}

async function untilReady({ kube }: World, name: string): Promise<ShownStatus> {
  let last = 'the operator has not written a status';
  return poll(
    async () => {
      const { metadata, status } = (await must(`read aitenant/${name}`, kube.get(AI_TENANTS, NAMESPACE, name))) as {
        metadata: KubeObject['metadata'];
        status?: ShownStatus;
      };
      const ready = status?.conditions?.find(({ type }) => type === 'Ready');
      if (ready) last = `${ready.reason}: ${ready.message}`;
      return ready?.status === 'True' && ready.observedGeneration === metadata.generation ? status : undefined;
    },
    READY_MS,
    () => new Failure(`aitenant/${name} is not Ready after ${READY_MS / 1000} s. ${last}`),
  );
}

/** Calls the tenant and answers the body as it came, once `isRight` takes it. */
async function call(
  url: string,
  body: object | undefined,
  isRight: (answer: Record<string, unknown>) => boolean,
): Promise<string> {
  const init = body && { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(CALL_MS) }).catch((error: Error) => {
    throw new Failure(`${url} could not be called: ${error.cause ?? error.message}`);
  });
  const text = (await response.text()).trim();
  let right = false;
  try {
    right = response.ok && isRight(JSON.parse(text));
  } catch {
    // Not JSON: not right.
  }
  if (!right) throw new Failure(`${url} answered ${response.status} ${text.slice(0, 500)}`);
  return text;
}

/** Takes the demonstration's tenant away again, if it is there; resolves once the operator has cleaned up after it. */
export async function takeAway({ kube }: World): Promise<void> {
  const name = TENANT;
  if (!(await kube.delete(AI_TENANTS, NAMESPACE, name)).ok) return;
  await poll(
    async () => ((await kube.get(AI_TENANTS, NAMESPACE, name)).ok ? undefined : true),
    15_000,
    () => new Failure(`aitenant/${name} is still there after 15 s: kubectl describe aitenant ${name} says why.`),
  );
}
