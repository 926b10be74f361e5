import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { realRuntime as runtime } from '../../../ports/runtime.ts';
import { createGcpCore, type GcpCore } from '../../../sandbox/gcp/core.ts';
import { builtInImages } from '../../../sandbox/gcp/instances/images.ts';
import { startInstances } from '../../../sandbox/gcp/instances/instances.ts';
import { startGcpServer } from '../../../sandbox/gcp/wire/http.ts';
import { PROJECT } from './world.ts';

/** A local Google Cloud for `npm run acceptance`, with the delays of the sandbox and services that answer. */
export interface AcceptanceCloud {
  core: GcpCore;
  url: string;
  /** The folder of the journals. */
  state: string;
  /** `npm run acceptance -- --project demo-project ARGS…`, without npm. */
  run(...args: string[]): AcceptanceRun;
  /** The accounts, secrets and services whose id has the prefix of a run. */
  left(): Promise<string[]>;
  close(): Promise<void>;
}

export interface AcceptanceRun {
  child: ChildProcess;
  /** What it has printed so far. */
  output(): string;
  /** Resolves when it has ended: the exit code; null: by a signal. */
  ended: Promise<number | null>;
}

const REGIONS = ['asia-northeast1', 'europe-west1'];

export async function startAcceptanceCloud(): Promise<AcceptanceCloud> {
  const stateDir = mkdtempSync(join(tmpdir(), 'acceptance-cloud-'));
  const instances = await startInstances({ runtime, stateDir, images: builtInImages(), killAfterMs: 500 });
  const core = createGcpCore({
    runtime,
    projects: [{ id: PROJECT, number: '123456789012' }],
    limits: {},
    containers: instances.containers,
    urls: instances.urls,
    logUri: instances.logUri,
    logLines: instances.logLines,
  });
  instances.attach(core.run);
  const server = await startGcpServer({ core });
  const state = join(stateDir, 'journals');
  const running = new Set<ChildProcess>();

  const ids = async (method: string, request: Record<string, string>, field: string): Promise<string[]> => {
    const result = await core.call(method, { ...request, pageSize: 100 });
    if (!result.ok) throw new Error(result.status.message);
    const items = (result.response[field] ?? []) as { name: string }[];
    return items.map(({ name }) => name).filter(name => /acc-[a-z0-9]{8}/.test(name));
  };

  return {
    core,
    url: server.url,
    state,
    run(...args) {
      const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1', FORCE_COLOR: undefined };
      for (const api of ['RUN', 'SECRETMANAGER', 'IAM']) env[`CLOUDSDK_API_ENDPOINT_OVERRIDES_${api}`] = server.url;
      const child = spawn(
        process.execPath,
        ['test/acceptance/main.ts', '--project', PROJECT, '--state', state, ...args],
        { env, stdio: ['ignore', 'pipe', 'pipe'] },
      );
      running.add(child);
      let output = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', text => {
          output += text;
        });
      }
      const ended = new Promise<number | null>(resolve =>
        child.once('close', code => {
          running.delete(child);
          resolve(code);
        }),
      );
      return { child, output: () => output, ended };
    },
    async left() {
      const parts = await Promise.all([
        ids('google.iam.admin.v1.IAM.ListServiceAccounts', { name: `projects/${PROJECT}` }, 'accounts'),
        ids(
          'google.cloud.secretmanager.v1.SecretManagerService.ListSecrets',
          { parent: `projects/${PROJECT}` },
          'secrets',
        ),
        ...REGIONS.map(region =>
          ids(
            'google.cloud.run.v2.Services.ListServices',
            { parent: `projects/${PROJECT}/locations/${region}` },
            'services',
          ),
        ),
      ]);
      return parts.flat();
    },
    async close() {
      for (const child of running) child.kill('SIGKILL');
      await server.close();
      core.run.close();
      await instances.stop();
      rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}
