import type { JsonObject } from '../../ports/json.ts';
import type { KubeApi } from '../../ports/kube.ts';
import { AI_TENANTS, splitKey } from '../../ports/kubeResources.ts';
import type { Runtime } from '../../ports/runtime.ts';
import type { GcpCore } from '../gcp/core.ts';
import { NEVER_LISTENS } from '../gcp/instances/images.ts';
import { BREAKERS, type Breaker, type KeyPicture, type TenantKey, type TenantPicture } from './contract.ts';
import { CONSENT_LABEL, RUN, SECRETS } from './picture.ts';

const OUTAGE_MS = 60_000;
/** The highest number of instances that the button sets by hand. */
const BY_HAND = 1;
/** Without this permission the operator cannot check who may read the key. */
const PERMISSION = 'secretmanager.secrets.getIamPolicy';
const BAD_IMAGE = `asia-northeast1-docker.pkg.dev/demo-project/tenants/${NEVER_LISTENS}:1`;

/** What the tenant of a picture is without `broken`, which the breakers add. */
type Seen = Omit<TenantPicture, 'broken' | 'moments'>;

export interface BreakersOptions {
  kube: KubeApi;
  core: GcpCore;
  runtime: Runtime;
  /** The image that mends a tenant of which the image from before is not known. */
  image: string;
  /** Called when the outage ends by itself. */
  outageEnded(): void;
}

/** The buttons of the console. They act as other people would: by the APIs of Google Cloud, or by an edit of the AiTenant. */
export interface Breakers {
  /** Causes the fault. Throws an `Error` with the reason if that is not possible. */
  break(what: Breaker, tenant: Seen): Promise<void>;
  /** Puts it right. Throws an `Error` with the reason if that is not possible; the operator alone mends `drift` and `deletion`. */
  mend(what: Breaker, tenant: Seen): Promise<void>;
  /** The faults that are in force. */
  of(tenant: Seen): Breaker[];
  outageEndsAt(): number | undefined;
  stop(): void;
}

export function createBreakers(options: BreakersOptions): Breakers {
  const { core, kube } = options;
  const outage = createOutage(options);
  const denials = new Map<TenantKey, () => void>();
  /** The image of each tenant before it got the bad one: that of its spec, or else of the revision that served. */
  const images = new Map<TenantKey, string>();

  async function setImage({ key }: Seen, image: string): Promise<void> {
    const { namespace, name } = splitKey(key);
    const result = await kube.patch(AI_TENANTS, namespace, name, { spec: { image } });
    if (!result.ok) throw new Error(`Kubernetes: ${result.status.message}`);
  }
  const allow = (key: TenantKey) => {
    denials.get(key)?.();
    denials.delete(key);
  };

  const acts: Record<Breaker, { break(tenant: Seen): unknown; mend?(tenant: Seen): unknown }> = {
    key: {
      break: tenant => call(core, `${SECRETS}.DisableSecretVersion`, { name: versionOf(tenant) }),
      mend: tenant => call(core, `${SECRETS}.EnableSecretVersion`, { name: versionOf(tenant) }),
    },
    consent: {
      break: tenant => setConsent(core, usedKey(tenant).path, undefined),
      mend: tenant => setConsent(core, usedKey(tenant).path, splitKey(tenant.key).namespace),
    },
    permission: {
      break(tenant) {
        allow(tenant.key);
        // The operator names the project by its id or by its number. A secret's id has only letters, digits, "-" and "_".
        const resource = new RegExp(`/secrets/${usedKey(tenant).secret}$`);
        denials.set(tenant.key, core.faults.deny({ permission: PERMISSION, resource }));
      },
      mend: ({ key }) => allow(key),
    },
    drift: {
      break(tenant) {
        const service = { name: serviceOf(tenant).path, scaling: { maxInstanceCount: BY_HAND } };
        return call(core, `${RUN}.Services.UpdateService`, { service, updateMask: 'scaling' });
      },
    },
    deletion: { break: tenant => call(core, `${RUN}.Services.DeleteService`, { name: serviceOf(tenant).path }) },
    image: {
      break(tenant) {
        const serving = tenant.service?.revisions.find(({ percent }) => percent > 0);
        const image = tenant.wanted.image ?? serving?.image;
        if (image !== undefined && image !== BAD_IMAGE) images.set(tenant.key, image);
        return setImage(tenant, BAD_IMAGE);
      },
      // A tenant without spec.image keeps the image that its service has, so the working one must be named.
      mend: tenant => setImage(tenant, images.get(tenant.key) ?? options.image),
    },
    outage: { break: outage.start, mend: outage.end },
  };
  const inForce: Record<Breaker, (tenant: Seen) => boolean> = {
    key: ({ keys }) => keys.some(key => liveOf(key)?.state === 'DISABLED'),
    consent: ({ keys }) => keys.some(({ exists, consents }) => exists && !consents),
    permission: ({ key }) => denials.has(key),
    drift: ({ service, wanted }) => service !== undefined && service.maxInstances !== wanted.maxInstances,
    deletion: ({ service, hasServed }) => service === undefined && hasServed,
    image: ({ wanted }) => wanted.image === BAD_IMAGE,
    outage: () => outage.endsAt() !== undefined,
  };

  return {
    break: async (what, tenant) => void (await acts[what].break(tenant)),
    async mend(what, tenant) {
      const { mend } = acts[what];
      if (mend === undefined) throw new Error('The operator puts this right by itself.');
      await mend(tenant);
    },
    of: tenant => BREAKERS.filter(what => inForce[what](tenant)),
    outageEndsAt: outage.endsAt,
    stop: outage.end,
  };
}

/** An outage of all APIs for `OUTAGE_MS`. The console's own calls are internal, so it does not reach them. */
function createOutage({ core, runtime, outageEnded }: BreakersOptions) {
  let endsAt: number | undefined;
  let stop = () => {};
  const end = () => {
    stop();
    endsAt = undefined;
  };
  return {
    endsAt: () => endsAt,
    end,
    start() {
      end();
      endsAt = runtime.now() + OUTAGE_MS;
      const error = { code: 'UNAVAILABLE', message: 'The console of the sandbox has stopped Google Cloud.' } as const;
      const remove = core.faults.add({ times: Number.POSITIVE_INFINITY, error });
      const cancel = runtime.after(OUTAGE_MS, () => {
        end();
        outageEnded();
      });
      stop = () => {
        remove();
        cancel();
      };
    },
  };
}

async function call(core: GcpCore, method: string, request: JsonObject): Promise<JsonObject> {
  const result = await core.invoke(method, request, { caller: {}, internal: true });
  if (!result.ok) throw new Error(`Google Cloud: ${result.status.message}`);
  return result.response;
}

/** Sets the consent label of a secret, or removes it. Its other labels stay. */
async function setConsent(core: GcpCore, path: string, namespace: string | undefined): Promise<void> {
  const { labels } = await call(core, `${SECRETS}.GetSecret`, { name: path });
  const { [CONSENT_LABEL]: _, ...others } = (labels ?? {}) as JsonObject;
  const given = namespace === undefined ? {} : { [CONSENT_LABEL]: namespace };
  const secret = { name: path, labels: { ...others, ...given } };
  await call(core, `${SECRETS}.UpdateSecret`, { secret, updateMask: 'labels' });
}

/** The version that the operator has pinned; before it has, the newest one. */
const liveOf = ({ live, versions }: KeyPicture) => versions.find(({ number }) => number === live) ?? versions[0];

/** The key that the tenant's service uses, or else its first one. */
function usedKey({ keys }: Seen): KeyPicture {
  const key = keys.find(({ env }) => env !== undefined) ?? keys[0];
  if (key === undefined) throw new Error('The tenant has no key.');
  return key;
}

function versionOf(tenant: Seen): string {
  const key = usedKey(tenant);
  const version = liveOf(key);
  if (version === undefined) throw new Error('The key has no version.');
  return `${key.path}/versions/${version.number}`;
}

function serviceOf({ service }: Seen): NonNullable<Seen['service']> {
  if (service === undefined) throw new Error('The tenant has no service.');
  return service;
}
