import { spawn } from 'node:child_process';
import type { Runtime } from '../../ports/runtime.ts';
import type { ExecPlugin } from './kubeconfig.ts';

/**
 * Credentials by running a command, as kubectl does (client-go v0.37.2, plugin/pkg/client/auth/exec): run at the first need, when
 * what it gave has expired, and after the API server has answered 401 to what it gave, also where it gave no time of expiry.
 * Other than in kubectl a run is bounded, and two runs are at least `PAUSE_MS` apart, because an operator asks without end.
 */

export interface Credential {
  token: string | undefined;
  certificate: { cert: string; key: string } | undefined;
  /** Milliseconds since the epoch; Infinity where the plug-in did not say. */
  expiresAt: number;
}

interface Run {
  at: number;
  result: Promise<Credential>;
  ended: boolean;
  /** What may be used: undefined while it runs, after a failure, and once the API server has refused it. */
  gave: Credential | undefined;
}

export interface CredentialSource {
  /** What the plug-in gave, from its last run where that still counts. Rejects with what is wrong and what to run. */
  get(ca: string | undefined): Promise<Credential>;
  /** The API server answered 401 to `credential`. */
  refused(credential: Credential): void;
}

/** Less than a request waits for its answer, so that the request's failure names the plug-in. */
const RUN_MS = 25_000;
/** An answer holds a token or a certificate; one without end would use up the memory of the process. */
const MAX_OUTPUT = 1024 * 1024;
/** A plug-in that fails or gives what is refused or expired is not run at each request. */
const PAUSE_MS = 5_000;
/** kubectl runs the same plug-in, and may ask for a login. Its arguments are not printed: some hold a secret. */
const TRY = '`kubectl get --raw /version` runs it too.';

export function createCredentialSource(plugin: ExecPlugin, runtime: Runtime): CredentialSource {
  let last: Run | undefined;

  const run = (ca: string | undefined): Promise<Credential> => {
    const result = runPlugin(plugin, ca, runtime);
    const mine: Run = { at: runtime.monotonic(), result, ended: false, gave: undefined };
    last = mine;
    result.then(
      credential => Object.assign(mine, { ended: true, gave: credential }),
      () => Object.assign(mine, { ended: true }),
    );
    return result;
  };

  return {
    async get(ca) {
      if (!last) return run(ca);
      if (!last.ended || runtime.monotonic() - last.at < PAUSE_MS) return last.result;
      return last.gave && last.gave.expiresAt > runtime.now() ? last.gave : run(ca);
    },
    refused(credential) {
      // Another run may have replaced it meanwhile; that one was not refused.
      if (last?.gave === credential) last.gave = undefined;
    },
  };
}

async function runPlugin(plugin: ExecPlugin, ca: string | undefined, runtime: Runtime) {
  const { command, apiVersion, cluster } = plugin;
  const authority = ca && { 'certificate-authority-data': Buffer.from(ca).toString('base64') };
  const spec = { ...(cluster && { cluster: { ...cluster, ...authority } }), interactive: false };
  const info = JSON.stringify({ kind: 'ExecCredential', apiVersion, spec });
  const output = await runCommand(plugin, { KUBERNETES_EXEC_INFO: info }, runtime);
  const credential = readCredential(output, apiVersion);
  if (typeof credential === 'string') throw new Error(`the exec plug-in ${command} ${credential}. ${TRY}`);
  return credential;
}

/** The command's standard output. What it writes to standard error is for the user, such as the address of a login. */
function runCommand(plugin: ExecPlugin, extra: NodeJS.ProcessEnv, runtime: Runtime): Promise<string> {
  const { command, args, env, installHint } = plugin;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, ...Object.fromEntries(env.map(({ name, value }) => [name, value])), ...extra },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A process group of its own, so that what it started ends with it.
      detached: true,
    });
    const fail = (what: string) => reject(new Error(`the exec plug-in ${command} ${what}`));
    const kill = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended already.
      }
    };
    const cancel = runtime.after(RUN_MS, () => {
      kill();
      fail(`gave no answer within ${RUN_MS / 1000} s and was stopped. ${TRY}`);
    });
    process.once('exit', kill);
    const done = () => {
      cancel();
      process.off('exit', kill);
    };
    let output = '';
    let errors = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.length <= MAX_OUTPUT) return;
      output = '';
      child.stdout.removeAllListeners('data');
      kill();
      fail(`answered more than 1 MiB, which no credentials are, and was stopped. ${TRY}`);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      process.stderr.write(text);
      errors = (errors + text).slice(-500);
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      done();
      const hint = installHint && ` ${singleLine(installHint)}`;
      fail(error.code === 'ENOENT' ? `was not found: install it.${hint}` : `can't be run: ${error.message}`);
    });
    child.on('close', (code, signal) => {
      done();
      if (code === 0) return resolve(output);
      const how = signal ? `was ended by ${signal}` : `failed with exit code ${code}`;
      fail(`${how}${errors && `: ${singleLine(errors)}`}. ${TRY}`);
    });
  });
}

/** A text instead says what is wrong with the answer; the answer itself never shows, as it may hold a token. */
function readCredential(output: string, apiVersion: string): Credential | string {
  let answer: Record<string, unknown>;
  try {
    answer = Object(JSON.parse(output));
  } catch {
    return 'answered something that is not JSON';
  }
  if (answer.kind !== 'ExecCredential') return 'answered something that is not an ExecCredential';
  if (answer.apiVersion !== apiVersion) return `is configured for ${apiVersion} and answered in ${answer.apiVersion}`;
  const status = Object(answer.status) as Record<string, unknown>;
  const { token, clientCertificateData: cert, clientKeyData: key, expirationTimestamp } = status;
  const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';
  if (isText(cert) !== isText(key)) return 'answered a certificate or a key, not both';
  if (!isText(token) && !isText(cert)) return 'answered neither a token nor a certificate';
  const expiresAt = isText(expirationTimestamp) ? Date.parse(expirationTimestamp) : Number.POSITIVE_INFINITY;
  if (Number.isNaN(expiresAt)) return 'answered an expirationTimestamp that is not a time';
  return {
    token: isText(token) ? token : undefined,
    certificate: isText(cert) && isText(key) ? { cert, key } : undefined,
    expiresAt,
  };
}

function singleLine(text: string): string {
  return text.trim().replace(/\s+/g, ' ');
}
