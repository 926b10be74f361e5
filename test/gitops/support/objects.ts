import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseAllDocuments } from 'yaml';
import type { KubeObject } from '../../../ports/kube.ts';
import type { Envtest } from '../../../sandbox/envtest/envtest.ts';

/** The kinds without a namespace that the manifests of the GitOps tools contain. */
const CLUSTER_SCOPED = new Set(['Namespace', 'CustomResourceDefinition', 'ClusterRole', 'ClusterRoleBinding']);

/** The objects of a YAML text. */
export const objectsIn = (yaml: string): KubeObject[] =>
  parseAllDocuments(yaml)
    .map(document => document.toJS() as KubeObject | null)
    .filter(object => object !== null);

export const objectsOf = (path: string): KubeObject[] => objectsIn(readFileSync(path, 'utf8'));

const PATIENCE_MS = 60_000;

/**
 * Applies objects server-side, as `kubectl apply --server-side` does, with `namespace` for those that name none. A busy API server
 * serves a new CRD some seconds after it has accepted it. Until then it answers 404 without a Status or 429, and the object is tried again.
 */
export async function applyAll(envtest: Envtest, objects: KubeObject[], namespace: string): Promise<void> {
  for (const object of objects) {
    const path = `${pathOf(object, namespace)}?fieldManager=test&force=true`;
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const answer = await envtest.ask('PATCH', path, JSON.stringify(object), 'application/apply-patch+yaml');
      if (answer.code < 300) break;
      const isStarting = answer.code === 429 || (answer.code === 404 && answer.body.startsWith('404 page not found'));
      if (!isStarting || performance.now() > deadline) {
        throw new Error(`${object.kind} ${object.metadata.name}: ${answer.code} ${answer.body}`);
      }
      await sleep(200);
    }
  }
}

function pathOf({ apiVersion = '', kind = '', metadata }: KubeObject, namespace: string): string {
  const base = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const plural = kind.toLowerCase().replace(/y$/, 'ie').concat('s');
  const scope = CLUSTER_SCOPED.has(kind) ? '' : `/namespaces/${metadata.namespace ?? namespace}`;
  return `${base}${scope}/${plural}/${metadata.name}`;
}

/** All objects at a path, such as `/api/v1/namespaces/default/pods`. */
export async function listed(envtest: Envtest, path: string): Promise<KubeObject[]> {
  const { code, body } = await envtest.ask('GET', path);
  if (code !== 200) throw new Error(`${path}: ${code} ${body}`);
  return (JSON.parse(body) as { items: KubeObject[] }).items;
}
