import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';

export interface Connection {
  config: KubeConfig;
  server: string;
  current(): Promise<{ headers: Record<string, string>; dispatcher: Dispatcher }>;
  close(): Promise<void>;
}

/**
 * Credentials from `config`, and one connection pool for as long as the TLS material stays the same. client-node itself
 * makes a pool, and so a TLS handshake, for every request. HTTP/1.1, so that a dead connection takes one request with
 * it and not all.
 */
export function createConnection(given: KubeConfig): Connection {
  const config: KubeConfig = Object.create(given);
  // client-node refuses plain http unless told not to verify TLS, of which there is none.
  config.clusters = given.clusters.map(c => (c.server.startsWith('http:') ? { ...c, skipTLSVerify: true } : c));
  const cluster = config.getCurrentCluster();
  if (!cluster) throw new Error('the kubeconfig has no current context, or one without a cluster');
  let pool: { of: string; dispatcher: Dispatcher } | undefined;

  return {
    config,
    server: cluster.server.replace(/\/+$/, ''),
    async current() {
      const options: RequestOptions = {};
      await config.applyToHTTPSOptions(options);
      const { ca, cert, key, rejectUnauthorized, servername, auth } = options;
      const of = String([ca, cert, key, rejectUnauthorized, servername]);
      if (pool?.of !== of) {
        // The old pool ends once its watches and requests have.
        void pool?.dispatcher.close();
        const tls = config.createDispatcherOptions(cluster, { ca, cert, key, rejectUnauthorized, servername });
        pool = { of, dispatcher: createPool(tls) };
      }
      const headers: Record<string, string> = {};
      if (auth) headers.Authorization = `Basic ${Buffer.from(auth).toString('base64')}`;
      // A token file often ends in a newline, which no header may hold.
      for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value).trim();
      return { headers, dispatcher: pool.dispatcher };
    },
    close: async () => pool?.dispatcher.destroy(),
  };
}

function createPool(options: ReturnType<KubeConfig['createDispatcherOptions']>): Dispatcher {
  switch (options.type) {
    case 'agent':
      return new Agent({ allowH2: false, connect: options.connect });
    case 'proxy':
      return new ProxyAgent({
        uri: options.uri,
        requestTls: options.requestTls,
        connect: options.connect,
        allowH2: false,
      });
    case 'socks':
      throw new Error('a socks proxy-url in the kubeconfig is not supported');
    case 'none':
      return new Agent({ allowH2: false });
  }
}
