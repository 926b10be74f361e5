/**
 * The annotations that the operator reads. A change of any other annotation is not an edit, because many tools write
 * annotations.
 */

/** On an AiTenant. */
export const TENANT_ANNOTATIONS = [
  'ai-platform.dev/adopt',
  'ai-platform.dev/deletion-policy',
  'ai-platform.dev/reconcile-interval-in-seconds',
  'ai-platform.dev/reconcile-requested-at',
  'cnrm.cloud.google.com/deletion-policy',
] as const;

/** On a Namespace. */
export const NAMESPACE_ANNOTATIONS = [
  'ai-platform.dev/impersonate-service-account',
  'ai-platform.dev/project-id',
  'cnrm.cloud.google.com/project-id',
] as const;

type Annotations = Record<string, string> | undefined;

/** Whether the annotations of these names have the same values in both. */
export const sameAnnotations = (names: readonly string[], a: Annotations, b: Annotations): boolean =>
  names.every(name => a?.[name] === b?.[name]);
