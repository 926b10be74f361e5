import type { GcpResult, GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import { createGcpCore, type GcpCoreOptions } from '../../sandbox/gcp/core.ts';
import { fakeRuntime } from './support/fakeRuntime.ts';

export const SECRETS = 'google.cloud.secretmanager.v1.SecretManagerService';
export const IAM = 'google.iam.admin.v1.IAM';
export const PROJECT = { id: 'demo-project', number: '123456' };
export const ACCESSOR = 'roles/secretmanager.secretAccessor';
export const EMAIL = 'sa-tenant-a@demo-project.iam.gserviceaccount.com';
export const ACCOUNT = `projects/demo-project/serviceAccounts/${EMAIL}`;
export const SECRET = 'projects/123456/secrets/key';

/** A local Google Cloud in virtual time, without delays but those asked for. */
export function world(options: Partial<GcpCoreOptions> = {}) {
  const runtime = fakeRuntime(7);
  const core = createGcpCore({
    runtime,
    projects: [PROJECT, { id: 'other-project', number: '777' }],
    ...options,
    settings: { createVisibleMs: 0, policyPropagationMs: 0, accountPropagationMs: 0, ...options.settings },
  });

  async function ok(method: string, request: JsonObject): Promise<JsonObject> {
    const result = await core.call(method, request);
    if (!result.ok) throw new Error(`${method}: ${result.status.code} ${result.status.message}`);
    return result.response;
  }

  async function refused(method: string, request: JsonObject): Promise<GcpStatus> {
    const result: GcpResult = await core.call(method, request);
    if (result.ok) throw new Error(`${method} was accepted: ${JSON.stringify(result.response)}`);
    return result.status;
  }

  return {
    runtime,
    core,
    ok,
    refused,
    createAccount: (accountId = 'sa-tenant-a', serviceAccount: JsonObject = {}) =>
      ok(`${IAM}.CreateServiceAccount`, { name: 'projects/demo-project', accountId, serviceAccount }),
    createSecret: (secretId = 'key', secret: JsonObject = {}) =>
      ok(`${SECRETS}.CreateSecret`, {
        parent: 'projects/demo-project',
        secretId,
        secret: { replication: { automatic: {} }, ...secret },
      }),
    addVersion: (value: string, secretId = 'key') =>
      ok(`${SECRETS}.AddSecretVersion`, {
        parent: `projects/demo-project/secrets/${secretId}`,
        payload: { data: Buffer.from(value).toString('base64') },
      }),
    getPolicy: (resource = SECRET, requestedPolicyVersion = 3) =>
      ok(`${SECRETS}.GetIamPolicy`, { resource, options: { requestedPolicyVersion } }),
    setPolicy: (policy: JsonObject, resource = SECRET) => ok(`${SECRETS}.SetIamPolicy`, { resource, policy }),
    refusedPolicy: (policy: JsonObject, resource = SECRET) => refused(`${SECRETS}.SetIamPolicy`, { resource, policy }),
  };
}

export const grant = (member: string, role = ACCESSOR): JsonObject => ({ role, members: [member] });
