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
 * Reads that all tenants share. Services are read by one ListServices for each project and region, service accounts and secrets
 * by one list for each project. Policies and versions, which no list contains, are read one by one and cached. Each
 * identity that the operator acts as has its own lists and cache, because each may see something else.
 */

/** The greatest age of an answer, in milliseconds since its call began. */
export interface Ages {
  /** Of what comes from lists. "Not found" is trusted for 10 s at most, and for secrets not at all. */
  listed: number;
  /** Of what is read one by one: policies and versions. "Not found" is never cached. */
  single: number;
}

export interface SharedReads {
  /**
   * Reads whose answers are no older than `ages`, and never older than the operator's own last write of the resource.
   * `onChanged` is for a caller that reads again every `2 * ages.listed`: it is called when a list shows that an answer given
   * to that caller is no longer true.
   */
  at(ages: Ages, onChanged?: () => void): Reads;
  /** To be called when a step's call has ended, with success or without. */
  wrote(call: Call, outcome: Executed, options?: GcpCallOptions): void;
  /** Milliseconds between two lists of a region's services while a tenant waits for one of them to become ready. */
  paceMs(project: string, region: string, options?: GcpCallOptions): number;
}

/**
 * How long "not found" is trusted for resources that the operator creates, milliseconds. A stale "not found" only costs an
 * ALREADY_EXISTS.
 */
const OURS_ABSENT_MS = 10_000;
/** Users create secrets, and wait until the operator uses them. */
const THEIRS_ABSENT_MS = 0;
/** A list takes longer the more it contains: 1,000 services, the most that a region holds, are listed every 4.5 s. */
const PACE_MS = 5;
/** A list of no more services than this costs no more than one service. */
const FEW = 100;
/** How long policies and versions are cached at most, milliseconds: as long as an operation may be waited for. */
const SINGLES_MS = 180_000;
/** Lists that nobody has read for an hour, and for an interval, are dropped. */
const IDLE_MS = 3_600_000;
/** Most lists of one type. A spec may name any project, also one that does not exist: the least recently used are dropped. */
const MOST_LISTS = 500;

/** `intervalMs`: the longest time between two reads of a tenant that nothing happens to. */
export function createSharedReads(call: GcpCall, runtime: Runtime, intervalMs = 0): SharedReads {
  const uncached = createReads(call);
  const forMs = Math.max(IDLE_MS, intervalMs);
  const identities = createRecent<Known>(runtime, { forMs });

  function knownTo({ actAs }: GcpCallOptions = {}): Known {
    // A list has no reader's signal and tenant: all readers share it, so no single one may cancel it.
    const known =
      identities.get(actAs ?? '') ?? createKnown((method, request) => call(method, request, { actAs }), runtime, forMs);
    identities.set(actAs ?? '', known);
    return known;
  }

  function at({ listed, single }: Ages, onChanged?: () => void): Reads {
    /** From the list of the name's parent. A malformed name has none: `get` answers why it is refused. */
    function fromList<T>(lists: Lists<T>, shape: Shape, name: string, get: () => Promise<Read<T>>): Promise<Read<T>> {
      const place = parentAndId(shape, name);
      return place ? lists(place.parent).read(place.id, listed, get, onChanged) : get();
    }
    const cached = <T>(key: string, get: () => Promise<Read<T>>, options?: GcpCallOptions): Promise<Read<T>> =>
      knownTo(options).singles.read(key, single, get);
    return {
      account: (project, email, options) =>
        fromList(knownTo(options).accounts, 'account', accountName(project, email), () =>
          uncached.account(project, email, options),
        ),
      secret: (name, options) =>
        fromList(knownTo(options).secrets, 'secret', name, () => uncached.secret(name, options)),
      service: (name, options) =>
        fromList(knownTo(options).services, 'service', name, () => uncached.service(name, options)),
      secretPolicy: (name, options) => cached(policyKey(name), () => uncached.secretPolicy(name, options), options),
      servicePolicy: (name, options) => cached(policyKey(name), () => uncached.servicePolicy(name, options), options),
      secretVersion: (secret, want, options) =>
        cached(`version ${secret} ${want}`, () => uncached.secretVersion(secret, want, options), options),
    };
  }

  return {
    at,
    wrote: (step, outcome, options) => noteWrite(knownTo(options), step, outcome),
    paceMs: (project, region, options) =>
      PACE_MS * Math.max(0, knownTo(options).services(`projects/${project}/locations/${region}`).size() - FEW),
  };
}

/** The list below each parent, created when it is first read. */
type Lists<T> = (parent: string) => SharedList<T>;
type Known = ReturnType<typeof createKnown>;

/** The lists and the cache of one identity. */
function createKnown(call: GcpCall, runtime: Runtime, forMs: number) {
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

/** What each kind of call makes stale. */
const STALE: { [Kind in Call['kind']]: (known: Known, step: Calls[Kind], outcome: Executed) => void } = {
  createAccount: ({ accounts }, { project, email }, { ok }) => accounts(`projects/${project}`).wrote(email, ok),
  updateAccount: wroteAccount,
  deleteAccount: wroteAccount,
  createService: ({ services }, { parent, serviceId }, { ok }) => services(parent).wrote(serviceId, ok),
  updateService: (known, { service }, outcome) => wroteService(known, { name: String(service.name) }, outcome),
  deleteService: wroteService,
  setSecretPolicy: ({ singles }, { secret }, outcome) => singles.put(policyKey(secret), policyAfter(outcome)),
  setServicePolicy: ({ singles }, { service }, outcome) => singles.put(policyKey(service), policyAfter(outcome)),
};

const noteWrite = <Kind extends Call['kind']>(known: Known, step: Calls[Kind], outcome: Executed): void =>
  STALE[step.kind as Kind](known, step, outcome);

function wroteAccount({ accounts }: Known, { name }: { name: string }, { ok }: Executed): void {
  const { parent, id } = parentAndId('account', name) ?? {};
  if (parent === undefined || id === undefined) return;
  const list = accounts(parent);
  // The list's keys are e-mails, and a deletion names the account by its unique id.
  const emails = id.includes('@') ? [id] : list.keysOf(({ uniqueId }) => uniqueId === id);
  for (const email of emails) list.wrote(email, ok);
}

function wroteService({ services }: Known, { name }: { name: string }, { ok }: Executed): void {
  const place = parentAndId('service', name);
  if (place) services(place.parent).wrote(place.id, ok);
}

/** SetIamPolicy answers the policy as it then is (google/iam/v1/iam_policy.proto). */
const policyAfter = (outcome: Executed) => (outcome.ok ? parsePolicy(outcome.response) : undefined);

/** A cache of what is read one by one. */
function createSingles(runtime: Runtime) {
  const answers = createRecent<{ value: unknown; asOf: number }>(runtime, { forMs: SINGLES_MS });

  /** `undefined` removes what is cached. */
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
