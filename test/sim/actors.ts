import type { GcpResult } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi, KubeObject } from '../../ports/kube.ts';
import {
  AI_TENANTS,
  CUSTOM_RESOURCE_DEFINITIONS,
  NAMESPACES,
  SECRET_MANAGER_SECRETS,
} from '../../ports/kubeResources.ts';
import type { GcpCore } from '../../sandbox/gcp/core.ts';
import { ACCESSOR, canonicalSecret, emailOf, type Facts, INVOKER, PROJECTS, serviceNameOf } from './cloudFacts.ts';
import type { CallInfo } from './faults.ts';
import type { Action } from './script.ts';
import { asNewerWrites, asOlderWrites } from './versions.ts';

/** Everybody but the operator. What they do takes effect at once; whether it was possible is no concern of theirs. */

export interface Stage {
  gcp: GcpCore;
  facts: Facts;
  kube: KubeApi[];
  crd: KubeObject;
  /** Tells that somebody else has changed this resource of Google Cloud. */
  touch(resource: string): void;
  /** The marks of this tenant's things may be left behind, or taken away, by somebody's wish. */
  excuse(tenant: string): void;
  /** The status of this tenant (`CLUSTER/NAMESPACE/NAME`) no longer says what is its own. */
  lose(tenant: string): void;
}

const RUN = 'google.cloud.run.v2.Services';
const SECRETS = 'google.cloud.secretmanager.v1.SecretManagerService';
const IAM = 'google.iam.admin.v1.IAM';
/** What no log, status, event or error may ever hold. */
export const SECRET_VALUE = 'sk-VALUE-OF-A-KEY';

const projectOfSecret = (secret: string): string => (secret.startsWith('other-') ? 'other-project' : 'demo-project');
export const secretName = (secret: string): string => canonicalSecret(secret, projectOfSecret(secret));

export async function act(stage: Stage, action: Action): Promise<string> {
  switch (action.who) {
    case 'kubectl':
    case 'gitops':
      return kubectl(stage, action);
    case 'version':
      return otherVersion(stage, action);
    case 'admin':
      return admin(stage, action);
    case 'connector':
      return connector(stage, action);
    case 'secrets':
    case 'rotation':
      return secrets(stage, action);
    case 'iam':
      return iam(stage, action);
    case 'console':
      return 'region' in action ? service(stage, action) : account(stage, action);
  }
}

/** Who writes the same thing as a call of the operator does, at the same moment. */
export function rivalOf({ cluster, method, target }: CallInfo): Action | undefined {
  const secret = /\/secrets\/([^/]+)$/.exec(target)?.[1];
  if (secret) return { who: 'iam', do: 'toggle', secret, member: 'user:rival@example.com', conditional: false };
  const [, region = '', tenant] = /\/locations\/([^/]+)\/services\/ai-platform-(.+)$/.exec(target) ?? [];
  if (tenant) return { who: 'console', do: method === 'SetIamPolicy' ? 'invoker' : 'label', tenant, region };
  const [namespace = '', name] = method.startsWith('patch aitenants') ? target.split('/') : [];
  return name ? { who: 'kubectl', do: 'patch', cluster, namespace, name, spec: { timeoutSeconds: 61 } } : undefined;
}

const told = (result: { ok: boolean; status?: { code: string | number; message: string } }): string =>
  result.ok ? 'done' : `${result.status?.code} ${result.status?.message.slice(0, 100)}`;

async function kubectl(stage: Stage, action: Extract<Action, { who: 'kubectl' | 'gitops' }>): Promise<string> {
  const api = stage.kube[action.cluster];
  if (!api) return 'no such cluster';
  const { namespace, name } = action;
  switch (action.do) {
    case 'apply': {
      const found = await api.get(AI_TENANTS, namespace, name);
      if (found.ok) {
        const spec = replacing((found.value.spec ?? {}) as JsonObject, action.spec);
        return told(await api.patch(AI_TENANTS, namespace, name, { spec }));
      }
      const object = {
        apiVersion: 'ai-platform.dev/v1alpha1',
        kind: 'AiTenant',
        metadata: { name, namespace },
        spec: action.spec,
      };
      return told(await api.create(AI_TENANTS, namespace, object));
    }
    case 'patch':
      return told(await api.patch(AI_TENANTS, namespace, name, { spec: action.spec }));
    case 'annotate': {
      if (action.value === 'abandon') stage.excuse(name);
      const annotations = { [action.key]: action.value };
      const result = await api.patch(AI_TENANTS, namespace, name, { metadata: { annotations } });
      // Who annotates a tenant that is being deleted already may come too late.
      if (result.ok && result.value.metadata.deletionTimestamp) stage.touch(`deletion of ${namespace}/${name}`);
      return told(result);
    }
    case 'loseStatus':
      stage.lose(`cluster-${action.cluster + 1}/${namespace}/${name}`);
      return told(await api.patch(AI_TENANTS, namespace, name, { status: null }, { subresource: 'status' }));
    case 'delete':
      return told(await api.delete(AI_TENANTS, namespace, name));
  }
}

/** A merge patch after which the object is what `after` says, and nothing of `before` is left. */
export function replacing(before: JsonObject, after: JsonObject): JsonObject {
  const isObject = (value: unknown): value is JsonObject =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const named = Object.entries(after).filter(([, value]) => value !== undefined);
  const gone = Object.keys(before).filter(key => after[key] === undefined);
  return Object.fromEntries([
    ...gone.map(key => [key, null] as const),
    ...named.map(([key, value]) => {
      const was = before[key];
      return [key, isObject(was) && isObject(value) ? replacing(was, value) : value] as const;
    }),
  ]) as JsonObject;
}

/** It writes its status only where one stands: what it makes in Google Cloud is what this version makes. */
async function otherVersion(stage: Stage, action: Extract<Action, { who: 'version' }>): Promise<string> {
  const api = stage.kube[action.cluster];
  const { namespace, name } = action;
  const found = await api?.get(AI_TENANTS, namespace, name);
  if (!api || !found?.ok) return 'no such tenant';
  const { metadata } = found.value;
  const status = found.value.status as JsonObject | undefined;
  if (status === undefined) return 'no status';
  const next = action.do === 'older' ? asOlderWrites(status) : asNewerWrites(status, action.do === 'newerJob');
  const gone = Object.keys(status).filter(key => !(key in next));
  const patch = {
    metadata: { resourceVersion: metadata.resourceVersion ?? '' },
    status: { ...Object.fromEntries(gone.map(key => [key, null])), ...next },
  };
  return told(await api.patch(AI_TENANTS, namespace, name, patch, { subresource: 'status' }));
}

async function admin(stage: Stage, action: Extract<Action, { who: 'admin' }>): Promise<string> {
  const api = stage.kube[action.cluster];
  if (!api) return 'no such cluster';
  switch (action.do) {
    case 'project': {
      const annotations = { 'ai-platform.dev/project-id': action.project };
      return told(await api.patch(NAMESPACES, undefined, action.namespace, { metadata: { annotations } }));
    }
    case 'impersonate': {
      const annotations = { 'ai-platform.dev/impersonate-service-account': action.account };
      return told(await api.patch(NAMESPACES, undefined, action.namespace, { metadata: { annotations } }));
    }
    case 'createNamespace':
      return told(
        await api.create(NAMESPACES, undefined, {
          apiVersion: 'v1',
          kind: 'Namespace',
          metadata: { name: action.namespace },
        }),
      );
    case 'deleteNamespace':
      return told(await api.delete(NAMESPACES, undefined, action.namespace));
    case 'createCrd':
      return told(await api.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, stage.crd));
    case 'deleteCrd': {
      const all = await api.list(AI_TENANTS, {});
      if (all.ok) for (const { metadata } of all.value.items) stage.excuse(metadata.name);
      return told(await api.delete(CUSTOM_RESOURCE_DEFINITIONS, undefined, stage.crd.metadata.name));
    }
  }
}

/** Config Connector is done at once: what it says of the secret is all that matters here. */
async function connector(stage: Stage, action: Extract<Action, { who: 'connector' }>): Promise<string> {
  const api = stage.kube[action.cluster];
  if (!api) return 'no such cluster';
  const { namespace, secret: name } = action;
  if (action.do === 'delete') return told(await api.delete(SECRET_MANAGER_SECRETS, namespace, name));
  if (action.do === 'create') {
    const { group, version, kind } = SECRET_MANAGER_SECRETS;
    const object = { apiVersion: `${group}/${version}`, kind, metadata: { name, namespace } };
    const made = await api.create(SECRET_MANAGER_SECRETS, namespace, object);
    if (!made.ok) return told(made);
  }
  const isReady = action.do !== 'notReady';
  const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False', reason: isReady ? 'UpToDate' : 'Updating' }];
  const how = { subresource: 'status' } as const;
  return told(await api.patch(SECRET_MANAGER_SECRETS, namespace, name, { status: { conditions } }, how));
}

async function secrets(stage: Stage, action: Extract<Action, { who: 'secrets' | 'rotation' }>): Promise<string> {
  const call = (method: string, request: JsonObject) => stage.gcp.call(`${SECRETS}.${method}`, request);
  const name = secretName(action.secret);
  stage.touch(name);
  const addVersion = () =>
    call('AddSecretVersion', { parent: name, payload: { data: Buffer.from(SECRET_VALUE).toString('base64') } });
  switch (action.do) {
    case 'create': {
      const parent = `projects/${projectOfSecret(action.secret)}`;
      const secret = { replication: { automatic: {} }, labels: { team: 'payments' } };
      return told(await call('CreateSecret', { parent, secretId: action.secret, secret }));
    }
    case 'delete':
      return told(await call('DeleteSecret', { name }));
    case 'consent': {
      const found = stage.facts.secret(name);
      const { 'ai-tenant-namespace': _, 'ai-tenant-cluster': __, ...rest } = (found?.fields.labels ?? {}) as JsonObject;
      const consent = action.namespace === null ? {} : { 'ai-tenant-namespace': action.namespace };
      const cluster = action.cluster === undefined ? {} : { 'ai-tenant-cluster': action.cluster };
      const labels = { ...rest, ...consent, ...cluster };
      return told(await call('UpdateSecret', { secret: { name, labels }, updateMask: 'labels' }));
    }
    case 'add':
      return told(await addVersion());
    default: {
      const versions = stage.facts.secret(name)?.versions ?? [];
      const version = versions.at(-1 - action.back);
      if (!version) return 'no such version';
      const verb = { disable: 'Disable', enable: 'Enable', destroy: 'Destroy' }[action.do];
      return told(await call(`${verb}SecretVersion`, { name: `${name}/versions/${version.sequence}` }));
    }
  }
}

async function iam(stage: Stage, action: Extract<Action, { who: 'iam' }>): Promise<string> {
  const resource = secretName(action.secret);
  if (!stage.facts.secret(resource)) return 'no such secret';
  const policy = stage.facts.policy(resource);
  const bindings = structuredClone(policy.bindings ?? []);
  if (action.do === 'ungrant') {
    stage.touch(resource);
    const member = `serviceAccount:${emailOf(action.account, 'demo-project')}`;
    for (const binding of bindings) binding.members = binding.members.filter(other => other !== member);
  } else {
    const role = ACCESSOR;
    const condition = { title: 'office hours', expression: 'request.time.getHours() < 18' };
    const same = (binding: (typeof bindings)[number]) =>
      binding.role === role && (binding.condition !== undefined) === action.conditional;
    const binding = bindings.find(same);
    if (!binding) bindings.push({ role, members: [action.member], ...(action.conditional && { condition }) });
    else if (binding.members.includes(action.member)) {
      binding.members = binding.members.filter(other => other !== action.member);
    } else binding.members.push(action.member);
  }
  const auditConfigs = policy.auditConfigs ?? [{ service: 'allServices', auditLogConfigs: [{ logType: 'DATA_READ' }] }];
  const kept = bindings.filter(({ members }) => members.length > 0);
  const next = { version: 3, etag: policy.etag, bindings: kept, auditConfigs } as unknown as JsonObject;
  return told(await stage.gcp.call(`${SECRETS}.SetIamPolicy`, { resource, policy: next }));
}

async function service(stage: Stage, action: Extract<Action, { who: 'console'; region: string }>): Promise<string> {
  const found = stage.facts
    .services()
    .find(({ id, location }) => id === `ai-platform-${action.tenant}` && location === action.region);
  if (!found) return 'no such service';
  const name = serviceNameOf(found);
  stage.touch(name);
  const update = async (fields: JsonObject): Promise<GcpResult> =>
    stage.gcp.call(`${RUN}.UpdateService`, { service: { name, ...fields }, updateMask: Object.keys(fields).join(',') });
  const template = structuredClone(found.desired.template ?? {}) as JsonObject & { containers: JsonObject[] };
  const [container] = template.containers;
  if (!container) return 'no container';
  delete template.revision;
  switch (action.do) {
    case 'variable': {
      const env = (container.env ?? []) as JsonObject[];
      container.env = [
        ...env.filter(variable => variable.name !== 'FOREIGN'),
        { name: 'FOREIGN', value: SECRET_VALUE },
      ];
      // And a sidecar with one of its own.
      const sidecar = { name: 'foreign', image: 'registry.example/foreign:1', env: [{ name: 'FOREIGN', value: '1' }] };
      if (!template.containers.some(other => other.name === 'foreign')) template.containers.push(sidecar);
      return told(await update({ template }));
    }
    case 'literal': {
      // A key typed in by hand where a reference to its secret stood.
      const env = (container.env ?? []) as JsonObject[];
      const variable = env.find(({ valueSource }) => valueSource !== undefined);
      if (!variable) return 'no key';
      container.env = env.map(other =>
        other === variable ? { name: other.name, value: SECRET_VALUE } : other,
      ) as JsonObject[];
      return told(await update({ template }));
    }
    case 'image':
      // As gcloud and the console do, which name the revision that they make.
      container.image = 'registry.example/deployed:2';
      template.revision = `${found.id}-hand-${found.revisions.length}`;
      return told(await update({ template }));
    case 'access':
      return told(await update({ invokerIamDisabled: !(found.desired.invokerIamDisabled ?? false) }));
    case 'scaling':
      return told(await update({ scaling: { minInstanceCount: 2, maxInstanceCount: 7 } }));
    case 'traffic': {
      const ready = found.revisions.find(({ state }) => state === 'ready');
      if (!ready) return 'no ready revision';
      const type = 'TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION';
      return told(await update({ traffic: [{ type, revision: ready.id, percent: 100 }] }));
    }
    case 'label':
      return told(await update({ labels: { ...found.desired.labels, 'cost-centre': '42' } }));
    case 'unmark': {
      // As a tool does that writes labels of its own over those that it found earlier.
      const { 'ai-tenant-owner-name': _, ...labels } = found.desired.labels ?? {};
      return told(await update({ labels: { ...labels, 'cost-centre': '42' } }));
    }
    case 'restrict':
      return told(await update({ ingress: 'INGRESS_TRAFFIC_INTERNAL_ONLY', defaultUriDisabled: true }));
    case 'delete':
      return told(await stage.gcp.call(`${RUN}.DeleteService`, { name }));
    default: {
      const member = action.do === 'public' ? 'allUsers' : 'user:foreign@example.com';
      const role = action.do === 'developer' ? 'roles/run.developer' : INVOKER;
      const policy = stage.facts.policy(name);
      const bindings = [...(policy.bindings ?? []), { role, members: [member] }];
      const next = { version: 3, etag: policy.etag, bindings } as unknown as JsonObject;
      return told(await stage.gcp.call(`${RUN}.SetIamPolicy`, { resource: name, policy: next }));
    }
  }
}

async function account(
  stage: Stage,
  action: Extract<Action, { do: 'deleteAccount' | 'disableAccount' | 'unmarkAccount' }>,
): Promise<string> {
  const email = emailOf(action.tenant, 'demo-project');
  const found = stage.facts.account(email);
  if (!found) return 'no such account';
  stage.touch(email);
  for (const { name } of stage.facts.secrets()) stage.touch(name);
  const name = `projects/${PROJECTS[0]?.id}/serviceAccounts/${found.uniqueId}`;
  if (action.do === 'deleteAccount') {
    // A namesake may make it anew between the owner's look and the owner's grant: a policy knows e-mail addresses alone.
    const lists = await Promise.all(stage.kube.map(api => api.list(AI_TENANTS, {})));
    const namesakes = lists.flatMap(list => (list.ok ? list.value.items : []));
    if (namesakes.filter(({ metadata }) => metadata.name === action.tenant).length > 1) stage.excuse(action.tenant);
    return told(await stage.gcp.call(`${IAM}.DeleteServiceAccount`, { name }));
  }
  if (action.do === 'disableAccount') return told(await stage.gcp.call(`${IAM}.DisableServiceAccount`, { name }));
  stage.excuse(action.tenant);
  const serviceAccount = { name, description: 'made by hand' };
  return told(await stage.gcp.call(`${IAM}.PatchServiceAccount`, { serviceAccount, updateMask: 'description' }));
}
