import type { JsonObject } from '../../ports/json.ts';
import type { Action, Fault, Script, Step, TenantRef } from './script.ts';

/** The roads that every tenant goes, one at a time, with nothing going wrong: crashes are then put at each of their calls. */
export interface Scenario {
  name: string;
  /** When what the scenario is about begins; before, the tenant is made. */
  from: number;
  script: Script;
  /** Two crashes are tried as well. */
  pairs: boolean;
}

const TENANT: TenantRef = { cluster: 0, namespace: 'default', name: 'alpha' };
const FROM = 30_000;
/** Within this a scenario is over, its former region's grace aside. */
export const SPAN_MS = 180_000;

const spec = (over: JsonObject = {}): JsonObject => ({
  region: 'asia-northeast1',
  keys: [
    { name: 'openai', secretRef: { external: 'key-1' }, env: 'OPENAI_API_KEY' },
    { name: 'standby', secretRef: { external: 'key-2' } },
  ],
  env: [{ name: 'MODE', value: 'a' }],
  ...over,
});

const apply = (over?: JsonObject): Action => ({ who: 'kubectl', do: 'apply', spec: spec(over), ...TENANT });

/** A full check now, asked for by another value each time. */
const CHECK = { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/reconcile-requested-at', ...TENANT } as const;

/** `after`: milliseconds after the first. */
function scenario(
  name: string,
  actions: (Action & { after?: number })[],
  options: { pairs?: boolean; first?: JsonObject | null; faults?: Fault[] } = {},
): Scenario {
  const steps: Step[] = [];
  for (const secret of ['key-1', 'key-2']) {
    steps.push(
      { at: 0, who: 'secrets', do: 'create', secret },
      { at: 0, who: 'rotation', do: 'add', secret, back: 0 },
      { at: 0, who: 'secrets', do: 'consent', secret, namespace: 'default' },
      { at: 0, who: 'iam', do: 'toggle', secret, member: 'group:ops@example.com', conditional: true },
    );
  }
  if (options.first !== null) steps.push({ at: 1_000, ...apply(options.first) });
  for (const { after = 0, ...action } of actions) steps.push({ at: FROM + after, ...action });
  return {
    name,
    from: FROM,
    pairs: options.pairs ?? false,
    script: {
      seed: 1,
      replicas: [1],
      cloud: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, deployMs: 300 },
      latencyMs: 10,
      watchLagMs: 5,
      // What strikes at the last of its calls may strike a little later.
      spanMs: FROM + SPAN_MS + 30_000,
      steps,
      faults: options.faults ?? [],
    },
  };
}

export const SCENARIOS: readonly Scenario[] = [
  scenario('create', [apply()], { pairs: true, first: null }),
  scenario(
    'rotate',
    [
      { who: 'rotation', do: 'add', secret: 'key-1', back: 0 },
      { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/reconcile-requested-at', value: 'now', ...TENANT },
    ],
    { pairs: true },
  ),
  scenario('move', [apply({ region: 'us-central1' })], { pairs: true }),
  scenario('delete', [{ who: 'kubectl', do: 'delete', ...TENANT }], { pairs: true }),
  scenario(
    'status lost, then deleted',
    [
      { who: 'kubectl', do: 'loseStatus', ...TENANT },
      { who: 'kubectl', do: 'delete', ...TENANT },
    ],
    { pairs: true },
  ),
  scenario(
    'status lost and deleted while Cloud Run cannot be read',
    [
      { who: 'kubectl', do: 'loseStatus', ...TENANT },
      { after: 2_000, who: 'kubectl', do: 'delete', ...TENANT },
    ],
    { faults: [{ at: FROM - 1_000, fault: 'deny', permission: 'run.services.get', forMs: 20_000 }] },
  ),
  scenario(
    'status lost and region edited, then deleted',
    [
      { who: 'kubectl', do: 'loseStatus', ...TENANT },
      { who: 'kubectl', do: 'patch', spec: { region: 'us-central1' }, ...TENANT },
      { after: 2_000, who: 'kubectl', do: 'delete', ...TENANT },
    ],
    { pairs: true },
  ),
  scenario('status lost and region edited, then adopted', [
    { who: 'kubectl', do: 'loseStatus', ...TENANT },
    { who: 'kubectl', do: 'patch', spec: { region: 'us-central1' }, ...TENANT },
    { after: 2_000, who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/adopt', value: 'true', ...TENANT },
  ]),
  scenario('key switch', [
    apply({
      keys: [
        { name: 'openai', secretRef: { external: 'key-1' } },
        { name: 'standby', secretRef: { external: 'key-2' }, env: 'OPENAI_API_KEY' },
      ],
    }),
  ]),
  scenario('key leaves', [
    apply({ keys: [{ name: 'standby', secretRef: { external: 'key-2' }, env: 'OPENAI_API_KEY' }] }),
  ]),
  scenario(
    'key leaves while the account cannot be read',
    [apply({ keys: [{ name: 'standby', secretRef: { external: 'key-2' }, env: 'OPENAI_API_KEY' }] })],
    {
      faults: ['get', 'list'].map(verb => {
        return { at: FROM - 1_000, fault: 'deny', permission: `iam.serviceAccounts.${verb}`, forMs: 20_000 };
      }),
    },
  ),
  scenario('callers', [apply({ access: 'Authenticated', invokers: ['user:a@example.com'] })]),
  scenario('callers leave', [apply()], { first: { access: 'Authenticated', invokers: ['user:a@example.com'] } }),
  scenario('abandon', [
    { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/deletion-policy', value: 'abandon', ...TENANT },
    { who: 'kubectl', do: 'delete', ...TENANT },
  ]),
  scenario('account deleted by hand', [{ who: 'console', do: 'deleteAccount', tenant: 'alpha' }]),
  scenario('service deleted by hand', [{ who: 'console', do: 'delete', tenant: 'alpha', region: 'asia-northeast1' }]),
  scenario('account disabled by hand', [{ who: 'console', do: 'disableAccount', tenant: 'alpha' }]),
  scenario('traffic split by hand', [{ who: 'console', do: 'traffic', tenant: 'alpha', region: 'asia-northeast1' }]),
  scenario('another image, size and scale', [
    apply({
      image: 'gcr.io/acme/backend:2',
      resources: { cpu: '2', memory: '2Gi' },
      scaling: { minInstances: 1, maxInstances: 3 },
    }),
  ]),
  scenario('an image that does not come up, then a good one', [
    apply({ image: 'gcr.io/acme/broken:1' }),
    { ...apply({ image: 'gcr.io/acme/backend:2' }), after: 10_000 },
  ]),
  scenario('the newest version is disabled', [
    { who: 'rotation', do: 'disable', secret: 'key-1', back: 0 },
    { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/reconcile-requested-at', value: 'now', ...TENANT },
  ]),
  scenario('a newer version goes live, and is disabled: the older one does not come back', [
    { who: 'rotation', do: 'add', secret: 'key-1', back: 0 },
    { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/reconcile-requested-at', value: '1', ...TENANT },
    { after: 20_000, who: 'rotation', do: 'disable', secret: 'key-1', back: 0 },
    {
      after: 20_001,
      who: 'kubectl',
      do: 'annotate',
      key: 'ai-platform.dev/reconcile-requested-at',
      value: '2',
      ...TENANT,
    },
  ]),
  scenario('edits while it is being worked on, of a tenant that is looked at only on change', [
    { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/reconcile-interval-in-seconds', value: '0', ...TENANT },
    { ...apply({ timeoutSeconds: 60 }), after: 10_000 },
    { ...apply({ timeoutSeconds: 70 }), after: 10_035 },
    // A check that finds nothing to do writes no status, whose resourceVersion would tell of the edit.
    { after: 20_000, who: 'admin', do: 'project', cluster: 0, namespace: 'default', project: 'demo-project' },
    { ...apply({ timeoutSeconds: 80 }), after: 20_002 },
  ]),
  scenario(
    'a key leaves the spec while no policy can be read',
    [
      { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/reconcile-requested-at', value: '1', ...TENANT },
      {
        ...apply({ keys: [{ name: 'openai', secretRef: { external: 'key-1' }, env: 'OPENAI_API_KEY' }] }),
        after: 10_000,
      },
    ],
    { faults: [{ at: FROM - 1_000, fault: 'deny', permission: 'secretmanager.secrets.getIamPolicy', forMs: 30_000 }] },
  ),
  // So late that what was done to the secrets at first is no excuse any more.
  scenario(
    'a deletion while no service can be deleted',
    [{ after: SPAN_MS - 5_000, who: 'kubectl', do: 'delete', ...TENANT }],
    { faults: [{ at: FROM + SPAN_MS - 6_000, fault: 'deny', permission: 'run.services.delete', forMs: 20_000 }] },
  ),
  scenario('move there and back', [
    apply({ region: 'us-central1' }),
    { ...apply({ region: 'asia-northeast1' }), after: 400 },
  ]),
  scenario('suspended, edited, resumed', [
    apply({ suspend: true }),
    { ...apply({ suspend: true, region: 'us-central1' }), after: 2_000 },
    { ...apply({ region: 'us-central1' }), after: 4_000 },
  ]),
  scenario('deleted and made again at once', [
    { who: 'kubectl', do: 'delete', ...TENANT },
    { ...apply(), after: 500 },
  ]),
  scenario('consent taken back and given again', [
    { who: 'secrets', do: 'consent', secret: 'key-1', namespace: null },
    { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/reconcile-requested-at', value: 'now', ...TENANT },
    { who: 'secrets', do: 'consent', secret: 'key-1', namespace: 'default', after: 5_000 },
  ]),
  scenario('CRD deleted', [{ who: 'admin', do: 'deleteCrd', cluster: 0 }]),
  ...(['restrict', 'developer'] as const).map(what =>
    scenario(`move what somebody changed by hand: ${what}`, [
      { who: 'console', do: what, tenant: 'alpha', region: 'asia-northeast1' },
      { after: 50_000, who: 'kubectl', do: 'patch', spec: { region: 'us-central1' }, ...TENANT },
    ]),
  ),
  scenario('delete by hand what somebody restricted', [
    { who: 'console', do: 'restrict', tenant: 'alpha', region: 'asia-northeast1' },
    { after: 1_000, ...CHECK, value: 'restricted' },
    { after: 50_000, who: 'console', do: 'delete', tenant: 'alpha', region: 'asia-northeast1' },
    { after: 52_000, ...CHECK, value: 'deleted' },
  ]),
  scenario(
    'move away from a region that does not answer for a while',
    [
      { who: 'console', do: 'restrict', tenant: 'alpha', region: 'asia-northeast1' },
      { after: 50_000, who: 'kubectl', do: 'patch', spec: { region: 'us-central1' }, ...TENANT },
    ],
    { faults: [{ at: FROM + 49_000, fault: 'regionDown', region: 'asia-northeast1', forMs: 30_000 }] },
  ),
  scenario(
    'move what somebody put a variable on, away from a region that does not answer for a while',
    [
      { who: 'console', do: 'variable', tenant: 'alpha', region: 'asia-northeast1' },
      { after: 50_000, who: 'kubectl', do: 'patch', spec: { region: 'us-central1' }, ...TENANT },
    ],
    { faults: [{ at: FROM + 49_000, fault: 'regionDown', region: 'asia-northeast1', forMs: 30_000 }] },
  ),
  scenario(
    'move while lists lack everything',
    [
      { after: 120_000, who: 'kubectl', do: 'patch', spec: { region: 'us-central1' }, ...TENANT },
      { after: 130_000, ...CHECK, value: 'moved' },
    ],
    { faults: [{ at: FROM + 125_000, fault: 'emptyLists', forMs: 40_000 }] },
  ),
];
