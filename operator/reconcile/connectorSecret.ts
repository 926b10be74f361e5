import type { KubeObject } from '../../ports/kube.ts';
import type { ConnectorSecret } from '../tenant/desired.ts';

export const PROJECT_ANNOTATION = 'cnrm.cloud.google.com/project-id';

type Annotations = Record<string, string>;

/**
 * Finds the Secret Manager secret that a SecretManagerSecret of Config Connector describes. The secret's id is `spec.resourceID`, or else
 * the object's name. Its project is that of the object's annotation, else of the Namespace's annotation, else the tenant's. Source: Config Connector reference, SecretManagerSecret.
 */
export function readConnectorSecret(
  object: KubeObject | undefined,
  namespaceAnnotations: Annotations,
  project: string,
): ConnectorSecret {
  if (!object) return { state: 'absent' };
  const ready = readyCondition(object);
  const resourceId = fields(object.spec).resourceID;
  const id = typeof resourceId === 'string' && resourceId !== '' ? resourceId : object.metadata.name;
  const own: Annotations = object.metadata.annotations ?? {};
  const secretProject = own[PROJECT_ANNOTATION] ?? namespaceAnnotations[PROJECT_ANNOTATION] ?? project;
  const secret = `projects/${secretProject}/secrets/${id}`;
  if (ready?.status === 'True') return { state: 'ready', secret };
  const why = [ready?.reason, ready?.message].filter(text => typeof text === 'string' && text !== '').join(': ');
  return { state: 'notReady', why: why || 'it has no Ready condition yet', secret };
}

/** The Ready condition of any object, unchecked; undefined: it has none. */
export function readyCondition({ status }: KubeObject): Record<string, unknown> | undefined {
  const { conditions } = fields(status);
  return (Array.isArray(conditions) ? conditions : []).map(fields).find(({ type }) => type === 'Ready');
}

/** The fields of a value that may be anything; none if it is not an object. */
export const fields = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
