import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject } from '../../ports/kube.ts';
import { type Envtest, startEnvtest } from '../../sandbox/envtest/envtest.ts';
import { eventually } from './support/access.ts';

/** manifests/policies on a real kube-apiserver: nothing else evaluates a ValidatingAdmissionPolicy. */

const file = (path: string) => parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')) as KubeObject;
const POLICIES = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies';
const BINDINGS = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings';
const LIMITS = '/api/v1/namespaces/aitenant-system/configmaps';
const tenants = (namespace: string) => `/apis/ai-platform.dev/v1alpha1/namespaces/${namespace}/aitenants`;
const DRY = '?dryRun=All';
const REPOSITORY = 'asia-northeast1-docker.pkg.dev/demo/tenants';
const MERGE = 'application/merge-patch+json';

const ALLOWED = { access: 'Authenticated' };
const tenant = (name: string, spec: JsonObject = {}): KubeObject =>
  ({
    apiVersion: 'ai-platform.dev/v1alpha1',
    kind: 'AiTenant',
    metadata: { name, finalizers: ['ai-platform.dev/aitenant'] },
    spec: { region: 'asia-northeast1', keys: [{ name: 'a', secretRef: { external: 'a' } }], ...ALLOWED, ...spec },
  }) as unknown as KubeObject;

let folder: string;
let cluster: Envtest;

async function must(method: string, path: string, body?: unknown, type?: string): Promise<KubeObject> {
  const answer = await cluster.ask(method, path, body, type);
  expect(answer.code, answer.body).toBeLessThan(300);
  return JSON.parse(answer.body) as KubeObject;
}

/** The answer's message, or `allowed`. */
async function refusal(method: string, path: string, body?: unknown, type?: string): Promise<string> {
  const answer = await cluster.ask(method, path, body, type);
  if (answer.code < 300) return 'allowed';
  expect([422, 403], answer.body).toContain(answer.code);
  return (JSON.parse(answer.body) as { message: string }).message;
}
const creation = (spec: JsonObject) => refusal('POST', `${tenants('team')}${DRY}`, tenant('tried', spec));
const edit = (name: string, patch: JsonObject) => refusal('PATCH', `${tenants('team')}/${name}${DRY}`, patch, MERGE);

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'policies-'));
  cluster = await startEnvtest({ stateDir: folder });
  for (const name of ['aitenant-system', 'team', 'counted']) {
    await must('POST', '/api/v1/namespaces', { metadata: { name } });
  }
  await must('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', file('crds/aitenants.yaml'));
  await eventually(async () => (await cluster.ask('GET', tenants('team'))).code === 200, 'AiTenants to be served');
  // Older than the policy, and beyond it in every respect.
  await must(
    'POST',
    tenants('team'),
    tenant('old', {
      region: 'us-central1',
      access: 'Public',
      image: 'nginx',
      scaling: { minInstances: 50, maxInstances: 500 },
      resources: { cpu: 8, memory: '16Gi' },
    }),
  );
  await must('POST', POLICIES, file('manifests/policies/policy.yaml'));
  await must('POST', LIMITS, limits());
  await must('POST', BINDINGS, file('manifests/policies/binding.yaml'));
  await eventually(async () => (await creation({ access: 'Public' })) !== 'allowed', 'the policy to count');
  // The parameters reach the policy a moment after the policy itself.
  await eventually(async () => (await creation({})) === 'allowed', 'the limits to count');
}, 120_000);
afterAll(async () => {
  await cluster?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function limits(data: Record<string, string | undefined> = {}): KubeObject {
  const object = file('manifests/policies/limits.yaml') as KubeObject & { data: Record<string, string | undefined> };
  return { ...object, data: { ...object.data, images: `${REPOSITORY}\n`, ...data } } as unknown as KubeObject;
}

describe('the limits', () => {
  test.each<[string, JsonObject, string]>([
    ['many instances', { scaling: { maxInstances: 21 } }, 'spec.scaling.maxInstances 21 is more than the 20'],
    ['many kept instances', { scaling: { minInstances: 2 } }, 'spec.scaling.minInstances 2 is more than the 1'],
    ['much CPU', { resources: { cpu: '4', memory: '4Gi' } }, 'spec.resources.cpu 4 is more than the 2'],
    ['much CPU in thousandths', { resources: { cpu: '4000m', memory: '4Gi' } }, 'spec.resources.cpu 4000m'],
    ['much CPU as a number', { resources: { cpu: 4, memory: '4Gi' } }, 'spec.resources.cpu 4 is more'],
    ['much memory', { resources: { cpu: 2, memory: '5Gi' } }, 'spec.resources.memory 5Gi is more than the 4Gi'],
    ['much memory in bytes', { resources: { cpu: 2, memory: 4294967297 } }, 'spec.resources.memory 4294967297 is'],
    ['another region', { region: 'us-central1' }, 'choose one of asia-northeast1, asia-northeast2'],
    ['a region that contains an allowed one', { region: 'asia-northeast11' }, 'is not allowed here'],
    ['a public service', { access: 'Public' }, 'write access: Authenticated'],
  ])('refuse %s and say what is allowed', async (_what, spec, message) => {
    expect(await creation(spec)).toContain(message);
    await must('POST', tenants('team'), tenant('good'));
    expect(await edit('good', { spec })).toContain(message);
    await must('PATCH', `${tenants('team')}/good`, { metadata: { finalizers: null } }, MERGE);
    await must('DELETE', `${tenants('team')}/good`);
  });

  test('refuse a tenant without access, which is Public by default', async () => {
    const unset = tenant('tried');
    delete (unset.spec as JsonObject).access;
    expect(await refusal('POST', `${tenants('team')}${DRY}`, unset)).toContain('spec.access Public is not allowed');
  });

  test('allow what is just within them', async () => {
    const spec = {
      region: 'asia-northeast2',
      scaling: { minInstances: 1, maxInstances: 20 },
      resources: { cpu: '2000m', memory: '4096Mi' },
    };
    expect(await creation(spec)).toBe('allowed');
  });

  test('hold a suspended tenant too, whatever its variables and callers are', async () => {
    const spec = { suspend: true, env: [{ name: 'A', value: 'b' }], invokers: ['user:a@example.com'] };
    expect(await creation(spec)).toBe('allowed');
    expect(await creation({ ...spec, scaling: { maxInstances: 21 } })).toContain('maxInstances 21');
  });
});

describe('sidecars', () => {
  const sidecar = (name: string, rest: JsonObject = {}) => ({ name, image: `${REPOSITORY}/proxy:1`, ...rest });
  const small = { resources: { cpu: '500m', memory: '512Mi' } };

  test('need an allowed image, like the container', async () => {
    expect(await creation({ sidecars: [sidecar('a', small)] })).toBe('allowed');
    for (const image of ['nginx', `${REPOSITORY}-evil/app`, 'docker.io/library/nginx']) {
      const sidecars = [sidecar('a', small), { ...sidecar('b', small), image }];
      expect(await creation({ sidecars })).toContain(`spec.sidecars: image ${image} is not allowed here`);
    }
  });

  test('count as CPU and memory of the instance', async () => {
    const resources = { cpu: '1', memory: '2Gi' };
    expect(await creation({ resources, sidecars: [sidecar('a', { resources: { cpu: '1', memory: '2Gi' } })] })).toBe(
      'allowed',
    );
    expect(await creation({ resources, sidecars: [sidecar('a'), sidecar('b', small)] })).toContain(
      'together more than the 2 that is allowed here',
    );
    expect(
      await creation({
        resources: { cpu: '1', memory: '4Gi' },
        sidecars: [sidecar('a', { resources: { memory: '1Gi' } })],
      }),
    ).toContain('together more than the 4Gi that is allowed here');
  });

  test('that an update does not change are not checked again', async () => {
    const spec = { resources: { cpu: '1', memory: '1Gi' }, sidecars: [sidecar('a', small)] };
    await must('POST', tenants('team'), tenant('beside', spec));
    await must('PUT', `${LIMITS}/aitenant-limits`, limits({ images: 'example.com/other', cpu: '1' }));
    await eventually(async () => (await creation(spec)) !== 'allowed', 'the new limits to count');
    expect(await edit('beside', { spec: { timeoutSeconds: 61 } })).toBe('allowed');
    expect(await edit('beside', { spec: { sidecars: [sidecar('b', small)] } })).toContain('is not allowed here');
    await must('PUT', `${LIMITS}/aitenant-limits`, limits());
    await eventually(async () => (await creation(spec)) === 'allowed', 'the former limits to count');
    await must('PATCH', `${tenants('team')}/beside`, { metadata: { finalizers: null } }, MERGE);
    await must('DELETE', `${tenants('team')}/beside`);
  });
});

const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('an image', () => {
  test.each([
    `${REPOSITORY}/app`,
    `${REPOSITORY}/app:1.0`,
    `${REPOSITORY}/app@${DIGEST}`,
    `${REPOSITORY}/app:1.0@${DIGEST}`,
    `${REPOSITORY}/deep/er/app_x:Tag`,
    REPOSITORY,
    `${REPOSITORY}:tag`,
  ])('%s is of the allowed repository', async image => {
    expect(await creation({ image })).toBe('allowed');
  });

  test.each([
    `${REPOSITORY}-evil/app`,
    `${REPOSITORY}.evil/app`,
    `${REPOSITORY}evil`,
    `${REPOSITORY}:5000/app`,
    `${REPOSITORY}@evil/app`,
    `${REPOSITORY}/../other/app`,
    `${REPOSITORY}/./app`,
    `${REPOSITORY}//app`,
    `${REPOSITORY}/`,
    `${REPOSITORY}/app:`,
    `${REPOSITORY}/app@sha256:short`,
    `evil.example/${REPOSITORY}/app`,
    `${REPOSITORY.replace('/', '.evil/')}/app`,
    `${REPOSITORY.replace('/', ':443/')}/app`,
    `${REPOSITORY.toUpperCase()}/app`,
    `${REPOSITORY}/APP`,
    'nginx',
    'library/nginx',
    'docker.io/library/nginx',
    'demo/tenants/app',
  ])('%s is not', async image => {
    expect(await creation({ image })).toMatch(/^aitenants.* spec\.image .* is not allowed here/);
  });

  test('that is left to the operator’s default is allowed', async () => {
    expect(await creation({})).toBe('allowed');
  });
});

describe('a tenant that is beyond the limits already', () => {
  test('is edited in other fields, gets its finalizer, status and annotations, and is deleted', async () => {
    expect(await edit('old', { spec: { timeoutSeconds: 20 } })).toBe('allowed');
    expect(await edit('old', { metadata: { annotations: { a: 'b' } } })).toBe('allowed');
    const status = { status: { observedGeneration: 1 } };
    expect(await refusal('PATCH', `${tenants('team')}/old/status`, status, MERGE)).toBe('allowed');
    await must('DELETE', `${tenants('team')}/old`);
    await must('PATCH', `${tenants('team')}/old`, { metadata: { finalizers: null } }, MERGE);
    expect((await cluster.ask('GET', `${tenants('team')}/old`)).code).toBe(404);
  });
});

test('the CRD has no way into the spec beside the object itself: its only subresource is the status', () => {
  const { versions } = file('crds/aitenants.yaml').spec as { versions: { subresources: object }[] };
  for (const { subresources } of versions) expect(Object.keys(subresources)).toEqual(['status']);
});

describe('the ConfigMap', () => {
  const change = (data: Record<string, string | null>) => must('PATCH', `${LIMITS}/aitenant-limits`, { data }, MERGE);
  const becomes = (spec: JsonObject, message: string) =>
    expect.poll(() => creation(spec), { timeout: 30_000 }).toContain(message);

  test('opens what it lists: "*" for regions and images, a line with Public', async () => {
    await change({ regions: '*', images: '*', access: 'Public\nAuthenticated' });
    await becomes({ region: 'us-central1', image: 'nginx', access: 'Public' }, 'allowed');
    const { data } = limits() as KubeObject & { data: Record<string, string> };
    await change(data);
    await becomes({ access: 'Public' }, 'write access: Authenticated');
  });

  test.each(['access', 'cpu', 'images', 'maxInstances', 'memory', 'minInstances', 'regions'])(
    'without %s refuses every new tenant and says so',
    async name => {
      const { data } = limits() as KubeObject & { data: Record<string, string> };
      await change({ [name]: null });
      await becomes({}, `the ConfigMap aitenant-system/aitenant-limits lacks ${name}`);
      await change({ [name]: data[name] as string });
      await expect.poll(() => creation({}), { timeout: 30_000 }).toBe('allowed');
    },
  );

  test('with a limit that is no number refuses', async () => {
    await change({ maxInstances: 'many' });
    await becomes({}, 'error');
    await change({ maxInstances: '20' });
    await expect.poll(() => creation({}), { timeout: 30_000 }).toBe('allowed');
  });

  test('that is gone refuses creations and edits, and deletions wait until it is there again', async () => {
    await must('POST', tenants('team'), tenant('leaving'));
    await must('DELETE', `${LIMITS}/aitenant-limits`);
    await becomes({}, 'no params found');
    await must('DELETE', `${tenants('team')}/leaving`);
    const release = () => refusal('PATCH', `${tenants('team')}/leaving`, { metadata: { finalizers: null } }, MERGE);
    expect(await release()).toContain('no params found');
    await must('POST', LIMITS, limits());
    await expect.poll(release, { timeout: 30_000 }).toBe('allowed');
  });
});

test('the quota of a namespace counts its tenants', async () => {
  const quotas = '/api/v1/namespaces/counted/resourcequotas';
  const quota = file('manifests/policies/quota.yaml');
  quota.spec = { hard: { 'count/aitenants.ai-platform.dev': '2' } };
  await must('POST', quotas, quota);
  // kube-controller-manager does this in a cluster.
  const status = { ...(quota.spec as JsonObject), used: { 'count/aitenants.ai-platform.dev': '0' } };
  await must('PATCH', `${quotas}/aitenants/status`, { status }, MERGE);
  const create = (name: string) => refusal('POST', tenants('counted'), tenant(name));
  await expect.poll(() => create('one'), { timeout: 60_000 }).toBe('allowed');
  expect(await create('two')).toBe('allowed');
  expect(await create('three')).toContain('exceeded quota: aitenants');
  expect(Object.keys((file('manifests/policies/quota.yaml').spec as { hard: object }).hard)).toEqual([
    'count/aitenants.ai-platform.dev',
  ]);
});
