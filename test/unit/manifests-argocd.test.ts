import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { healthOf } from './support/argocdHealth.ts';

const manifests = new URL('../../manifests/', import.meta.url);
/** The document of that kind, or the first. */
const read = (path: string, kind?: string) =>
  parseAllDocuments(readFileSync(new URL(path, manifests), 'utf8'))
    .map(document => document.toJS())
    .find(object => kind === undefined || object.kind === kind);
const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;

describe('the health check', () => {
  test('asks Argo CD for no more of Lua than it gives', () => {
    const { data } = read('argocd/argocd-cm.yaml');
    expect(Object.keys(data)).toEqual([
      'resource.customizations.health.ai-platform.dev_AiTenant',
      'resource.customizations.actions.ai-platform.dev_AiTenant',
    ]);
    for (const script of Object.values(data)) expect(script).not.toMatch(/\b(string|math|io|debug)\./);
  });

  test.each([
    ['nothing but a name', { metadata: { name: 'a', generation: 1 } }],
    ['an empty status', { metadata: { generation: 1 }, status: {} }],
    ['conditions without Ready', { metadata: { generation: 1 }, status: { observedGeneration: 1, conditions: [] } }],
    ['a deletion that nobody has seen', { metadata: { generation: 2, deletionTimestamp: '2030-01-01T00:00:00Z' } }],
    [
      'a reason that it does not know',
      {
        metadata: { generation: 1 },
        status: {
          observedGeneration: 1,
          conditions: [{ type: 'Ready', status: 'False', reason: 'Odd', message: 'm', lastTransitionTime: '' }],
        },
      },
    ],
  ])('makes %s Progressing', async (_what, object) => {
    expect(await healthOf(object)).toMatchObject({ status: 'Progressing', message: expect.stringMatching(/./) });
  });
});

describe('the health check of', () => {
  test.each([
    ['NotVerified', 'True', 'Healthy'],
    ['Held', 'False', 'Degraded'],
  ])('%s', async (reason, ready, status) => {
    const conditions = [{ type: 'Ready', status: ready, reason, message: 'm', lastTransitionTime: '' }];
    const object = { metadata: { generation: 1 }, status: { observedGeneration: 1, conditions } };
    expect(await healthOf(object)).toEqual({ status, message: 'm' });
  });
});

describe.skipIf(!hasKubectl)('the Application of the operator', () => {
  /** What Argo CD would send: it puts what the Application says into the folder's kustomization and builds that. */
  function rendered(): string {
    const { source } = read('argocd/operator.yaml').spec;
    const copy = mkdtempSync(join(tmpdir(), 'argocd-'));
    try {
      cpSync(`${new URL('..', manifests).pathname}crds`, join(copy, 'crds'), { recursive: true });
      cpSync(manifests.pathname, join(copy, 'manifests'), { recursive: true });
      const path = join(copy, source.path, 'kustomization.yaml');
      const kustomization = parse(readFileSync(path, 'utf8'));
      const [name, image] = source.kustomize.images[0].split('=');
      const [newName, newTag] = image.split(':');
      kustomization.images = [{ name, newName, newTag }];
      kustomization.components = source.kustomize.components;
      kustomization.patches = [...kustomization.patches, ...source.kustomize.patches];
      writeFileSync(path, stringify(kustomization));
      return execFileSync('kubectl', ['kustomize', join(copy, source.path)], { encoding: 'utf8' });
    } finally {
      rmSync(copy, { recursive: true });
    }
  }

  test('puts the CRD first and never prunes it, and every PROJECT has its place', () => {
    const all = parseAllDocuments(rendered()).map(document => document.toJS());
    const crd = all.find(({ kind }) => kind === 'CustomResourceDefinition');
    expect(crd.metadata.annotations).toEqual({
      'argocd.argoproj.io/sync-wave': '-1',
      'argocd.argoproj.io/sync-options': 'Prune=false,Delete=false',
    });
    const waves = all.filter(object => object !== crd).flatMap(({ metadata }) => metadata.annotations ?? []);
    expect(JSON.stringify(waves)).not.toContain('sync-wave');
    const [container] = all.find(({ kind }) => kind === 'Deployment').spec.template.spec.containers;
    expect(container.image).toBe('asia-northeast1-docker.pkg.dev/PROJECT/platform/aitenant-operator:0.1.0');
    expect(container.args).toContain('--project=PROJECT');
  });
});

describe('the ApplicationSet of the tenants', () => {
  const { spec } = read('argocd/tenants.yaml', 'ApplicationSet');

  test('comes after the operator, and compares as the API server would default', () => {
    const wave = (path: string, kind?: string) =>
      Number(read(path, kind).metadata.annotations['argocd.argoproj.io/sync-wave']);
    expect(wave('argocd/operator.yaml')).toBeLessThan(wave('argocd/tenants.yaml', 'ApplicationSet'));
    expect(wave('argocd/tenants.yaml', 'AppProject')).toBeLessThan(wave('argocd/tenants.yaml', 'ApplicationSet'));
    const options = [read('argocd/operator.yaml'), spec.template].map(
      ({ metadata }) => metadata.annotations['argocd.argoproj.io/compare-options'],
    );
    // Without the second option, Argo CD takes a default that replaces a removed field for the work of a webhook.
    expect(options).toEqual(['ServerSideDiff=true', 'ServerSideDiff=true,IncludeMutationWebhook=true']);
    expect(spec.template.spec.syncPolicy.syncOptions).toContain('ServerSideApply=true');
  });

  test('belongs to a project that allows AiTenants of that repository, and nothing else', () => {
    const project = read('argocd/tenants.yaml', 'AppProject');
    const { source, destination } = spec.template.spec;
    expect(spec.template.spec.project).toBe(project.metadata.name);
    // Argo CD: no rule for cluster-scoped kinds means none, and an empty list of namespaced kinds means all.
    expect(project.spec).toEqual({
      description: expect.any(String),
      sourceRepos: [source.repoURL],
      destinations: [{ server: destination.server, namespace: 'team-*' }],
      clusterResourceWhitelist: [],
      namespaceResourceWhitelist: [{ group: 'ai-platform.dev', kind: 'AiTenant' }],
    });
    expect(spec.generators.map(({ git }: { git: { repoURL: string } }) => git.repoURL)).toEqual([source.repoURL]);
  });

  test('makes no Namespace, as its annotations choose project and identity', () => {
    expect(spec.template.spec.syncPolicy.syncOptions).toEqual(['ServerSideApply=true']);
    expect(spec.template.spec.syncPolicy.managedNamespaceMetadata).toBe(undefined);
  });

  test('takes each file by itself, into the namespace that its folder names', () => {
    const { path } = spec.generators[0].git.files[0];
    expect(path).toBe('tenants/*/tenant-*.yaml');
    expect(spec.template.spec.source).toMatchObject({
      path: '{{ .path.path }}',
      directory: { include: '{{ .path.filename }}' },
    });
    expect(spec.template.spec.destination.namespace).toBe('{{ .path.basename }}');
  });
});

describe('the ApplicationSet of the rollouts', () => {
  const rollout = read('argocd/tenants-rollout.yaml', 'ApplicationSet');
  const plain = read('argocd/tenants.yaml', 'ApplicationSet');

  test('takes the place of the other: the same Applications, but for the commit and the label of the wave', () => {
    expect(rollout.metadata).toEqual(plain.metadata);
    const { labels, ...metadata } = rollout.spec.template.metadata;
    expect(labels).toEqual({ rollout: '{{ dig "labels" "rollout" "fleet" .metadata }}' });
    const { targetRevision, ...source } = rollout.spec.template.spec.source;
    expect(targetRevision).toBe('{{ .revision }}');
    expect({
      metadata,
      spec: { ...rollout.spec.template.spec, source: { ...source, targetRevision: 'main' } },
    }).toEqual(plain.spec.template);
    const [, tenants] = rollout.spec.generators[0].matrix.generators;
    expect({ git: { ...tenants.git, revision: 'main' } }).toEqual(plain.spec.generators[0]);
    expect(rollout.spec.syncPolicy).toEqual(plain.spec.syncPolicy);
  });

  test('has a step for each wave', () => {
    const { steps } = rollout.spec.strategy.rollingSync;
    const waves = steps.map((step: { matchExpressions: { key: string; operator: string; values: string[] }[] }) =>
      step.matchExpressions.flatMap(({ key, operator, values }) => [key, operator, values]),
    );
    expect(waves).toEqual(['canary', 'early', 'fleet'].map(wave => ['rollout', 'In', [wave]]));
  });
});
