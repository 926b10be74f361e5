import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { entriesOfType } from '../../operator/tenant/inventory.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS } from '../../ports/kubeResources.ts';
import { createWorld, IAM, must, PROJECT, RUN, SECRETS, until, type World } from './support/world.ts';

/**
 * A hundred tenants as version 0.1 left them, ten of each state, under the present operator. What 0.1's own code left is
 * recorded in fixtures/upgrade-0.1/tenants.json (record.ts there made it); here it is multiplied under other names.
 */

vi.setConfig({ testTimeout: 240_000, hookTimeout: 60_000 });

interface Recorded extends JsonObject {
  metadata: JsonObject & { name: string; generation: number; deletionTimestamp?: string };
  spec: JsonObject;
  status: JsonObject;
  account: { uniqueId: string; email: string; displayName: string; description: string };
  grants: string[];
  services: { service: JsonObject & { name: string; latestReadyRevision?: string }; bindings: JsonObject[] }[];
}

const { recordedAt, tenants: STATES } = JSON.parse(
  readFileSync(new URL('fixtures/upgrade-0.1/tenants.json', import.meta.url), 'utf8'),
) as { recordedAt: number; tenants: Recorded[] };
const OF_EACH_STATE = 10;
/** The tenants were made half an hour ago: their last create calls are settled, and no grace of a move is over yet. */
const AGE_MS = 1_800_000;
const OLD = 'asia-northeast1';
const NEW = 'us-central1';

/** What the contract asks for in each state, as the writes of one tenant; everything that is not here writes nothing. */
const WRITES: Record<string, (name: string) => string[]> = {
  'tt-stripped': name => [`UpdateService ${serviceOf(name, OLD)}`],
  'tt-deleting': name => [
    `DeleteService ${serviceOf(name, OLD)}`,
    ...['backup-key', 'standby-key', 'tenant-a-openai-key'].map(id => `SetIamPolicy ${secretOf(id)}`),
    `DeleteServiceAccount ${name}`,
  ],
  'tt-half-deleted': name => [`DeleteServiceAccount ${name}`],
};

const serviceOf = (name: string, region: string) =>
  `projects/${PROJECT}/locations/${region}/services/ai-platform-${name}`;
const secretOf = (id: string) => `projects/123456789012/secrets/${id}`;

let world: World;
beforeEach(async () => {
  world = await createWorld({ accountsPerProject: 200 });
  await world.operator.stop();
});
afterEach(() => world.close());

/** The recorded tenant under another name, its times moved to the present. */
function named(recorded: Recorded, name: string): Recorded {
  const shift = Date.now() - AGE_MS - recordedAt;
  return JSON.parse(
    JSON.stringify(recorded)
      .replaceAll(recorded.metadata.name, name)
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, time => {
        const moved = new Date(Date.parse(time) + shift).toISOString();
        return time.includes('.') ? moved : moved.replace(/\.\d+Z$/, 'Z');
      }),
  ) as Recorded;
}

/** Makes the service account, and answers its unique id: a new one. */
async function makeAccount({ account }: Recorded): Promise<string> {
  const made = await world.must(`${IAM}.CreateServiceAccount`, {
    name: `projects/${PROJECT}`,
    accountId: account.email.split('@')[0] ?? '',
    serviceAccount: { displayName: account.displayName, description: account.description },
  });
  return String(made.uniqueId);
}

/** Makes the services, and answers the names of their revisions, old to new. */
async function makeServices({ services }: Recorded): Promise<Map<string, string>> {
  const renamed = new Map<string, string>();
  for (const { service, bindings } of services) {
    const [parent = '', serviceId = ''] = service.name.split('/services/');
    const { labels, template, scaling, invokerIamDisabled, ingress, launchStage, traffic } = service;
    const given = { labels, template, scaling, invokerIamDisabled, ingress, launchStage, traffic };
    await world.must(`${RUN}.CreateService`, { parent, serviceId, service: given as JsonObject });
    if (bindings.length > 0) {
      await world.must(`${RUN}.SetIamPolicy`, { resource: service.name, policy: { bindings } });
    }
    const ready = await until(
      async () => {
        const found = await world.must(`${RUN}.GetService`, { name: service.name });
        return found.latestReadyRevision ? found : undefined;
      },
      () => `${service.name} to be ready`,
    );
    const before = service.latestReadyRevision?.split('/').at(-1);
    if (before) renamed.set(before, String(ready.latestReadyRevision).split('/').at(-1) ?? '');
  }
  return renamed;
}

/** Puts the AiTenant into the cluster, with its status as 0.1 wrote it. */
async function inCluster({ metadata, spec, status }: Recorded, renamed: Map<string, string>): Promise<void> {
  const { name, namespace, finalizers } = metadata;
  const object = { ...AI_TENANT, metadata: { name, namespace, finalizers }, spec } as unknown as KubeObject;
  const created = await must(world.kube.create(AI_TENANTS, 'default', object));
  const generation = created.metadata.generation ?? 1;
  // Of the spec's generation: as far behind as it was.
  const behind = metadata.generation - generation;
  let text = JSON.stringify(status);
  for (const [from, to] of renamed) text = text.replaceAll(from, to);
  text = text.replace(/"observedGeneration":(\d+)/g, (_, seen) => `"observedGeneration":${Number(seen) - behind}`);
  const patch = { status: JSON.parse(text) as JsonObject };
  await must(world.kube.patch(AI_TENANTS, 'default', name, patch, { subresource: 'status' }));
  if (metadata.deletionTimestamp) await world.remove(name);
}
const AI_TENANT = { apiVersion: 'ai-platform.dev/v1alpha1', kind: 'AiTenant' };

async function grantAll(tenants: Recorded[]): Promise<void> {
  for (const id of new Set(tenants.flatMap(({ grants }) => grants))) {
    const members = tenants.filter(({ grants }) => grants.includes(id)).map(({ account }) => account.email);
    const binding = {
      role: 'roles/secretmanager.secretAccessor',
      members: members.map(email => `serviceAccount:${email}`),
    };
    const policy = { bindings: [binding] };
    await world.must(`${SECRETS}.SetIamPolicy`, { resource: `projects/${PROJECT}/secrets/${id}`, policy });
  }
}

interface Upgraded {
  name: string;
  state: string;
  recorded: Recorded;
}

async function upgraded(): Promise<Upgraded[]> {
  const all = STATES.flatMap(recorded =>
    Array.from({ length: OF_EACH_STATE }, (_, at) => {
      const state = recorded.metadata.name;
      const name = at === 0 ? state : `${state}-${at}`;
      return { name, state, recorded: named(recorded, name) };
    }),
  );
  const secrets = new Set(all.flatMap(({ recorded }) => recorded.grants));
  for (const id of secrets) await world.secret(id);
  const uniqueIds = new Map<string, string>();
  for (const { name, recorded } of all) uniqueIds.set(name, await makeAccount(recorded));
  // A revision that may not read its key does not come up.
  await grantAll(all.map(({ recorded }) => recorded));
  for (const { name, recorded } of all) {
    const renamed = await makeServices(recorded);
    await inCluster(recorded, renamed.set(recorded.account.uniqueId, uniqueIds.get(name) ?? ''));
  }
  world.forget();
  return all;
}

/** The log's writes of each tenant; a policy of a secret is the tenant's whose member it gains or loses. */
function writesByTenant(all: Upgraded[], uniqueIds: Map<string, string>): Map<string, string[]> {
  const byTenant = new Map<string, string[]>();
  for (const { method, kind, code, resource, request } of world.gcpCore.requestLog) {
    // Ten tenants take their grants off one secret: a stale etag is refused, and the policy is read and written again.
    if (kind !== 'write' || (code === 'ABORTED' && resource.includes('/secrets/'))) continue;
    const verb = method.split('.').at(-1);
    const uniqueId = resource.split('/serviceAccounts/')[1];
    const byId = uniqueId && uniqueIds.get(uniqueId);
    const service = /\/services\/ai-platform-([^/]+)$/.exec(resource)?.[1];
    const owner = byId ?? service ?? (verb === 'SetIamPolicy' ? 'secrets' : JSON.stringify(request));
    const line = byId ? `${verb} ${byId}` : `${verb} ${resource}`;
    byTenant.set(owner, [...(byTenant.get(owner) ?? []), line]);
  }
  expect([...byTenant.keys()].filter(owner => owner !== 'secrets' && !all.some(({ name }) => name === owner))).toEqual(
    [],
  );
  return byTenant;
}

async function generations(all: Upgraded[]): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>();
  for (const { name } of all) {
    for (const region of [OLD, NEW]) {
      const service = await world.service(name, region);
      if (service) found.set(serviceOf(name, region), service.latestCreatedRevision);
    }
  }
  return found;
}

test('nothing is written but what the contract asks for, no revision is made, and nobody is refused', async () => {
  const all = await upgraded();
  const uniqueIds = new Map<string, string>();
  for (const { name } of all) uniqueIds.set(String((await world.account(name))?.uniqueId), name);
  const revisions = await generations(all);

  await world.restart();
  const living = all.filter(({ recorded }) => !recorded.metadata.deletionTimestamp);
  for (const { name, state } of living) {
    if (state !== 'tt-suspended') await world.check(name);
  }
  for (const { name, recorded } of all) if (recorded.metadata.deletionTimestamp) await world.gone(name);
  for (const { name, state } of living) {
    if (state === 'tt-suspended') await world.reason(name, 'Suspended');
    else await world.ready(name);
  }

  const written = writesByTenant(all, uniqueIds);
  const ofSecrets = written.get('secrets') ?? [];
  const wanted = all.map(({ name, state }) => [name, WRITES[state]?.(name) ?? []] as const);
  for (const [name, lines] of wanted) {
    const own = lines.filter(line => !line.startsWith('SetIamPolicy'));
    expect([name, written.get(name) ?? []]).toEqual([name, own]);
  }
  const asked = wanted.flatMap(([, lines]) => lines.filter(line => line.startsWith('SetIamPolicy')));
  expect(ofSecrets.toSorted()).toEqual(asked.toSorted());

  const now = await generations(all);
  for (const [service, revision] of now) expect([service, revision]).toEqual([service, revisions.get(service)]);
  expect(revisions.size - now.size).toBe(OF_EACH_STATE);
  const events = await Promise.all(living.map(({ name }) => world.events(name)));
  expect(events.flat().filter(event => event.includes('ManagementConflict'))).toEqual([]);

  // And after that, nothing at all.
  world.forget();
  for (const { name, state } of living) if (state !== 'tt-suspended') await world.check(name);
  expect(world.writes()).toEqual([]);
  for (const { name, state } of living) {
    if (state === 'tt-suspended') continue;
    const inventory = (await world.tenant(name))?.status?.inventory ?? [];
    expect(entriesOfType('ServiceAccount', inventory).some(({ uniqueId }) => uniqueId !== undefined)).toBe(true);
  }
});
