import { createQuota, UNLIMITED } from '../operator/gcp/quota.ts';
import { createStore } from '../operator/kube/store.ts';
import { createReconciler } from '../operator/reconcile/reconciler.ts';
import type { GcpCall, GcpResult } from '../ports/gcp.ts';
import { AI_TENANTS, NAMESPACES } from '../ports/kubeResources.ts';
import type { Figure } from './support/figure.ts';
import { publish } from './support/report.ts';
import { createWorld, INTERVAL_MS, tenantKey, until } from './support/world.ts';

/** How many reconciles a second the operator gets through when all of Google Cloud is as it should be. */

const TENANTS = 100;
const SPAN_MS = 2_000;
/** The interval has come round: what is listed is known, policies and versions are read. */
const CHECK = { priority: 'resync', failures: 0, changes: 0 } as const;

const world = await createWorld({ creationMs: 0 });
await world.prepare(TENANTS);
await world.createTenants(TENANTS);
const operator = await world.start();
await until(() => world.ready.size === TENANTS, 'all tenants are Ready');
await operator.stop();
// What was created has settled: a plan no longer depends on the time.
world.time.skip(INTERVAL_MS);

const stores = { tenants: createStore(), namespaces: createStore(), connectorSecrets: createStore() };
for (const [store, resource] of [
  [stores.tenants, AI_TENANTS],
  [stores.namespaces, NAMESPACES],
] as const) {
  const listed = await world.kube.list(resource, {});
  if (!listed.ok) throw new Error(listed.status.message);
  for (const object of listed.value.items) store.set(object);
}

const emulated = await measure(world.gcp);
const remembered = await measure(remembering(world.gcp));
const figures: Figure[] = [
  {
    what: 'no-op reconciles a second, Google Cloud answering from memory',
    value: remembered.perSecond,
    target: '≥ 30,000',
    plot: true,
  },
  { what: 'processor time of such a reconcile, µs', value: remembered.processorUs },
  { what: 'no-op reconciles a second, on the local Google Cloud', value: emulated.perSecond, plot: true },
  {
    what: 'of which the local Google Cloud takes, µs a reconcile',
    value: (emulated.gcpMs / emulated.reconciles) * 1000,
  },
  { what: 'calls a reconcile', value: emulated.calls / emulated.reconciles },
  { what: 'writes', value: world.traffic.writes, target: '≤ 0' },
];
publish({
  name: 'noop',
  title: 'Reconciles when nothing is to do',
  figures,
  notes: [`${TENANTS} ready tenants over 10 projects, one process, one reconcile at a time, ${SPAN_MS / 1000} s each.`],
});
process.exit(0);

/** Runs reconciles one after the other for a while. */
async function measure(
  gcp: GcpCall,
): Promise<{ perSecond: number; processorUs: number; reconciles: number; calls: number; gcpMs: number }> {
  let writes = 0;
  const reconcile = createReconciler({
    ...stores,
    connectorSecrets: { ...stores.connectorSecrets, isSynced: () => true },
    kube: {
      ...world.kube,
      patch: (...args) => {
        writes++;
        return world.kube.patch(...args);
      },
    },
    gcp,
    runtime: world.time,
    settings: world.settings,
    events: { record() {}, forget() {}, stop: async () => {}, counters: { written: 0, filtered: 0, dropped: 0 } },
    log: () => {},
    quota: createQuota(gcp, world.time, UNLIMITED),
    wake: () => {},
  });
  const keys = Array.from({ length: TENANTS }, (_, i) => tenantKey(i));
  for (const key of keys) await reconcile(key);
  for (const key of keys) await reconcile(key, CHECK);
  world.traffic.reset();
  world.busy.gcpMs = 0;
  const start = performance.now();
  const used = process.cpuUsage();
  let reconciles = 0;
  while (performance.now() - start < SPAN_MS) {
    for (const key of keys) await reconcile(key, CHECK);
    reconciles += keys.length;
    // Timers and sockets get their turn, as in the operator.
    await new Promise(resolve => setImmediate(resolve));
  }
  const perSecond = (reconciles / (performance.now() - start)) * 1000;
  const { user, system } = process.cpuUsage(used);
  const processorUs = (user + system) / reconciles;
  if (writes > 0) throw new Error(`${writes} writes to the cluster where nothing was to do`);
  const { traffic, busy } = world;
  return { perSecond, processorUs, reconciles, calls: traffic.lists + traffic.others, gcpMs: busy.gcpMs };
}

/** Each answer is given again: what is measured is the operator's own work. */
function remembering(call: GcpCall): GcpCall {
  const answers = new Map<string, Promise<GcpResult>>();
  return (method, request) => {
    const name = request.name ?? request.resource ?? request.parent;
    const key = `${method} ${String(name)} ${String(request.pageToken ?? '')}`;
    let answer = answers.get(key);
    if (!answer) {
      answer = call(method, request);
      answers.set(key, answer);
    }
    return answer;
  };
}
