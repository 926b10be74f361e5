/**
 * Every method of Google Cloud that the operator may call; nothing outside this table leaves the process. A secret's
 * value is not in it: there is no AccessSecretVersion here, and no method that makes or deletes a secret.
 */

export type Api = 'run' | 'secretmanager' | 'iam';

export interface Method {
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
  getRevision: 'google.cloud.run.v2.Revisions.GetRevision',
  listRevisions: 'google.cloud.run.v2.Revisions.ListRevisions',
  getOperation: 'google.longrunning.Operations.GetOperation',
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
  enableAccount: `${iam}.EnableServiceAccount`,
  deleteAccount: `${iam}.DeleteServiceAccount`,
} as const;

export const METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  [rpc.getService, { api: 'run', write: false }],
  [rpc.listServices, { api: 'run', write: false }],
  [rpc.createService, { api: 'run', write: true }],
  [rpc.updateService, { api: 'run', write: true }],
  [rpc.deleteService, { api: 'run', write: true }],
  [rpc.getServicePolicy, { api: 'run', write: false }],
  [rpc.setServicePolicy, { api: 'run', write: true }],
  [rpc.getRevision, { api: 'run', write: false }],
  [rpc.listRevisions, { api: 'run', write: false }],
  [rpc.getOperation, { api: 'run', write: false }],
  [rpc.getSecret, { api: 'secretmanager', write: false }],
  [rpc.listSecrets, { api: 'secretmanager', write: false }],
  [rpc.getSecretVersion, { api: 'secretmanager', write: false }],
  [rpc.listSecretVersions, { api: 'secretmanager', write: false }],
  [rpc.getSecretPolicy, { api: 'secretmanager', write: false }],
  [rpc.setSecretPolicy, { api: 'secretmanager', write: true }],
  [rpc.getAccount, { api: 'iam', write: false }],
  [rpc.listAccounts, { api: 'iam', write: false }],
  [rpc.createAccount, { api: 'iam', write: true }],
  [rpc.patchAccount, { api: 'iam', write: true }],
  [rpc.enableAccount, { api: 'iam', write: true }],
  [rpc.deleteAccount, { api: 'iam', write: true }],
]);
