/** The annotations that the operator obeys. A change of any other one is no edit: tools stamp objects all the time. */

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

/** Whether all of `names` have the same values in both. */
export const sameAnnotations = (names: readonly string[], a: Annotations, b: Annotations): boolean =>
  names.every(name => a?.[name] === b?.[name]);
