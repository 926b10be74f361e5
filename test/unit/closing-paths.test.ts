import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { createEventRecorder } from '../../operator/kube/eventRecorder.ts';
import { createStore } from '../../operator/kube/store.ts';
import { createReconciler } from '../../operator/reconcile/reconciler.ts';
import { PUBLIC_MEMBERS, RUN_INVOKER } from '../../operator/tenant/policy.ts';
import type { Policy, Settings, TenantStatus } from '../../operator/tenant/types.ts';
import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi, KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES } from '../../ports/kubeResources.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { scriptedContainers } from '../../sandbox/gcp/run/scriptedContainers.ts';
import { createKubeCore } from '../../sandbox/kube/index.ts';
import { createClock, createRandom } from '../sim/clock.ts';

/**
 * A tenant whose spec says less open than its services are gets the closing writes in the very same reconcile, whatever else
 * is in the way (rule 6). What the contract excepts: who may not be acted as, a value of the spec that is not known, a
 * conflict, and what itself could not be read.
 */

const PROJECT = 'demo-project';
const NUMBER = '123456789012';
const KEY = 'default/tenant-a';
const HOME = 'asia-northeast1';
const AWAY = 'us-central1';
const FIRST = 'europe-west1';
const SECRETS = 'google.cloud.secretmanager.v1.SecretManagerService';
const RUN = 'google.cloud.run.v2.Services';
const IAM = 'google.iam.admin.v1.IAM';
const MEMBER = `serviceAccount:sa-tenant-a@${PROJECT}.iam.gserviceaccount.com`;
const ACTOR = `operator-default@${PROJECT}.iam.gserviceaccount.com`;
const AS = 'ai-platform.dev/impersonate-service-account';
const IN = 'ai-platform.dev/project-id';
const [ANN, BOB] = ['user:ann@example.com', 'user:bob@example.com'];
const serviceIn = (region: string) => `projects/${PROJECT}/locations/${region}/services/ai-platform-tenant-a`;

/** What the spec or a secret's owner closes. */
interface Closing {
  access: boolean;
  caller: boolean;
  consent: boolean;
  key: boolean;
}
/** What the tenant is like before that. */
interface State {
  isImpersonated: boolean;
  /** It has moved, and the former service stays for a while, or is due. */
  former: 'none' | 'stays' | 'due' | 'two';
  isPublic: boolean;
  /** Somebody has changed the template. */
  drifted: boolean;
  /** Which services somebody has opened to everybody: the oldest one, or all. */
  opened: 'none' | 'one' | 'all';
}

/** Where it has services, the newest first. */
const regionsOf = ({ former }: State): string[] =>
  former === 'none' ? [HOME] : former === 'two' ? [HOME, AWAY, FIRST] : [HOME, AWAY];

const OBSTACLES = [
  'none',
  'no project',
  'another project',
  'project not allowed',
  'project unusable',
  'impersonation required',
  'impersonation not allowed',
  'no finalizer',
  'no namespace',
  'no budget for secrets',
  'no budget for other writes',
  'status refused',
  'account unread',
  'secret unread',
  'secret policy unread',
  'version unread',
  'service unread',
  'service policy unread',
] as const;
type Obstacle = (typeof OBSTACLES)[number];

const often = fc.constantFrom(true, true, false);
const closings: fc.Arbitrary<Closing> = fc.record({ access: often, caller: often, consent: often, key: often });
const states: fc.Arbitrary<State> = fc.record({
  isImpersonated: fc.boolean(),
  former: fc.constantFrom('none', 'stays', 'due', 'two'),
  isPublic: fc.boolean(),
  drifted: fc.boolean(),
  opened: fc.constantFrom('none', 'one', 'all'),
});

async function world(state: State) {
  const clock = createClock(createRandom(1));
  const gcp = createGcpCore({
    runtime: clock,
    projects: [{ id: PROJECT, number: NUMBER }],
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 300 },
    limits: {},
    containers: scriptedContainers(clock, new Map()),
  });
  const core = createKubeCore({ runtime: clock });
  const crd = parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')) as KubeObject;
  await core.api.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, crd);
  const must = async (method: string, request: JsonObject) => {
    const result = await gcp.call(method, request);
    if (!result.ok) throw new Error(`${method}: ${result.status.message}`);
    return result.response;
  };
  const good = async (result: Promise<{ ok: boolean; status?: { message: string } }>) => {
    const answer = await result;
    if (!answer.ok) throw new Error(answer.status?.message);
  };
  for (const secretId of ['main', 'standby', 'leaving']) {
    const labels = { 'ai-tenant-namespace': 'default' };
    const secret = { replication: { automatic: {} }, labels };
    await must(`${SECRETS}.CreateSecret`, { parent: `projects/${PROJECT}`, secretId, secret });
    const payload = { data: Buffer.from('sk').toString('base64') };
    await must(`${SECRETS}.AddSecretVersion`, { parent: `projects/${PROJECT}/secrets/${secretId}`, payload });
  }
  const keys = [
    { name: 'main', secretRef: { external: 'main' }, env: 'OPENAI_API_KEY' },
    { name: 'standby', secretRef: { external: 'standby' } },
    { name: 'leaving', secretRef: { external: 'leaving' } },
  ];
  const access = state.isPublic ? { access: 'Public' } : { access: 'Authenticated', invokers: [ANN, BOB] };
  const annotations = { [IN]: PROJECT, ...(state.isImpersonated && { [AS]: ACTOR }) };
  await core.api.patch(NAMESPACES, undefined, 'default', { metadata: { annotations } });
  await good(
    core.api.create(AI_TENANTS, 'default', {
      apiVersion: 'ai-platform.dev/v1alpha1',
      kind: 'AiTenant',
      metadata: { name: 'tenant-a' },
      spec: { region: regionsOf(state).at(-1) as string, keys, ...access },
    }),
  );

  const [tenants, namespaces] = [createStore(), createStore()];
  const faults: {
    kube?: (what: 'status' | 'object' | 'namespace') => number | undefined;
    gcp?: (method: string, name: string) => boolean;
    /** What somebody does right before a call. */
    before?: (method: string, name: string) => Promise<unknown>;
    /** What the spec has that the API server of this version would not take. */
    spec?: JsonObject;
    budget?: (api: string, kind: string, rank: string) => boolean;
  } = {};
  const refusal = (code: number) => ({ ok: false as const, status: { code, reason: '', message: 'refused' } });
  const kube: KubeApi = {
    ...core.api,
    async get(resource, namespace, name) {
      const code = resource.plural === NAMESPACES.plural ? faults.kube?.('namespace') : undefined;
      return code === undefined ? core.api.get(resource, namespace, name) : refusal(code);
    },
    async patch(resource, namespace, name, patch, how) {
      const code = faults.kube?.(how?.subresource === 'status' ? 'status' : 'object');
      return code === undefined ? core.api.patch(resource, namespace, name, patch, how) : refusal(code);
    },
  };
  const actors = new Set<string | undefined>();
  const writes: string[] = [];
  const call: GcpCall = async (method, request, how) => {
    actors.add(how?.actAs);
    const service = request.service as JsonObject | undefined;
    const name = String(request.resource ?? request.name ?? service?.name ?? request.parent ?? '');
    if (/\.(Create|Update|Patch|Delete|Set)/.test(method)) writes.push(`${method.split('.').at(-1)} ${name}`);
    await faults.before?.(method, name);
    if (faults.gcp?.(method, name)) return { ok: false, status: { code: 'UNAVAILABLE', message: 'no answer' } };
    return gcp.call(method, request);
  };
  const runtime = clock.process(createRandom(2));
  const settings: Settings = {
    projects: [],
    impersonationAccounts: [`operator-NAMESPACE@${PROJECT}.iam.gserviceaccount.com`],
    defaultImage: 'gcr.io/cloudrun/hello',
    claimPolicy: 'labelled',
    clusterId: 'cluster-1',
    regionMoveGraceMs: 3_600_000,
    syncIntervalMs: 600_000,
  };
  const reconcile = createReconciler({
    kube,
    gcp: call,
    runtime,
    settings,
    tenants,
    namespaces,
    connectorSecrets: { get: () => undefined, isSynced: () => true },
    events: createEventRecorder({ api: core.api, runtime, component: 'aitenant-operator', instance: 'test' }),
    quota: {
      claim: ({ needs, rank }) =>
        needs.some(({ api, kind }) => faults.budget?.(api, kind, rank)) ? undefined : { needs, release() {} },
      park: () => () => {},
      alias() {},
    },
    wake() {},
    log() {},
  });

  /** One reconcile of the present state; time passes for the operations that it waits for, not for timers. */
  async function once(priority: 'edit' | 'resync' = 'edit') {
    const tenant = await core.api.get(AI_TENANTS, 'default', 'tenant-a');
    const home = await core.api.get(NAMESPACES, undefined, 'default');
    if (tenant.ok) tenants.set({ ...tenant.value, spec: { ...(tenant.value.spec as JsonObject), ...faults.spec } });
    if (home.ok && !faults.kube?.('namespace')) namespaces.set(home.value);
    else namespaces.delete('default');
    const done = reconcile(KEY, { priority, failures: 0, changes: 0 });
    await clock.advance(0);
    return done;
  }
  const status = async () => {
    const found = await core.api.get(AI_TENANTS, 'default', 'tenant-a');
    return found.ok ? (found.value.status as unknown as TenantStatus) : undefined;
  };
  async function settle() {
    for (let round = 0; round < 12; round++) {
      await once();
      await clock.advance(5_000);
    }
    const ready = (await status())?.conditions.find(({ type }) => type === 'Ready');
    if (ready?.reason !== 'UpToDate') throw new Error(`not at rest: ${ready?.reason} ${ready?.message}`);
  }
  const edit = (spec: JsonObject) => good(core.api.patch(AI_TENANTS, 'default', 'tenant-a', { spec }));
  await settle();
  for (const region of regionsOf(state).reverse().slice(1)) {
    await edit({ region });
    await settle();
  }
  if (state.former === 'due') await clock.advance(3_600_000);
  if (state.drifted) {
    const service = await must(`${RUN}.GetService`, { name: serviceIn(HOME) });
    const template = { ...(service.template as JsonObject), timeout: '7s' };
    await must(`${RUN}.UpdateService`, { service: { ...service, template }, updateMask: 'template' });
    await clock.advance(5_000);
  }
  const regions = regionsOf(state).reverse();
  for (const region of state.opened === 'all' ? regions : state.opened === 'one' ? regions.slice(0, 1) : []) {
    const service = await must(`${RUN}.GetService`, { name: serviceIn(region) });
    const opened = { ...service, invokerIamDisabled: true };
    await must(`${RUN}.UpdateService`, { service: opened, updateMask: 'invokerIamDisabled' });
    const policy = await must(`${RUN}.GetIamPolicy`, { resource: serviceIn(region) });
    const bindings = [...((policy.bindings ?? []) as JsonObject[]), { role: RUN_INVOKER, members: ['allUsers'] }];
    await must(`${RUN}.SetIamPolicy`, { resource: serviceIn(region), policy: { ...policy, bindings } });
    await clock.advance(5_000);
  }
  actors.clear();
  writes.length = 0;

  return {
    core,
    must,
    settings,
    faults,
    actors,
    writes,
    once,
    later: (ms: number) => clock.advance(ms),
    edit,
    access,
    keys,
    async consent(labels: JsonObject) {
      const secret = { name: `projects/${PROJECT}/secrets/standby`, labels };
      await must(`${SECRETS}.UpdateSecret`, { secret, updateMask: 'labels' });
    },
    annotateNamespace: (annotations: Record<string, string | null>) =>
      core.api.patch(NAMESPACES, undefined, 'default', { metadata: { annotations } }),
    async isEdited() {
      const found = await core.api.get(AI_TENANTS, 'default', 'tenant-a');
      return found.ok && found.value.metadata.generation !== (await status())?.observedGeneration;
    },
    async isOpen(region: string) {
      const service = await must(`${RUN}.GetService`, { name: serviceIn(region) });
      return service.invokerIamDisabled === true;
    },
    async callers(region: string) {
      const policy = (await must(`${RUN}.GetIamPolicy`, { resource: serviceIn(region) })) as unknown as Policy;
      return (policy.bindings ?? []).flatMap(({ role, members }) => (role === RUN_INVOKER ? members : []));
    },
    async reads(secret: string) {
      const resource = `projects/${PROJECT}/secrets/${secret}`;
      const policy = (await must(`${SECRETS}.GetIamPolicy`, { resource })) as unknown as Policy;
      return (policy.bindings ?? []).some(({ members }) => members.includes(MEMBER));
    },
  };
}

type World = Awaited<ReturnType<typeof world>>;

/** Puts the obstacle in the way; false: the state does not have what it is about. */
async function obstruct(w: World, state: State, obstacle: Obstacle, code: number): Promise<boolean> {
  const { faults, settings } = w;
  const unread = (method: string, of = '') => {
    faults.gcp = (called, name) => called === method && name.includes(of);
  };
  switch (obstacle) {
    case 'none':
      break;
    case 'no project':
      await w.annotateNamespace({ [IN]: null });
      break;
    case 'another project':
      await w.annotateNamespace({ [IN]: 'other-project' });
      break;
    case 'project not allowed':
      settings.projects = ['other-*'];
      break;
    case 'project unusable':
      await w.annotateNamespace({ [IN]: NUMBER });
      break;
    case 'impersonation required':
      if (!state.isImpersonated) return false;
      settings.requireImpersonation = true;
      await w.annotateNamespace({ [AS]: null });
      break;
    case 'impersonation not allowed':
      if (!state.isImpersonated) return false;
      await w.annotateNamespace({ [AS]: `owner@${PROJECT}.iam.gserviceaccount.com` });
      break;
    case 'no finalizer':
      await w.core.api.patch(AI_TENANTS, 'default', 'tenant-a', { metadata: { finalizers: null } });
      faults.kube = what => (what === 'object' ? code : undefined);
      break;
    case 'no namespace':
      faults.kube = what => (what === 'namespace' ? code : undefined);
      break;
    case 'no budget for secrets':
      faults.budget = api => api === 'secretmanager';
      break;
    case 'no budget for other writes':
      faults.budget = (_api, kind, rank) => kind === 'write' && rank !== 'close';
      break;
    case 'status refused':
      faults.kube = what => (what === 'status' ? code : undefined);
      break;
    case 'account unread':
      unread(`${IAM}.GetServiceAccount`);
      break;
    case 'secret unread':
      unread(`${SECRETS}.GetSecret`, 'main');
      break;
    case 'secret policy unread':
      unread(`${SECRETS}.GetIamPolicy`, 'main');
      break;
    case 'version unread':
      unread(`${SECRETS}.ListSecretVersions`);
      break;
    case 'service unread':
      if (state.former === 'none') return false;
      faults.gcp = (called, name) => called.startsWith(RUN) && name.includes(AWAY);
      break;
    case 'service policy unread':
      unread(`${RUN}.GetIamPolicy`);
      break;
  }
  return true;
}

async function close(w: World, state: State, closing: Closing): Promise<void> {
  const invokers = closing.caller ? [ANN] : [ANN, BOB];
  const access = closing.access || !state.isPublic ? { access: 'Authenticated', invokers } : w.access;
  await w.edit({ ...access, keys: closing.key ? w.keys.slice(0, 2) : w.keys });
  if (closing.consent) await w.consent({});
}

describe('in the same reconcile as the edit', () => {
  test.each(OBSTACLES)('what the spec closes is closed: %s', async obstacle => {
    await fc.assert(
      fc.asyncProperty(states, closings, fc.constantFrom(403, 422, 500), async (state, closing, code) => {
        const w = await world(state);
        if (!(await obstruct(w, state, obstacle, code))) return;
        await close(w, state, closing);
        // What drifted waits for its budget; an edit that closes is read by as much as there is.
        if (obstacle === 'no budget for secrets' && !(await w.isEdited())) return;
        await w.once();
        const dark = obstacle === 'service unread' ? AWAY : undefined;
        const regions = regionsOf(state).filter(region => region !== dark);
        for (const region of regions) {
          if (!state.isPublic || closing.access) expect(await w.isOpen(region)).toBe(false);
          if (obstacle === 'service policy unread') continue;
          const callers = await w.callers(region);
          if (!state.isPublic && closing.caller) expect(callers).not.toContain(BOB);
          if (!state.isPublic || closing.access)
            expect(callers.filter(member => PUBLIC_MEMBERS.includes(member))).toEqual([]);
        }
        const asked = obstacle !== 'account unread' && obstacle !== 'no budget for secrets';
        if (closing.consent && asked) expect(await w.reads('standby')).toBe(false);
        // A service that is not settled or not read may still read any secret.
        const settled = dark === undefined && !state.drifted;
        if (closing.key && asked && settled) expect(await w.reads('leaving')).toBe(false);
        // Nothing is closed at the tenant's cost.
        expect(await w.reads('main')).toBe(true);
        if (state.isImpersonated) expect([...w.actors].filter(actor => actor !== ACTOR)).toEqual([]);
      }),
      { numRuns: 15 },
    );
  });

  test('nothing is touched where the spec has a value that this version does not know', async () => {
    const state: State = { isImpersonated: false, former: 'none', isPublic: true, drifted: true, opened: 'none' };
    const w = await world(state);
    await close(w, state, { access: true, caller: true, consent: false, key: true });
    w.faults.spec = { access: 'Internal' };
    await w.once();
    expect(w.writes).toEqual([]);
    expect(await w.isOpen(HOME)).toBe(true);
  });

  test('nothing is called where as whom to act is not known: the operator’s own identity never stands in', async () => {
    const all = { access: true, caller: true, consent: true, key: true };
    const state: State = { isImpersonated: false, former: 'none', isPublic: true, drifted: true, opened: 'none' };
    const required = await world(state);
    await close(required, state, all);
    required.settings.requireImpersonation = true;
    await required.once();
    expect([...required.actors]).toEqual([]);

    const named = await world({ ...state, isImpersonated: true });
    await close(named, state, all);
    named.settings.impersonationAccounts = [];
    await named.once();
    expect([...named.actors]).toEqual([]);
    named.faults.kube = what => (what === 'namespace' ? 500 : undefined);
    await named.once();
    expect([...named.actors]).toEqual([]);
  });

  test('no grant is removed on a list from before consent was given again', async () => {
    const w = await world({ isImpersonated: false, former: 'none', isPublic: true, drifted: false, opened: 'none' });
    await w.annotateNamespace({ [IN]: null });
    await w.consent({});
    w.faults.gcp = method => method === `${SECRETS}.GetIamPolicy`;
    await w.once();
    expect(w.writes).toEqual([]);
    w.faults.gcp = undefined;
    await w.consent({ 'ai-tenant-namespace': 'default' });
    await w.once('resync');
    expect(await w.reads('standby')).toBe(true);
  });

  test('or soon after it, where others write at the same moment; what they write stays', async () => {
    let races = 0;
    await fc.assert(
      fc.asyncProperty(states, closings, fc.boolean(), async (state, closing, isFollowed) => {
        const w = await world(state);
        if (!isFollowed) await w.annotateNamespace({ [IN]: null });
        await close(w, state, closing);
        const raced = new Set<string>();
        w.faults.before = async (method, name) => {
          const of =
            method === `${RUN}.SetIamPolicy` ? RUN : method === `${SECRETS}.SetIamPolicy` ? SECRETS : undefined;
          if (raced.has(`${method} ${name}`)) return;
          raced.add(`${method} ${name}`);
          races++;
          if (method === `${RUN}.UpdateService`) {
            const service = await w.must(`${RUN}.GetService`, { name: name });
            const described = { ...service, description: 'by Terraform' };
            await w.must(`${RUN}.UpdateService`, { service: described, updateMask: 'description' });
          } else if (of !== undefined) {
            const policy = await w.must(`${of}.GetIamPolicy`, { resource: name });
            const theirs = { role: 'roles/viewer', members: ['user:terraform@example.com'] };
            const bindings = [...((policy.bindings ?? []) as JsonObject[]), theirs];
            await w.must(`${of}.SetIamPolicy`, { resource: name, policy: { ...policy, bindings } });
          }
        };
        for (let round = 0; round < 6; round++) await w.once();
        for (const region of regionsOf(state)) {
          const service = await w.must(`${RUN}.GetService`, { name: serviceIn(region) });
          if (service.deleteTime) continue;
          if (!state.isPublic || closing.access) expect(service.invokerIamDisabled).not.toBe(true);
          const callers = await w.callers(region);
          if (!state.isPublic && closing.caller) expect(callers).not.toContain(BOB);
        }
        if (closing.consent) expect(await w.reads('standby')).toBe(false);
        for (const line of raced) {
          const [method = '', name = ''] = line.split(' ');
          if (!method.endsWith('SetIamPolicy')) continue;
          const policy = await w.must(method.replace('.Set', '.Get'), { resource: name });
          expect(JSON.stringify(policy)).toContain('user:terraform@example.com');
        }
      }),
      { numRuns: 20 },
    );
    expect(races).toBeGreaterThan(20);
  }, 60_000);

  test('what somebody has opened is read again by the budget of what closes, before it is closed', async () => {
    const w = await world({ isImpersonated: false, former: 'none', isPublic: false, drifted: false, opened: 'all' });
    await w.later(300_001);
    w.faults.budget = (_api, _kind, rank) => rank === 'edit';
    await w.once('resync');
    expect(await w.isOpen(HOME)).toBe(false);
    expect(await w.callers(HOME)).not.toContain('allUsers');
  });
});

test('a deletion whose services are gone reads no secret and no account before it has the budget for them', async () => {
  const { core, faults, once, later } = await world({
    isImpersonated: false,
    former: 'none',
    isPublic: true,
    drifted: false,
    opened: 'none',
  });
  await core.api.delete(AI_TENANTS, 'default', 'tenant-a');
  await once();
  await later(10_000);
  const methods: string[] = [];
  faults.before = async method => methods.push(method.split('.').slice(-2).join('.'));
  faults.budget = api => api === 'secretmanager';
  expect(await once()).toMatchObject({ kind: 'park' });
  expect(methods).toEqual(['Services.GetService']);
});
