import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { type Answer, ask } from './ask.ts';
import { findBinaries } from './binaries.ts';
import { type Guarded, startGuarded } from './guarded.ts';

export interface EnvtestOptions {
  /** Folder for its data, certificates, logs and kubeconfig. What an earlier one left in it is removed. */
  stateDir: string;
  /** kube-apiserver listens here, etcd on the next one; free ports if absent. */
  portBase?: number;
  /** Told what happens while the binaries are built. */
  progress?: (line: string) => void;
  /** More flags for kube-apiserver. */
  apiServerFlags?: string[];
}

/** A real Kubernetes API: kube-apiserver and etcd, with RBAC on, and nothing else (no controllers, no nodes). */
export interface Envtest {
  /** Such as `https://127.0.0.1:6443`. */
  url: string;
  etcdUrl: string;
  /** PEM: what the server's certificate is to be checked with. */
  ca: string;
  /** The token of a cluster administrator. */
  token: string;
  /** A kubeconfig of that administrator. */
  kubeconfigPath: string;
  /** Writes a kubeconfig for somebody else; answers its path. */
  writeKubeconfig(path: string, token: string, namespace?: string, server?: string): string;
  /** One request as the administrator. Rejects if no answer comes. */
  ask(method: string, path: string, body?: unknown, contentType?: string): Promise<Answer>;
  stopApiServer(): Promise<void>;
  /** Resolves when it is ready. */
  startApiServer(): Promise<void>;
  /** Makes etcd forget everything but the newest state of each object. */
  compact(): Promise<void>;
  stop(): Promise<void>;
}

const READY_MS = 90_000;
const ATTEMPTS = 3;

/**
 * Starts etcd and kube-apiserver on 127.0.0.1; resolves when the API is ready (about 4 s). Neither outlives this process.
 * Rejects with `NoBinariesError` where there are none and they can't be built, or with the end of the log.
 */
export async function startEnvtest(options: EnvtestOptions): Promise<Envtest> {
  const binaries = await findBinaries({ progress: options.progress });
  for (let attempt = 1; ; attempt++) {
    // Somebody may take a free port before it is used.
    const [port, etcdPort] = options.portBase ? [options.portBase, options.portBase + 1] : await freePorts(2);
    try {
      return await start(binaries, { ...options, port: port ?? 0, etcdPort: etcdPort ?? 0 });
    } catch (error) {
      if (options.portBase || attempt === ATTEMPTS || !/address already in use/.test(String(error))) throw error;
    }
  }
}

type Started = EnvtestOptions & { port: number; etcdPort: number };

async function start(binaries: { etcd: string; kubeApiserver: string }, options: Started): Promise<Envtest> {
  const { port, etcdPort, apiServerFlags = [] } = options;
  const stateDir = resolve(options.stateDir);
  const file = (name: string) => join(stateDir, name);
  const url = `https://127.0.0.1:${port}`;
  const etcdUrl = `http://127.0.0.1:${etcdPort}`;
  const token = randomBytes(24).toString('hex');
  for (const name of ['etcd', 'certs', 'etcd.log', 'apiserver.log'])
    rmSync(file(name), { recursive: true, force: true });
  mkdirSync(stateDir, { recursive: true });
  writeFileSync(file('tokens.csv'), `${token},admin,admin,system:masters\n`, { mode: 0o600 });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(file('service-accounts.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });

  const etcd = startGuarded({
    command: binaries.etcd,
    args: [
      `--data-dir=${file('etcd')}`,
      `--listen-client-urls=${etcdUrl}`,
      `--advertise-client-urls=${etcdUrl}`,
      '--listen-peer-urls=http://127.0.0.1:0',
      '--unsafe-no-fsync',
      '--log-level=warn',
    ],
    log: file('etcd.log'),
    graceMs: 0,
  });
  let apiServer: Guarded | undefined;
  let ca = '';

  const envtest: Envtest = {
    url,
    etcdUrl,
    token,
    get ca() {
      return ca;
    },
    kubeconfigPath: file('kubeconfig'),
    writeKubeconfig(path, userToken, namespace = 'default', server = url) {
      writeFileSync(path, kubeconfig(server, ca, userToken, namespace), { mode: 0o600 });
      return path;
    },
    ask: (method, path, body, contentType) => ask({ url, ca, token }, method, path, body, contentType),

    async startApiServer() {
      apiServer = startGuarded({
        command: binaries.kubeApiserver,
        args: [
          `--etcd-servers=${etcdUrl}`,
          `--cert-dir=${file('certs')}`,
          `--secure-port=${port}`,
          '--bind-address=127.0.0.1',
          '--advertise-address=127.0.0.1',
          '--endpoint-reconciler-type=none',
          `--service-account-issuer=${url}`,
          `--service-account-key-file=${file('service-accounts.key')}`,
          `--service-account-signing-key-file=${file('service-accounts.key')}`,
          '--service-cluster-ip-range=10.0.0.0/24',
          `--token-auth-file=${file('tokens.csv')}`,
          '--authorization-mode=RBAC',
          '--disable-admission-plugins=ServiceAccount',
          ...apiServerFlags,
        ],
        log: file('apiserver.log'),
        // It holds nothing, and waits for its watchers to go when asked to end.
        graceMs: 0,
      });
      const deadline = performance.now() + READY_MS;
      for (;;) {
        for (const [name, program] of [['etcd', etcd] as const, ['apiserver', apiServer] as const]) {
          if (program.hasExited()) throw new Error(`${name} ended at once:\n${tail(file(`${name}.log`))}`);
        }
        try {
          ca = readFileSync(file('certs/apiserver.crt'), 'utf8');
          if ((await envtest.ask('GET', '/readyz')).code === 200) return;
        } catch {
          // Not there yet.
        }
        if (performance.now() > deadline)
          throw new Error(`kube-apiserver isn't ready:\n${tail(file('apiserver.log'))}`);
        await sleep(50);
      }
    },
    async stopApiServer() {
      await apiServer?.stop();
    },
    async compact() {
      const call = async (path: string, body: object) => {
        const answer = await fetch(etcdUrl + path, { method: 'POST', body: JSON.stringify(body) });
        if (!answer.ok) throw new Error(`etcd: ${await answer.text()}`);
        return (await answer.json()) as { header?: { revision?: string } };
      };
      const { header } = await call('/v3/kv/range', { key: Buffer.from('\0').toString('base64') });
      await call('/v3/kv/compaction', { revision: header?.revision, physical: true });
    },
    async stop() {
      await apiServer?.stop();
      await etcd.stop();
    },
  };

  try {
    await envtest.startApiServer();
    // A fresh server makes these by and by; nobody should find them missing.
    await untilFound(envtest, ['default', 'kube-system', 'kube-public', 'kube-node-lease']);
  } catch (error) {
    await envtest.stop();
    throw error;
  }
  envtest.writeKubeconfig(envtest.kubeconfigPath, token);
  return envtest;
}

async function untilFound(envtest: Envtest, namespaces: string[]) {
  const deadline = performance.now() + READY_MS;
  for (const name of namespaces) {
    while ((await envtest.ask('GET', `/api/v1/namespaces/${name}`)).code !== 200) {
      if (performance.now() > deadline) throw new Error(`kube-apiserver makes no namespace ${name}`);
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

/** Ports that were free a moment ago. */
async function freePorts(count: number): Promise<number[]> {
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
