import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { JsonObject } from '../../ports/json.ts';
import { realRuntime } from '../../ports/runtime.ts';
import type { CloudSettings } from '../../sandbox/gcp/contracts.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { builtInImages } from '../../sandbox/gcp/instances/images.ts';
import { startInstances } from '../../sandbox/gcp/instances/instances.ts';

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url));

/** A local Google Cloud whose Cloud Run starts processes. */
export async function startWorld(settings: Partial<CloudSettings> = {}) {
  const stateDir = await mkdtemp(join(tmpdir(), 'run-instances-'));
  const instances = await startInstances({
    runtime: realRuntime,
    stateDir,
    killAfterMs: 500,
    images: [
      { name: 'app', command: [process.execPath, file('./run-instances.app.ts')], env: { FROM_IMAGE: 'yes' } },
      { name: 'sidecar', command: [process.execPath, file('./run-instances.sidecar.ts')] },
      ...builtInImages({ OPENAI_BASE_URL: 'http://127.0.0.1:9/v1' }),
    ],
  });
  const core = createGcpCore({
    runtime: realRuntime,
    projects: [
      { id: 'demo', number: '123456' },
      { id: 'other', number: '654321' },
    ],
    settings: {
      createVisibleMs: 0,
      policyPropagationMs: 0,
      accountPropagationMs: 0,
      deployMs: 10,
      startupTimeoutMs: 20_000,
      idleMs: 60_000,
      defaultMaxInstances: 100,
      ...settings,
    },
    limits: {},
    containers: instances.containers,
    urls: instances.urls,
    logUri: instances.logUri,
    logLines: instances.logLines,
  });
  const { run } = core;
  instances.attach(run);

  async function ok(method: string, request: JsonObject): Promise<JsonObject> {
    const result = await core.call(method.startsWith('google.') ? method : `google.cloud.run.v2.${method}`, request);
    if (!result.ok) throw new Error(`${method}: ${result.status.code} ${result.status.message}`);
    return result.response;
  }

  /** Waits for an operation and answers what it ended with. */
  async function settled(operation: JsonObject): Promise<JsonObject> {
    return ok('google.longrunning.Operations.WaitOperation', { name: operation.name as string, timeout: '30s' });
  }

  return {
    core,
    run,
    stateDir,
    ok,
    settled,
    /** Creates a public service of the test's app and waits until it is settled. */
    async deploy(
      id: string,
      container: JsonObject = {},
      more: { template?: JsonObject; service?: JsonObject; parent?: string; sidecars?: JsonObject[] } = {},
    ) {
      const { parent = 'projects/demo/locations/asia-northeast1' } = more;
      const template = {
        ...more.template,
        containers: [{ image: 'gcr.io/demo/app:1', ...container }, ...(more.sidecars ?? [])],
      };
      const service = { template, invokerIamDisabled: true, ...more.service };
      await settled(await ok('Services.CreateService', { parent, serviceId: id, service }));
      return ok('Services.GetService', { name: `${parent}/services/${id}` });
    },
    async update(service: JsonObject, updateMask: string) {
      await settled(await ok('Services.UpdateService', { service, updateMask }));
      return ok('Services.GetService', { name: service.name as string });
    },
    async stop() {
      run.close();
      await instances.stop();
      await rm(stateDir, { recursive: true });
    },
  };
}

export type World = Awaited<ReturnType<typeof startWorld>>;

export interface AppAnswer {
  pid: number;
  env: Record<string, string>;
  headers: Record<string, string>;
  most: number;
  url: string;
}

/** Calls the test's app. */
export async function call(service: JsonObject, path = '/', init?: RequestInit): Promise<AppAnswer> {
  const response = await fetch(`${service.uri}${path}`, init);
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  return (await response.json()) as AppAnswer;
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
