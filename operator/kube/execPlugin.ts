import { spawn } from 'node:child_process';
import type { Runtime } from '../../ports/runtime.ts';
import type { ExecPlugin } from './kubeconfig.ts';

/**
 * Gets credentials by running a command, the exec plug-in, as kubectl does (client-go v0.37.2, plugin/pkg/client/auth/exec). The plug-in
 * runs when credentials are needed for the first time, when they have expired, and after the API server has answered 401 to them.
 * Unlike in kubectl, a run may take at most 25 s, and at least 5 s pass between two runs, because the operator needs credentials again
 * and again.
 */

export interface Credential {
  token: string | undefined;
  certificate: { cert: string; key: string } | undefined;
  /** Milliseconds since the epoch; Infinity if the plug-in named no time of expiry. */
  expiresAt: number;
}

interface Run {
  at: number;
  result: Promise<Credential>;
  ended: boolean;
  /** The credentials that may be used. Undefined while the plug-in runs, after it has failed, and after the API server has refused them. */
  gave: Credential | undefined;
}

export interface CredentialSource {
  /** The credentials of the last run while they are valid, else those of a new run. Rejects with an error that says what to do. */
  get(ca: string | undefined): Promise<Credential>;
  /** To be called when the API server has answered 401 to `credential`. */
  refused(credential: Credential): void;
}

/** The longest run, milliseconds. It is shorter than the time-out of a request, so that the failure of the request names the plug-in. */
const RUN_MS = 25_000;
/** The longest output, in characters. Credentials are much shorter, and an endless output would use up the memory of the process. */
const MAX_OUTPUT = 1024 * 1024;
/** The shortest time between the starts of two runs, milliseconds, so that a plug-in that fails does not run at each request. */
const PAUSE_MS = 5_000;
/** The advice in messages: kubectl runs the same plug-in and may ask for a login. The arguments are not printed, as some hold a secret. */
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
      // A newer run may have replaced these credentials in the meantime. Its credentials were not refused.
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

/** Resolves to the command's standard output. Its standard error is printed for the user, as it may hold the address of a login. */
function runCommand(plugin: ExecPlugin, extra: NodeJS.ProcessEnv, runtime: Runtime): Promise<string> {
  const { command, args, env, installHint } = plugin;
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, ...Object.fromEntries(env.map(({ name, value }) => [name, value])), ...extra },
      stdio: ['ignore', 'pipe', 'pipe'],
      // The plug-in gets a process group of its own, so that the processes that it started are killed with it.
      detached: true,
    });
    const fail = (what: string) => reject(new Error(`the exec plug-in ${command} ${what}`));
    const kill = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // The process has ended already.
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

/** Parses the output of the plug-in. A string says what is wrong with it, without the output itself, which may contain a token. */
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
