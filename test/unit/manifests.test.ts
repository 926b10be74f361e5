import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { installYaml } from '../../scripts/installYaml.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const folder = (path: string) => `${ROOT}manifests/${path}`;

interface Manifest {
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string>; annotations?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: checked where it is used, by what the test expects
  [field: string]: any;
}

const documents = (text: string): Manifest[] => parseAllDocuments(text).map(document => document.toJS() as Manifest);

/** As `kubectl apply -k` would send them; without kubectl the files as they are written, which holds for the base alone. */
const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
function built(path: string): Manifest[] {
  if (hasKubectl) return documents(execFileSync('kubectl', ['kustomize', folder(path)], { encoding: 'utf8' }));
  if (path !== 'base') throw new Error(`kubectl, which builds ${path}, is not on this machine`);
  return filesOf('base').flatMap(name => documents(readFileSync(`${folder('base')}/${name}`, 'utf8')));
}
/** The objects of a kustomization of folders of manifests/. */
function builtWith(kustomization: { resources: string[]; components?: string[]; patches?: object[] }): Manifest[] {
  // kustomize takes no absolute paths.
  const where = realpathSync(mkdtempSync(join(tmpdir(), 'manifests-')));
  try {
    const there = (paths: string[] = []) => paths.map(path => relative(where, folder(path)));
    const { resources, components } = kustomization;
    const text = JSON.stringify({ ...kustomization, resources: there(resources), components: there(components) });
    writeFileSync(join(where, 'kustomization.yaml'), text);
    return documents(execFileSync('kubectl', ['kustomize', where], { encoding: 'utf8' }));
  } finally {
    rmSync(where, { recursive: true });
  }
}
const TENANT_ROLES = 'components/tenant-roles';
const filesOf = (path: string) =>
  readdirSync(folder(path)).filter(name => name.endsWith('.yaml') && name !== 'kustomization.yaml');

const one = (all: Manifest[], kind: string, name?: string): Manifest => {
  const found = all.filter(object => object.kind === kind && (name === undefined || object.metadata.name === name));
  expect(
    found.map(({ metadata }) => metadata.name),
    kind,
  ).toHaveLength(1);
  return found[0] as Manifest;
};

describe('manifests/base', () => {
  test('is all that its folder holds', () => {
    const { resources } = parse(readFileSync(`${folder('base')}/kustomization.yaml`, 'utf8')) as {
      resources: string[];
    };
    expect([...resources].sort()).toEqual(['../../crds', ...filesOf('base')].sort());
  });

  test('names one namespace, and that has the restricted pod security', () => {
    const all = built('base');
    const namespace = one(all, 'Namespace');
    expect(namespace.metadata.labels).toMatchObject({ 'pod-security.kubernetes.io/enforce': 'restricted' });
    const named = all.flatMap(({ metadata }) => metadata.namespace ?? []);
    expect(new Set(named)).toEqual(new Set([namespace.metadata.name]));
  });

  test('has its Service, disruption budget and network policy at the pods of the Deployment', () => {
    const all = built('base');
    const { spec } = one(all, 'Deployment');
    const labels = spec.template.metadata.labels;
    expect(labels).toMatchObject(spec.selector.matchLabels);
    expect(labels).toMatchObject(one(all, 'PodDisruptionBudget').spec.selector.matchLabels);
    expect(labels).toMatchObject(one(all, 'NetworkPolicy').spec.podSelector.matchLabels);
    const service = one(all, 'Service');
    expect(labels).toMatchObject(service.spec.selector);
    const ports = spec.template.spec.containers[0].ports.map(({ name }: { name: string }) => name);
    expect(ports).toContain(service.spec.ports[0].targetPort);
    expect(spec.replicas).toBeGreaterThan(one(all, 'PodDisruptionBudget').spec.maxUnavailable);
  });

  test('gives nobody but the operator a right to AiTenants', () => {
    const roles = built('base').filter(({ kind }) => kind === 'ClusterRole' || kind === 'Role');
    expect(new Set(roles.map(({ metadata }) => metadata.name))).toEqual(new Set(['aitenant-operator']));
    for (const { metadata, aggregationRule } of roles) {
      expect(aggregationRule).toBe(undefined);
      expect(JSON.stringify(metadata.labels ?? {})).not.toContain('rbac.authorization.k8s.io');
    }
  });
});

describe('manifests/components/tenant-roles', () => {
  test('lets those who view or edit a namespace do so with its tenants, and the status alone', () => {
    const { kind, resources } = parse(readFileSync(`${folder(TENANT_ROLES)}/kustomization.yaml`, 'utf8'));
    expect([kind, resources]).toEqual(['Component', filesOf(TENANT_ROLES)]);
    const all = filesOf(TENANT_ROLES).flatMap(name =>
      documents(readFileSync(`${folder(TENANT_ROLES)}/${name}`, 'utf8')),
    );
    const verbs = (role: 'view' | 'edit' | 'admin', resource: string) =>
      all
        .filter(({ metadata }) => metadata.labels?.[`rbac.authorization.k8s.io/aggregate-to-${role}`] === 'true')
        .flatMap(({ rules }) => rules as { resources: string[]; verbs: string[] }[])
        .flatMap(rule => (rule.resources.includes(resource) ? rule.verbs : []))
        .sort();
    const reads = ['get', 'list', 'watch'];
    const writes = ['create', 'delete', 'deletecollection', 'patch', 'update'];
    expect(verbs('view', 'aitenants')).toEqual(reads);
    for (const role of ['edit', 'admin'] as const) {
      expect(verbs(role, 'aitenants')).toEqual([...reads, ...writes].sort());
      expect(verbs(role, 'aitenants/status')).toEqual(reads);
    }
  });
});

const OVERLAYS = ['base', 'overlays/gke', 'overlays/kind'].filter(path => hasKubectl || path === 'base');
if (!hasKubectl) console.warn('kubectl is not installed: the overlays are not built');

describe.each(OVERLAYS)('the pods of manifests/%s', path => {
  // https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
  test('pass pod security restricted, read-only', () => {
    const pod = one(built(path), 'Deployment').spec.template.spec;
    const volumes = (pod.volumes ?? []) as Record<string, unknown>[];
    const allowed = ['configMap', 'csi', 'downwardAPI', 'emptyDir', 'persistentVolumeClaim', 'projected', 'secret'];
    for (const { name: _, ...source } of volumes) expect(allowed).toEqual(expect.arrayContaining(Object.keys(source)));
    expect([pod.hostNetwork, pod.hostPID, pod.hostIPC]).toEqual([undefined, undefined, undefined]);
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
    expect(pod.securityContext.runAsUser).not.toBe(0);
    const containers = [...pod.containers, ...(pod.initContainers ?? [])];
    for (const { securityContext, ports = [] } of containers) {
      expect(securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
      expect(ports.every(({ hostPort }: { hostPort?: number }) => hostPort === undefined)).toBe(true);
    }
  });

  test('hold one token, of an hour, for the Kubernetes API alone', () => {
    const { automountServiceAccountToken, volumes, containers } = one(built(path), 'Deployment').spec.template.spec;
    expect(automountServiceAccountToken).toBe(false);
    expect(one(built(path), 'ServiceAccount').automountServiceAccountToken).toBe(false);
    const sources = (volumes as { name: string; projected?: { sources: Record<string, unknown>[] } }[]).flatMap(
      ({ projected }) => projected?.sources ?? [],
    );
    const tokens = sources.flatMap(({ serviceAccountToken }) => serviceAccountToken ?? []);
    // No audience is the API server's own.
    expect(tokens).toEqual([{ path: 'token', expirationSeconds: 3600 }]);
    const mount = containers[0].volumeMounts.find(({ name }: { name: string }) => name === 'kubernetes');
    expect(mount).toMatchObject({ mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true });
  });

  test('reach DNS, the Kubernetes API and Google’s APIs, and let in who scrapes', () => {
    const { policyTypes, ingress, egress } = one(built(path), 'NetworkPolicy').spec;
    expect([...policyTypes].sort()).toEqual(['Egress', 'Ingress']);
    const ports = (egress as { ports: { port: number }[] }[]).flatMap(rule => rule.ports.map(({ port }) => port));
    const metadataServer = path === 'overlays/gke' ? [80, 988] : [];
    expect([...new Set(ports)].sort((a, b) => a - b)).toEqual([53, ...metadataServer, 443, 6443].sort((a, b) => a - b));
    expect(ingress).toEqual([
      {
        from: [{ namespaceSelector: { matchLabels: { metrics: 'enabled' } } }],
        ports: [{ port: 'metrics', protocol: 'TCP' }],
      },
    ]);
  });

  test('run as the account that the role is bound to, and elect a leader', () => {
    const all = built(path);
    const { serviceAccountName, containers } = one(all, 'Deployment').spec.template.spec;
    const { subjects } = one(all, 'ClusterRoleBinding');
    expect(subjects).toEqual([{ kind: 'ServiceAccount', name: serviceAccountName, namespace: 'aitenant-system' }]);
    expect(containers[0].args).toContain('--leader-elect');
  });
});

describe.skipIf(!hasKubectl)('what an overlay adds', () => {
  test('gke: the account to act as, and the way to the metadata server', () => {
    const all = built('overlays/gke');
    expect(one(all, 'ServiceAccount').metadata.annotations).toEqual({
      'iam.gke.io/gcp-service-account': 'aitenant-operator@PROJECT.iam.gserviceaccount.com',
    });
    // With Dataplane V2, GKE rewrites the address to the one of the node before it compares it with the policy.
    expect(one(all, 'NetworkPolicy').spec.egress.slice(-2)).toEqual([
      { to: [{ ipBlock: { cidr: '169.254.169.254/32' } }], ports: [{ port: 80, protocol: 'TCP' }] },
      { ports: [{ port: 988, protocol: 'TCP' }] },
    ]);
  });

  test('podmonitoring: what Google’s collectors read, and their way to it', () => {
    const all = builtWith({ resources: ['base'], components: ['components/podmonitoring'] });
    const { selector, endpoints } = one(all, 'PodMonitoring').spec;
    const pod = one(all, 'Deployment').spec.template;
    expect(pod.metadata.labels).toMatchObject(selector.matchLabels);
    expect(endpoints).toEqual([{ port: 'metrics', interval: '30s' }]);
    const { ingress } = one(all, 'NetworkPolicy').spec;
    expect(ingress[0].from).toHaveLength(2);
  });

  test('a patch of the port of the Kubernetes API changes that rule alone', () => {
    const patch = [{ op: 'replace', path: '/spec/egress/2/ports/1/port', value: 16443 }];
    const patches = [{ target: { kind: 'NetworkPolicy', name: 'aitenant-operator' }, patch: JSON.stringify(patch) }];
    const { egress } = one(builtWith({ resources: ['overlays/gke'], patches }), 'NetworkPolicy').spec;
    expect(egress[1].ports).toEqual([{ port: 443, protocol: 'TCP' }]);
    expect(egress[2].ports.map(({ port }: { port: number }) => port)).toEqual([443, 16443]);
  });

  test('install.yaml: one file with the Namespace, the CRD and the operator, with the image and the version', () => {
    const image = `ghcr.io/me/aitenant-operator@sha256:${'0'.repeat(64)}`;
    const text = installYaml('1.2.3', image);
    const all = documents(text);
    expect(text).toContain('#   kubectl apply -f install.yaml\n');
    expect(one(all, 'Deployment').spec.template.spec.containers[0].image).toBe(image);
    for (const { metadata } of all) expect(metadata.labels).toMatchObject({ 'app.kubernetes.io/version': '1.2.3' });
    const unlabelled = all.map(object => {
      const { 'app.kubernetes.io/version': _, ...labels } = object.metadata.labels ?? {};
      return { ...object, metadata: { ...object.metadata, labels } };
    });
    const gke = built('overlays/gke');
    expect(unlabelled.map(({ kind }) => kind)).toEqual(gke.map(({ kind }) => kind));
    expect(one(unlabelled, 'NetworkPolicy')).toEqual(one(gke, 'NetworkPolicy'));
    expect(one(unlabelled, 'CustomResourceDefinition')).toEqual(one(gke, 'CustomResourceDefinition'));
  });

  test('kind: the image as it was loaded, and credentials from a Secret', () => {
    const { spec } = one(built('overlays/kind'), 'Deployment');
    const [{ image, imagePullPolicy, env }] = spec.template.spec.containers;
    expect([image, imagePullPolicy, spec.replicas]).toEqual(['aitenant-operator:dev', 'Never', 1]);
    const path = env.find(({ name }: { name: string }) => name === 'GOOGLE_APPLICATION_CREDENTIALS').value;
    const mounts = spec.template.spec.containers[0].volumeMounts as { name: string; mountPath: string }[];
    expect(path).toBe(`${mounts.find(({ name }) => name === 'google-credentials')?.mountPath}/credentials.json`);
  });
});
