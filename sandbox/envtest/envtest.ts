import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { type Answer, ask } from './ask.ts';
import { type Binaries, findBinaries, KUBERNETES_VERSION } from './binaries.ts';
import { type Guarded, startGuarded } from './guarded.ts';

export interface EnvtestOptions {
  /** The folder for data, certificates, logs and kubeconfig. Files of an earlier envtest in it are removed. */
  stateDir: string;
  /** The port of kube-apiserver; etcd gets the next one. Default: any free ports. */
  portBase?: number;
  /** Receives lines that report the progress of building the binaries. */
  progress?: (line: string) => void;
  /** The version of Kubernetes, such as 1.31. Default: that of `AITENANT_TEST_KUBERNETES`, or the newest. */
  kubernetes?: string;
  /** More flags for kube-apiserver. */
  apiServerFlags?: string[];
}

/** A real Kubernetes API: kube-apiserver and etcd, with RBAC on, and nothing else (no controllers, no nodes). */
export interface Envtest {
  /** Such as `https://127.0.0.1:6443`. */
  url: string;
  etcdUrl: string;
  /** The certificate of the server's certificate authority, PEM. */
  ca: string;
  /** The token of a cluster administrator. */
  token: string;
  /** A kubeconfig of that administrator. */
  kubeconfigPath: string;
  /** Writes a kubeconfig with another user's token and returns its path. */
  writeKubeconfig(path: string, token: string, namespace?: string, server?: string): string;
  /** Sends one request as the administrator. Rejects if no answer arrives. */
  ask(method: string, path: string, body?: unknown, contentType?: string): Promise<Answer>;
  stopApiServer(): Promise<void>;
  /** Resolves when it is ready. */
  startApiServer(): Promise<void>;
  /** Compacts etcd: only the newest revision of each object stays. */
  compact(): Promise<void>;
  stop(): Promise<void>;
}

const READY_MS = 90_000;
const ATTEMPTS = 3;

/**
 * Starts etcd and kube-apiserver on 127.0.0.1 and resolves when the API is ready (about 4 s). Neither outlives this process.
 * Rejects with `NoBinariesError` if the binaries are missing and cannot be built, and with the end of the log if a start fails.
 */
export async function startEnvtest(options: EnvtestOptions): Promise<Envtest> {
  const env = options.kubernetes ? { ...process.env, [KUBERNETES_VERSION]: options.kubernetes } : process.env;
  const binaries = await findBinaries({ env, progress: options.progress });
  for (let attempt = 1; ; attempt++) {
    // Another process may take a free port before it is used here. Such a start is repeated with other ports.
    const [port, etcdPort] = options.portBase ? [options.portBase, options.portBase + 1] : await freePorts(2);
    try {
      return await start(binaries, { ...options, port: port ?? 0, etcdPort: etcdPort ?? 0 });
    } catch (error) {
      if (options.portBase || attempt === ATTEMPTS || !/address already in use/.test(String(error))) throw error;
    }
  }
}

type Started = EnvtestOptions & { port: number; etcdPort: number };

async function start(binaries: Binaries, options: Started): Promise<Envtest> {
  const files = filesIn(resolve(options.stateDir));
  const url = `https://127.0.0.1:${options.port}`;
  const etcdUrl = `http://127.0.0.1:${options.etcdPort}`;
  const token = randomBytes(24).toString('hex');
  prepare(files, token);
  const etcd = startEtcd(binaries.etcd, files, etcdUrl);
  let apiServer: Guarded | undefined;
  let ca = '';

  const envtest: Envtest = {
    url,
    etcdUrl,
    token,
    get ca() {
      return ca;
    },
    kubeconfigPath: files.kubeconfig,
    writeKubeconfig(path, userToken, namespace = 'default', server = url) {
      writeFileSync(path, kubeconfig(server, ca, userToken, namespace), { mode: 0o600 });
      return path;
    },
    ask: (method, path, body, contentType) => ask({ url, ca, token }, method, path, body, contentType),

    async startApiServer() {
      const started = startKubeApiserver(binaries.kubeApiserver, files, url, etcdUrl, options);
      apiServer = started;
      await untilReady(files, etcd, started, async () => {
        ca = readFileSync(join(files.certs, 'apiserver.crt'), 'utf8');
        return (await envtest.ask('GET', '/readyz')).code === 200;
      });
    },
    async stopApiServer() {
      await apiServer?.stop();
    },
    compact: () => compact(etcdUrl),
    async stop() {
      await apiServer?.stop();
      await etcd.stop();
    },
  };

  try {
    await envtest.startApiServer();
    // kube-apiserver creates these a moment after it is ready. Callers may rely on them.
    await untilFound(envtest, ['default', 'kube-system', 'kube-public', 'kube-node-lease']);
  } catch (error) {
    await envtest.stop();
    throw error;
  }
  envtest.writeKubeconfig(envtest.kubeconfigPath, token);
  return envtest;
}

type Files = ReturnType<typeof filesIn>;

/** The paths below the state folder. */
const filesIn = (stateDir: string) => ({
  stateDir,
  etcd: join(stateDir, 'etcd'),
  certs: join(stateDir, 'certs'),
  etcdLog: join(stateDir, 'etcd.log'),
  apiServerLog: join(stateDir, 'apiserver.log'),
  tokens: join(stateDir, 'tokens.csv'),
  serviceAccountsKey: join(stateDir, 'service-accounts.key'),
  kubeconfig: join(stateDir, 'kubeconfig'),
});

/** Empties the state folder and writes what kube-apiserver reads at its start. */
function prepare(files: Files, token: string): void {
  for (const path of [files.etcd, files.certs, files.etcdLog, files.apiServerLog]) {
    rmSync(path, { recursive: true, force: true });
  }
  mkdirSync(files.stateDir, { recursive: true });
  writeFileSync(files.tokens, `${token},admin,admin,system:masters\n`, { mode: 0o600 });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(files.serviceAccountsKey, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
}

const startEtcd = (command: string, files: Files, url: string): Guarded =>
  startGuarded({
    command,
    args: [
      `--data-dir=${files.etcd}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      '--listen-peer-urls=http://127.0.0.1:0',
      '--unsafe-no-fsync',
      '--log-level=warn',
    ],
    log: files.etcdLog,
    graceMs: 0,
  });

const startKubeApiserver = (command: string, files: Files, url: string, etcdUrl: string, options: Started): Guarded =>
  startGuarded({
    command,
    args: [
      `--etcd-servers=${etcdUrl}`,
      `--cert-dir=${files.certs}`,
      `--secure-port=${options.port}`,
      '--bind-address=127.0.0.1',
      '--advertise-address=127.0.0.1',
      '--endpoint-reconciler-type=none',
      `--service-account-issuer=${url}`,
      `--service-account-key-file=${files.serviceAccountsKey}`,
      `--service-account-signing-key-file=${files.serviceAccountsKey}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      `--token-auth-file=${files.tokens}`,
      '--authorization-mode=RBAC',
      '--disable-admission-plugins=ServiceAccount',
      ...(options.apiServerFlags ?? []),
    ],
    log: files.apiServerLog,
    // It keeps no state of its own. After SIGTERM it would wait until all watches have ended.
    graceMs: 0,
  });

/** Waits until `isReady` resolves to true. Rejects after 90 s, or if a program ends before. */
async function untilReady(files: Files, etcd: Guarded, apiServer: Guarded, isReady: () => Promise<boolean>) {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    if (etcd.hasExited()) throw new Error(`etcd ended at once:\n${tail(files.etcdLog)}`);
    if (apiServer.hasExited()) throw new Error(`kube-apiserver ended at once:\n${tail(files.apiServerLog)}`);
    // It fails while the certificate is not written yet or the port refuses connections.
    if (await isReady().catch(() => false)) return;
    if (performance.now() > deadline) throw new Error(`kube-apiserver isn't ready:\n${tail(files.apiServerLog)}`);
    await sleep(50);
  }
}

async function compact(etcdUrl: string): Promise<void> {
  const call = async (path: string, body: object) => {
    const answer = await fetch(etcdUrl + path, { method: 'POST', body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`etcd: ${await answer.text()}`);
    return (await answer.json()) as { header?: { revision?: string } };
  };
  const { header } = await call('/v3/kv/range', { key: Buffer.from('\0').toString('base64') });
  await call('/v3/kv/compaction', { revision: header?.revision, physical: true });
}

async function untilFound(envtest: Envtest, namespaces: string[]) {
  const deadline = performance.now() + READY_MS;
  for (const name of namespaces) {
    while ((await envtest.ask('GET', `/api/v1/namespaces/${name}`)).code !== 200) {
      if (performance.now() > deadline)
        throw new Error(`kube-apiserver has not created the namespace ${name} within ${READY_MS / 1000} s`);
      await sleep(20);
    }
  }
}

function kubeconfig(server: string, ca: string, token: string, namespace: string): string {
  const name = 'envtest';
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name, cluster: { server, 'certificate-authority-data': Buffer.from(ca).toString('base64') } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace } }],
    'current-context': name,
  });
}

/** Returns ports that no process listens on at the moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise<typeof server>((resolve, reject) => {
        server.once('error', reject);
        server.listen(0, '127.0.0.1', () => resolve(server));
      });
    }),
  );
  return Promise.all(
    servers.map(server => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : 0;
      return new Promise<number>(resolve => server.close(() => resolve(port)));
    }),
  );
}

function tail(path: string): string {
  try {
    return readFileSync(path, 'utf8').split('\n').slice(-15).join('\n');
  } catch {
    return '(no log)';
  }
}
