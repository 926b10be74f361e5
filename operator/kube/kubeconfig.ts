import { X509Certificate } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
import { createSecureContext } from 'node:tls';
import { checkReadable, type InputFileError, readInputFile, textOf } from './inputFile.ts';
import type { KubeconfigFile, NamedCluster, NamedUser } from './kubeconfigFile.ts';
import { proxyFromEnv } from './proxyEnv.ts';

/**
 * Finds the API server and the credentials by kubectl's rules (client-go v0.37.2, tools/clientcmd): from the files in $KUBECONFIG, in
 * their order, else from ~/.kube/config, else from the pod's service account. If two files contain an entry of the same name, the
 * whole entry of the first file is used. Two of kubectl's rules are not followed: kubectl uses localhost:8080 if nothing is
 * configured (the operator itself may listen on that port), and it supports `auth-provider` (now only for OIDC).
 */

/** The kubeconfig is missing or has a mistake; the message says what the user has to change. */
export class KubeconfigError extends Error {}

/** PEM text, or the path of a PEM file. The file is read again for each request, so that a renewed certificate is used at once. */
export type Pem = { data: string } | { file: string };

export interface ExecPlugin {
  command: string;
  args: string[];
  env: { name: string; value: string }[];
  apiVersion: string;
  installHint: string;
  /** The cluster in KUBERNETES_EXEC_INFO, without its certificate authority; undefined without `provideClusterInfo`. */
  cluster: Record<string, unknown> | undefined;
}

/** The address of one API server, and the credentials for it. Paths are absolute. */
export interface KubeAccess {
  /** The URL, without a slash at its end. */
  server: string;
  namespace: string | undefined;
  ca: Pem | undefined;
  skipTlsVerify: boolean;
  tlsServerName: string | undefined;
  proxyUrl: string | undefined;
  token: string | undefined;
  tokenFile: string | undefined;
  basic: { username: string; password: string } | undefined;
  clientCertificate: { cert: Pem; key: Pem } | undefined;
  exec: ExecPlugin | undefined;
  /** The headers for impersonation, such as `Impersonate-User`. */
  impersonation: Record<string, string | string[]>;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The cluster that kubectl would use. `contextName` is used instead of the current context. Throws `KubeconfigError` for a
 * broken kubeconfig, and where there is none.
 */
export async function loadKubeConfig(
  env: NodeJS.ProcessEnv = process.env,
  serviceAccount: string = SERVICE_ACCOUNT,
  contextName?: string,
): Promise<KubeAccess> {
  const paths = env.KUBECONFIG
    ? [...new Set(env.KUBECONFIG.split(delimiter))].filter(path => path !== '')
    : [join(env.HOME || homedir(), '.kube', 'config')];
  const files: KubeconfigFile[] = [];
  for (const path of paths) {
    const text = readIfThere(path);
    if (text !== undefined) files.push(await parse(text, path));
  }
  const merged = merge(files);
  if (contextName !== undefined) merged.currentContext = known(contextName, merged, paths);
  const context = merged.contexts.get(merged.currentContext);
  if (!context && merged.currentContext !== '') throw noContext(merged, paths);
  const cluster = context && merged.clusters.get(context.cluster);
  if (context && cluster) {
    const config = accessOf(cluster, merged.users.get(context.user), context.namespace);
    if (!isIdentified(config)) throw noCredentials(context.user, merged, paths);
    checkCredentials(config);
    return { ...config, proxyUrl: config.proxyUrl ?? checkedProxy(proxyFromEnv(config.server, env)) };
  }
  if (context && context.cluster !== '') {
    throw new KubeconfigError(
      `the context ${JSON.stringify(merged.currentContext)} of ${paths.join(delimiter)} names the cluster ` +
        `${JSON.stringify(context.cluster)}, which is not there. See \`kubectl config view\`.`,
    );
  }
  const inCluster = await podAccess(env, serviceAccount);
  if (inCluster) return inCluster;
  throw nothingConfigured(env, paths, files, merged);
}

/** Reads the cluster from the text of one kubeconfig. Relative paths in it count from `folder`. */
export async function readKubeConfig(text: string, folder = process.cwd()): Promise<KubeAccess> {
  const merged = merge([await parse(text, join(folder, 'kubeconfig'))]);
  const context = merged.contexts.get(merged.currentContext);
  const cluster = context && merged.clusters.get(context.cluster);
  if (!cluster) throw new KubeconfigError('the kubeconfig has no current context, or one without a cluster');
  return accessOf(cluster, merged.users.get(context.user), context.namespace);
}

/** The access to a server without a kubeconfig. */
export function accessTo(server: string, options: { ca?: string; token?: string } = {}): KubeAccess {
  return {
    server: serverUrl(server),
    namespace: undefined,
    ca: options.ca === undefined ? undefined : { data: options.ca },
    skipTlsVerify: false,
    tlsServerName: undefined,
    proxyUrl: undefined,
    token: options.token,
    tokenFile: undefined,
    basic: undefined,
    clientCertificate: undefined,
    exec: undefined,
    impersonation: {},
  };
}

function readIfThere(path: string): string | undefined {
  try {
    return textOf(readInputFile(path));
  } catch (error) {
    if ((error as InputFileError).code === 'ENOENT') return undefined;
    throw new KubeconfigError(`the kubeconfig ${path} can't be read: ${(error as Error).message}`);
  }
}

async function parse(text: string, path: string): Promise<KubeconfigFile> {
  // The YAML parser is loaded only if there is a kubeconfig. A pod has none and saves the memory.
  const { parseKubeconfig } = await import('./kubeconfigFile.ts');
  const parsed = parseKubeconfig(text);
  if (typeof parsed === 'string') throw new KubeconfigError(`the kubeconfig ${path} can't be read: ${parsed}`);
  const folder = resolve(dirname(path));
  const absolute = (file: string) => (file === '' || isAbsolute(file) ? file : join(folder, file));
  for (const cluster of parsed.clusters.values()) cluster.caFile = absolute(cluster.caFile);
  for (const user of parsed.users.values()) {
    user.certFile = absolute(user.certFile);
    user.keyFile = absolute(user.keyFile);
    user.tokenFile = absolute(user.tokenFile);
    // A command without a slash is searched in PATH, so it is not made absolute.
    if (user.exec?.command.includes('/')) user.exec.command = absolute(user.exec.command);
  }
  return parsed;
}

/** Merges the files. Of several entries with the same name, the whole entry of the first file is used. */
function merge(files: readonly KubeconfigFile[]): KubeconfigFile {
  const backwards = [...files].reverse();
  return {
    clusters: new Map(backwards.flatMap(file => [...file.clusters])),
    users: new Map(backwards.flatMap(file => [...file.users])),
    contexts: new Map(backwards.flatMap(file => [...file.contexts])),
    currentContext: files.find(file => file.currentContext !== '')?.currentContext ?? '',
  };
}

function accessOf(cluster: NamedCluster, user: NamedUser | undefined, namespace: string): KubeAccess {
  checkCluster(cluster);
  if (user) checkUser(user);
  const server = serverUrl(cluster.server);
  const plain = {
    ...accessTo(server),
    namespace: namespace || undefined,
    proxyUrl: cluster.proxyUrl || undefined,
    impersonation: user ? impersonationOf(user) : {},
  };
  // Like kubectl, the operator sends no credentials over plain HTTP.
  if (!server.startsWith('https:')) return plain;
  const ca = pem(cluster.caData, cluster.caFile);
  const encrypted = {
    ...plain,
    ca,
    skipTlsVerify: cluster.skipTlsVerify,
    tlsServerName: cluster.tlsServerName || undefined,
  };
  if (!user) return encrypted;
  const cert = pem(user.certData, user.certFile);
  const key = pem(user.keyData, user.keyFile);
  const basic = user.username !== '' || user.password !== '';
  // Like kubectl, the operator does not run the exec plug-in if the user has a token, a password or a certificate.
  const identified = user.token !== '' || user.tokenFile !== '' || basic || cert !== undefined;
  return {
    ...encrypted,
    token: user.token || undefined,
    tokenFile: user.tokenFile || undefined,
    basic: basic ? { username: user.username, password: user.password } : undefined,
    clientCertificate: cert && key ? { cert, key } : undefined,
    exec: user.exec && !identified ? pluginOf(user.exec, cluster, server) : undefined,
  };
}

function pem(data: string, file: string): Pem | undefined {
  if (data !== '') return { data };
  return file === '' ? undefined : { file };
}

function pluginOf(exec: NonNullable<NamedUser['exec']>, cluster: NamedCluster, server: string): ExecPlugin {
  const { command, args, env, apiVersion, installHint } = exec;
  const info = exec.provideClusterInfo && {
    server,
    ...(cluster.tlsServerName && { 'tls-server-name': cluster.tlsServerName }),
    ...(cluster.skipTlsVerify && { 'insecure-skip-tls-verify': true }),
    ...(cluster.proxyUrl && { 'proxy-url': cluster.proxyUrl }),
    ...(cluster.disableCompression && { 'disable-compression': true }),
    config: cluster.execConfig ?? null,
  };
  return { command, args, env, apiVersion, installHint, cluster: info || undefined };
}

function checkCluster({ name, server, caFile, caData, skipTlsVerify, proxyUrl }: NamedCluster): void {
  const wrong = (what: string): never => {
    throw new KubeconfigError(`the kubeconfig's cluster ${JSON.stringify(name)} ${what}`);
  };
  if (server === '') wrong('has no server');
  if (!URL.canParse(serverUrl(server))) wrong(`has the server ${JSON.stringify(server)}, which is not a URL`);
  if (!/^https?:$/.test(new URL(serverUrl(server)).protocol))
    wrong(`has the server ${JSON.stringify(server)}, which is neither https:// nor http://`);
  if (caFile !== '' && caData !== '') wrong('has certificate-authority and certificate-authority-data: keep one');
  if (skipTlsVerify && (caFile !== '' || caData !== '')) {
    wrong('has insecure-skip-tls-verify and a certificate authority: keep one');
  }
  if (proxyUrl !== '' && !isProxy(proxyUrl)) {
    wrong(`has the proxy-url ${JSON.stringify(proxyUrl)}; it must be an http, https or socks5 URL`);
  }
}

const isProxy = (url: string): boolean => URL.canParse(url) && /^(?:https?|socks5):$/.test(new URL(url).protocol);

function checkedProxy(url: string | undefined): string | undefined {
  if (url === undefined || isProxy(url)) return url;
  // The message leaves out the proxy's address, which may contain a password.
  throw new KubeconfigError(
    'HTTPS_PROXY is set, but is no http, https or socks5 URL; unset it, or list the cluster in NO_PROXY',
  );
}

function checkUser(user: NamedUser): void {
  const wrong = (what: string): never => {
    throw new KubeconfigError(`the kubeconfig's user ${JSON.stringify(user.name)} ${what}`);
  };
  const { exec, authProvider } = user;
  if (authProvider !== undefined) wrong(providerAdvice(authProvider));
  const basic = user.username !== '' || user.password !== '';
  if (basic && (user.token !== '' || user.tokenFile !== '')) wrong('has a token and a username: keep one');
  if (user.certFile !== '' && user.certData !== '')
    wrong('has client-certificate and client-certificate-data: keep one');
  const hasCertificate = user.certFile !== '' || user.certData !== '';
  if (hasCertificate && user.keyFile !== '' && user.keyData !== '')
    wrong('has client-key and client-key-data: keep one');
  if (hasCertificate && user.keyFile === '' && user.keyData === '')
    wrong('has a client certificate without client-key');
  if (user.as === '' && (user.asUid !== '' || user.asGroups.length > 0 || user.asExtra.length > 0)) {
    wrong('has as-uid, as-groups or as-user-extra without `as`');
  }
  if (!exec) return;
  if (exec.command === '') wrong('has an exec plug-in without a command');
  if (!/^client\.authentication\.k8s\.io\/v1(?:beta1)?$/.test(exec.apiVersion)) {
    wrong(
      `has an exec plug-in with the apiVersion ${JSON.stringify(exec.apiVersion)}; ` +
        'client.authentication.k8s.io/v1 and /v1beta1 are known. Newer versions of the plug-in write one of them.',
    );
  }
  const isV1 = exec.apiVersion.endsWith('/v1');
  if (exec.interactiveMode === '' && isV1) wrong('has an exec plug-in without interactiveMode: set it to IfAvailable');
  if (!['', 'Never', 'IfAvailable', 'Always'].includes(exec.interactiveMode)) {
    wrong(`has an exec plug-in with the interactiveMode ${JSON.stringify(exec.interactiveMode)}`);
  }
  if (exec.interactiveMode === 'Always') {
    wrong(
      'has an exec plug-in with interactiveMode Always, which may ask at a terminal; nothing is asked for here. If the plug-in can do ' +
        'without asking, set interactiveMode to IfAvailable; else use a token.',
    );
  }
}

function providerAdvice(name: string): string {
  const advice: Record<string, string> = {
    gcp: 'kubectl has dropped it: install gke-gcloud-auth-plugin and run `gcloud container clusters get-credentials CLUSTER` again',
    azure: 'kubectl has dropped it: run `kubelogin convert-kubeconfig`',
    oidc: 'it is not supported here: use an exec plug-in, such as `kubectl oidc-login`',
  };
  return `has the auth-provider ${JSON.stringify(name)}; ${advice[name] ?? 'there is no such provider: use an exec plug-in'}.`;
}

function impersonationOf(user: NamedUser): Record<string, string | string[]> {
  if (user.as === '') return {};
  const headers: Record<string, string | string[]> = { 'Impersonate-User': user.as };
  if (user.asUid !== '') headers['Impersonate-Uid'] = user.asUid;
  if (user.asGroups.length > 0) headers['Impersonate-Group'] = user.asGroups;
  for (const [key, values] of user.asExtra) {
    // Characters that are not allowed in a header's name are percent-encoded (client-go, transport/round_trippers.go).
    const name = key.replace(/[^\w!#$&'*+.^`|~-]/g, letter => encodeURIComponent(letter));
    if (values.length > 0) headers[`Impersonate-Extra-${name}`] = values;
  }
  return headers;
}

/** The server's URL. As in kubectl, a server without a scheme is plain HTTP. The query and the fragment are removed. */
function serverUrl(server: string): string {
  const url = URL.canParse(server) && new URL(server).host !== '' ? server : `http://${server}`;
  return url.replace(/[?#].*$/, '').replace(/\/+$/, '');
}

async function podAccess(env: NodeJS.ProcessEnv, folder: string): Promise<KubeAccess | undefined> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  const tokenFile = join(folder, 'token');
  if (!host || !port || !(await isFile(tokenFile))) return undefined;
  const namespace = readIfThere(join(folder, 'namespace'))?.trim();
  const ca: Pem | undefined = (await isFile(join(folder, 'ca.crt'))) ? { file: join(folder, 'ca.crt') } : undefined;
  const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;
  return { ...accessTo(server), namespace: namespace || undefined, ca, tokenFile };
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() === true;
}

/**
 * Throws if a file that the access names cannot be read, or if a certificate or key is none. Otherwise each request would fail, with a
 * message that says nothing about the kubeconfig; Node.js passes over an authority that is no certificate.
 */
function checkCredentials({ ca, clientCertificate, tokenFile }: KubeAccess): void {
  const read = (file: string, use: (path: string) => Buffer | undefined): Buffer | undefined => {
    try {
      return use(file);
    } catch (error) {
      throw new KubeconfigError(`the kubeconfig names ${file}, which can't be read: ${(error as Error).message}`);
    }
  };
  const textOfPem = (pem: Pem) => ('file' in pem ? read(pem.file, readInputFile)?.toString() : pem.data);
  const placeOf = (pem: Pem, field: string) => ('file' in pem ? pem.file : `the kubeconfig's ${field}-data`);
  if (tokenFile !== undefined) read(tokenFile, path => void checkReadable(path));
  if (ca) {
    const isPem = attempt(() => new X509Certificate(textOfPem(ca) ?? ''), KubeconfigError);
    if (!isPem) throw new KubeconfigError(`${placeOf(ca, 'certificate-authority')} holds no certificate in PEM`);
  }
  if (!clientCertificate) return;
  const { cert, key } = clientCertificate;
  const pair = { cert: textOfPem(cert), key: textOfPem(key) };
  for (const [pem, field, options] of [
    [cert, 'client-certificate', { cert: pair.cert }],
    [key, 'client-key', { key: pair.key }],
  ] as const) {
    if (!attempt(() => createSecureContext(options)))
      throw new KubeconfigError(
        `${placeOf(pem, field)} holds no ${field === 'client-key' ? 'key' : 'certificate'} in PEM`,
      );
  }
  if (!attempt(() => createSecureContext(pair)))
    throw new KubeconfigError(`${placeOf(key, 'client-key')} does not fit the client certificate`);
}

/** Whether `work` throws nothing. An error of the class `passed` is thrown on. */
function attempt(work: () => unknown, passed?: typeof KubeconfigError): boolean {
  try {
    work();
    return true;
  } catch (error) {
    if (passed && error instanceof passed) throw error;
    return false;
  }
}

function noContext({ currentContext, contexts }: KubeconfigFile, paths: readonly string[]): KubeconfigError {
  return new KubeconfigError(
    `the current context ${JSON.stringify(currentContext)} of ${paths.join(delimiter)} does not exist. ` +
      choose(contexts),
  );
}

/** Answers with the name. Throws if no file has a context of that name. */
function known(name: string, { contexts }: KubeconfigFile, paths: readonly string[]): string {
  if (contexts.has(name)) return name;
  const names = [...contexts.keys()].filter(other => other !== '').join(', ') || 'none';
  throw new KubeconfigError(
    `there is no context ${JSON.stringify(name)} in ${paths.join(delimiter)}; there are: ${names}`,
  );
}

/**
 * True if there are credentials, or if none are sent because the server is plain HTTP. Without credentials kubectl would ask for a user
 * name and a password; the operator cannot ask.
 */
function isIdentified({ server, token, tokenFile, basic, clientCertificate, exec }: KubeAccess): boolean {
  return (
    !server.startsWith('https:') || [token, tokenFile, basic, clientCertificate, exec].some(one => one !== undefined)
  );
}

function noCredentials(name: string, { users }: KubeconfigFile, paths: readonly string[]): KubeconfigError {
  const user = JSON.stringify(name);
  return new KubeconfigError(
    users.has(name)
      ? `the kubeconfig's user ${user} has no credentials: neither a token, a client certificate nor an exec plug-in`
      : `the current context of ${paths.join(delimiter)} names the user ${user}, which is not there. See \`kubectl config view\`.`,
  );
}

function choose(contexts: KubeconfigFile['contexts']): string {
  const names = [...contexts.keys()].filter(name => name !== '');
  if (names.length === 0) return 'It has no context at all: see `kubectl config set-context --help`.';
  return `Choose one: \`kubectl config use-context NAME\`, NAME being one of ${names.join(', ')}.`;
}

function nothingConfigured(
  env: NodeJS.ProcessEnv,
  paths: readonly string[],
  files: readonly KubeconfigFile[],
  { contexts }: KubeconfigFile,
): KubeconfigError {
  const none = 'there is no cluster to talk to: ';
  const advice =
    ' Name a kubeconfig: `KUBECONFIG=FILE …`. (`npm run sandbox` starts a local cluster and prints where its kubeconfig is.)';
  if (contexts.size > 0)
    return new KubeconfigError(`${none}${paths.join(delimiter)} sets no current context. ${choose(contexts)}`);
  if (files.length > 0) return new KubeconfigError(`${none}${paths.join(delimiter)} is empty.${advice}`);
  const missing = env.KUBECONFIG
    ? `KUBECONFIG names ${env.KUBECONFIG}, which does not exist.`
    : `KUBECONFIG is not set, there is no ${paths[0]}, and this is not a pod.`;
  return new KubeconfigError(none + missing + advice);
}
