import type { GcpResult, GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { CloudSettings } from '../../sandbox/gcp/contracts.ts';
import { createGcpCore } from '../../sandbox/gcp/core.ts';
import { type Script, scriptedContainers } from '../../sandbox/gcp/run/scriptedContainers.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';

export const parent = 'projects/demo/locations/asia-northeast1';
export const name = `${parent}/services/web`;
export const account = 'sa-web@demo.iam.gserviceaccount.com';
export const image = 'asia-docker.pkg.dev/demo/repo/app:1';

/** A local Google Cloud with Cloud Run over scripted containers, in virtual time, through the port the operator uses. */
export function world(settings: Partial<CloudSettings> = {}) {
  const runtime = fakeRuntime(7);
  const containers = scriptedContainers(runtime, new Map<string, Script>());
  const core = createGcpCore({
    runtime,
    projects: [{ id: 'demo', number: '123456' }],
    settings: {
      createVisibleMs: 0,
      policyPropagationMs: 0,
      accountPropagationMs: 0,
      deployMs: 1000,
      startupTimeoutMs: 5000,
      ...settings,
    },
    limits: {},
    containers,
  });
  const { run } = core;

  const call = (method: string, request: JsonObject): Promise<GcpResult> =>
    core.call(method.startsWith('google.') ? method : `google.cloud.run.v2.${method}`, request);

  async function ok(method: string, request: JsonObject): Promise<JsonObject> {
    const result = await call(method, request);
    if (!result.ok) throw new Error(`${method}: ${result.status.code} ${result.status.message}`);
    return result.response;
  }

  async function refused(method: string, request: JsonObject): Promise<GcpStatus> {
    const result = await call(method, request);
    if (result.ok) throw new Error(`${method} was accepted`);
    return result.status;
  }

  return {
    runtime,
    containers,
    core,
    run,
    ok,
    refused,
    create: (service: JsonObject, more: JsonObject = {}) =>
      ok('Services.CreateService', { parent, serviceId: 'web', service, ...more }),
    update: (service: JsonObject, updateMask?: string, more: JsonObject = {}) =>
      ok('Services.UpdateService', { service: { name, ...service }, ...(updateMask && { updateMask }), ...more }),
    get: () => ok('Services.GetService', { name }),
    revisions: async () => (await ok('Revisions.ListRevisions', { parent: name })).revisions as JsonObject[],
    operation: (operation: JsonObject) =>
      ok('google.longrunning.Operations.GetOperation', { name: operation.name as string }),
    async addAccount(accountId = 'sa-web') {
      await ok('google.iam.admin.v1.IAM.CreateServiceAccount', { name: 'projects/demo', accountId });
    },
    async addSecret(secretId: string, payload?: string) {
      const manager = 'google.cloud.secretmanager.v1.SecretManagerService';
      const secret = `projects/demo/secrets/${secretId}`;
      await ok(`${manager}.CreateSecret`, {
        parent: 'projects/demo',
        secretId,
        secret: { replication: { automatic: {} } },
      });
      if (payload === undefined) return;
      const data = Buffer.from(payload).toString('base64');
      await ok(`${manager}.AddSecretVersion`, { parent: secret, payload: { data } });
    },
    async grant(secretId: string, member = `serviceAccount:${account}`) {
      await ok('google.cloud.secretmanager.v1.SecretManagerService.SetIamPolicy', {
        resource: `projects/demo/secrets/${secretId}`,
        policy: { bindings: [{ role: 'roles/secretmanager.secretAccessor', members: [member] }] },
      });
    },
  };
}

export type World = ReturnType<typeof world>;

/** A template with one container of `image`. */
export const template = (container: JsonObject = {}, more: JsonObject = {}): JsonObject => ({
  containers: [{ image, ...container }],
  ...more,
});

/** The one condition that tells whether a service is ready. */
export const ready = (service: JsonObject) => service.terminalCondition as JsonObject;
