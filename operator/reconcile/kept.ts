import { hash } from 'node:crypto';
import type { KubeObject } from '../../ports/kube.ts';
import { NAMESPACE_ANNOTATIONS, TENANT_ANNOTATIONS } from '../tenant/annotations.ts';

/**
 * What the caches keep of each kind: only what the operator reads. The rest is bounded by nothing but the 1.5 MiB that etcd takes: labels,
 * others' annotations (256 KiB), managedFields, owner references, and in other kinds than ours spec and status.
 */

/** Longer than every value that the operator understands; the same as of a requested check's answer. */
const LONGEST_VALUE = 256;
/** Kubernetes itself sets no bound. Each name has at most 317 characters. */
const MOST_FINALIZERS = 100;

export function keptTenant(object: KubeObject): KubeObject {
  const { apiVersion, kind, spec, status } = object;
  return {
    apiVersion,
    kind,
    metadata: keptMeta(object, TENANT_ANNOTATIONS),
    spec,
    ...(status !== undefined && { status }),
  };
}

/** Throws on an object that is not to be kept at all: its finalizers are needed whole to write them, and are too many. */
export function cachedTenant(object: KubeObject): KubeObject {
  const { namespace, name, finalizers = [] } = object.metadata;
  if (finalizers.length > MOST_FINALIZERS) {
    throw new Error(
      `${namespace}/${name} has ${finalizers.length} finalizers, and at most ${MOST_FINALIZERS} are managed`,
    );
  }
  return keptTenant(object);
}

export function cachedNamespace(object: KubeObject): KubeObject {
  const { finalizers: _, ...metadata } = keptMeta(object, NAMESPACE_ANNOTATIONS);
  return { metadata };
}

/** Of a Config Connector SecretManagerSecret: its id, its project and the Ready condition. */
export function cachedConnectorSecret(object: KubeObject): KubeObject {
  const { finalizers: _, ...metadata } = keptMeta(object, ['cnrm.cloud.google.com/project-id']);
  const { resourceID } = fields(object.spec);
  const conditions = fields(object.status).conditions;
  const ready = (Array.isArray(conditions) ? conditions : []).map(fields).find(({ type }) => type === 'Ready');
  return {
    metadata,
    spec: { resourceID: bounded(resourceID) },
    status: {
      conditions: ready
        ? [{ type: 'Ready', status: bounded(ready.status), reason: bounded(ready.reason), message: cut(ready.message) }]
        : [],
    },
  };
}

function keptMeta({ metadata }: KubeObject, names: readonly string[]): KubeObject['metadata'] {
  const { name, namespace, uid, resourceVersion, generation, creationTimestamp, deletionTimestamp, finalizers } =
    metadata;
  const found = names.flatMap(key => {
    const value = metadata.annotations?.[key];
    return value === undefined ? [] : [[key, bounded(value) as string] as const];
  });
  return {
    name,
    ...(namespace !== undefined && { namespace }),
    ...(uid !== undefined && { uid }),
    ...(resourceVersion !== undefined && { resourceVersion }),
    ...(generation !== undefined && { generation }),
    ...(creationTimestamp !== undefined && { creationTimestamp }),
    ...(deletionTimestamp !== undefined && { deletionTimestamp }),
    ...(finalizers !== undefined && { finalizers }),
    ...(found.length > 0 && { annotations: Object.fromEntries(found) }),
  };
}

/** No value that the operator understands is longer than this, so a hash stands for one that is; as in `requestAnswer`. */
const bounded = (value: unknown): unknown =>
  typeof value === 'string' && value.length > LONGEST_VALUE ? `sha256:${hash('sha256', value)}` : value;

const cut = (value: unknown): unknown => (typeof value === 'string' ? value.slice(0, 1_024) : undefined);

const fields = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
