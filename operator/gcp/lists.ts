import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';
import { accountName } from '../tenant/names.ts';
import type { Call, Read } from '../tenant/types.ts';
import { accountList } from './account.ts';
import { parsePolicy } from './iamPolicy.ts';
import { type ListOf, listAll } from './pages.ts';
import { createReads, type Reads } from './reads.ts';
import { parentAndId, type Shape } from './resourceNames.ts';
import { secretList } from './secret.ts';
import { serviceList } from './service.ts';
import { createSharedList, type SharedList } from './sharedList.ts';
import type { Calls, Executed } from './write.ts';

/**
 * Reads whose answers all tenants share. Services come from one ListServices per project and region; service accounts and secrets come
 * from one list per project. Policies and versions are in no list, so they are read one by one and cached. Each identity that the
 * operator impersonates has its own lists and its own cache, because different identities may see different resources.
 */

/** The greatest age of an answer, in milliseconds since its call began. */
export interface Ages {
  /** For accounts, secrets and services, which come from lists. "Not found" is trusted for 10 s at most, and for secrets not at all. */
  listed: number;
  /** For policies and versions, which are read one by one. "Not found" is never cached. */
  single: number;
}

export interface SharedReads {
  /**
   * Answers with reads whose results are not older than `ages`, and never older than the operator's own last write of the resource.
   * `onChanged` is for a caller that reads again every `2 * ages.listed`. It is called when a later list shows that an answer which
   * that caller got has changed.
   */
  at(ages: Ages, onChanged?: () => void): Reads;
  /** To be called when a step's call has ended, whether it succeeded or failed. */
  wrote(call: Call, outcome: Executed, options?: GcpCallOptions): void;
  /** Milliseconds between two lists of a region's services while a tenant waits for one of them to become ready. */
  paceMs(project: string, region: string, options?: GcpCallOptions): number;
}

/**
 * How long "not found" is trusted for resources that the operator creates, milliseconds. A stale "not found" only costs an
 * ALREADY_EXISTS.
 */
const OURS_ABSENT_MS = 10_000;
/** "Not found" of a secret is not trusted at all: users create secrets, and wait until the operator uses them. */
const THEIRS_ABSENT_MS = 0;
/**
 * Milliseconds of the wait between two lists for each service beyond `FEW`, because a longer list takes longer. A region with 1,000
 * services, the most that it can hold, is listed every 4.5 s.
 */
const PACE_MS = 5;
/** A list of up to this many services takes no longer than reading one service, so it needs no wait. */
const FEW = 100;
/** Milliseconds for which policies and versions are cached at most. It equals the longest `single` age that a reconcile accepts. */
const SINGLES_MS = 180_000;
/** Milliseconds after which a list that no tenant has read is dropped, unless the sync interval is longer. */
const IDLE_MS = 3_600_000;
/** The most lists of one type. A spec may name any project, even one that does not exist; beyond this number the least recently used lists are dropped. */
const MOST_LISTS = 500;

/** `intervalMs`: `--sync-interval`, the longest time between two reads of a tenant that does not change. */
export function createSharedReads(call: GcpCall, runtime: Runtime, intervalMs = 0): SharedReads {
  const uncached = createReads(call);
  const forMs = Math.max(IDLE_MS, intervalMs);
  const identities = createRecent<Caches>(runtime, { forMs });

  function cachesOf({ actAs }: GcpCallOptions = {}): Caches {
    // A list is called without the reader's signal and tenant: all readers share it, so no single reader may cancel it.
    const known =
      identities.get(actAs ?? '') ??
      createCaches((method, request) => call(method, request, { actAs }), runtime, forMs);
    identities.set(actAs ?? '', known);
    return known;
  }

  function at({ listed, single }: Ages, onChanged?: () => void): Reads {
    /** Reads from the list of the name's parent. A malformed name has no parent; `get` then fails and says why. */
    function fromList<T>(lists: Lists<T>, shape: Shape, name: string, get: () => Promise<Read<T>>): Promise<Read<T>> {
      const place = parentAndId(shape, name);
      return place ? lists(place.parent).read(place.id, listed, get, onChanged) : get();
    }
    const cached = <T>(key: string, get: () => Promise<Read<T>>, options?: GcpCallOptions): Promise<Read<T>> =>
      cachesOf(options).singles.read(key, single, get);
    return {
      account: (project, email, options) =>
        fromList(cachesOf(options).accounts, 'account', accountName(project, email), () =>
          uncached.account(project, email, options),
        ),
      secret: (name, options) =>
        fromList(cachesOf(options).secrets, 'secret', name, () => uncached.secret(name, options)),
      service: (name, options) =>
        fromList(cachesOf(options).services, 'service', name, () => uncached.service(name, options)),
      secretPolicy: (name, options) => cached(policyKey(name), () => uncached.secretPolicy(name, options), options),
      servicePolicy: (name, options) => cached(policyKey(name), () => uncached.servicePolicy(name, options), options),
      secretVersion: (secret, want, options) =>
        cached(`version ${secret} ${want}`, () => uncached.secretVersion(secret, want, options), options),
    };
  }

  return {
    at,
    wrote: (step, outcome, options) => noteWrite(cachesOf(options), step, outcome),
    paceMs: (project, region, options) =>
      PACE_MS * Math.max(0, cachesOf(options).services(`projects/${project}/locations/${region}`).size() - FEW),
  };
}

/** Answers with the list of a parent, and creates it when it is first read. */
type Lists<T> = (parent: string) => SharedList<T>;
type Caches = ReturnType<typeof createCaches>;

/** The lists and the cache of one identity. */
function createCaches(call: GcpCall, runtime: Runtime, forMs: number) {
  function createLists<T>(of: ListOf<T>, absentMs: number): Lists<T> {
    const lists = createRecent<SharedList<T>>(runtime, { forMs, most: MOST_LISTS });
    return parent => {
      const known = lists.get(parent) ?? createSharedList(runtime, () => listAll(call, of, parent), absentMs);
      lists.set(parent, known);
      return known;
    };
  }
  return {
    services: createLists(serviceList, OURS_ABSENT_MS),
    accounts: createLists(accountList, OURS_ABSENT_MS),
    secrets: createLists(secretList, THEIRS_ABSENT_MS),
    singles: createSingles(runtime),
  };
}

const policyKey = (resource: string): string => `policy ${resource}`;

/** Updates the lists or the cache after each kind of call: marks what the call made stale, or puts the new policy into the cache. */
const STALE: { [Kind in Call['kind']]: (caches: Caches, step: Calls[Kind], outcome: Executed) => void } = {
  createAccount: ({ accounts }, { project, email }, { ok }) => accounts(`projects/${project}`).wrote(email, ok),
  updateAccount: wroteAccount,
  deleteAccount: wroteAccount,
  createService: ({ services }, { parent, serviceId }, { ok }) => services(parent).wrote(serviceId, ok),
  updateService: (caches, { service }, outcome) => wroteService(caches, { name: String(service.name) }, outcome),
  deleteService: wroteService,
  setSecretPolicy: ({ singles }, { secret }, outcome) => singles.put(policyKey(secret), policyAfter(outcome)),
  setServicePolicy: ({ singles }, { service }, outcome) => singles.put(policyKey(service), policyAfter(outcome)),
};

const noteWrite = <Kind extends Call['kind']>(caches: Caches, step: Calls[Kind], outcome: Executed): void =>
  STALE[step.kind as Kind](caches, step, outcome);

function wroteAccount({ accounts }: Caches, { name }: { name: string }, { ok }: Executed): void {
  const { parent, id } = parentAndId('account', name) ?? {};
  if (parent === undefined || id === undefined) return;
  const list = accounts(parent);
  // The list's keys are e-mail addresses, but a deletion names the account by its unique id.
  const emails = id.includes('@') ? [id] : list.keysOf(({ uniqueId }) => uniqueId === id);
  for (const email of emails) list.wrote(email, ok);
}

function wroteService({ services }: Caches, { name }: { name: string }, { ok }: Executed): void {
  const place = parentAndId('service', name);
  if (place) services(place.parent).wrote(place.id, ok);
}

/** The policy after a SetIamPolicy, which answers with the new policy (google/iam/v1/iam_policy.proto); undefined after a failure. */
const policyAfter = (outcome: Executed) => (outcome.ok ? parsePolicy(outcome.response) : undefined);

/** A cache for policies and versions, which are read one by one. */
function createSingles(runtime: Runtime) {
  const answers = createRecent<{ value: unknown; asOf: number }>(runtime, { forMs: SINGLES_MS });

  /** Caches `value`, unless a newer one is cached. `undefined` removes the cached value. `asOf`: when the call began. */
  function put(key: string, value: unknown, asOf = runtime.monotonic()): void {
    if ((answers.get(key)?.asOf ?? asOf) > asOf) return;
    answers.delete(key);
    if (value !== undefined) answers.set(key, { value, asOf });
  }

  return {
    put,
    async read<T>(key: string, maxAgeMs: number, get: () => Promise<Read<T>>): Promise<Read<T>> {
      const asOf = runtime.monotonic();
      const known = answers.get(key);
      // A key stands for one method and resource, so the cached value came from the same `get` and is a `T`.
      if (known && maxAgeMs > 0 && asOf - known.asOf <= maxAgeMs) return { state: 'present', value: known.value as T };
      const read = await get();
      put(key, read.state === 'present' ? read.value : undefined, asOf);
      return read;
    },
  };
}
