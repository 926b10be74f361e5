import { readFile } from 'node:fs/promises';
import { getCACertificates } from 'node:tls';
import { Agent, type Dispatcher, ProxyAgent } from 'undici';
import type { Runtime } from '../../ports/runtime.ts';
import { type Credential, createCredentialSource } from './execPlugin.ts';
import type { KubeAccess, Pem } from './kubeconfig.ts';

export interface Connection {
  server: string;
  /** The credentials and the connection pool for a request that starts now. Rejects if there are no credentials. */
  current(): Promise<Authorized>;
  /** After a 401 answer to `refused`: newer credentials, or undefined if there are none. */
  renew(refused: Authorized): Promise<Authorized | undefined>;
  close(): Promise<void>;
}

export interface Authorized {
  headers: Record<string, string | string[]>;
  dispatcher: Dispatcher;
  credential: Credential | undefined;
}

interface Tls {
  ca: string | string[];
  cert: string | undefined;
  key: string | undefined;
  rejectUnauthorized: boolean;
  servername: string | undefined;
}

/**
 * Reads the credentials of `access` again when they change, and keeps one connection pool while the TLS material stays the same. The pool
 * uses HTTP/1.1, so that a dead connection breaks one request and not all of them.
 */
export function createConnection(access: KubeAccess, runtime: Runtime): Connection {
  const plugin = access.exec && createCredentialSource(access.exec, runtime);
  const token = createTokenReader(access);
  const isEncrypted = new URL(access.server).protocol === 'https:';
  let pool: { of: string; dispatcher: Dispatcher } | undefined;

  const poolFor = (tls: Tls) => {
    const of = JSON.stringify(tls);
    if (pool?.of !== of) {
      // The old pool ends when its watches and requests have ended.
      void pool?.dispatcher.close();
      pool = { of, dispatcher: createPool(access.proxyUrl, tls) };
    }
    return pool.dispatcher;
  };

  const current = async (): Promise<Authorized> => {
    const ca = await readPem(access.ca);
    const credential = await plugin?.get(ca);
    const tls: Tls = {
      // Reading those of the machine takes a tenth of a second, and they are part of each request's comparison above.
      ca: ca ?? (isEncrypted ? systemAuthorities() : []),
      cert: credential?.certificate?.cert ?? (await readPem(access.clientCertificate?.cert)),
      key: credential?.certificate?.key ?? (await readPem(access.clientCertificate?.key)),
      rejectUnauthorized: !access.skipTlsVerify,
      servername: access.tlsServerName,
    };
    const authorization = await authorizationOf(access, token, credential);
    const headers = { ...access.impersonation, ...(authorization && { Authorization: authorization }) };
    return { headers, dispatcher: poolFor(tls), credential };
  };

  return {
    server: access.server,
    current,
    async renew(refused) {
      if (refused.credential) plugin?.refused(refused.credential);
      const now = await current();
      const isOther =
        now.headers.Authorization !== refused.headers.Authorization || now.dispatcher !== refused.dispatcher;
      return isOther ? now : undefined;
    },
    close: async () => pool?.dispatcher.destroy(),
  };
}

async function authorizationOf(
  { basic }: KubeAccess,
  token: () => Promise<string | undefined>,
  credential: Credential | undefined,
): Promise<string | undefined> {
  if (basic) return `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString('base64')}`;
  const bearer = credential ? credential.token : await token();
  return bearer && `Bearer ${bearer}`;
}

/** The token in `tokenFile`, or `token` without one. While the file cannot be read or is empty, the last token is used. */
function createTokenReader({ token, tokenFile }: KubeAccess): () => Promise<string | undefined> {
  let last = token;
  return async () => {
    if (tokenFile === undefined) return last;
    try {
      last = (await readFile(tokenFile, 'utf8')).trim() || last;
    } catch (error) {
      if (last === undefined) throw error;
    }
    return last;
  };
}

async function readPem(pem: Pem | undefined): Promise<string | undefined> {
  return pem && 'file' in pem ? readFile(pem.file, 'utf8') : pem?.data;
}

let authorities: string[] | undefined;

/** The certificate authorities of this machine, as kubectl uses them, and those of Node.js. They are used if the kubeconfig names none. */
function systemAuthorities(): string[] {
  authorities ??= [...getCACertificates('default'), ...getCACertificates('system')];
  return authorities;
}

function createPool(proxyUrl: string | undefined, tls: Tls): Dispatcher {
  // A load balancer may drop a connection that is silent for a minute, so keep-alive packets start after 30 s.
  const connect = { keepAlive: true, keepAliveInitialDelay: 30_000 };
  if (proxyUrl === undefined) return new Agent({ allowH2: false, connect: { ...connect, ...tls } });
  return new ProxyAgent({ uri: proxyUrl, requestTls: tls, connect, allowH2: false });
}
