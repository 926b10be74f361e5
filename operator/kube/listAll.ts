import type { KubeApi, KubeObject, KubeResource, KubeResult } from '../../ports/kube.ts';
import { PAGE_TOO_LARGE } from './kubeRequests.ts';

const PAGE = 500;
/**
 * The largest page in bytes, as it comes over the wire; parsed, it takes a few times as much memory. etcd stores objects of up to
 * 1.5 MiB, so a page of 500 objects could have 750 MiB. A page that is larger is requested again with a quarter of the objects;
 * a page of one object may have any size.
 */
const PAGE_BYTES = 12 * 2 ** 20;

/**
 * Lists all objects of a kind, page by page, and resolves to the resourceVersion of the list. The request names no
 * resourceVersion, so the read is consistent: it is never older than what was read before.
 */
export async function listAll(
  api: KubeApi,
  resource: KubeResource,
  options: { namespace?: string; signal: AbortSignal },
  onPage: () => void,
  onObject: (object: KubeObject) => void,
): Promise<KubeResult<string>> {
  let next: string | undefined;
  let limit = PAGE;
  for (;;) {
    const maxBytes = limit > 1 ? PAGE_BYTES : undefined;
    const page = await api.list(resource, { ...options, limit, maxBytes, continue: next });
    onPage();
    if (!page.ok && page.status.reason === PAGE_TOO_LARGE && limit > 1) {
      limit = Math.max(1, Math.floor(limit / 4));
      continue;
    }
    if (!page.ok) return page;
    for (const item of page.value.items) onObject(item);
    next = page.value.metadata.continue;
    if (!next) return { ok: true, value: page.value.metadata.resourceVersion };
  }
}
