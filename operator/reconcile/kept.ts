import { hash } from 'node:crypto';
import type { KubeObject } from '../../ports/kube.ts';
import { NAMESPACE_ANNOTATIONS, TENANT_ANNOTATIONS } from '../tenant/annotations.ts';
import { fields, PROJECT_ANNOTATION, readyCondition } from './connectorSecret.ts';

/**
 * Reduces objects to what the operator reads, before the caches keep them. The dropped parts may be large: an object may have up to
 * 1.5 MiB (the limit of etcd). Dropped are labels, other annotations (up to 256 KiB), managedFields, owner references, and, of
 * Namespaces and SecretManagerSecrets, most of the spec and the status.
 */

/** Every value that the operator understands is shorter. The same limit as `LONGEST_REQUEST` in `pacing.ts`. */
const LONGEST_VALUE = 256;
/** Kubernetes sets no limit to the number of finalizers. Each name has at most 317 characters. */
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

/**
 * As `keptTenant`, but throws on an object with too many finalizers, which is then not cached: to remove its own finalizer the operator
 * writes the whole list, so it cannot keep a part of it.
 */
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

/** Keeps the id, the project and the Ready condition of a Config Connector SecretManagerSecret. */
export function cachedConnectorSecret(object: KubeObject): KubeObject {
  const { finalizers: _, ...metadata } = keptMeta(object, [PROJECT_ANNOTATION]);
  const { resourceID } = fields(object.spec);
  const ready = readyCondition(object);
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

/** Replaces a value that is longer than 256 characters by its hash, as `requestAnswer` does: the operator understands no such value. */
const bounded = (value: unknown): unknown =>
  typeof value === 'string' && value.length > LONGEST_VALUE ? `sha256:${hash('sha256', value)}` : value;

const cut = (value: unknown): unknown => (typeof value === 'string' ? value.slice(0, 1_024) : undefined);
