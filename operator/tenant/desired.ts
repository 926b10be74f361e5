import { chosenIdentity, closingIdentity } from './identity.ts';
import * as names from './names.ts';
import { quoted } from './printable.ts';
import type { Blocker, Desired, DesiredKey, InventoryEntry, KeySpec, Settings, Tenant } from './types.ts';

/** A Config Connector SecretManagerSecret. `secret` is `projects/P/secrets/S`. */
export type ConnectorSecret =
  | { state: 'absent' }
  /** The API server has not let the operator list them yet; or `why`: another reason, as a predicate. */
  | { state: 'unread'; why?: string }
  | { state: 'notReady'; why: string; secret: string }
  | { state: 'ready'; secret: string };

/** The facts of the cluster that the desired state depends on, besides the resource. */
export interface Surroundings {
  namespaceAnnotations: Record<string, string>;
  namespaceUid?: string;
  /** The SecretManagerSecret of that name in the tenant's namespace. */
  connectorSecret(name: string, project: string): ConnectorSecret;
}

export type DesiredResult = { ok: true; desired: Desired } | { ok: false; message: string };

const PROJECT_ANNOTATIONS = ['ai-platform.dev/project-id', 'cnrm.cloud.google.com/project-id'];

/** The resources that should exist in Google Cloud for this tenant, or the message with which the tenant is refused. */
export function desiredState(tenant: Tenant, settings: Settings, around: Surroundings): DesiredResult {
  if (tenant.unknownValues.length > 0) {
    const newer =
      'Nothing in Google Cloud is changed. Write one of these values, or install the operator that knows it.';
    return { ok: false, message: `${tenant.unknownValues.join('; ')}. ${newer}` };
  }
  const project = chosenProject(tenant, settings, around);
  if (!project.ok) return project;
  const identity = chosenIdentity(tenant.namespace, around.namespaceAnnotations, settings);
  if (!identity.ok) return identity;
  return { ok: true, desired: desiredIn(project.id, identity.actAs, tenant, settings, around) };
}

/**
 * The desired state for closing access and removing grants while the rest of the spec cannot be followed, because the Namespace
 * names no usable project or identity or could not be read. It uses the project on record. Undefined: nothing is on record, the
 * identity is not known, or the spec has a value that this version does not know.
 */
export function closingState(tenant: Tenant, settings: Settings, around: Surroundings): Desired | undefined {
  const project = inventoryProject(tenant.status.inventory);
  const identity = closingIdentity(tenant, around.namespaceAnnotations, settings);
  if (tenant.unknownValues.length > 0 || project === undefined || !names.isProjectId(project)) return undefined;
  return identity.ok ? desiredIn(project, identity.actAs, tenant, settings, around) : undefined;
}

function desiredIn(
  project: string,
  actAs: string | undefined,
  tenant: Tenant,
  settings: Settings,
  around: Surroundings,
): Desired {
  const { namespace, name, spec } = tenant;
  const id = names.serviceAccountId(name);
  const email = names.serviceAccountEmail(id, project);
  return {
    owner: { cluster: settings.clusterId, namespace, name },
    project,
    namespaceUid: around.namespaceUid,
    actAs,
    account: { id, email, name: names.accountName(project, email), displayName: `AI tenant ${name}` },
    keys: spec.keys.map(key => desiredKey(key, project, tenant, around)),
    region: spec.region,
    serviceId: names.serviceId(name),
    spec,
  };
}

function chosenProject(
  tenant: Tenant,
  settings: Settings,
  around: Surroundings,
): { ok: true; id: string } | { ok: false; message: string } {
  const id = namedProject(around.namespaceAnnotations, settings);
  const annotate = `kubectl annotate namespace ${tenant.namespace} ai-platform.dev/project-id=PROJECT --overwrite`;
  if (!id) {
    return {
      ok: false,
      message: `No Google Cloud project is set for namespace ${tenant.namespace}. Give the operator --project, or name one: ${annotate}`,
    };
  }
  if (!names.isProjectId(id)) {
    return { ok: false, message: `${quoted(id)} is not a project id (a project number will not do): ${annotate}` };
  }
  if (!names.matchesAny(id, settings.projects)) {
    return {
      ok: false,
      message: `Project ${id} is not among those the operator may use (--projects=${settings.projects.join(',')}): add it there, or name another one: ${annotate}`,
    };
  }
  const before = inventoryProject(tenant.status.inventory);
  if (before !== undefined && before !== id) {
    return {
      ok: false,
      message:
        `This tenant lives in project ${before} and cannot move to ${id}. Put the annotation of namespace ${tenant.namespace} back ` +
        `(ai-platform.dev/project-id=${before}), or delete the tenant there and create it anew.`,
    };
  }
  return { ok: true, id };
}

/** The project that the Namespace names, or the operator's default. */
export const namedProject = (namespaceAnnotations: Record<string, string>, settings: Settings): string | undefined =>
  PROJECT_ANNOTATIONS.map(key => namespaceAnnotations[key]).find(value => value) ?? settings.project;

/** The project of the account or service in the inventory. */
export function inventoryProject(inventory: InventoryEntry[]): string | undefined {
  const entry = inventory.find(({ type }) => type === 'ServiceAccount' || type === 'Service');
  return entry && names.part(entry.name, 'projects');
}

function desiredKey(key: KeySpec, project: string, tenant: Tenant, around: Surroundings): DesiredKey {
  const { secretRef, ...rest } = key;
  if (secretRef.external !== undefined) return { ...rest, secret: names.secretName(secretRef.external, project) };
  const ref = secretRef.name ?? '';
  const found = around.connectorSecret(ref, project);
  if (found.state === 'ready') return { ...rest, secret: found.secret };
  return { ...rest, blocked: connectorBlocker(key.name, `SecretManagerSecret ${ref}`, ref, tenant.namespace, found) };
}

function connectorBlocker(
  key: string,
  what: string,
  ref: string,
  namespace: string,
  found: Exclude<ConnectorSecret, { state: 'ready' }>,
): Blocker {
  const see = `\`kubectl get secretmanagersecret ${ref} -n ${namespace}\``;
  const aspect = 'SecretAccess';
  switch (found.state) {
    case 'absent': {
      const message = `Key ${key}: there is no ${what} in namespace ${namespace} (${see}).`;
      return { aspect, reason: 'DependencyNotFound', message };
    }
    case 'notReady':
      return {
        aspect,
        reason: 'DependencyNotReady',
        message: `Key ${key}: ${what} is not Ready: ${found.why} (${see}).`,
      };
    case 'unread': {
      const message = found.why
        ? `Key ${key}: ${what} ${found.why}`
        : `Key ${key}: whether ${what} exists is not known, as the API server does not let the operator list ` +
          "SecretManagerSecrets. The operator's log has the answer; manifests/base/rbac.yaml has the permission.";
      return { aspect, reason: 'DependencyNotReady', message };
    }
  }
}
