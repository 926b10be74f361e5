import { describe, expect, test } from 'vitest';
import { createStore } from '../../operator/kube/store.ts';
import { quietOf } from '../../operator/reconcile/quiet.ts';
import { createReconciler } from '../../operator/reconcile/reconciler.ts';
import { plan, type TenantPlan } from '../../operator/tenant/plan.ts';
import type { InventoryEntry } from '../../operator/tenant/types.ts';
import type { GcpCall } from '../../ports/gcp.ts';
import type { KubeApi, KubeObject } from '../../ports/kube.ts';
import { NAMESPACES } from '../../ports/kubeResources.ts';
import { createRandom } from '../sim/clock.ts';
import { edit } from '../sim/generate.ts';
import type { Action } from '../sim/script.ts';
import { createScene, type Scene, settings, TENANT } from './support/scene.ts';
import * as world from './support/tenantWorld.ts';

/**
 * The check of a tenant of which nothing has changed (`quiet.ts`) must decide what a reconcile from the start decides. Two
 * reconcilers check the same tenant at the same times: the one gets the same object each time, the other a copy of it, for which
 * nothing is remembered. Whatever happens to the tenant, both must make the same calls and give the same verdict.
 */

const KEY = 'default/alpha';
const CHECK = { priority: 'resync', failures: 0, changes: 0 } as const;
const HOUR = 3_600_000;
const SPEC = {
  region: 'asia-northeast1',
  keys: [{ name: 'openai', secretRef: { external: 'openai' }, env: 'OPENAI_API_KEY' }],
};

/** The tenant, up to date, and all that it has made older than the time that anything takes to settle. */
async function givenTenant(seed: number, spec = SPEC): Promise<Scene> {
  const scene = await createScene(createRandom(seed));
  await scene.act({ who: 'secrets', do: 'create', secret: 'openai' });
  await scene.act({ who: 'rotation', do: 'add', secret: 'openai', back: 0 });
  await scene.act({ who: 'rotation', do: 'add', secret: 'openai', back: 0 });
  await scene.act({ who: 'secrets', do: 'consent', secret: 'openai', namespace: 'default' });
  await scene.act({ who: 'kubectl', do: 'apply', spec, ...TENANT });
  await scene.operate(600_000);
  return scene;
}

/** A reconciler whose writes are noted and refused. `copies`: it gets a copy of each object, so that nothing is remembered for it. */
function createChecker({ clock, gcp, kube }: Scene, copies: boolean) {
  const stores = { tenants: createStore(), namespaces: createStore() };
  let notes: string[] = [];
  let plans = 0;
  let back = 0;
  const refused = { ok: false as const, status: { code: 500, reason: '', message: 'refused' } };
  const call: GcpCall = async (method, request) => {
    if (/\.(Get|List)\w*$/.test(method)) {
      notes.push(method);
      return gcp.call(method, request);
    }
    notes.push(`${method} ${JSON.stringify(request)}`);
    return { ok: false, status: { code: 'PERMISSION_DENIED', message: 'refused' } };
  };
  const port: KubeApi = {
    ...kube,
    async patch(_resource, _namespace, _name, body) {
      notes.push(JSON.stringify(body));
      return refused;
    },
  };
  const reconcile = createReconciler({
    kube: port,
    gcp: call,
    runtime: { ...clock, now: () => clock.now() - back },
    settings,
    tenants: { ...stores.tenants, get: key => given(stores.tenants.get(key)) },
    namespaces: stores.namespaces,
    connectorSecrets: { get: () => undefined, isSynced: () => true },
    events: { record() {}, forget() {}, stop: async () => {}, counters: { written: 0, filtered: 0, dropped: 0 } },
    quota: { claim: ({ needs }) => ({ needs, release() {} }), park: () => () => {}, alias() {} },
    wake() {},
    log: (_level, message) => {
      if (message === 'planned') plans++;
    },
  });
  const given = (object: KubeObject | undefined) => (copies ? structuredClone(object) : object);
  return {
    stores,
    setClockBack(ms: number) {
      back = ms;
    },
    /** What the check called and answered, and how many plans it made. */
    async check() {
      notes = [];
      plans = 0;
      const done = reconcile(KEY, CHECK);
      await clock.advance(0);
      return { verdict: await done, notes, plans };
    },
  };
}

async function givenCheckers(scene: Scene) {
  const checkers = [createChecker(scene, false), createChecker(scene, true)] as const;
  /** Brings the caches up to the present state, as a watch does: an object that has not changed stays the same one. */
  async function watch(): Promise<void> {
    const tenant = await scene.tenant();
    const namespace = await scene.kube.get(NAMESPACES, undefined, 'default');
    for (const { stores } of checkers) {
      for (const [store, object] of [
        [stores.tenants, tenant],
        [stores.namespaces, namespace.ok ? namespace.value : undefined],
      ] as const) {
        const [known] = store.list();
        if (object && known?.metadata.resourceVersion !== object.metadata.resourceVersion) store.set(object);
        if (!object && known) store.delete(`${known.metadata.namespace ?? ''}/${known.metadata.name}`);
      }
    }
  }
  return {
    setClocksBack(ms: number) {
      for (const { setClockBack } of checkers) setClockBack(ms);
    },
    async both() {
      await watch();
      const [quick, whole] = [await checkers[0].check(), await checkers[1].check()];
      expect({ ...quick, plans: 0 }).toEqual({ ...whole, plans: 0 });
      return { quick, whole };
    },
  };
}

const console = (does: Extract<Action, { who: 'console'; region: string }>['do']): Action => ({
  who: 'console',
  do: does,
  tenant: 'alpha',
  region: 'asia-northeast1',
});

const CHANGES: Action[] = [
  ...(['variable', 'literal', 'image', 'access', 'scaling', 'traffic', 'label', 'unmark', 'delete'] as const).map(
    console,
  ),
  ...(['invoker', 'public', 'restrict', 'developer'] as const).map(console),
  { who: 'console', do: 'deleteAccount', tenant: 'alpha' },
  { who: 'console', do: 'disableAccount', tenant: 'alpha' },
  { who: 'console', do: 'unmarkAccount', tenant: 'alpha' },
  { who: 'secrets', do: 'delete', secret: 'openai' },
  { who: 'secrets', do: 'consent', secret: 'openai', namespace: null },
  { who: 'secrets', do: 'consent', secret: 'openai', namespace: 'team-a' },
  { who: 'rotation', do: 'add', secret: 'openai', back: 0 },
  { who: 'rotation', do: 'disable', secret: 'openai', back: 0 },
  { who: 'rotation', do: 'destroy', secret: 'openai', back: 0 },
  { who: 'iam', do: 'ungrant', secret: 'openai', account: 'alpha' },
  { who: 'iam', do: 'toggle', secret: 'openai', member: 'user:a@example.com', conditional: true },
  { who: 'admin', do: 'project', cluster: 0, namespace: 'default', project: 'other-project' },
  {
    who: 'admin',
    do: 'impersonate',
    cluster: 0,
    namespace: 'default',
    account: 'a@demo-project.iam.gserviceaccount.com',
  },
  { who: 'kubectl', do: 'patch', spec: { scaling: { maxInstances: 3 } }, ...TENANT },
  { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/reconcile-requested-at', value: 'now', ...TENANT },
  { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/reconcile-interval-in-seconds', value: '60', ...TENANT },
  { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/reconcile-interval-in-seconds', value: '86400', ...TENANT },
  { who: 'kubectl', do: 'delete', ...TENANT },
];

describe('a tenant of which nothing has changed', () => {
  test('is checked without a plan, with the same calls; once an hour a plan is made all the same', async () => {
    const scene = await givenTenant(1);
    const { both } = await givenCheckers(scene);
    const plans: number[] = [];
    for (let at = 0; at <= HOUR + settings.syncIntervalMs; at += settings.syncIntervalMs) {
      const { quick, whole } = await both();
      expect(quick.verdict).toMatchObject({ kind: 'again', priority: 'resync' });
      if (at > 0) expect(whole.plans).toBeGreaterThan(0);
      plans.push(quick.plans);
      await scene.clock.advance(settings.syncIntervalMs);
    }
    // The first resync of a process is skipped, the second one plans, and the next plan follows an hour later.
    expect(plans).toEqual([0, 1, ...Array(29).fill(0), 1]);
  });

  test('is checked from the start if the clock was set back', async () => {
    const scene = await givenTenant(1);
    const { both, setClocksBack } = await givenCheckers(scene);
    for (let round = 0; round < 3; round++) {
      await both();
      await scene.clock.advance(settings.syncIntervalMs);
    }
    setClocksBack(HOUR);
    expect((await both()).quick.plans).toBe(1);
  });

  test.each(CHANGES)('is checked from the start after %o', async action => {
    const scene = await givenTenant(2);
    const { both } = await givenCheckers(scene);
    for (let round = 0; round < 3; round++) {
      await both();
      await scene.clock.advance(settings.syncIntervalMs);
    }
    expect((await both()).quick.plans).toBe(0);
    const said = await scene.act(action);
    expect(said).not.toBe('');
    for (let round = 0; round < 4; round++) {
      await scene.clock.advance(settings.syncIntervalMs);
      await both();
    }
  });

  test('decides the same after random changes', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      const random = createRandom(seed);
      const scene = await givenTenant(seed);
      const { both } = await givenCheckers(scene);
      for (let round = 0; round < 20; round++) {
        await both();
        if (round > 2 && random.chance(0.3)) await scene.act(edit(random, [TENANT], false));
        await scene.clock.advance(random.int(1, 2) * settings.syncIntervalMs);
      }
    }
  });
});

describe('the end of a reconcile is remembered', () => {
  const MINUTES_AGO = world.at(-170_000);
  const rest = (given: world.TenantGiven = {}, secret = '') => {
    const tenant = world.tenantA(given);
    const desired = world.desiredOf(tenant, world.settings, () => ({ state: 'ready', secret }));
    const observed = world.cloud();
    const whole = plan(tenant, desired, observed, world.settings, world.NOW);
    const quiet = (changes: Partial<TenantPlan> = {}) =>
      quietOf(
        { tenant, desired, observed, namespace: { metadata: { name: 'team' } } },
        { ...whole, ...changes },
        world.NOW,
      );
    return { tenant, whole, quiet };
  };
  const others = (changed: InventoryEntry) => [...world.atRest.filter(({ type }) => type !== changed.type), changed];

  test('if the tenant is up to date', () => {
    const { quiet, whole } = rest();
    expect(whole).toMatchObject({ steps: [], blockers: [], waiting: [] });
    expect(quiet()).toMatchObject({ at: world.NOW, targets: { services: [world.SERVICE] } });
  });

  test('but not with anything left to do, to wait for or to report', () => {
    const { quiet } = rest();
    const blocker = { aspect: 'Service', reason: 'UpdateFailed', message: 'm' } as const;
    const [step] = rest({ spec: { scaling: { maxInstances: 3 } } }).whole.steps;
    expect(quiet({ blockers: [blocker] })).toBeUndefined();
    expect(quiet({ waiting: [{ aspect: 'Service', message: 'm', retryAfterMs: 1 }] })).toBeUndefined();
    expect(quiet({ adopted: ['m'] })).toBeUndefined();
    expect(quiet({ recheckAfterMs: 1 })).toBeUndefined();
    expect(quiet({ steps: step ? [step] : [] })).toBeUndefined();
  });

  test.each<[string, InventoryEntry]>([
    ['is younger than three minutes', world.entry(world.ENTRIES.grant, MINUTES_AGO)],
    ['is about to leave', world.entry({ ...world.ENTRIES.service, retireAt: world.LONG_AGO })],
    ['has been deleted', world.entry({ ...world.ENTRIES.service, deletedAt: world.LONG_AGO })],
  ])('but not while an entry of the inventory %s', (_, entry) => {
    expect(rest({ status: { inventory: others(entry) } }).quiet()).toBeUndefined();
  });

  test('but not if a Config Connector object names the secret', () => {
    const { secretRef: _, ...key } = world.OPENAI;
    const spec = { keys: [{ ...key, secretRef: { name: 'openai-key' } }] };
    const { whole, quiet } = rest({ spec }, `projects/${world.PROJECT}/secrets/openai-key`);
    expect(whole).toMatchObject({ steps: [], blockers: [], waiting: [] });
    expect(quiet()).toBeUndefined();
  });
});
