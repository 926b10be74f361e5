import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'yaml';
import { PUBLISHED } from '../../operator/gcp/quota.ts';
import { createEventRecorder } from '../../operator/kube/eventRecorder.ts';
import { createOperator } from '../../operator/operator.ts';
import type { GcpCall } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeObject, KubeResult } from '../../ports/kube.ts';
import { AI_TENANTS, CUSTOM_RESOURCE_DEFINITIONS } from '../../ports/kubeResources.ts';
import { realRuntime as runtime } from '../../ports/runtime.ts';
import { createKubeCore } from '../../sandbox/kube/index.ts';
import { EXPIRES } from './names.ts';

/** The real operator with a Kubernetes API in memory. */
export interface OperatorWorld {
  apply(name: string, spec: JsonObject, annotations?: Record<string, string>): Promise<void>;
  /** A merge patch of the spec. */
  edit(name: string, spec: JsonObject): Promise<void>;
  remove(name: string): Promise<void>;
  tenant(name: string): Promise<TenantView | undefined>;
  /** Whether the spec has a field of this path, such as `scaling.maxInstances`; `keys.file` for a field of a list's items. */
  hasField(path: string): boolean;
  /** Asks for a full check, and waits until it was made; false: it was not within the time. */
  checked(name: string, timeoutMs: number): Promise<boolean>;
  /** The last lines of the operator's log that are warnings or errors. */
  complaints(): string[];
  stop(): Promise<void>;
}

/** What a tenant's own status says. No rule is judged by it; it only makes messages better. */
interface TenantView {
  reason: string;
  message: string;
  handledAt?: string;
}

const NAMESPACE = 'default';
const REQUESTED = 'ai-platform.dev/reconcile-requested-at';

export async function startOperatorWorld(options: {
  project: string;
  /** Seconds since the epoch. It is in the owner marks, so that what a killed run leaves is found. */
  expires: string;
  call: GcpCall;
  regionMoveGraceMs: number;
  /** Ends what waits for the operator. */
  signal: AbortSignal;
}): Promise<OperatorWorld> {
  const kube = createKubeCore({ runtime }).api;
  await must(kube.create(CUSTOM_RESOURCE_DEFINITIONS, undefined, crd()));
  while (!(await kube.list(AI_TENANTS, { limit: 1 })).ok) await sleep(10);
  const complaints: string[] = [];
  const events = createEventRecorder({ api: kube, runtime, component: 'aitenant-operator', instance: 'acceptance' });
  const operator = createOperator({
    kube,
    gcp: options.call,
    limits: PUBLISHED,
    runtime,
    settings: {
      project: options.project,
      projects: [],
      defaultImage: 'gcr.io/cloudrun/hello',
      claimPolicy: 'labelled',
      clusterId: `${EXPIRES}-${options.expires}`,
      regionMoveGraceMs: options.regionMoveGraceMs,
      // Every check is asked for, so that a step knows which writes are its own.
      syncIntervalMs: 3_600_000,
    },
    events,
    log(level, message, fields) {
      if (level === 'warn' || level === 'error')
        complaints.push(`${level}: ${message} ${JSON.stringify(fields ?? {})}`);
    },
    workers: 4,
    mayAct: () => true,
  });
  await operator.synced;
  operator.start();

  const tenant = async (name: string): Promise<TenantView | undefined> => {
    const got = await kube.get(AI_TENANTS, NAMESPACE, name);
    return got.ok ? viewOf(got.value) : undefined;
  };

  return {
    async apply(name, spec, annotations) {
      const object = {
        apiVersion: 'ai-platform.dev/v1alpha1',
        kind: 'AiTenant',
        metadata: { name, namespace: NAMESPACE, annotations },
        spec,
      };
      await must(kube.create(AI_TENANTS, NAMESPACE, object));
    },
    async edit(name, spec) {
      await must(kube.patch(AI_TENANTS, NAMESPACE, name, { spec }));
    },
    async remove(name) {
      await must(kube.delete(AI_TENANTS, NAMESPACE, name));
    },
    tenant,
    hasField: path => hasField(path.split('.')),
    async checked(name, timeoutMs) {
      const at = `${Date.now()}-${Math.random()}`;
      await must(kube.patch(AI_TENANTS, NAMESPACE, name, { metadata: { annotations: { [REQUESTED]: at } } }));
      for (const deadline = performance.now() + timeoutMs; performance.now() < deadline && !options.signal.aborted; ) {
        if ((await tenant(name))?.handledAt === at) return true;
        await sleep(20);
      }
      return false;
    },
    complaints: () => complaints.slice(-10),
    async stop() {
      await operator.stop();
      await events.stop();
    },
  };
}

const crd = (): KubeObject =>
  parse(readFileSync(new URL('../../crds/aitenants.yaml', import.meta.url), 'utf8')) as KubeObject;

interface Schema {
  properties?: Record<string, Schema>;
  items?: Schema;
}

function hasField(path: string[]): boolean {
  const { versions } = crd().spec as { versions: { schema: { openAPIV3Schema: Schema } }[] };
  const spec = versions[0]?.schema.openAPIV3Schema.properties?.spec;
  return undefined !== path.reduce<Schema | undefined>((at, step) => (at?.items ?? at)?.properties?.[step], spec);
}

function viewOf({ status }: KubeObject): TenantView {
  const { conditions = [], lastHandledReconcileAt } = (status ?? {}) as {
    conditions?: { type: string; reason: string; message: string }[];
    lastHandledReconcileAt?: string;
  };
  const ready = conditions.find(({ type }) => type === 'Ready');
  return { reason: ready?.reason ?? 'none', message: ready?.message ?? '', handledAt: lastHandledReconcileAt };
}

async function must<T>(result: Promise<KubeResult<T>>): Promise<T> {
  const answer = await result;
  if (!answer.ok) throw new Error(`The Kubernetes API in memory refused: ${answer.status.message}`);
  return answer.value;
}
