/**
 * Every method of Google Cloud that the operator may call; nothing outside this table leaves the process. A secret's
 * value is not in it: there is no AccessSecretVersion here, and no method that makes or deletes a secret.
 */

export type Api = 'run' | 'secretmanager' | 'iam';

/** How a method is called over REST: the `google.api.http` rule that its proto publishes (google/api/http.proto). */
export interface HttpRule {
  /** The verb and the path. A `{variable}` names a field of the request, as JSON writes it, and the form of its value. */
  http: `${'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'} /${string}`;
  /** The field that is the body, or `*` for all that the path does not bind. The rest are query parameters. */
  body?: string;
}

export interface Method extends HttpRule {
  api: Api;
  /** It changes something: an answer that was lost leaves open whether it took effect. */
  write: boolean;
}

const run = 'google.cloud.run.v2.Services';
const secrets = 'google.cloud.secretmanager.v1.SecretManagerService';
const iam = 'google.iam.admin.v1.IAM';

/** The full proto names, under the short ones that this room uses. */
export const rpc = {
  getService: `${run}.GetService`,
  listServices: `${run}.ListServices`,
  createService: `${run}.CreateService`,
  updateService: `${run}.UpdateService`,
  deleteService: `${run}.DeleteService`,
  getServicePolicy: `${run}.GetIamPolicy`,
  setServicePolicy: `${run}.SetIamPolicy`,
  getSecret: `${secrets}.GetSecret`,
  listSecrets: `${secrets}.ListSecrets`,
  getSecretVersion: `${secrets}.GetSecretVersion`,
  listSecretVersions: `${secrets}.ListSecretVersions`,
  getSecretPolicy: `${secrets}.GetIamPolicy`,
  setSecretPolicy: `${secrets}.SetIamPolicy`,
  getAccount: `${iam}.GetServiceAccount`,
  listAccounts: `${iam}.ListServiceAccounts`,
  createAccount: `${iam}.CreateServiceAccount`,
  patchAccount: `${iam}.PatchServiceAccount`,
  deleteAccount: `${iam}.DeleteServiceAccount`,
} as const;

const rule = (api: Api, http: Method['http'], body?: string): Method => ({
  api,
  http,
  write: !http.startsWith('GET '),
  ...(body && { body }),
});

/** A test compares every rule with the ones that the vendor's packages ship. */
export const METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  [rpc.getService, rule('run', 'GET /v2/{name=projects/*/locations/*/services/*}')],
  [rpc.listServices, rule('run', 'GET /v2/{parent=projects/*/locations/*}/services')],
  [rpc.createService, rule('run', 'POST /v2/{parent=projects/*/locations/*}/services', 'service')],
  [rpc.updateService, rule('run', 'PATCH /v2/{service.name=projects/*/locations/*/services/*}', 'service')],
  [rpc.deleteService, rule('run', 'DELETE /v2/{name=projects/*/locations/*/services/*}')],
  [rpc.getServicePolicy, rule('run', 'GET /v2/{resource=projects/*/locations/*/services/*}:getIamPolicy')],
  [rpc.setServicePolicy, rule('run', 'POST /v2/{resource=projects/*/locations/*/services/*}:setIamPolicy', '*')],
  [rpc.getSecret, rule('secretmanager', 'GET /v1/{name=projects/*/secrets/*}')],
  [rpc.listSecrets, rule('secretmanager', 'GET /v1/{parent=projects/*}/secrets')],
  [rpc.getSecretVersion, rule('secretmanager', 'GET /v1/{name=projects/*/secrets/*/versions/*}')],
  [rpc.listSecretVersions, rule('secretmanager', 'GET /v1/{parent=projects/*/secrets/*}/versions')],
  [rpc.getSecretPolicy, rule('secretmanager', 'GET /v1/{resource=projects/*/secrets/*}:getIamPolicy')],
  [rpc.setSecretPolicy, rule('secretmanager', 'POST /v1/{resource=projects/*/secrets/*}:setIamPolicy', '*')],
  [rpc.getAccount, rule('iam', 'GET /v1/{name=projects/*/serviceAccounts/*}')],
  [rpc.listAccounts, rule('iam', 'GET /v1/{name=projects/*}/serviceAccounts')],
  [rpc.createAccount, rule('iam', 'POST /v1/{name=projects/*}/serviceAccounts', '*')],
  [rpc.patchAccount, rule('iam', 'PATCH /v1/{serviceAccount.name=projects/*/serviceAccounts/*}', '*')],
  [rpc.deleteAccount, rule('iam', 'DELETE /v1/{name=projects/*/serviceAccounts/*}')],
]);
