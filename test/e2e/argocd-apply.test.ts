import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import type { KubeObject } from '../../ports/kube.ts';
import { ask, type Server } from '../../sandbox/envtest/ask.ts';
import { kubeconfigText } from './support/access.ts';
import { createWorld, spec, type World } from './support/world.ts';

/** What a GitOps tool does with the manifests, by server-side apply; what needs pods and deployments on a real kube-apiserver only. */

const file = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const manifests = new URL('../../manifests/', import.meta.url).pathname;
const shared = inject('envtest')?.[Number(process.env.VITEST_POOL_ID) - 1];
const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;

describe('what Argo CD applies', () => {
  const folder = mkdtempSync(join(tmpdir(), 'apply-'));
  let world: World;
  let server: Server | undefined;

  beforeAll(async () => {
    world = await createWorld();
    if (shared) {
      server = { url: shared.url, ca: shared.ca, token: shared.adminToken };
      writeFileSync(join(folder, 'config'), kubeconfigText(shared.url, shared.ca, shared.adminToken));
    }
  });
  afterAll(async () => {
    await world.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const kubectl = (...args: string[]) =>
    execFileSync('kubectl', args, {
      encoding: 'utf8',
      stdio: 'pipe',
      env: { ...process.env, KUBECONFIG: join(folder, 'config') },
    });

  async function patch(path: string, body: string): Promise<{ code: number; body: string }> {
    const type = 'application/apply-patch+yaml';
    if (server) return ask(server, 'PATCH', path, body, type);
    const answer = await fetch(`${world.kubeUrl}${path}`, { method: 'PATCH', headers: { 'content-type': type }, body });
    return { code: answer.status, body: await answer.text() };
  }

  /** Server-side apply as Argo CD makes it; with `dryRun` as its diff asks what would come of it. */
  async function applied(object: KubeObject, dryRun = false): Promise<KubeObject> {
    const query = `fieldManager=argocd-controller&force=true${dryRun ? '&dryRun=All' : ''}`;
    const path = `/apis/ai-platform.dev/v1alpha1/namespaces/default/aitenants/${object.metadata.name}?${query}`;
    const answer = await patch(path, stringify(object));
    expect(answer.code, answer.body).toBeLessThan(300);
    const { metadata, ...rest } = JSON.parse(answer.body) as KubeObject & { metadata: { managedFields?: unknown } };
    const { managedFields: _, ...kept } = metadata;
    return { metadata: kept, ...rest };
  }

  test.each(['tenant-a', 'tenant-with-everything', 'backup-key', 'authenticated'])(
    'examples/%s.yaml is in sync once it is applied: defaults and status are no difference',
    async name => {
      const object = parse(file(`examples/${name}.yaml`)) as KubeObject;
      await world.secret(`${object.metadata.name}-openai-key`).catch(() => {});
      const { metadata } = await applied(object);
      await world.annotate(object.metadata.name, { 'ai-platform.dev/reconcile-requested-at': 'now' });
      const live = (await world.tenant(object.metadata.name)) as KubeObject;
      expect(live.metadata.uid).toBe(metadata.uid);
      const again = await applied(object, true);
      expect(again.spec).toEqual(live.spec);
      expect(again.metadata.generation).toBe(live.metadata.generation);
    },
  );

  test('a key that goes from the manifest goes from the tenant, and only that one', async () => {
    const keys = [
      { name: 'openai', secretRef: { external: 'a' }, env: 'OPENAI_API_KEY' },
      { name: 'standby', secretRef: { external: 'b' } },
    ];
    const object = (some: typeof keys | (typeof keys)[number][]) =>
      ({
        apiVersion: 'ai-platform.dev/v1alpha1',
        kind: 'AiTenant',
        metadata: { name: 'keys-go' },
        spec: spec({ keys: some }),
      }) as unknown as KubeObject;
    await applied(object(keys));
    const after = await applied(object(keys.slice(0, 1)));
    expect((after.spec as { keys: { name: string }[] }).keys.map(({ name }) => name)).toEqual(['openai']);
  });

  describe.runIf(shared && hasKubectl)('kubectl on a real kube-apiserver', () => {
    test.each(['base', 'overlays/gke', 'overlays/kind'])('applies manifests/%s, from both sides', path => {
      for (const how of [['--server-side', '--force-conflicts'], []]) {
        const out = kubectl('apply', '-k', join(manifests, path), '--dry-run=server', ...how);
        expect(out).toContain('deployment.apps/aitenant-operator');
      }
    });

    test('the operator’s pod is let into the namespace, which has the restricted pod security', () => {
      const rendered = execFileSync('kubectl', ['kustomize', join(manifests, 'base')], { encoding: 'utf8' });
      const all = parseAllDocuments(rendered).map(document => document.toJS());
      const { template } = all.find(({ kind }) => kind === 'Deployment').spec;
      writeFileSync(join(folder, 'namespace.yaml'), stringify(all.find(({ kind }) => kind === 'Namespace')));
      kubectl('apply', '--server-side', '--force-conflicts', '-f', join(folder, 'namespace.yaml'));
      const metadata = { name: 'pod', namespace: 'aitenant-system', labels: template.metadata.labels };
      const pod = (podSpec: object) => {
        writeFileSync(join(folder, 'pod.yaml'), stringify({ apiVersion: 'v1', kind: 'Pod', metadata, spec: podSpec }));
        return spawnSync('kubectl', ['create', '--dry-run=server', '-f', join(folder, 'pod.yaml')], {
          encoding: 'utf8',
          env: { ...process.env, KUBECONFIG: join(folder, 'config') },
        });
      };
      expect(pod(template.spec).stderr).toBe('');
      // The same check refuses one that is not.
      expect(pod({ ...template.spec, hostNetwork: true }).stderr).toContain('violates PodSecurity "restricted');
    });
  });
});
