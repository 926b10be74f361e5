import { execFile } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type Envtest, startEnvtest } from '../../sandbox/envtest/envtest.ts';
import { CASES, CHART, documents, type Manifest, recording, recordingPath, valuesPath } from '../unit/support/chart.ts';
import { eventually } from './support/access.ts';
import { firstRelease } from './support/firstRelease.ts';
import { goTools } from './support/goTools.ts';

/**
 * The Helm chart with both majors of Helm: rendered (the renderings are compared with kustomize in test/unit/chart.test.ts), and installed,
 * upgraded and uninstalled on a real kube-apiserver. No kubelet runs there, so a stand-in reports the result of the Pod of `helm test`.
 */

const run = promisify(execFile);
const helms = Object.entries(await goTools('helm3', 'helm4'));
const RELEASE = 'aitenant-operator';
const NAMESPACE = 'aitenant-system';
const CRD = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const TENANTS = '/apis/ai-platform.dev/v1alpha1/namespaces/default/aitenants';
const DEPLOYMENT = `/apis/apps/v1/namespaces/${NAMESPACE}/deployments/aitenant-operator`;
const MERGE = 'application/merge-patch+json';
const PRESENT = parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')) as Manifest;
const tenant = { apiVersion: 'ai-platform.dev/v1alpha1', kind: 'AiTenant', metadata: { name: 'tenant-a' } };
const spec = { region: 'asia-northeast1', keys: [{ name: 'a', secretRef: { external: 'a' } }] };

const folder = mkdtempSync(join(tmpdir(), 'helm-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a program and resolves to what it prints. Rejects with its errors. `env`: variables beside PATH and those of Helm. */
async function output(command: string, args: string[], env: Record<string, string> = {}): Promise<string> {
  const own = Object.fromEntries(['CACHE', 'CONFIG', 'DATA'].map(name => [`HELM_${name}_HOME`, join(folder, name)]));
  const { stdout } = await run(command, args, {
    env: { PATH: process.env.PATH, HOME: folder, ...own, ...env },
    maxBuffer: 1 << 24,
  });
  return stdout;
}

const isDeployment = ({ kind }: Manifest) => kind === 'Deployment';
const isLimits = ({ kind, metadata }: Manifest) => kind === 'ConfigMap' && metadata.name === 'aitenant-limits';

// A file needs a test: without Helm, this one is reported as skipped.
if (helms.length === 0) test.skip('NOT RUN: Helm cannot be built on this machine', () => {});

describe.each(helms)('the chart by %s', (_, helm) => {
  // Helm that is built with `go install` does not know a version of Kubernetes.
  const template = (...args: string[]) =>
    output(helm, ['template', RELEASE, CHART, '--kube-version=1.31.0', '--namespace', ...args]);

  test('passes helm lint --strict, with the default values and with all others', async () => {
    for (const name of Object.keys(CASES)) {
      await output(helm, ['lint', '--strict', '--kube-version=1.31.0', CHART, '--values', valuesPath(name)]);
    }
  });

  test.each(Object.entries(CASES))('renders %s.values.yaml as it is recorded', async (name, options) => {
    const { namespace = NAMESPACE, helmFlags = [] } = options;
    const rendered = await template(namespace, '--values', valuesPath(name), ...helmFlags);
    await expect(recording(name, documents(rendered))).toMatchFileSnapshot(recordingPath(name));
  });

  test.each([
    ['replica=3', /replica/],
    ['image.digest=latest', /digest/],
    ['project=Not_a_project', /project/],
    ['networkPolicy.apiServerPorts={http}', /apiServerPorts/],
    ['extraEnv[0].name=PORT,extraEnv[0].value=1', /extraEnv/],
    ['policies.enabled=true', /policies\.limits\.images is empty: name the repositories that tenants may use/],
  ])('refuses %s and names the value', async (value, message) => {
    await expect(template(NAMESPACE, '--set', value)).rejects.toThrow(message);
  });

  test.each([
    ['networkPolicy.metricsFrom=null', /metricsFrom/],
    ['networkPolicy.apiServerPorts=null', /apiServerPorts/],
    ['policies.limits.access=null', /access/],
    ['image.repository=null', /repository/],
    ['proxy=null', /proxy/],
  ])('refuses %s, which would take a default away, and names the value', async (value, message) => {
    await expect(template(NAMESPACE, '--set', value)).rejects.toThrow(message);
  });

  test.each(['123', 'true', '1e3', 'null'])(
    'names of a release and a namespace such as %s stay strings',
    async name => {
      const text = await output(helm, ['template', name, CHART, '--kube-version=1.31.0', '--namespace', name]);
      for (const { kind, metadata } of documents(text)) {
        if (!kind.startsWith('Cluster')) expect(metadata.namespace, kind).toBe(name);
        if (metadata.labels) expect(metadata.labels['app.kubernetes.io/instance'] ?? name, kind).toBe(name);
      }
    },
  );

  test('a string cannot add fields, and a label of the chart cannot be replaced', async () => {
    const values = {
      priorityClassName: 'a\n      hostNetwork: true',
      image: { tag: '1 # x' },
      caBundle: { secret: 'a }, emptyDir: {' },
      projects: ['*: x', 'a # b'],
      podLabels: { 'app.kubernetes.io/name': 'other' },
      labels: { 'app.kubernetes.io/name': 'other' },
    };
    const file = join(mkdtempSync(join(folder, 'values-')), 'values.json');
    writeFileSync(file, JSON.stringify(values));
    // documents() refuses duplicate keys.
    const { metadata, spec } = documents(await template(NAMESPACE, '--values', file)).find(isDeployment) as Manifest;
    const pod = spec.template.spec;
    expect(pod).toMatchObject({ priorityClassName: values.priorityClassName });
    expect(pod).not.toHaveProperty('hostNetwork');
    expect(pod.containers[0].image).toBe('aitenant-operator:1 # x');
    expect(pod.containers[0].args).toEqual(['--leader-elect', '--projects=*: x,a # b']);
    expect(pod.volumes[1]).toEqual({ name: 'ca-bundle', secret: { secretName: values.caBundle.secret } });
    for (const { labels } of [metadata, spec.template.metadata])
      expect(labels['app.kubernetes.io/name']).toBe('aitenant-operator');
  });

  test('limits of a values file are decimal numbers, and an item of a list has no space', async () => {
    const file = join(mkdtempSync(join(folder, 'values-')), 'values.yaml');
    const limits = 'maxInstances: 2000000, cpu: 0.5, memory: 4294967296, images: ["*"]';
    writeFileSync(file, `policies: { enabled: true, limits: { ${limits} } }`);
    const { data } = documents(await template(NAMESPACE, '--values', file)).find(isLimits) as Manifest;
    expect(data).toMatchObject({ maxInstances: '2000000', cpu: '0.5', memory: '4294967296', images: '*\n' });
    expect(data.regions).toBe('asia-northeast1\nasia-northeast2\n');
    writeFileSync(file, 'policies: { enabled: true, limits: { images: ["*"], regions: ["a\\n  images: b"] } }');
    await expect(template(NAMESPACE, '--values', file)).rejects.toThrow(/regions/);
  });

  test.each([
    ['http://proxy.example.com', 80],
    ['https://proxy.example.com', 443],
    ['https://user:secret@proxy.example.com:8080', 8080],
    ['http://[::1]:3128', 3128],
  ])('opens the network policy to the port of the proxy %s', async (url, port) => {
    const objects = documents(await template(NAMESPACE, '--set', `proxy.url=${url}`));
    const policy = objects.find(({ kind, metadata }) => kind === 'NetworkPolicy' && metadata.name === RELEASE);
    expect(policy?.spec.egress.at(-1)).toEqual({ ports: [{ port, protocol: 'TCP' }] });
  });

  test('without the CRD of an upgrade on the first installation, and with it in crds/', async () => {
    const kinds = documents(await template(NAMESPACE, '--set', 'crds.upgrade=true')).map(({ kind }) => kind);
    expect(kinds).not.toContain('CustomResourceDefinition');
    const shown = await output(helm, ['show', 'crds', CHART]);
    expect(parse(shown)).toEqual(PRESENT);
  });

  describe('on a real kube-apiserver', () => {
    let state: string;
    let cluster: Envtest;
    let chart: string;
    /** The chart as it would be of an older version, whose CRD has no description of the spec. */
    let older: string;
    beforeAll(async () => {
      chart = await packaged(CHART);
      const source = join(mkdtempSync(join(folder, 'older-')), RELEASE);
      cpSync(CHART, source, { recursive: true });
      const crd = join(source, 'crds/aitenants.yaml');
      writeFileSync(crd, readFileSync(crd, 'utf8').replace('description: The desired state of the tenant.', ''));
      older = await packaged(source);
    });
    async function packaged(source: string): Promise<string> {
      const target = mkdtempSync(join(folder, 'package-'));
      await output(helm, ['package', source, '--destination', target]);
      return join(target, readdirSync(target)[0] ?? '');
    }
    beforeEach(async () => {
      state = mkdtempSync(join(folder, 'cluster-'));
      cluster = await startEnvtest({ stateDir: state });
    });
    afterEach(() => cluster.stop());

    const inCluster = (command: string, ...args: string[]) =>
      output(command, args, { KUBECONFIG: cluster.kubeconfigPath });
    const installed = (...args: string[]) => installedFrom(chart, ...args);
    const installedFrom = (from: string, ...args: string[]) =>
      inCluster(helm, 'upgrade', '--install', RELEASE, from, '--namespace', NAMESPACE, '--create-namespace', ...args);

    async function ask(method: string, path: string, body?: unknown, type?: string): Promise<Manifest> {
      const answer = await cluster.ask(method, path, body, type);
      expect(answer.code, answer.body).toBeLessThan(300);
      return JSON.parse(answer.body) as Manifest;
    }
    const createTenant = async () => {
      await eventually(async () => (await cluster.ask('GET', TENANTS)).code === 200, 'AiTenants to be served');
      await ask('POST', TENANTS, { ...tenant, spec });
    };

    /** What `helm get manifest` names, as the API server has it, without what the server adds to the metadata. */
    async function live(): Promise<Record<string, unknown>> {
      const manifest = await inCluster(helm, 'get', 'manifest', RELEASE, '--namespace', NAMESPACE);
      const file = join(state, 'manifest.yaml');
      writeFileSync(file, manifest);
      const { items } = JSON.parse(await inCluster('kubectl', 'get', '-f', file, '-o', 'json')) as {
        items: Manifest[];
      };
      expect(items).toHaveLength(documents(manifest).length);
      return Object.fromEntries(
        items.map(({ status: _, metadata: { name, labels }, ...rest }) => [
          `${rest.kind}/${name}`,
          { ...rest, labels },
        ]),
      );
    }

    test('is installed, tested, upgraded with its CRD, and uninstalled with the tenants kept', async () => {
      const notes = await installedFrom(older, '--set', 'project=my-project');
      expect(notes).toContain('kubectl rollout status -n aitenant-system deployment/aitenant-operator');
      await createTenant();
      expect((await ask('GET', DEPLOYMENT)).spec.template.spec.containers[0].args).toContain('--project=my-project');

      expect(await tested(0)).toContain('Succeeded');
      await expect(tested(1)).rejects.toThrow(/failed/i);

      const crd = `${CRD}/aitenants.ai-platform.dev`;
      const described = async () =>
        (await ask('GET', crd)).spec.versions[0].schema.openAPIV3Schema.properties.spec.description;
      expect(await installed('--set', 'replicas=3')).toContain('Helm does not upgrade the CRD');
      expect(await described()).toBe(undefined);
      await expect(installed('--set', 'crds.upgrade=true')).rejects.toThrow(/invalid ownership metadata/);
      await installed('--set', 'crds.upgrade=true', '--take-ownership');
      expect(await described()).toContain('desired state');
      // And from then on without the flag.
      await installed('--set', 'crds.upgrade=true,replicas=2');
      await installed('--set', 'crds.upgrade=false');
      await ask('GET', `${TENANTS}/tenant-a`);

      await installed('--set', 'crds.upgrade=true', '--take-ownership');
      await inCluster(helm, 'uninstall', RELEASE, '--namespace', NAMESPACE);
      expect((await cluster.ask('GET', DEPLOYMENT)).code).toBe(404);
      expect((await ask('GET', `${TENANTS}/tenant-a`)).metadata).not.toHaveProperty('deletionTimestamp');
      expect((await ask('GET', crd)).metadata).not.toHaveProperty('deletionTimestamp');
    });

    test('takes over what kubectl applied of version 0.1.0, without a second Deployment and with the tenants kept', async () => {
      const first = join(folder, 'version-0.1.0.yaml');
      writeFileSync(first, firstRelease('upgrade-0.1/manifests.yaml'));
      await inCluster('kubectl', 'apply', '-f', first);
      await createTenant();
      const before = await ask('GET', DEPLOYMENT);
      const crd = `${CRD}/aitenants.ai-platform.dev`;
      const firstCrd = await ask('GET', crd);
      // The image of 0.1.0's manifests has no tag, so the API server has set the policy Always there.
      const flags = ['--set', 'tenantRoles.enabled=true,image.pullPolicy=IfNotPresent'];

      await expect(installed(...flags)).rejects.toThrow(/invalid ownership metadata|conflict/);
      await installed(...flags, ...TAKE_OVER(helm));

      expect((await ask('GET', DEPLOYMENT)).metadata).toMatchObject({
        uid: (before.metadata as unknown as { uid: string }).uid,
        labels: { 'app.kubernetes.io/managed-by': 'Helm' },
      });
      await ask('GET', `${TENANTS}/tenant-a`);
      const adopted = await live();
      // From then on the flags are not needed, also for a field that kubectl has set.
      await installed(...flags, '--set', 'replicas=3');
      expect((await ask('GET', DEPLOYMENT)).spec.replicas).toBe(3);
      expect((await ask('GET', crd)).spec).toEqual(firstCrd.spec);
      await installed(...flags, '--set', 'crds.upgrade=true', '--take-ownership');
      const { versions } = (await ask('GET', crd)).spec;
      expect(versions).toEqual(PRESENT.spec.versions);
      await inCluster(helm, 'uninstall', RELEASE, '--namespace', NAMESPACE);
      await ask('GET', `${TENANTS}/tenant-a`);
      expect((await cluster.ask('GET', DEPLOYMENT)).code).toBe(404);
      // Helm 4 applies crds/ on the server, over what kubectl has set there.
      await installed(...flags, ...(helm.includes('helm4') ? ['--force-conflicts'] : []));
      expect(adopted).toEqual(await live());
    });

    test('makes objects that the API server accepts without unknown fields, whatever the values', async () => {
      for (const [group, kind] of MONITORING) await ask('POST', CRD, anyObject(group, kind));
      await ask('POST', CRD, PRESENT);
      for (const name of [NAMESPACE, 'other']) await ask('POST', '/api/v1/namespaces', { metadata: { name } });
      for (const [group] of MONITORING) {
        await eventually(
          async () => (await cluster.ask('GET', `/apis/${group}/v1`)).code === 200,
          `${group} to be served`,
        );
      }
      for (const [name, { namespace = NAMESPACE }] of Object.entries(CASES)) {
        const file = join(state, `${name}.yaml`);
        writeFileSync(file, await template(namespace, '--values', valuesPath(name)));
        const apply = ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', file];
        await inCluster('kubectl', ...apply);
      }
    });

    /** Runs `helm test`. A stand-in for the kubelet ends its Pod with this exit code. */
    async function tested(exitCode: number): Promise<string> {
      const path = `/api/v1/namespaces/${NAMESPACE}/pods/aitenant-operator-test`;
      const result = inCluster(helm, 'test', RELEASE, '--namespace', NAMESPACE, '--timeout=60s');
      const ended = result.then(
        () => true,
        () => true,
      );
      const fresh = async () => {
        const found = await cluster.ask('GET', path);
        return found.code === 200 && JSON.parse(found.body).status.phase === 'Pending';
      };
      await Promise.race([ended, eventually(fresh, 'the Pod of helm test')]);
      const terminated = { exitCode, reason: exitCode === 0 ? 'Completed' : 'Error' };
      const status = {
        phase: exitCode === 0 ? 'Succeeded' : 'Failed',
        containerStatuses: [
          { name: 'test', image: 'i', imageID: '', ready: false, restartCount: 0, state: { terminated } },
        ],
      };
      await ask('PATCH', `${path}/status`, { status }, MERGE);
      return result;
    }
  });
});

/** What a cluster with both kinds of Prometheus serves. */
const MONITORING = [
  ['monitoring.coreos.com', 'ServiceMonitor'],
  ['monitoring.coreos.com', 'PrometheusRule'],
  ['monitoring.googleapis.com', 'PodMonitoring'],
] as const;

/** A CRD that accepts any object of the kind. */
function anyObject(group: string, kind: string): object {
  const plural = `${kind.toLowerCase()}s`;
  const schema = { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } };
  return {
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { plural, kind },
      versions: [{ name: 'v1', served: true, storage: true, schema }],
    },
  };
}

/** Helm 4 would apply on the server, where each later change of a field that kubectl has set too is a conflict. */
const TAKE_OVER = (helm: string) => ['--take-ownership', ...(helm.includes('helm4') ? ['--server-side=false'] : [])];
