import type { KubeApi, KubeResult, KubeStatus } from '../../ports/kube.ts';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { createKubeApi } from '../kube/kubeApi.ts';
import { loadKubeConfig } from '../kube/kubeconfig.ts';
import { advised } from '../tenant/context.ts';

/** Opens the cluster that a command reads, and turns errors of these reads into messages with advice. */

export interface ClusterChoice {
  env: NodeJS.ProcessEnv;
  /** The path of a kubeconfig that is used instead of KUBECONFIG. */
  kubeconfig?: string;
  /** The context that is used instead of the current one. */
  context?: string;
  /** The flag that asked for the cluster, for messages; absent if the command always reads it. */
  flag?: string;
}

/** A cluster that can be read. */
export interface ClusterReader {
  kube: KubeApi;
  /** The namespace of the context. */
  namespace: string | undefined;
}

/** Something in the cluster cannot be read. The message names it, with the reason. */
export class ClusterUnread extends Error {
  /** Absent if the kubeconfig cannot be used. */
  readonly status: KubeStatus | undefined;
  constructor(message: string, status?: KubeStatus) {
    super(message);
    this.status = status;
  }
}

/** Opens the cluster, and closes the connection after `use`. Throws `ClusterUnread`. */
export async function withCluster<T>(choice: ClusterChoice, use: (cluster: ClusterReader) => Promise<T>): Promise<T> {
  const { kubeconfig, context, flag } = choice;
  const env = kubeconfig === undefined ? choice.env : { ...choice.env, KUBECONFIG: kubeconfig };
  let kube: ReturnType<typeof createKubeApi>;
  let namespace: string | undefined;
  try {
    const config = await loadKubeConfig(env, undefined, context);
    namespace = config.namespace;
    kube = createKubeApi({ config, runtime, userAgent: 'aitenant' });
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new ClusterUnread(flag === undefined ? said : `${flag} can't use the kubeconfig: ${said}`);
  }
  try {
    return await use({ kube, namespace });
  } catch (error) {
    if (!(error instanceof ClusterUnread) || flag === undefined) throw error;
    throw new ClusterUnread(`${flag} ${error.message}`, error.status);
  } finally {
    await kube.close();
  }
}

/** The value of a read. `what` names it in the message. Throws `ClusterUnread`. */
export function valueOrThrow<T>(result: KubeResult<T>, what: string): T {
  if (result.ok) return result.value;
  throw unread(result.status, what);
}

export function unread(status: KubeStatus, what: string): ClusterUnread {
  const { code, reason, message } = status;
  // The message of a failed exec plug-in has its own advice, and the server's address is not the cause.
  const isPlugin = message.startsWith('the exec plug-in ');
  // A Kubernetes API server names a reason for every error of a request, so another server has refused this one.
  const isForeign = code >= 400 && code < 500 && reason === '';
  const advice = ADVICE[code] ?? ((code < 400 || isForeign) && !isPlugin ? UNREACHABLE : '');
  // Another server's error page may have many lines.
  const words = message.trim().replace(/\s+/g, ' ');
  return new ClusterUnread(`can't read ${what} in the cluster: ${advised(words, advice)}`, status);
}

/** The value of a read, or undefined if it does not exist. */
export const optional = <T>(result: KubeResult<T>, what: string): T | undefined =>
  !result.ok && result.status.code === 404 ? undefined : valueOrThrow(result, what);

/** The advice for an error of the API server, by its HTTP status. */
const ADVICE: Record<number, string> = {
  401:
    'The API server does not accept the credentials of the kubeconfig, or they have expired: log in to the cluster again ' +
    '(`kubectl get --raw /version` shows whether it works).',
  403: 'Ask whoever administers the cluster for the right to read it, or read only your own namespace with -n NAMESPACE.',
  404:
    'The cluster of the current context (kubectl config current-context) does not have the CRD: take another context, or ' +
    'install it: kubectl apply -f crds/aitenants.yaml',
};
/** The advice if the server did not answer, or answered something other than JSON. */
const UNREACHABLE =
  'Check that the address of the current context is a Kubernetes API server that you can reach: kubectl get --raw /version';
