import type { KubeApi, KubeObject } from '../../ports/kube.ts';
import { AI_TENANTS, EVENTS, keyOf } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import type { ConditionPicture, ConsoleState, Moment, Press, TenantKey } from './contract.ts';
import { follow } from './follow.ts';

/** The most lines of one tenant's timeline, and the number of tenants for which one is kept. */
const MOST_MOMENTS = 60;
const MOST_TIMELINES = 200;

/** The tenants of the cluster with their timelines, kept up to date by a watch. */
export interface Tenants {
  get(key: TenantKey): KubeObject | undefined;
  list(): ConsoleState['tenants'];
  trouble(): string | undefined;
  /** Newest first. */
  moments(key: TenantKey): Moment[];
  /** Adds a line to one tenant's timeline, or without `key` to that of every tenant. */
  note(press: Press, key?: TenantKey): void;
  stop(): void;
}

interface EventObject extends KubeObject {
  involvedObject?: { kind?: string; namespace?: string; name?: string };
  type?: string;
  reason?: string;
  message?: string;
  count?: number;
  lastTimestamp?: string;
}

export const conditionsOf = (tenant: KubeObject): ConditionPicture[] =>
  (tenant.status as { conditions?: ConditionPicture[] } | undefined)?.conditions ?? [];

const readyOf = (tenant: KubeObject) => conditionsOf(tenant).find(({ type }) => type === 'Ready');

export function watchTenants(world: { kube: KubeApi; runtime: Runtime }): Tenants {
  const { runtime } = world;
  const timelines = new Map<TenantKey, Moment[]>();
  let count = 0;

  const add = (key: TenantKey, moment: Moment) => {
    const timeline = (timelines.get(key) ?? []).filter(({ id }) => id !== moment.id);
    timeline.unshift(moment);
    timelines.delete(key);
    timelines.set(key, timeline.sort((a, b) => b.at - a.at).slice(0, MOST_MOMENTS));
    const [oldest] = timelines.keys();
    if (timelines.size > MOST_TIMELINES && oldest !== undefined) timelines.delete(oldest);
  };

  const readiness = new Map<string, string>();
  const tenants = follow(world, AI_TENANTS, (tenant, isListed) => {
    const { status = '', reason = '' } = readyOf(tenant) ?? {};
    const uid = tenant.metadata.uid ?? '';
    const isNew = readiness.get(uid) !== `${status} ${reason}`;
    readiness.set(uid, `${status} ${reason}`);
    if (!isNew || isListed || status === '') return;
    add(keyOf(tenant.metadata), { at: runtime.now(), id: `ready ${++count}`, from: 'ready', status, reason });
  });
  const events = follow(world, EVENTS, (object: EventObject, isListed) => {
    const { involvedObject: about, type, reason = '', message = '', lastTimestamp = '' } = object;
    if (about?.kind !== AI_TENANTS.kind || about.name === undefined) return;
    // An event's time has whole seconds only, so the order of arrival is more exact.
    const at = isListed ? Date.parse(lastTimestamp) || 0 : runtime.now();
    const id = `event ${object.metadata.uid}`;
    const warning = type === 'Warning';
    const key = keyOf({ namespace: about.namespace, name: about.name });
    add(key, { at, id, from: 'event', warning, reason, message, count: object.count ?? 1 });
  });

  const sorted = () =>
    [...tenants.objects.values()]
      .map(tenant => ({ key: keyOf(tenant.metadata), tenant }))
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  return {
    get: key => sorted().find(one => one.key === key)?.tenant,
    list: () =>
      sorted().map(({ key, tenant }) => {
        const { status = 'Unknown', reason = '' } = readyOf(tenant) ?? {};
        return { key, status, reason };
      }),
    trouble: () => tenants.trouble ?? events.trouble,
    moments: key => timelines.get(key) ?? [],
    note(press, key) {
      const moment = { at: runtime.now(), id: `user ${++count}`, from: 'user', ...press } as const;
      for (const one of key === undefined ? sorted().map(({ key }) => key) : [key]) add(one, moment);
    },
    stop() {
      tenants.stop();
      events.stop();
    },
  };
}
