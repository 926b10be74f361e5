import type { KubeObject } from '../../ports/kube.ts';

/** Whether two copies are the same state of the same object. */
export function isSameVersion(a: KubeObject, b: KubeObject): boolean {
  return a.metadata.uid === b.metadata.uid && a.metadata.resourceVersion === b.metadata.resourceVersion;
}

/**
 * Whether resourceVersion `a` is `b` or older; false if one of them is no decimal number. The events of one kind come in the order
 * of their resourceVersions, which may be compared as decimal numbers (KEP-5504, Kubernetes 1.35).
 */
export function isAtMost(a: string | undefined, b: string): boolean {
  const decimal = /^[1-9]\d*$/;
  if (a === undefined || !decimal.test(a) || !decimal.test(b)) return false;
  return a.length === b.length ? a <= b : a.length < b.length;
}
