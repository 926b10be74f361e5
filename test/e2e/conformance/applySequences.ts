import type { Session } from './session.ts';

/**
 * Random sequences of server-side apply by several managers, mixed with updates, merge patches and client-side writes, on
 * one object of each kind. Both servers must keep the same object, the same owners and the same conflicts.
 */

/** A small generator of numbers (mulberry32), so that a sequence is known by its seed. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

const APPLY = 'application/apply-patch+yaml';
const MERGE = 'application/merge-patch+json';

export async function applySequence(session: Session, namespace: string, seed: number): Promise<void> {
  const random = numbers(seed);
  const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
  const maybe = (chance: number) => random() < chance;
  const some = <T>(items: readonly T[], chance = 0.5): T[] => items.filter(() => maybe(chance));
  const map = (keys: readonly string[]) => Object.fromEntries(some(keys).map(key => [key, pick(['x', 'y'])]));

  // kube-apiserver stores an empty map of a custom resource's metadata, so that taking it away is a write; the local API does
  // not store it. Nobody can tell but by the resourceVersion, so the sequences have none.
  const filledMap = (keys: readonly string[]) => ({ [keys[0] as string]: 'x', ...map(keys) });

  const metadata = (name: string, namespaced: boolean) => ({
    name,
    ...(namespaced ? { namespace } : {}),
    ...(maybe(0.4) ? { labels: filledMap(['one', 'two', 'three']) } : {}),
    ...(maybe(0.3) ? { annotations: filledMap(['a', 'b']) } : {}),
    ...(maybe(0.2) ? { finalizers: some(['shop.example/one', 'shop.example/two']) } : {}),
  });

  const tenant = (name: string) => ({
    apiVersion: 'ai-platform.dev/v1alpha1',
    kind: 'AiTenant',
    metadata: metadata(name, true),
    spec: {
      region: pick(['asia-northeast1', 'europe-west1']),
      keys: ['openai', 'other', 'third']
        .filter((_, index) => index === 0 || maybe(0.5))
        .sort(() => random() - 0.5)
        .map(key => ({
          name: key,
          secretRef: { external: pick([`${key}-key`, `${key}-key-2`]) },
          ...(maybe(0.6) ? { env: `${key.toUpperCase()}_KEY` } : {}),
          ...(maybe(0.3) ? { version: pick(['latest', 3]) } : {}),
        })),
      ...(maybe(0.5) ? { image: pick(['app:1', 'app:2']) } : {}),
      ...(maybe(0.5) ? { env: some(['A', 'B', 'C', 'D']).map(key => ({ name: key, value: pick(['1', '2']) })) } : {}),
      ...(maybe(0.4) ? { scaling: map2(maybe(0.5), maybe(0.5)) } : {}),
      // Fields of no type: what is in them has owners of its own.
      ...(maybe(0.4) ? { encryptionKey: regional(`${KMS}one`) } : {}),
      ...(maybe(0.4) ? { network: network() } : {}),
      ...(maybe(0.2) ? { access: 'Authenticated', ...(maybe(0.5) ? { invokers: some(MEMBERS) } : {}) } : {}),
    },
  });
  const KMS = 'projects/p/locations/r/keyRings/k/cryptoKeys/';
  const regional = (name: string): unknown =>
    pick([
      name,
      { r1: name },
      { r1: name, r2: pick([name, 5, { deep: ['x', { y: pick([1, 2]) }] }]) },
      {},
      7,
      ['a'],
      true,
    ]);
  const network = () =>
    pick([
      { subnetwork: regional('tokyo'), ...(maybe(0.3) ? { tags: some(['a', 'b', 'c']) } : {}) },
      { connector: regional('vpc') },
      { connector: 'vpc', network: 'n' },
      { subnetwork: 'a', connector: 'b' },
      { egress: 'AllTraffic' },
    ]);
  const MEMBERS = ['user:a@example.com', 'user:b@example.com', 'group:c@example.com'];
  const map2 = (min: boolean, max: boolean) => ({
    ...(min ? { minInstances: pick([0, 1]) } : {}),
    ...(max ? { maxInstances: pick([5, 10]) } : {}),
  });
  const configMap = (name: string) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadata(name, true),
    ...(maybe(0.8) ? { data: map(['k', 'l', 'm']) } : {}),
  });

  const kinds = {
    tenant: { path: `/apis/ai-platform.dev/v1alpha1/namespaces/${namespace}/aitenants`, make: tenant },
    configMap: { path: `/api/v1/namespaces/${namespace}/configmaps`, make: configMap },
  };
  const which = pick(['tenant', 'tenant', 'configMap'] as const);
  const { path, make } = kinds[which];
  const name = `${which.toLowerCase()}-${seed}`;
  const managers = ['argocd-controller', 'flux', 'kubectl', 'helm'];
  const steps = 4 + Math.floor(random() * 6);
  for (let step = 0; step < steps; step += 1) {
    const manager = pick(managers);
    const label = `${seed}.${step}`;
    const how =
      step === 0 ? pick(['apply', 'create']) : pick(['apply', 'apply', 'apply', 'force', 'merge', 'put', 'status']);
    const object = make(name);
    if (how === 'apply' || how === 'force') {
      const query = `fieldManager=${manager}${how === 'force' ? '&force=true' : ''}${maybe(0.1) ? '&dryRun=All' : ''}`;
      await session.call(`${label} ${how} ${manager}`, 'PATCH', `${path}/${name}?${query}`, {
        body: object,
        type: APPLY,
      });
    } else if (how === 'create') {
      await session.call(`${label} create`, 'POST', `${path}?fieldManager=${manager}`, { body: object });
    } else if (how === 'merge') {
      const body = pick([
        { metadata: { labels: { one: pick(['x', 'z', null]) } } },
        which === 'tenant' ? { spec: { image: pick(['app:3', null]) } } : { data: { k: pick(['z', null]) } },
        which === 'tenant' ? { spec: { env: [{ name: 'A', value: '3' }] } } : { data: null },
      ]);
      await session.call(`${label} merge`, 'PATCH', `${path}/${name}?fieldManager=${manager}`, { body, type: MERGE });
    } else if (how === 'put') {
      const { body, code } = await session.ask('GET', `${path}/${name}`);
      if (code !== 200) continue;
      const changed = { ...body, metadata: { ...body.metadata, labels: filledMap(['one', 'two']) } };
      await session.call(`${label} put`, 'PUT', `${path}/${name}?fieldManager=${manager}`, { body: changed });
    } else if (which === 'tenant') {
      const body = { status: { url: pick(['https://a', 'https://b']), region: pick(['r', null]) } };
      await session.call(`${label} status`, 'PATCH', `${path}/${name}/status?fieldManager=${manager}`, {
        body,
        type: MERGE,
      });
    }
  }
  await session.call(`${seed} at the end`, 'GET', `${path}/${name}`);
}
