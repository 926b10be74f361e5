import type { KubeApi, KubeObject, KubeResource, KubeResult, KubeStatus, KubeWatchEvent } from '../../ports/kube.ts';
import type { Runtime } from '../../ports/runtime.ts';

/**
 * The server is asked to end each watch after 20 to 25 s (at random, so that many watches are not renewed at once). A watch that is
 * open 5 s after that is dead, so a connection that has silently lost its other end is noticed within 30 s, without any
 * keep-alive. An API server sends a bookmark 2 s before such an end (otherwise about once a minute), so the next watch
 * starts there and costs next to nothing.
 */
const SECONDS = { least: 20, most: 25, grace: 5 };
const TOO_SHORT_MS = 1_000;

export interface WatchOnceOptions {
  api: KubeApi;
  runtime: Runtime;
  resource: KubeResource;
  namespace?: string;
  resourceVersion: string;
  signal: AbortSignal;
  /** Called for each event but `ERROR`, and never after the promise has resolved. */
  onEvent: (event: KubeWatchEvent) => void;
}

/** One watch. `ok`: the server ended it as asked. `received`: the number of events. `Silent` is the reason of a dead connection. */
export async function watchOnce(options: WatchOnceOptions): Promise<KubeResult<undefined> & { received: number }> {
  const { api, runtime, resource, namespace, resourceVersion, signal, onEvent } = options;
  const timeoutSeconds = SECONDS.least + Math.floor(runtime.random() * (SECONDS.most - SECONDS.least + 1));
  const startedAt = runtime.monotonic();
  let received = 0;
  let failure: KubeStatus | undefined;

  const abort = new AbortController();
  const end = () => abort.abort();
  signal.addEventListener('abort', end, { once: true });
  const cancelDeadline = runtime.after((timeoutSeconds + SECONDS.grace) * 1000, () => {
    failure = { code: 0, reason: 'Silent', message: 'the watch outlived its end, so its connection was dead' };
    end();
  });

  const onAny = (event: KubeWatchEvent) => {
    if (abort.signal.aborted) return;
    if (event.type === 'ERROR') {
      failure = statusIn(event.object);
      end();
      return;
    }
    received++;
    onEvent(event);
  };
  const watch = { namespace, resourceVersion, timeoutSeconds, signal: abort.signal };
  const result = await api.watch(resource, watch, onAny);

  cancelDeadline();
  signal.removeEventListener('abort', end);
  end();
  if (!failure && result.ok && received === 0 && runtime.monotonic() - startedAt < TOO_SHORT_MS) {
    // A proxy closes watches at once. The caller backs off after a failure, so this does not become a busy loop.
    failure = { code: 0, reason: 'TooShort', message: 'the watch ended as soon as it began' };
  }
  return failure ? { ok: false, status: failure, received } : { ...result, received };
}

function statusIn(object: KubeObject): KubeStatus {
  const { code, reason, message } = object as { code?: unknown; reason?: unknown; message?: unknown };
  return {
    code: typeof code === 'number' ? code : 500,
    reason: typeof reason === 'string' ? reason : '',
    message: typeof message === 'string' ? message : 'the watch ended in an error',
  };
}
