/**
 * The methods of Google Cloud that the operator may call; the client throws for any other. The table contains neither
 * AccessSecretVersion, so the operator cannot read a secret's value, nor a method that creates or deletes a secret.
 */

export type Api = 'secretmanager' | 'iam' | 'run';

/**
 * The APIs: the public address, and the published quotas in calls per minute and project, or in the case of `isRegional` per region of
 * a project. Sources: Secret Manager https://cloud.google.com/secret-manager/quotas, IAM https://cloud.google.com/iam/quotas, Cloud Run
 * https://cloud.google.com/run/quotas.
 */
export const APIS: Record<Api, { address: string; read: number; write: number; isRegional?: true }> = {
  secretmanager: { address: 'https://secretmanager.googleapis.com', read: 600, write: 600 },
  iam: { address: 'https://iam.googleapis.com', read: 6_000, write: 600 },
  run: { address: 'https://run.googleapis.com', read: 3_000, write: 180, isRegional: true },
};

/** A method's REST form: the `google.api.http` rule in its proto (google/api/http.proto). */
export interface HttpRule {
  /** The verb and the path. A `{variable}` names a field of the request in lowerCamelCase, and the form of its value. */
  http: `${'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'} /${string}`;
  /** The name of the field that becomes the body, or `*` for all fields that are not in the path. All remaining fields are query parameters. */
  body?: string;
}

export interface Method extends HttpRule {
  api: Api;
  /** True if the method changes something. Such a call may have taken effect even if its answer was lost. */
  write: boolean;
}

const methodsOf =
  (api: Api, service: string) =>
  (name: string, http: Method['http'], body?: string): [string, Method] => [
    `${service}.${name}`,
    { api, http, write: !http.startsWith('GET '), ...(body && { body }) },
  ];

const run = methodsOf('run', 'google.cloud.run.v2.Services');
const secrets = methodsOf('secretmanager', 'google.cloud.secretmanager.v1.SecretManagerService');
const iam = methodsOf('iam', 'google.iam.admin.v1.IAM');

/** The methods, by the short names that `operator/gcp` uses. A test compares each rule with the one in the vendor's package. */
const TABLE = {
  getService: run('GetService', 'GET /v2/{name=projects/*/locations/*/services/*}'),
  listServices: run('ListServices', 'GET /v2/{parent=projects/*/locations/*}/services'),
  createService: run('CreateService', 'POST /v2/{parent=projects/*/locations/*}/services', 'service'),
  updateService: run('UpdateService', 'PATCH /v2/{service.name=projects/*/locations/*/services/*}', 'service'),
  deleteService: run('DeleteService', 'DELETE /v2/{name=projects/*/locations/*/services/*}'),
  getServicePolicy: run('GetIamPolicy', 'GET /v2/{resource=projects/*/locations/*/services/*}:getIamPolicy'),
  setServicePolicy: run('SetIamPolicy', 'POST /v2/{resource=projects/*/locations/*/services/*}:setIamPolicy', '*'),
  getSecret: secrets('GetSecret', 'GET /v1/{name=projects/*/secrets/*}'),
  listSecrets: secrets('ListSecrets', 'GET /v1/{parent=projects/*}/secrets'),
  getSecretVersion: secrets('GetSecretVersion', 'GET /v1/{name=projects/*/secrets/*/versions/*}'),
  listSecretVersions: secrets('ListSecretVersions', 'GET /v1/{parent=projects/*/secrets/*}/versions'),
  getSecretPolicy: secrets('GetIamPolicy', 'GET /v1/{resource=projects/*/secrets/*}:getIamPolicy'),
  setSecretPolicy: secrets('SetIamPolicy', 'POST /v1/{resource=projects/*/secrets/*}:setIamPolicy', '*'),
  getAccount: iam('GetServiceAccount', 'GET /v1/{name=projects/*/serviceAccounts/*}'),
  listAccounts: iam('ListServiceAccounts', 'GET /v1/{name=projects/*}/serviceAccounts'),
  createAccount: iam('CreateServiceAccount', 'POST /v1/{name=projects/*}/serviceAccounts', '*'),
  patchAccount: iam('PatchServiceAccount', 'PATCH /v1/{serviceAccount.name=projects/*/serviceAccounts/*}', '*'),
  deleteAccount: iam('DeleteServiceAccount', 'DELETE /v1/{name=projects/*/serviceAccounts/*}'),
} as const;

/** The full proto names, by the short names. */
export const rpc = Object.fromEntries(Object.entries(TABLE).map(([short, [name]]) => [short, name])) as Record<
  keyof typeof TABLE,
  string
>;

/** The methods, by their full proto names. */
export const METHODS: ReadonlyMap<string, Method> = new Map(Object.values(TABLE));
