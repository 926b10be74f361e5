import { type ConnectorSecret, desiredState } from '../../../operator/tenant/desired.ts';
import { ownerLabels } from '../../../operator/tenant/ownership.ts';
import { plan, type TenantPlan } from '../../../operator/tenant/plan.ts';
import { RUN_INVOKER, SECRET_ACCESSOR } from '../../../operator/tenant/policy.ts';
import { readTenant } from '../../../operator/tenant/resource.ts';
import type {
  Desired,
  Failure,
  FailureKind,
  InventoryEntry,
  KeyStatus,
  Observed,
  ObservedAccount,
  ObservedKey,
  ObservedService,
  Policy,
  Read,
  Refusals,
  Settings,
  Step,
  Tenant,
} from '../../../operator/tenant/types.ts';
import type { JsonObject } from '../../../ports/json.ts';
import type { KubeObject } from '../../../ports/kube.ts';

/**
 * Tenant `tenant-a` of namespace `team`, at rest: the cluster and Google Cloud as they are when nothing is to be done.
 * A test changes one thing about it and looks at the plan.
 */

export const NOW = Date.UTC(2030, 0, 1);
export const at = (ms: number): string => new Date(NOW + ms).toISOString();
/** Long enough ago that nothing is still on its way. */
export const LONG_AGO = at(-86_400_000);

export const PROJECT = 'tenants-1';
export const NUMBER = '123456';
export const REGION = 'asia-northeast1';
export const OWNER = { cluster: 'c1', namespace: 'team', name: 'tenant-a' };
export const MARK = 'ai-tenant-owner=c1/team/tenant-a';
export const EMAIL = 'sa-tenant-a@tenants-1.iam.gserviceaccount.com';
export const MEMBER = `serviceAccount:${EMAIL}`;
export const UID = '1048576';
export const SECRET = `projects/${NUMBER}/secrets/openai-key`;
export const serviceIn = (region: string): string =>
  `projects/${PROJECT}/locations/${region}/services/ai-platform-tenant-a`;
export const SERVICE = serviceIn(REGION);
export const revision = (number: number, region = REGION): string =>
  `${serviceIn(region)}/revisions/ai-platform-tenant-a-0000${number}-abc`;
export const LATEST = 'TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST';

export const settings: Settings = {
  project: PROJECT,
  projects: [],
  defaultImage: 'gcr.io/cloudrun/hello',
  claimPolicy: 'labelled',
  clusterId: 'c1',
  regionMoveGraceMs: 3_600_000,
  syncIntervalMs: 600_000,
};

export const OPENAI = { name: 'openai', secretRef: { external: 'openai-key' }, env: 'OPENAI_API_KEY' };

export const present = <T>(value: T): Read<T> => ({ state: 'present', value });
export const absent = { state: 'absent' } as const;
export const failure = (kind: FailureKind, message = 'said no', retryAfterMs?: number): Failure => ({
  kind,
  message,
  ...(retryAfterMs !== undefined && { retryAfterMs }),
});
export const failed = (kind: FailureKind, message?: string, retryAfterMs?: number) => ({
  state: 'failed' as const,
  failure: failure(kind, message, retryAfterMs),
});

export const ENTRIES = {
  account: { type: 'ServiceAccount', name: `projects/${PROJECT}/serviceAccounts/${EMAIL}`, uniqueId: UID },
  grant: { type: 'SecretAccess', name: SECRET, uniqueId: UID },
  service: { type: 'Service', name: SERVICE },
  variable: { type: 'Variable', name: SERVICE, variable: 'OPENAI_API_KEY' },
} as const;
type Untimed<T> = T extends InventoryEntry ? Omit<T, 'time'> : never;
export const entry = (of: Untimed<InventoryEntry>, time = LONG_AGO): InventoryEntry => ({ ...of, time });
export const atRest: InventoryEntry[] = Object.values(ENTRIES).map(of => entry(of));

export const LIVE_KEY: KeyStatus = { name: 'openai', version: '3', secret: SECRET, granted: true };

export interface TenantGiven {
  spec?: object;
  status?: object;
  annotations?: Record<string, string>;
  generation?: number;
  deletionTimestamp?: string;
}

/** `tenant-a`, up to date with generation 1. */
export function tenantA({
  spec,
  status,
  annotations = {},
  generation = 1,
  deletionTimestamp,
}: TenantGiven = {}): Tenant {
  const object: KubeObject = {
    metadata: {
      name: 'tenant-a',
      namespace: 'team',
      uid: 'u',
      generation,
      resourceVersion: '7',
      annotations,
      deletionTimestamp,
    },
    spec: { region: REGION, keys: [OPENAI], ...spec },
    status: {
      observedGeneration: 1,
      conditions: [
        {
          type: 'Ready',
          status: 'True',
          reason: 'UpToDate',
          message: '',
          lastTransitionTime: LONG_AGO,
          observedGeneration: 1,
        },
      ],
      keys: [{ ...LIVE_KEY }],
      inventory: atRest.map(one => ({ ...one })),
      ...status,
    },
  };
  return readTenant(object);
}

export function desiredOf(
  tenant: Tenant,
  given: Settings = settings,
  connectorSecret: (name: string) => ConnectorSecret = () => absent,
): Desired {
  const result = desiredState(tenant, given, { namespaceAnnotations: {}, connectorSecret });
  if (!result.ok) throw new Error(result.message);
  return result.desired;
}

export const accountA = (changes: Partial<ObservedAccount> = {}): ObservedAccount => ({
  name: `projects/${PROJECT}/serviceAccounts/${EMAIL}`,
  email: EMAIL,
  uniqueId: UID,
  description: MARK,
  disabled: false,
  ...changes,
});

export const grantTo = (...members: string[]): Policy => ({
  version: 1,
  etag: 'BwX=',
  bindings: members.length > 0 ? [{ role: SECRET_ACCESSOR, members }] : [],
});
export const invokedBy = (...members: string[]): Policy => ({
  version: 1,
  etag: 'BwY=',
  bindings: members.length > 0 ? [{ role: RUN_INVOKER, members }] : [],
});

export const keyA = (changes: Partial<ObservedKey> = {}): ObservedKey => ({
  name: 'openai',
  secret: present({ name: SECRET, labels: { 'ai-tenant-namespace': 'team' } }),
  policy: present(grantTo(MEMBER)),
  version: present({ version: 3, state: 'ENABLED' as const }),
  ...changes,
});

export const secretVariable = (name: string, secret: string, version: string): JsonObject => ({
  name,
  valueSource: { secretKeyRef: { secret, version } },
});

export const containerA = (changes: JsonObject = {}): JsonObject => ({
  image: 'registry/app:1',
  resources: { limits: { cpu: '1', memory: '1Gi' }, cpuIdle: true, startupCpuBoost: true },
  env: [secretVariable('OPENAI_API_KEY', 'openai-key', '3')],
  ...changes,
});

export const templateA = (changes: JsonObject = {}, container: JsonObject = {}): JsonObject => ({
  serviceAccount: EMAIL,
  timeout: '300s',
  maxInstanceRequestConcurrency: 80,
  containers: [containerA(container)],
  ...changes,
});

const succeeded = { state: 'SUCCEEDED', reason: '', message: '' } as const;
export const comingUp = {
  reconciling: true,
  terminal: { state: 'PENDING', reason: '', message: '' },
  latestCreatedRevision: revision(2),
} as const;

export const serviceA = (changes: Partial<ObservedService> = {}, region = REGION): ObservedService => ({
  name: serviceIn(region),
  region,
  etag: '"e1"',
  labels: ownerLabels(OWNER),
  generation: '1',
  observedGeneration: '1',
  reconciling: false,
  terminal: succeeded,
  latestReadyRevision: revision(1, region),
  latestCreatedRevision: revision(1, region),
  uri: `https://ai-platform-tenant-a-${region}.a.run.app`,
  urls: [],
  traffic: [{ type: LATEST, percent: 100 }],
  trafficStatuses: [{ type: LATEST, percent: 100 }],
  invokerIamDisabled: true,
  scaling: { maxInstanceCount: 10 },
  template: templateA(),
  raw: {},
  ...changes,
});

export const seen = (
  service: Read<ObservedService>,
  region = REGION,
  invokers?: Read<Policy>,
): Observed['services'][number] => ({ name: serviceIn(region), region, service, ...(invokers && { invokers }) });

/** Google Cloud, with nothing left to do. */
export const cloud = (changes: Partial<Observed> = {}): Observed => ({
  account: present(accountA()),
  keys: [keyA()],
  formerGrants: [],
  services: [seen(present(serviceA()))],
  ...changes,
});

export interface Given extends TenantGiven {
  cloud?: Partial<Observed>;
  settings?: Partial<Settings>;
  connectorSecret?: (name: string) => ConnectorSecret;
  anyCluster?: boolean;
  refused?: Refusals;
}

/** What the operator would do about it. */
export function planFor(given: Given = {}): TenantPlan {
  const tenant = tenantA(given);
  const flags = { ...settings, ...given.settings };
  const desired = desiredOf(tenant, flags, given.connectorSecret);
  return plan(tenant, desired, cloud(given.cloud), flags, NOW, {
    anyCluster: given.anyCluster,
    refused: given.refused,
  });
}

export const stepIds = ({ steps }: { steps: Step[] }): string[] => steps.map(({ id }) => id);

export function stepOf({ steps }: { steps: Step[] }, id: string): Step {
  const found = steps.find(step => step.id === id);
  if (!found) throw new Error(`no step ${id} among ${steps.map(step => step.id).join(', ')}`);
  return found;
}

/** The fields that an update of a service sends. */
export function sentFields(step: Step): JsonObject {
  if (step.call.kind !== 'updateService') throw new Error(`${step.id} updates no service`);
  return step.call.service;
}
