import type { JsonObject } from '../../../ports/json.ts';

/**
 * The permission that each method needs on the resource it names (the APIs' "Access control" pages).
 * `iam.serviceAccounts.actAs` and `run.services.setIamPolicy` for `invokerIamDisabled` depend on the request: the handlers
 * ask for those themselves.
 */
const PERMISSIONS: Record<string, Record<string, string>> = {
  'google.cloud.secretmanager.v1.SecretManagerService': {
    ListSecrets: 'secretmanager.secrets.list',
    CreateSecret: 'secretmanager.secrets.create',
    GetSecret: 'secretmanager.secrets.get',
    UpdateSecret: 'secretmanager.secrets.update',
    DeleteSecret: 'secretmanager.secrets.delete',
    GetIamPolicy: 'secretmanager.secrets.getIamPolicy',
    SetIamPolicy: 'secretmanager.secrets.setIamPolicy',
    AddSecretVersion: 'secretmanager.versions.add',
    ListSecretVersions: 'secretmanager.versions.list',
    GetSecretVersion: 'secretmanager.versions.get',
    AccessSecretVersion: 'secretmanager.versions.access',
    EnableSecretVersion: 'secretmanager.versions.enable',
    DisableSecretVersion: 'secretmanager.versions.disable',
    DestroySecretVersion: 'secretmanager.versions.destroy',
  },
  'google.iam.admin.v1.IAM': {
    ListServiceAccounts: 'iam.serviceAccounts.list',
    GetServiceAccount: 'iam.serviceAccounts.get',
    CreateServiceAccount: 'iam.serviceAccounts.create',
    UpdateServiceAccount: 'iam.serviceAccounts.update',
    PatchServiceAccount: 'iam.serviceAccounts.update',
    DeleteServiceAccount: 'iam.serviceAccounts.delete',
    UndeleteServiceAccount: 'iam.serviceAccounts.undelete',
    EnableServiceAccount: 'iam.serviceAccounts.enable',
    DisableServiceAccount: 'iam.serviceAccounts.disable',
    GetIamPolicy: 'iam.serviceAccounts.getIamPolicy',
    SetIamPolicy: 'iam.serviceAccounts.setIamPolicy',
    CreateServiceAccountKey: 'iam.serviceAccountKeys.create',
  },
  'google.iam.v2.Policies': {
    ListPolicies: 'iam.denypolicies.list',
    GetPolicy: 'iam.denypolicies.get',
    CreatePolicy: 'iam.denypolicies.create',
    UpdatePolicy: 'iam.denypolicies.update',
    DeletePolicy: 'iam.denypolicies.delete',
  },
  'google.cloud.resourcemanager.v3.Projects': { GetProject: 'resourcemanager.projects.get' },
  'google.cloudresourcemanager.v1.Projects': { GetProject: 'resourcemanager.projects.get' },
  'google.api.serviceusage.v1.ServiceUsage': {
    GetService: 'serviceusage.services.get',
    ListServices: 'serviceusage.services.list',
    EnableService: 'serviceusage.services.enable',
    BatchEnableServices: 'serviceusage.services.enable',
  },
  'google.cloud.run.v2.Services': {
    CreateService: 'run.services.create',
    GetService: 'run.services.get',
    ListServices: 'run.services.list',
    UpdateService: 'run.services.update',
    DeleteService: 'run.services.delete',
    GetIamPolicy: 'run.services.getIamPolicy',
    SetIamPolicy: 'run.services.setIamPolicy',
  },
  'google.cloud.run.v2.Revisions': {
    GetRevision: 'run.revisions.get',
    ListRevisions: 'run.revisions.list',
    DeleteRevision: 'run.revisions.delete',
  },
  'run.projects.locations': { list: 'run.locations.list' },
  'google.longrunning.Operations': {
    GetOperation: 'run.operations.get',
    ListOperations: 'run.operations.list',
    DeleteOperation: 'run.operations.delete',
    WaitOperation: 'run.operations.get',
  },
};

/** Returns the permission that a method needs, by its full name. Undefined if it needs none. */
export function permissionFor(method: string): string | undefined {
  const dot = method.lastIndexOf('.');
  return PERMISSIONS[method.slice(0, dot)]?.[method.slice(dot + 1)];
}

/** The name of the resource that a request is about: itself, or the parent to list or create in. */
export function resourceNamed(request: JsonObject): string {
  const nested = [request.service, request.secret, request.serviceAccount, request.policy].map(
    child => (child as JsonObject | undefined)?.name,
  );
  return String(
    request.resource ?? request.name ?? request.parent ?? projectNamed(request) ?? nested.find(Boolean) ?? '',
  );
}

/** Resource Manager v1 names a project by its id alone. */
const projectNamed = ({ projectId }: JsonObject): string | undefined =>
  projectId === undefined ? undefined : `projects/${projectId}`;
