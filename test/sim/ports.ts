import { METHODS } from '../../operator/gcp/methods.ts';
import type { GcpCall, GcpResult, GcpStatus } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi, KubeResource, KubeResult, KubeStatus, KubeWatchEvent } from '../../ports/kube.ts';
import type { Clock, ProcessRuntime, Random } from './clock.ts';
import type { ArmedFaults, CallInfo } from './faults.ts';
import type { Count } from './tally.ts';

/** What a replica's ports need to know of the world around them. */
export interface Surroundings {
  clock: Clock;
  /** Draws of this replica's calls. */
  random: Random;
  runtime: ProcessRuntime;
  faults: ArmedFaults;
  cluster: number;
  latencyMs: number;
  alive(): boolean;
  crash(): void;
  /** The API server cannot be reached: by nobody, or by this replica. */
  unreachable(): boolean;
  /** A call to Google Cloud starts. */
  onSend(method: string): void;
  /** How far watches are behind now, milliseconds. */
  lagMs(): number;
  /** Watches tell everything twice now. */
  repeats(): boolean;
  count: Count;
  /** Somebody else writes what this call is about to write. */
  rival(call: CallInfo): Promise<void>;
}

/** The clients' own patience, milliseconds (operator/gcp/client.ts; undici's for the API server). */
const PATIENCE = { gcpRead: 15_000, gcpWrite: 30_000, kube: 30_000 };

const TIMED_OUT: GcpStatus = {
  code: 'DEADLINE_EXCEEDED',
  message: 'No answer in time; the call may have taken effect.',
};
const HUNG_UP: GcpStatus = { code: 'UNAVAILABLE', message: 'No answer from Google Cloud: socket hang up' };
const NO_ANSWER: KubeStatus = { code: 0, reason: 'Unknown', message: 'no answer from the API server' };

/**
 * One call over the network: it takes effect some time after it was made, also when whoever made it is dead by then, and
 * is answered some time after that, unless something goes wrong on the way.
 */
function overTheNetwork<T>(
  around: Surroundings,
  call: CallInfo,
  patienceMs: number,
  effect: () => Promise<T>,
  answers: { timedOut: T; hungUp: T; refused: (code: string | number) => T },
): Promise<T> {
  const { clock, random, runtime } = around;
  return new Promise(resolve => {
    if (!around.alive()) return;
    const fault = around.faults.take(call);
    if (fault?.fault === 'crashBefore') return around.crash();
    const giveUp = runtime.after(patienceMs, () => resolve(answers.timedOut));
    const answer = (result: T, ms: number) => {
      runtime.after(ms, () => {
        giveUp();
        resolve(result);
      });
    };
    const there = latency(random, around.latencyMs);
    const back = latency(random, around.latencyMs);
    if (fault?.fault === 'lost' && !fault.took) return answer(answers.hungUp, there);
    if (fault?.fault === 'refused' && !fault.took) return answer(answers.refused(fault.code), there);
    const [effectMs, answerMs] = fault?.fault === 'late' ? [fault.effectMs, fault.answerMs] : [0, 0];
    clock.after(there + effectMs, () => {
      const effected = fault?.fault === 'meanwhile' ? around.rival(call).then(effect) : effect();
      void effected.then(result => {
        if (fault?.fault === 'crashAfter') return around.alive() ? around.crash() : undefined;
        if (fault?.fault === 'lost') return answer(answers.hungUp, back);
        if (fault?.fault === 'refused') return answer(answers.refused(fault.code), back);
        answer(result, back + answerMs);
      });
    });
  });
}

/** Mostly quick, now and then slow. */
const latency = (random: Random, most: number): number =>
  random.chance(0.9) ? random.int(1, Math.max(1, Math.floor(most / 10))) : random.int(1, most);

/** Makes a call take effect in Google Cloud. `sentAt`: when it left its client, monotonic; `actAs`: as whom, if not as itself. */
export type GcpEffect = (method: string, request: JsonObject, sentAt: number, actAs?: string) => Promise<GcpResult>;

/** What a request is about, by its name. */
export function resourceOf(request: JsonObject): string {
  const { parent, serviceId, accountId, name, resource } = request;
  if (serviceId !== undefined) return `${parent}/services/${serviceId}`;
  if (accountId !== undefined) return `${name}/serviceAccounts/${accountId}`;
  const nested = (request.service ?? request.serviceAccount) as JsonObject | undefined;
  return String(resource ?? name ?? nested?.name);
}

export function gcpPort(around: Surroundings, core: GcpEffect): GcpCall {
  return (method, request, options) => {
    const known = METHODS.get(method);
    if (!known) throw new Error(`${method} is not a method that the operator may call`);
    const kind = known.write ? 'write' : 'read';
    const short = method.split('.').at(-1) ?? '';
    const call: CallInfo = { cluster: around.cluster, port: 'gcp', kind, method: short, target: resourceOf(request) };
    const patience = known.write ? PATIENCE.gcpWrite : PATIENCE.gcpRead;
    const body = JSON.parse(JSON.stringify(request)) as JsonObject;
    const sentAt = around.clock.monotonic();
    around.onSend(method);
    return overTheNetwork<GcpResult>(around, call, patience, () => core(method, body, sentAt, options?.actAs), {
      timedOut: { ok: false, status: TIMED_OUT },
      hungUp: { ok: false, status: HUNG_UP },
      refused: code => ({ ok: false, status: { code: code as GcpStatus['code'], message: `injected ${code}` } }),
    });
  };
}

export function kubePort(around: Surroundings, core: KubeApi): KubeApi {
  function send<T>(
    kind: CallInfo['kind'],
    verb: string,
    resource: KubeResource,
    effect: () => Promise<KubeResult<T>>,
    target = '',
    subresource?: string,
  ): Promise<KubeResult<T>> {
    const plural = subresource ? `${resource.plural}/${subresource}` : resource.plural;
    const call: CallInfo = { cluster: around.cluster, port: 'kube', kind, method: `${verb} ${plural}`, target };
    const gone: KubeResult<T> = { ok: false, status: NO_ANSWER };
    const guarded = async () => (around.unreachable() ? gone : effect());
    return overTheNetwork(around, call, PATIENCE.kube, guarded, {
      timedOut: gone,
      hungUp: gone,
      refused: code => ({
        ok: false,
        status: { code: Number(code), reason: Number(code) === 409 ? 'Conflict' : '', message: `injected ${code}` },
      }),
    });
  }
  return {
    list: (resource, options) => send('read', 'list', resource, () => core.list(resource, options)),
    get: (resource, namespace, name) => send('read', 'get', resource, () => core.get(resource, namespace, name)),
    create: (resource, namespace, object) =>
      send('write', 'create', resource, () => core.create(resource, namespace, object)),
    patch: (resource, namespace, name, patch, options) =>
      send(
        'write',
        'patch',
        resource,
        () => core.patch(resource, namespace, name, patch, options),
        `${namespace}/${name}`,
        options?.subresource,
      ),
    delete: (resource, namespace, name, options) =>
      send('write', 'delete', resource, () => core.delete(resource, namespace, name, options)),
    watch: (resource, options, onEvent) => watch(around, core, resource, options, onEvent),
  };
}

/** Events come in order, as far behind as the watches are now. */
async function watch(
  around: Surroundings,
  core: KubeApi,
  resource: KubeResource,
  options: Parameters<KubeApi['watch']>[1],
  onEvent: (event: KubeWatchEvent) => void,
): Promise<KubeResult<undefined>> {
  const { clock } = around;
  const pause = (ms: number) => new Promise<void>(resolve => void clock.after(ms, resolve));
  await pause(latency(around.random, around.latencyMs));
  if (around.unreachable()) return { ok: false, status: NO_ANSWER };
  let due = 0;
  let left = 0;
  const result = await core.watch(resource, options, event => {
    due = Math.max(due, clock.monotonic() + around.lagMs());
    left++;
    if (event.type === 'ERROR') around.count('watch answered 410');
    else if (event.type !== 'BOOKMARK' && due - clock.monotonic() > 500) around.count('late event');
    const tell = () => {
      if (around.alive() && !options.signal.aborted) onEvent(event);
    };
    clock.after(due - clock.monotonic(), () => {
      left--;
      tell();
    });
    if (!around.repeats() || event.type === 'ERROR') return;
    around.count('repeated event');
    clock.after(due - clock.monotonic() + around.random.int(1, 2_000), tell);
  });
  // Nobody hears of it any more.
  if (!around.alive()) return new Promise(() => {});
  // A closed connection delivers what had been sent before.
  if (left > 0 && !options.signal.aborted) await pause(Math.max(0, due - clock.monotonic()) + 1);
  return around.unreachable() ? { ok: false, status: NO_ANSWER } : result;
}
