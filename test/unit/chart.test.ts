import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { isMap, isScalar, parse, parseDocument, type YAMLMap } from 'yaml';
import { COPIES } from '../../scripts/chart.ts';
import {
  CASES,
  CHART,
  documents,
  idOf,
  type Manifest,
  type Manifests,
  recorded,
  recordingHead,
  recordingPath,
} from './support/chart.ts';

/** The Helm chart without Helm. test/e2e/helm.test.ts renders and installs it with Helm and records the renderings that are compared here. */

const ROOT = new URL('../../', import.meta.url).pathname;
const text = (path: string) => readFileSync(join(CHART, path), 'utf8');
const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { version: string };

test.each(Object.entries(COPIES))('%s of the chart is a copy of %s (node scripts/chart.ts)', (copy, source) => {
  expect(text(copy)).toBe(readFileSync(`${ROOT}${source}`, 'utf8'));
});

test('the chart and the operator have one version', () => {
  expect(parse(text('Chart.yaml'))).toMatchObject({ version, appVersion: version });
});

describe('values.yaml', () => {
  interface Schema {
    description?: string;
    type?: string;
    additionalProperties?: boolean;
    properties?: Record<string, Schema>;
  }
  const values = parseDocument(text('values.yaml'));

  /** The comment above each key, by its path. Below a value that the schema leaves open, there are no keys to describe. */
  function comments(map: YAMLMap, schema: Schema, path: string): Record<string, string | undefined> {
    const found: Record<string, string | undefined> = {};
    for (const [at, { key, value }] of map.items.entries()) {
      if (!isScalar(key)) throw new Error(`${path} has a key that is no word`);
      // The first comment of a map may be attached to the map. That of the file stands before it, with an empty line between.
      const comment = (key.commentBefore ?? (at === 0 ? map.commentBefore : undefined))?.split(/\n\s*\n/).at(-1);
      const name = `${path}${key.value}`;
      found[name] = comment?.replaceAll(/\s*\n\s*/g, ' ').trim();
      const child = schema.properties?.[String(key.value)];
      if (isMap(value) && child?.properties) Object.assign(found, comments(value, child, `${name}.`));
    }
    return found;
  }

  function descriptions(schema: Schema, path: string): Record<string, string | undefined> {
    return Object.fromEntries(
      Object.entries(schema.properties ?? {}).flatMap(([name, child]) => [
        [`${path}${name}`, child.description],
        ...Object.entries(descriptions(child, `${path}${name}.`)),
      ]),
    );
  }

  test('each value has a comment, which is its description in values.schema.json', () => {
    const schema = JSON.parse(text('values.schema.json')) as Schema;
    const { global, ...described } = descriptions(open(schema), '');
    expect(global).toContain('does not read it');
    expect(comments(values.contents as YAMLMap, schema, '')).toEqual(described);
  });

  /** Without the properties of objects that may have any others, such as items of lists. */
  function open(schema: Schema): Schema {
    if (schema.additionalProperties !== false) return { ...schema, properties: undefined };
    const properties = Object.entries(schema.properties ?? {}).map(([name, child]) => [name, open(child)] as const);
    return { ...schema, properties: Object.fromEntries(properties) };
  }

  test('the limits have the defaults of manifests/policies/limits.yaml, but for the images, which have none', () => {
    const { data } = parse(readFileSync(`${ROOT}manifests/policies/limits.yaml`, 'utf8')) as Manifest;
    const { limits } = values.toJS().policies as { limits: Record<string, unknown> };
    const written = Object.entries(limits).map(([name, limit]) => [
      name,
      Array.isArray(limit) ? limit.map(item => `${item}\n`).join('') : String(limit),
    ]);
    expect(Object.fromEntries(written)).toEqual({ ...data, images: '' });
  });
});

const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
if (!hasKubectl) console.warn('NOT RUN: kubectl is not installed, so the chart is compared with no kustomization');

/** The objects of a kustomization of manifests/, without the Namespace and the CRD, which a chart does not template. */
function kustomized({ resources, components }: Manifests): Manifest[] {
  // kustomize takes no absolute paths.
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'chart-')));
  try {
    const there = (paths: string[]) => paths.map(path => relative(folder, `${ROOT}manifests/${path}`));
    const kustomization = { resources: there(resources), components: there(components) };
    writeFileSync(join(folder, 'kustomization.yaml'), JSON.stringify(kustomization));
    const built = execFileSync('kubectl', ['kustomize', folder], { encoding: 'utf8', maxBuffer: 1 << 24 });
    return documents(built).filter(({ kind }) => kind !== 'Namespace' && kind !== 'CustomResourceDefinition');
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const OWN_LABELS = ['name', 'part-of', 'instance', 'version', 'managed-by'].map(name => `app.kubernetes.io/${name}`);

/** The objects by their identity, without what Helm and kustomize label them with. */
function comparable(objects: Manifest[]): Record<string, Manifest> {
  const plain = structuredClone(objects);
  for (const { metadata, kind, spec } of plain) {
    for (const label of [...OWN_LABELS, 'helm.sh/chart']) delete metadata.labels?.[label];
    if (Object.keys(metadata.labels ?? {}).length === 0) delete metadata.labels;
    if (kind !== 'Deployment') continue;
    for (const container of spec.template.spec.containers) {
      if (container.image === 'aitenant-operator') container.image = `aitenant-operator:${version}`;
    }
  }
  return Object.fromEntries(plain.map(object => [idOf(object), object]));
}

describe.each(Object.entries(CASES))('the rendering of %s.values.yaml', (name, { manifests, namespace }) => {
  const all = recorded(name);
  const objects = all.filter(({ metadata }) => !metadata.annotations?.['helm.sh/hook']);

  test('was recorded with the present chart and values', () => {
    const head = readFileSync(recordingPath(name), 'utf8').split('---')[0];
    expect(head, 'run: npm run test:envtest -- test/e2e/helm.test.ts -u').toBe(recordingHead(name));
  });

  if (manifests && hasKubectl) {
    test('has the objects of the kustomization', () => {
      expect(comparable(objects)).toEqual(comparable(kustomized(manifests)));
    });
  }

  test('labels every object as the operator’s, and puts it into the namespace of the release', () => {
    for (const object of objects) {
      expect(object.metadata.labels, idOf(object)).toMatchObject({
        'app.kubernetes.io/name': 'aitenant-operator',
        'app.kubernetes.io/part-of': 'ai-platform',
        'app.kubernetes.io/version': version,
      });
      expect([namespace ?? 'aitenant-system', undefined]).toContain(object.metadata.namespace);
    }
    if (namespace) expect(JSON.stringify(all)).not.toContain('aitenant-system');
  });

  test('has a pod for `helm test` that no selector of the operator matches, with the restricted pod security', () => {
    const pod = all.find(({ kind }) => kind === 'Pod');
    expect(pod?.metadata.labels?.['app.kubernetes.io/name']).toBe('aitenant-operator-test');
    expect(pod?.spec).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    });
    expect(pod?.spec.containers[0].securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
  });
});

describe('the options that have no counterpart in manifests/', () => {
  const all = recorded('options');
  const one = (kind: string, name = 'aitenant-operator') =>
    all.find(object => object.kind === kind && object.metadata.name === name) as Manifest;
  const pod = one('Deployment').spec.template;
  const [container] = pod.spec.containers;

  test('reach the pods', () => {
    expect(container.image).toBe(`r.example/aitenant-operator:v9@sha256:${'0'.repeat(64)}`);
    expect(container.args).toEqual([
      '--leader-elect',
      '--project=my-project',
      '--projects=my-project,team-*',
      '--sync-interval=5m',
    ]);
    expect(pod.metadata).toEqual({
      labels: { 'app.kubernetes.io/name': 'aitenant-operator', pod: 'label' },
      annotations: { pod: 'annotation' },
    });
    expect(Object.keys(pod.spec.affinity)).toEqual(['nodeAffinity', 'podAntiAffinity']);
    expect(pod.spec).toMatchObject({
      priorityClassName: 'system-cluster-critical',
      imagePullSecrets: [{ name: 'pull' }],
      nodeSelector: { 'kubernetes.io/os': 'linux' },
      tolerations: [{ key: 'a', operator: 'Exists' }],
      topologySpreadConstraints: [{ maxSkew: 1 }],
    });
  });

  test('give the operator certificates and a proxy, which the Kubernetes API and the metadata server do not go through', () => {
    expect(Object.fromEntries(container.env.map(({ name, value }: Record<string, string>) => [name, value]))).toEqual({
      A: 'b',
      POD_NAMESPACE: undefined,
      NODE_EXTRA_CA_CERTS: '/var/run/aitenant/ca/ca.crt',
      HTTPS_PROXY: 'http://proxy.example.com:3128',
      NO_PROXY: '$(KUBERNETES_SERVICE_HOST),metadata.google.internal,169.254.169.254,.example.com',
    });
    expect(pod.spec.volumes).toContainEqual({ name: 'ca-bundle', configMap: { name: 'corporate-ca' } });
    expect(container.volumeMounts).toContainEqual({
      name: 'ca-bundle',
      mountPath: '/var/run/aitenant/ca',
      readOnly: true,
    });
  });

  test('open the network policy to the API server, the metadata server, the proxy and what the user names', () => {
    const { egress, ingress } = one('NetworkPolicy').spec as {
      egress: { to?: unknown; ports: { port: number }[] }[];
      ingress: { from: unknown[] }[];
    };
    expect(egress.map(({ to, ports }) => [ports.map(({ port }) => port).join(), to !== undefined])).toEqual([
      ['53,53', false],
      ['443', false],
      ['443,16443', false],
      ['80', true],
      ['988', false],
      ['3128', false],
      ['8443', false],
    ]);
    expect(ingress[0]?.from).toEqual([
      { namespaceSelector: { matchLabels: { team: 'prometheus' } } },
      { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'gmp-system' } } },
    ]);
  });

  test('label what Prometheus and Grafana select, and annotate every object', () => {
    expect(one('ServiceMonitor').metadata.labels).toMatchObject({ release: 'prometheus', team: 'platform' });
    expect(one('ServiceMonitor').spec.endpoints).toEqual([{ port: 'metrics', interval: '60s' }]);
    expect(one('PrometheusRule').metadata.labels).toMatchObject({ release: 'prometheus' });
    expect(one('ConfigMap', 'aitenant-dashboard').metadata.labels).toMatchObject({ grafana_dashboard: 'yes' });
    const own = all.filter(({ metadata }) => !metadata.annotations?.['helm.sh/hook']);
    for (const { metadata } of own) expect(metadata.annotations).toMatchObject({ owner: 'platform' });
    expect(one('ServiceAccount').metadata.annotations).toEqual({
      owner: 'platform',
      a: 'b',
      'iam.gke.io/gcp-service-account': 'op@my-project.iam.gserviceaccount.com',
    });
  });

  test('upgrade the CRD to what crds/ has, and keep it when the release is uninstalled', () => {
    const { spec, metadata } = one('CustomResourceDefinition', 'aitenants.ai-platform.dev');
    expect(spec).toEqual(parse(readFileSync(`${ROOT}crds/aitenants.yaml`, 'utf8')).spec);
    expect(metadata.annotations).toMatchObject({ 'helm.sh/resource-policy': 'keep' });
  });
});

test('no template deletes the CRD: none of them is a hook but those of `helm test`', () => {
  const hooks = readdirSync(join(CHART, 'templates'), { recursive: true, encoding: 'utf8' }).filter(
    path => /\.(yaml|tpl|txt)$/.test(path) && text(`templates/${path}`).includes('helm.sh/hook'),
  );
  expect(hooks.sort()).toEqual(['tests/leader.yaml', 'tests/networkpolicy.yaml']);
});

describe('the script of `helm test`', () => {
  async function run(masters: string[]): Promise<{ code: number; output: string }> {
    // Each connection is answered by the next replica. `localhost` may have two addresses.
    const server = createServer((_, response) =>
      response.end(`leader_election_master_status{name="aitenant"} ${masters.shift() ?? '0'}\n`),
    );
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const args = ['127.0.0.1', String((server.address() as AddressInfo).port), '1'];
    const child = spawn(process.execPath, ['--input-type=module', '--eval', text('files/leader-test.mjs'), ...args]);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', part => (output += part));
    const [code] = await once(child, 'close');
    server.close();
    return { code, output };
  }

  test('succeeds as soon as one replica is the leader', async () => {
    expect(await run(['0', '1'])).toEqual({ code: 0, output: '1 of 1 replicas are the leader\n' });
  });

  test('fails if none is', async () => {
    expect(await run([])).toEqual({ code: 1, output: '0 of 1 replicas are the leader\n' });
  });
});
