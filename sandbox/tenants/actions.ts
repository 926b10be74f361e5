import type { KubeApi } from '../../ports/kube.ts';
import { AI_TENANTS, splitKey } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import type { GcpCore } from '../gcp/core.ts';
import { createBreakers } from './breakers.ts';
import { BREAKERS, type ChatAnswer, type ConsoleState, type TenantKey } from './contract.ts';
import { pictureOf } from './picture.ts';
import { watchTenants } from './watchTenants.ts';

/** What the console shows and acts on. */
export interface ConsoleWorld {
  kube: KubeApi;
  core: GcpCore;
  runtime: Runtime;
  /** The project of tenants whose status does not name one. */
  project: string;
  /** A working image, for a tenant of which the image from before is not known. */
  image: string;
  operatorLog: string;
}

/** How long a tenant may take to answer, in milliseconds, and the most of its answer that is shown, in characters. */
const CHAT_MS = 30_000;
const MOST_ANSWER = 10_000;
const REQUESTED_AT = 'ai-platform.dev/reconcile-requested-at';

/** An action that is not possible. `status` is the HTTP status that says so. */
export class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

export interface Actions {
  state(key: TenantKey): Promise<ConsoleState>;
  /** Performs the action of this name for one tenant. Throws `Refusal` if it does not exist or is not possible. */
  act(name: string, key: TenantKey, body: Record<string, unknown>): Promise<object>;
  stop(): void;
}

export function createActions(world: ConsoleWorld): Actions {
  const { kube } = world;
  const tenants = watchTenants(world);
  const breakers = createBreakers({ ...world, outageEnded: () => tenants.note({ what: 'outage', how: 'end' }) });

  async function seen(key: TenantKey) {
    const tenant = tenants.get(key);
    return tenant && (await pictureOf(world, tenant));
  }

  async function press(how: 'break' | 'mend', key: TenantKey, given: unknown): Promise<object> {
    const what = BREAKERS.find(one => one === given);
    if (what === undefined) throw new Refusal(400, `"what" must be one of: ${BREAKERS.join(', ')}.`);
    const picture = await found(key);
    await breakers[how](what, picture).catch((error: Error) => {
      throw new Refusal(409, error.message);
    });
    tenants.note({ what, how }, what === 'outage' ? undefined : key);
    return {};
  }

  async function found(key: TenantKey) {
    const picture = await seen(key);
    if (picture === undefined) throw new Refusal(404, `There is no tenant ${JSON.stringify(key.slice(0, 300))}.`);
    return picture;
  }

  const actions: Record<string, (key: TenantKey, body: Record<string, unknown>) => Promise<object>> = {
    break: (key, { what }) => press('break', key, what),
    mend: (key, { what }) => press('mend', key, what),
    async check(key) {
      await found(key);
      const { namespace, name } = splitKey(key);
      const annotations = { [REQUESTED_AT]: new Date(world.runtime.now()).toISOString() };
      const result = await kube.patch(AI_TENANTS, namespace, name, { metadata: { annotations } });
      if (!result.ok) throw new Refusal(409, result.status.message);
      tenants.note({ what: 'check', how: 'ask' }, key);
      return {};
    },
    async chat(key, { message }) {
      if (typeof message !== 'string' || message === '') throw new Refusal(400, '"message" must be a text.');
      const { service } = await found(key);
      if (!service?.url) throw new Refusal(409, 'The tenant has no service.');
      return chat(service.url, message);
    },
  };
  return {
    async state(key) {
      const picture = await seen(key);
      return {
        tenants: tenants.list(),
        trouble: tenants.trouble(),
        outageEndsAt: breakers.outageEndsAt(),
        picture: picture && { ...picture, broken: breakers.of(picture), moments: tenants.moments(key) },
      };
    },
    act(name, key, body) {
      const act = Object.hasOwn(actions, name) ? actions[name] : undefined;
      if (act === undefined) throw new Refusal(404, `There is no action ${JSON.stringify(name.slice(0, 100))}.`);
      return act(key, body);
    },
    stop() {
      tenants.stop();
      breakers.stop();
    },
  };
}

/** Calls a tenant as anybody would. `url` comes from the local Cloud Run, so it is an address of this machine. */
async function chat(url: string, message: string): Promise<ChatAnswer> {
  try {
    const response = await fetch(`${url}/chat`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ message }),
      redirect: 'manual',
      signal: AbortSignal.timeout(CHAT_MS),
    });
    return { status: response.status, text: answerIn((await response.text()).slice(0, MOST_ANSWER)) };
  } catch (error) {
    return { status: 0, text: error instanceof Error ? error.message : String(error) };
  }
}

/** The model's answer if the body is one of the backend, or else the body. */
function answerIn(body: string): string {
  try {
    const { response, error } = JSON.parse(body) as { response?: unknown; error?: unknown };
    const text = response ?? error;
    return typeof text === 'string' ? text : body;
  } catch {
    return body;
  }
}
