import type { KubeApi, KubeObject, KubeResource } from '../../ports/kube.ts';
import { type Runtime, sleep } from '../../ports/runtime.ts';

/** How long one watch may last, in seconds, and the pause before the next list after a failure, in milliseconds. */
const WATCH_SECONDS = 300;
const RETRY_MS = 1_000;

export interface Follower {
  /** The objects as the API server last sent them, by UID. */
  objects: Map<string, KubeObject>;
  /** Why there is no watch at the moment. */
  trouble: string | undefined;
  stop(): void;
}

/**
 * Lists the objects of a kind in all namespaces, and watches them. `changed` gets each object that is new or different, and
 * `isListed` for those of a list. A failed or expired watch begins again with a list.
 */
export function follow(
  { kube, runtime }: { kube: KubeApi; runtime: Runtime },
  resource: KubeResource,
  changed: (object: KubeObject, isListed: boolean) => void,
): Follower {
  const controller = new AbortController();
  const { signal } = controller;
  const follower: Follower = { objects: new Map(), trouble: undefined, stop: () => controller.abort() };
  const { objects } = follower;
  const put = (object: KubeObject, isListed: boolean) => {
    const uid = object.metadata.uid ?? '';
    if (objects.get(uid)?.metadata.resourceVersion === object.metadata.resourceVersion) return;
    objects.set(uid, object);
    changed(object, isListed);
  };

  async function round(): Promise<string | undefined> {
    const list = await kube.list(resource, { signal });
    if (!list.ok) return list.status.message;
    const uids = new Set(list.value.items.map(({ metadata }) => metadata.uid));
    for (const uid of objects.keys()) if (!uids.has(uid)) objects.delete(uid);
    for (const item of list.value.items) put(item, true);
    follower.trouble = undefined;
    let isGone = false;
    let { resourceVersion } = list.value.metadata;
    while (!isGone && !signal.aborted) {
      const options = { resourceVersion, timeoutSeconds: WATCH_SECONDS, signal };
      const ended = await kube.watch(resource, options, ({ type, object }) => {
        if (type === 'ERROR') isGone = true;
        else resourceVersion = object.metadata.resourceVersion ?? resourceVersion;
        if (type === 'DELETED') objects.delete(object.metadata.uid ?? '');
        if (type === 'ADDED' || type === 'MODIFIED') put(object, false);
      });
      if (!ended.ok) return ended.status.message;
    }
    return undefined;
  }

  void (async () => {
    while (!signal.aborted) {
      follower.trouble = await round();
      await sleep(runtime, RETRY_MS, signal);
    }
  })();
  return follower;
}
