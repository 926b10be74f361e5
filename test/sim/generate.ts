import type { GcpCode } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { createRandom, type Random } from './clock.ts';
import type { Action, Aim, Fault, Script, Step, TenantRef } from './script.ts';

/** A script from a seed: valid specs, everyday edits, and every kind of fault. */

const NAMES = ['alpha', 'alpha-two', 'bravo'];
const NAMESPACES = ['default', 'team-a'];
const REGIONS = ['asia-northeast1', 'us-central1'];
const SECRETS = ['key-1', 'key-2', 'key-3', 'other-key'];
const IMAGES = [
  undefined,
  undefined,
  'registry.example/app:1',
  'registry.example/app:2',
  'registry.example/slow:1',
  'registry.example/broken:1',
  'registry.example/missing:1',
];
const CODES: GcpCode[] = [
  'UNAVAILABLE',
  'INTERNAL',
  'DEADLINE_EXCEEDED',
  'ABORTED',
  'RESOURCE_EXHAUSTED',
  'PERMISSION_DENIED',
  'UNKNOWN',
  'CANCELLED',
  'ALREADY_EXISTS',
  'NOT_FOUND',
  'INVALID_ARGUMENT',
  'FAILED_PRECONDITION',
];

export function generate(seed: number): Script {
  const random = createRandom(seed);
  const second = random.chance(0.25);
  const spanMs = random.pick([60_000, 120_000, 300_000]);
  const slow = random.chance(0.4);
  const replicas = [random.pick([1, 1, 2, 3]), ...(second ? [1] : [])];
  const tenants = chosenTenants(random, second);
  const steps: Step[] = [];
  const at = () => random.int(0, spanMs);
  const add = (when: number, action: Action) => void steps.push({ at: when, ...action });

  for (const secret of SECRETS) {
    add(0, { who: 'secrets', do: 'create', secret });
    add(0, { who: 'rotation', do: 'add', secret, back: 0 });
    if (random.chance(0.9))
      add(0, {
        who: 'secrets',
        do: 'consent',
        secret,
        namespace: random.chance(0.8) ? (tenants[0]?.namespace ?? 'default') : random.pick(NAMESPACES),
      });
    if (random.chance(0.3))
      add(0, { who: 'iam', do: 'toggle', secret, member: 'group:ops@example.com', conditional: random.chance(0.5) });
  }
  for (const tenant of tenants) {
    const who = random.pick(['kubectl', 'gitops'] as const);
    add(random.int(1, spanMs / 4), { who, do: 'apply', spec: spec(random), ...tenant });
  }
  for (let left = random.int(0, 16); left > 0; left--) add(at(), edit(random, tenants, second));
  if (random.chance(0.15)) steps.push(...synced(random, random.pick(tenants), spanMs));
  const faults: Fault[] = [];
  for (let left = random.int(0, 12); left > 0; left--) faults.push({ at: at(), ...fault(random, replicas) });
  if (random.chance(0.15)) {
    const lasting = random.chance(0.7)
      ? ({ fault: 'regionDown', region: random.pick(REGIONS) } as const)
      : ({ fault: 'emptyLists' } as const);
    faults.push({ at: at(), ...lasting, forMs: random.int(10_000, 150_000) });
  }
  if (random.chance(0.15)) steps.push(...restrictedAndMoved(random, random.pick(tenants), spanMs));
  if (random.chance(0.1)) faults.push(...lostWhileWriting(random, at(), replicas[0] ?? 1));
  if (random.chance(0.1)) steps.push(...statusLost(random, random.pick(tenants), spanMs));
  if (random.chance(0.15)) steps.push(...otherVersions(random, tenants, spanMs));
  // Drawn apart, so that every other draw of a seed stays what it was.
  const apart = createRandom(seed ^ 0x1a7e);
  faults.push(...lastingFaults(apart, spanMs));
  const further = createRandom(seed ^ 0x2b5f);
  const limits = !second && further.chance(0.12) ? bindingLimits(further) : undefined;
  if (further.chance(0.12)) steps.push(...impersonated(further, tenants, spanMs));
  if (further.chance(0.12)) steps.push(...connected(further, tenants, steps, spanMs));
  return {
    seed,
    replicas,
    cloud: {
      createVisibleMs: slow ? random.int(0, 60_000) : 100,
      ...(seed % 2 === 0 && { serviceVisibleMs: 0 }),
      policyPropagationMs: slow ? random.int(0, 60_000) : 200,
      accountPropagationMs: slow ? random.int(0, 60_000) : 300,
      deployMs: slow ? random.int(300, 20_000) : 300,
      defaultMaxInstances: random.pick([100, 100, 20, 5]),
    },
    latencyMs: random.pick([20, 200, 2_000]),
    watchLagMs: random.pick([0, 5, 5, 1_000, 10_000]),
    ...(apart.chance(0.1) && { graceMs: 400_000 }),
    ...(limits && { limits }),
    spanMs,
    steps: steps.sort((a, b) => a.at - b.at),
    faults: faults.sort((a, b) => a.at - b.at),
  };
}

/** Parts of Google Cloud that refuse for minutes, lists that are wrong, an API server that only serves reads. */
function lastingFaults(random: Random, spanMs: number): Fault[] {
  const faults: Fault[] = [];
  const during = () => ({ at: random.int(0, spanMs), forMs: random.int(10_000, 240_000) });
  if (random.chance(0.12)) {
    const where = random.pick([
      ...REGIONS.map(region => `/locations/${region}`),
      'projects/other-project',
      'projects/demo-project',
      ...SECRETS.map(secret => `/secrets/${secret}`),
      ...NAMES.flatMap(name => [`/services/ai-platform-${name}"`, `/sa-${name}@`]),
    ]);
    const code = random.pick(['UNAVAILABLE', 'RESOURCE_EXHAUSTED', 'INTERNAL', 'PERMISSION_DENIED'] as const);
    const asked = random.pick([undefined, 5_000, 600_000, 7_200_000]);
    faults.push({ ...during(), fault: 'outage', where, code, ...(asked !== undefined && { retryAfterMs: asked }) });
  }
  if (random.chance(0.08))
    faults.push({ ...during(), fault: 'wrongLists', how: random.pick(['short', 'stale', 'bare'] as const) });
  if (random.chance(0.08))
    faults.push({ ...during(), fault: 'readOnly', cluster: 0, code: random.pick([403, 422, 500] as const) });
  return faults;
}

/** Quotas so small that the tenants there are have to wait for their turn. */
function bindingLimits(random: Random): Script['limits'] {
  const all = {
    'secretmanager.read': random.int(30, 90),
    'secretmanager.write': random.int(10, 30),
    'iam.read': random.int(30, 90),
    'iam.write': random.int(10, 30),
    'run.read': random.int(60, 120),
    'run.write': random.int(8, 24),
  };
  const chosen = Object.entries(all).filter(() => random.chance(0.6));
  return Object.fromEntries(chosen.length > 0 ? chosen : Object.entries(all));
}

/** Namespaces name the service account to act as; one that is not allowed is put right again. */
function impersonated(random: Random, tenants: TenantRef[], spanMs: number): Step[] {
  const homes = new Map(tenants.map(tenant => [`${tenant.cluster}/${tenant.namespace}`, tenant]));
  return [...homes.values()].flatMap(({ cluster, namespace }) => {
    const name = (at: number, account: string | null): Step => {
      return { at, who: 'admin', do: 'impersonate', cluster, namespace, account };
    };
    const own = `operator-${namespace}@demo-project.iam.gserviceaccount.com`;
    const first = random.chance(0.6) ? [name(0, own)] : [];
    const at = random.int(1, spanMs - 31_000);
    const then = random.pick([own, null]);
    const strange = 'operator-of-others@demo-project.iam.gserviceaccount.com';
    if (random.chance(0.4)) return [...first, name(at, strange), name(at + random.int(1_000, 30_000), then)];
    return [...first, name(at, then)];
  });
}

/** Keys that name Config Connector's secrets, which come, are not Ready for a while, and go. */
function connected(random: Random, tenants: TenantRef[], steps: Step[], spanMs: number): Step[] {
  const found: Step[] = [];
  const named = (key: JsonObject): JsonObject => {
    const { external } = key.secretRef as { external: string };
    return /^key-\d$/.test(external) && random.chance(0.6) ? { ...key, secretRef: { name: external } } : key;
  };
  for (const step of steps) {
    if ('spec' in step && Array.isArray(step.spec.keys))
      step.spec = { ...step.spec, keys: (step.spec.keys as JsonObject[]).map(named) };
  }
  const homes = new Map(tenants.map(tenant => [`${tenant.cluster}/${tenant.namespace}`, tenant]));
  for (const { cluster, namespace } of homes.values()) {
    for (const secret of SECRETS.filter(id => id !== 'other-key')) {
      const add = (at: number, what: 'create' | 'ready' | 'notReady' | 'delete') =>
        found.push({ at, who: 'connector', do: what, cluster, namespace, secret });
      if (random.chance(0.9)) add(random.int(0, spanMs / 3), 'create');
      for (let left = random.int(0, 3); left > 0; left--)
        add(random.int(1, spanMs), random.pick(['ready', 'notReady', 'notReady', 'delete', 'create'] as const));
      if (random.chance(0.6)) add(spanMs - 1, 'ready');
    }
  }
  return found;
}

/** A GitOps tool puts the same manifest back every so often; at the end it may prune it, and may find it again. */
function synced(random: Random, tenant: TenantRef, spanMs: number): Step[] {
  const manifest = spec(random);
  const everyMs = random.pick([5_000, 20_000, 60_000]);
  const untilMs = random.int(spanMs / 4, spanMs - 6_000);
  const steps: Step[] = [];
  for (let at = random.int(1, everyMs); at < untilMs; at += everyMs)
    steps.push({ at, who: 'gitops', do: 'apply', spec: manifest, ...tenant });
  if (random.chance(0.4)) steps.push({ at: untilMs, who: 'gitops', do: 'delete', ...tenant });
  if (random.chance(0.4))
    steps.push({ at: untilMs + random.int(1, 5_000), who: 'gitops', do: 'apply', spec: manifest, ...tenant });
  return steps;
}

/** Somebody limits who may reach a service; then it moves, or somebody deletes it. */
function restrictedAndMoved(random: Random, tenant: TenantRef, spanMs: number): Step[] {
  const region = REGIONS[0] ?? '';
  const at = random.int(spanMs / 4, spanMs / 2);
  const later = random.int(at + 1_000, spanMs - 1);
  const what = random.pick(['restrict', 'restrict', 'developer'] as const);
  return [
    { at, who: 'console', do: what, tenant: tenant.name, region },
    random.chance(0.6)
      ? { at: later, who: 'kubectl', do: 'patch', spec: { region: REGIONS[1] ?? '' }, ...tenant }
      : { at: later, who: 'console', do: 'delete', tenant: tenant.name, region },
  ];
}

/**
 * A restore brings a tenant back without its status. The region may have been edited before or since, so that nothing in the
 * cluster names the one that the service is in. Then somebody asks for adoption, or deletes the tenant, or both.
 */
function statusLost(random: Random, tenant: TenantRef, spanMs: number): Step[] {
  const at = random.int(spanMs / 4, spanMs - 6_000);
  const later = () => random.int(at + 1, spanMs - 1);
  const steps: Step[] = [{ at, who: 'kubectl', do: 'loseStatus', ...tenant }];
  const region = random.pick(REGIONS);
  const edited = random.chance(0.5) ? at : later();
  if (random.chance(0.6)) steps.push({ at: edited, who: 'kubectl', do: 'patch', spec: { region }, ...tenant });
  const adopt = { who: 'kubectl', do: 'annotate', key: 'ai-platform.dev/adopt', value: 'true' } as const;
  if (random.chance(0.5)) steps.push({ at: later(), ...adopt, ...tenant });
  if (random.chance(0.6)) steps.push({ at: later(), who: 'kubectl', do: 'delete', ...tenant });
  return steps;
}

/** Operators of a newer and of an older version take over in turns, in any order; a newer one may leave something of its own. */
function otherVersions(random: Random, tenants: TenantRef[], spanMs: number): Step[] {
  const until = random.int(spanMs / 2, spanMs - 1);
  return Array.from({ length: random.int(1, 5) }, () => ({
    at: random.int(spanMs / 8, until),
    who: 'version' as const,
    do: random.pick(['newer', 'newer', 'newerJob', 'older'] as const),
    ...random.pick(tenants),
  }));
}

function chosenTenants(random: Random, second: boolean): TenantRef[] {
  const all = NAMES.flatMap(name => NAMESPACES.map(namespace => ({ cluster: 0, namespace, name })));
  const count = random.pick([1, 1, 1, 2, 2, 3, 6]);
  const chosen: TenantRef[] = [];
  while (chosen.length < count) {
    const tenant = random.chance(0.7)
      ? all.find(({ namespace }, i) => namespace === 'default' && !chosen.includes(all[i] as TenantRef))
      : undefined;
    const next = tenant ?? random.pick(all);
    if (!chosen.includes(next)) chosen.push(next);
  }
  const [first] = chosen;
  return second && first ? [...chosen, { ...first, cluster: 1 }] : chosen;
}

export function spec(random: Random): JsonObject {
  const access = random.pick(['Public', 'Public', 'Authenticated']);
  const image = random.pick(IMAGES);
  const [cpu, memory] = random.pick([
    ['1', '1Gi'],
    [1, '1024Mi'],
    ['2', '2Gi'],
    ['500m', '512Mi'],
  ]) as [string, string];
  const base = {
    region: random.chance(0.8) ? (REGIONS[0] ?? '') : random.pick(REGIONS),
    keys: keys(random),
    ...(image !== undefined && { image }),
    ...(random.chance(0.3) && { env: [{ name: 'MODE', value: random.pick(['a', 'b']) }] }),
    scaling: {
      minInstances: random.int(0, 2),
      maxInstances: random.int(3, 12),
      concurrency: cpu === '500m' ? 1 : random.pick([80, 80, 40]),
    },
    resources: { cpu, memory },
    timeoutSeconds: random.pick([300, 300, 60]),
    access,
    ...(access === 'Authenticated' && {
      invokers: random.pick([[], ['user:a@example.com'], ['user:a@example.com', 'group:b@example.com']]),
    }),
    ...(random.chance(0.03) && { suspend: true }),
  };
  return withSidecar(withSettings(base), base);
}

/** A number of a spec, for draws that are its own. */
function seedOf(base: JsonObject): number {
  let sum = 7;
  for (const letter of JSON.stringify(base)) sum = (Math.imul(sum, 31) + (letter.codePointAt(0) ?? 0)) | 0;
  return sum;
}

/** The spec with a sidecar. It is drawn apart, as in `withSettings`. */
function withSidecar(spec: JsonObject, base: JsonObject): JsonObject {
  const random = createRandom(seedOf(base) ^ 0x3c6d);
  if (random.chance(0.7)) return spec;
  const key = random.pick(spec.keys as JsonObject[]);
  const use = random.pick<JsonObject>([{ env: 'TOKEN' }, { file: '/secrets/proxy/key' }]);
  const waits = random.chance(0.4);
  const sidecar = {
    name: 'proxy',
    image: random.pick(['registry.example/proxy:1', 'registry.example/proxy:2']),
    ...(random.chance(0.3) && { args: [random.pick(['x', 'y'])] }),
    ...(random.chance(0.3) && { env: [{ name: 'MODE', value: random.pick(['a', 'b']) }] }),
    ...(random.chance(0.6) && { keys: [{ name: key.name ?? '', ...use }] }),
    resources: { cpu: random.pick(['500m', '0.5']), memory: '256Mi' },
    ...((waits || random.chance(0.3)) && { port: 4317, probes: { startup: { tcp: true } } }),
  };
  const container = { ...(spec.container as JsonObject | undefined), ...(waits && { dependsOn: ['proxy'] }) };
  return { ...spec, sidecars: [sidecar], ...(Object.keys(container).length > 0 && { container }) };
}

/** The spec with optional fields. They are drawn apart, from the spec itself, so that every other draw of a seed stays what it was. */
function withSettings(base: JsonObject): JsonObject {
  const random = createRandom(seedOf(base));
  if (random.chance(0.4)) return base;
  const sometimes = (fields: JsonObject): JsonObject => (random.chance(0.35) ? fields : {});
  const withFile = (key: JsonObject): JsonObject =>
    random.chance(0.3) ? { ...key, file: `/secrets/${key.name}/${random.pick(['key', 'key', 'other'])}` } : key;
  return {
    ...base,
    keys: (base.keys as JsonObject[]).map(withFile),
    ...sometimes({ volumes: [{ name: 'cache', mountPath: random.pick(['/cache', '/var/x']), emptyDir: {} }] }),
    scaling: { ...(base.scaling as JsonObject), ...(random.chance(0.15) && { manualInstances: random.int(1, 3) }) },
    ...templateSettings(random, base),
    ...sometimes({ labels: random.pick<JsonObject>([{ team: 'red' }, { team: 'blue', cost: '' }]) }),
    ...sometimes({ annotations: { 'example.com/team': random.pick(['Red', 'Blue']) } }),
    ...sometimes({ description: random.pick(['one', 'two']) }),
    ...sometimes({ ingress: random.pick(['All', 'Internal', 'InternalAndLoadBalancer']) }),
    ...sometimes({ defaultUrl: random.pick(['Enabled', 'Disabled']) }),
    ...sometimes({ customAudiences: random.pick([['https://a.example.com'], ['https://b.example.com', 'c']]) }),
    ...sometimes({ iap: base.access === 'Authenticated' ? random.pick(['Enabled', 'Disabled']) : 'Disabled' }),
    ...sometimes({ binaryAuthorization: 'Default' }),
  };
}

/** Optional fields of the template. Few at once, as each of them makes a revision. */
function templateSettings(random: Random, base: JsonObject): JsonObject {
  const { cpu } = base.resources as JsonObject;
  if (random.chance(0.4)) return {};
  const sometimes = (fields: JsonObject): JsonObject => (random.chance(0.3) ? fields : {});
  const container = {
    ...sometimes({ command: [random.pick(['/a', '/b'])] }),
    ...sometimes({ args: random.pick([['x'], ['x', 'y']]) }),
    ...sometimes({ port: random.pick([8080, 9000]) }),
    ...sometimes({ protocol: random.pick(['HTTP1', 'H2C']) }),
  };
  const probes = {
    ...sometimes({ startup: random.pick([{ tcp: true }, { path: '/health', periodSeconds: 5 }]) }),
    ...sometimes({ liveness: { path: random.pick(['/alive', '/live']) } }),
  };
  const resources = {
    ...(cpu !== '500m' && sometimes({ cpuAlways: random.chance(0.5) })),
    ...sometimes({ startupBoost: random.chance(0.5) }),
  };
  return {
    ...(Object.keys(container).length > 0 && { container }),
    ...(Object.keys(probes).length > 0 && { probes }),
    resources: { ...(base.resources as JsonObject), ...resources },
    ...sometimes({ executionEnvironment: cpu === '500m' ? 'Gen1' : random.pick(['Gen1', 'Gen2']) }),
    ...sometimes({ sessionAffinity: random.chance(0.5) }),
    ...sometimes({ network: random.pick([{ subnetwork: 'a' }, { subnetwork: 'b', egress: 'AllTraffic' }]) }),
  };
}

function keys(random: Random): JsonObject[] {
  const count = random.pick([1, 1, 2, 3]);
  const names = ['openai', 'backup', 'third'].slice(0, count);
  return names.map((name, index) => {
    const id = random.chance(0.6) ? (SECRETS[index] ?? 'key-1') : random.pick(SECRETS);
    const version = random.chance(0.15) ? random.int(1, 3) : 'latest';
    return {
      name,
      secretRef: {
        external:
          id === 'other-key'
            ? 'projects/other-project/secrets/other-key'
            : random.chance(0.2)
              ? `projects/demo-project/secrets/${id}`
              : id,
      },
      ...((index === 0 || random.chance(0.4)) && { env: `KEY_${index}` }),
      ...(version !== 'latest' && { version }),
      ...(random.chance(0.2) && { rollout: 'OnRestart' }),
    };
  });
}

export function edit(random: Random, tenants: TenantRef[], second: boolean): Action {
  const tenant = random.pick(tenants);
  const { name, cluster, namespace } = tenant;
  const secret = random.pick(SECRETS);
  const region = random.chance(0.7) ? (REGIONS[0] ?? '') : random.pick(REGIONS);
  const dice = random.next();
  if (dice < 0.22)
    return { who: random.pick(['kubectl', 'gitops'] as const), do: 'apply', spec: spec(random), ...tenant };
  if (dice < 0.3) return { who: random.pick(['kubectl', 'gitops'] as const), do: 'delete', ...tenant };
  if (dice < 0.35)
    return {
      who: 'kubectl',
      do: 'patch',
      spec: random.pick([{ suspend: true }, { suspend: false }, { region }, { keys: keys(random) }]),
      ...tenant,
    };
  if (dice < 0.4) {
    const [key, value] = random.pick([
      ['ai-platform.dev/deletion-policy', 'abandon'],
      ['ai-platform.dev/deletion-policy', null],
      ['ai-platform.dev/deletion-policy', 'keep'],
      ['ai-platform.dev/reconcile-requested-at', 'now'],
    ] as const);
    return { who: 'kubectl', do: 'annotate', key, value, ...tenant };
  }
  if (dice < 0.52)
    return {
      who: 'rotation',
      do: random.pick(['add', 'add', 'add', 'disable', 'enable', 'destroy'] as const),
      secret,
      back: random.pick([0, 0, 1]),
    };
  if (dice < 0.58)
    return {
      who: 'secrets',
      do: 'consent',
      secret,
      namespace: random.pick([null, namespace, namespace, 'team-a']),
      ...(random.chance(0.2) && { cluster: 'cluster-1' }),
    };
  if (dice < 0.6) return { who: 'secrets', do: random.pick(['delete', 'create'] as const), secret };
  if (dice < 0.66)
    return {
      who: 'iam',
      do: 'toggle',
      secret,
      member: random.pick(['user:x@example.com', 'group:ops@example.com']),
      conditional: random.chance(0.5),
    };
  if (dice < 0.7) return { who: 'iam', do: 'ungrant', secret, account: name };
  if (dice < 0.88) {
    const what = random.pick([
      'variable',
      'literal',
      'image',
      'access',
      'scaling',
      'traffic',
      'label',
      'unmark',
      'delete',
      'invoker',
      'public',
      'restrict',
      'restrict',
      'developer',
    ] as const);
    return { who: 'console', do: what, tenant: name, region };
  }
  if (dice < 0.92)
    return { who: 'console', do: random.pick(['deleteAccount', 'disableAccount'] as const), tenant: name };
  if (dice < 0.94)
    return {
      who: 'admin',
      do: random.pick(['deleteNamespace', 'createNamespace'] as const),
      cluster,
      namespace: 'team-a',
    };
  if (dice < 0.96)
    return { who: 'admin', do: 'project', cluster, namespace, project: random.pick(['other-project', null]) };
  return { who: 'admin', do: random.pick(['deleteCrd', 'createCrd'] as const), cluster: second ? random.int(0, 1) : 0 };
}

/** A call that is answered with one of these may have taken effect; any other code says that it has not. */
const OPEN: readonly (GcpCode | number)[] = [
  'UNAVAILABLE',
  'INTERNAL',
  'DEADLINE_EXCEEDED',
  'ABORTED',
  'UNKNOWN',
  'CANCELLED',
  0,
  500,
  503,
  504,
];

/** A write to Google Cloud is under way when its sender loses the lease. */
function lostWhileWriting(random: Random, at: number, replicas: number): Fault[] {
  const slow: Fault = { at, fault: 'late', effectMs: 25_000, answerMs: 4_000, cluster: 0, port: 'gcp', kind: 'write' };
  const cutOff = Array.from({ length: random.int(1, replicas) }, (_, replica): Fault => {
    return { at: at + random.int(0, 5_000), fault: 'cut', cluster: 0, replica, forMs: 40_000 };
  });
  return [slow, ...cutOff];
}

type Untimed<T> = T extends { at: number } ? Omit<T, 'at'> : never;

function fault(random: Random, replicas: number[]): Untimed<Fault> {
  const cluster = replicas.length > 1 && random.chance(0.2) ? 1 : 0;
  const replica = random.int(0, (replicas[cluster] ?? 1) - 1);
  const forMs = random.int(1_000, 60_000);
  const port = random.pick(['gcp', 'gcp', 'kube'] as const);
  const aim: Aim = { cluster, port, kind: random.pick(['write', 'write', 'read'] as const), skip: random.int(0, 3) };
  const dice = random.next();
  if (dice < 0.13) return { fault: 'crashBefore', ...aim };
  if (dice < 0.26) return { fault: 'crashAfter', ...aim };
  if (dice < 0.37) return { fault: 'lost', took: random.chance(0.6), ...aim };
  if (dice < 0.52) {
    const any = port === 'gcp' ? random.pick(CODES) : random.pick([0, 409, 429, 500, 503, 504]);
    // What is there, and not new, is not said to be missing: that would be believed, and has to be.
    const code = any === 'NOT_FOUND' && aim.kind === 'read' ? 'UNAVAILABLE' : any;
    return {
      fault: 'refused',
      code,
      took: OPEN.includes(code) && random.chance(0.4),
      times: random.pick([1, 1, 2, 5]),
      ...aim,
    };
  }
  if (dice < 0.61)
    return {
      fault: 'meanwhile',
      cluster,
      ...random.pick([
        { port: 'gcp', method: 'SetIamPolicy' },
        { port: 'gcp', method: 'SetIamPolicy' },
        { port: 'gcp', method: 'UpdateService' },
        { port: 'gcp', method: 'DeleteService' },
        { port: 'kube', method: 'patch aitenants/status' },
        { port: 'kube', method: 'patch aitenants' },
      ] as const),
      skip: random.int(0, 3),
    };
  if (dice < 0.68) return { fault: 'late', effectMs: random.int(0, 40_000), answerMs: random.int(0, 20_000), ...aim };
  if (dice < 0.74) return { fault: 'kill', cluster, replica, forMs };
  if (dice < 0.79) return { fault: 'apiDown', cluster, forMs };
  if (dice < 0.83) return random.chance(0.5) ? { fault: 'compact', cluster } : { fault: 'dropWatches', cluster };
  if (dice < 0.86) return { fault: 'silence', cluster, forMs };
  if (dice < 0.9) return { fault: 'lag', cluster, lagMs: random.int(1_000, 30_000), forMs };
  if (dice < 0.915) return { fault: 'stale', cluster, versions: random.int(1, 60), forMs };
  if (dice < 0.925) return { fault: 'repeat', cluster, forMs };
  if (dice < 0.945) return { fault: 'cut', cluster, replica, forMs };
  if (dice < 0.965) return { fault: 'skew', cluster, replica, ms: random.int(-60_000, 60_000) };
  if (dice < 0.98)
    return {
      fault: 'quota',
      api: random.pick(['run', 'secretmanager', 'iam'] as const),
      kind: random.pick(['write', 'write', 'read'] as const),
      calls: random.int(0, 3),
      forMs,
    };
  return {
    fault: 'deny',
    permission: random.pick([
      'run.services.update',
      'iam.serviceAccounts.actAs',
      'secretmanager.secrets.setIamPolicy',
      'run.services.get',
      'iam.serviceAccounts.delete',
      'iam.serviceAccounts.get',
      'secretmanager.secrets.getIamPolicy',
    ]),
    forMs,
  };
}
