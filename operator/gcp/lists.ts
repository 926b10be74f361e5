import type { GcpCall, GcpCallOptions } from '../../ports/gcp.ts';
import type { JsonObject } from '../../ports/json.ts';
import type { Runtime } from '../../ports/runtime.ts';
import { createRecent } from '../collections/recent.ts';
import type { Call, ObservedAccount, ObservedSecret, ObservedService, Read } from '../tenant/types.ts';
import { parseAccount } from './account.ts';
import type { Executed } from './execute.ts';
import { parsePolicy } from './iamPolicy.ts';
import { rpc } from './methods.ts';
import { listAll } from './pages.ts';
import { createReads, type Reads } from './reads.ts';
import { partsOf } from './resourceNames.ts';
import { parseSecret } from './secret.ts';
import { parseService } from './service.ts';
import { createSharedList, type SharedList } from './sharedList.ts';

/** How old an answer may be, milliseconds from when its call began. */
export interface Ages {
  /** Of what is listed; that something of ours is not there is believed for ten seconds at most, of a secret not at all. */
  listed: number;
  /** Of what is read one by one: policies and versions. What is not there is always looked for again. */
  single: number;
}

/** Reads that all tenants share; each identity that the operator acts as has its own. */
export interface SharedReads {
  /**
   * For a reader who needs answers no older than that. Nothing older than a write of ours is answered at all. `onChanged`: of
   * one who reads again every `2 * ages.listed`: called when a list shows that what they were answered no longer held.
   */
  at(ages: Ages, onChanged?: () => void): Reads;
  /** A step's call has ended, whichever way. */
  wrote(call: Call, outcome: Executed, options?: GcpCallOptions): void;
  /** How many milliseconds are to lie between two lists of a region's services for those who wait for one to be ready. */
  paceMs(project: string, region: string, options?: GcpCallOptions): number;
}

/** The most that ListServiceAccounts gives (iam.googleapis.com, v1 discovery document); the others take more. */
const ACCOUNTS_PAGE = 100;
const PAGE = 1_000;
/** Ours to make, and making what is there already is refused: a stale look does no harm. */
const OURS_ABSENT_MS = 10_000;
/** A list takes as long as there is much in it: 1,000 services, the most that a region holds, are listed every 4.5 s. */
const PACE_MS = 5;
/** So few cost no more than one. */
const FEW = 100;
/** People make secrets, and wait for what comes of it. */
const THEIRS_ABSENT_MS = 0;
/** What was read one by one is kept so long at most: for those who wait for an operation to end. */
const SINGLES_MS = 180_000;
/** Lists that nobody has read for so long, and for an interval, are dropped. */
const IDLE_MS = 3_600_000;

/**
 * Services by ListServices for each project and region, accounts and secrets' metadata by one list for each project;
 * policies and versions, which no list has, one by one. `intervalMs`: the longest that a regular reader stays away.
 */
export function createSharedReads(call: GcpCall, runtime: Runtime, intervalMs = 0): SharedReads {
  const alone = createReads(call);
  const forMs = Math.max(IDLE_MS, intervalMs);
  const identities = createRecent<Known>(runtime, { forMs });

  function knownTo(options: GcpCallOptions | undefined): Known {
    const actAs = options?.actAs;
    // A list is nobody's own: no single reader's signal ends it.
    const known =
      identities.get(actAs ?? '') ?? createKnown((method, request) => call(method, request, { actAs }), runtime, forMs);
    identities.set(actAs ?? '', known);
    return known;
  }

  return {
    at: ({ listed, single }, onChanged) => ({
      account(project, email, options) {
        const get = () => alone.account(project, email, options);
        if (!partsOf('account', `projects/${project}/serviceAccounts/${email}`)) return get();
        return knownTo(options).accounts(`projects/${project}`).read(email, listed, get, onChanged);
      },
      secret(name, options) {
        const get = () => alone.secret(name, options);
        const [project, id] = partsOf('secret', name) ?? [];
        if (!project || !id) return get();
        return knownTo(options).secrets(`projects/${project}`).read(id, listed, get, onChanged);
      },
      service(name, options) {
        const get = () => alone.service(name, options);
        const [project, region, id] = partsOf('service', name) ?? [];
        if (!project || !region || !id) return get();
        return knownTo(options).services(`projects/${project}/locations/${region}`).read(id, listed, get, onChanged);
      },
      secretPolicy: (name, options) =>
        knownTo(options).singles.read(`policy ${name}`, single, () => alone.secretPolicy(name, options)),
      servicePolicy: (name, options) =>
        knownTo(options).singles.read(`policy ${name}`, single, () => alone.servicePolicy(name, options)),
      secretVersion: (secret, want, options) =>
        knownTo(options).singles.read(`version ${secret} ${want}`, single, () =>
          alone.secretVersion(secret, want, options),
        ),
    }),
    wrote: (step, outcome, options) => changed(knownTo(options), step, outcome),
    paceMs: (project, region, options) =>
      PACE_MS * Math.max(0, knownTo(options).services(`projects/${project}/locations/${region}`).size() - FEW),
  };
}

/** What one identity has seen. */
interface Known {
  services(parent: string): SharedList<ObservedService>;
  accounts(parent: string): SharedList<ObservedAccount>;
  secrets(parent: string): SharedList<ObservedSecret>;
  singles: ReturnType<typeof createSingles>;
}

function createKnown(call: GcpCall, runtime: Runtime, forMs: number): Known {
  return {
    services: createLists(
      runtime,
      forMs,
      parent =>
        listAll(call, rpc.listServices, { parent, pageSize: PAGE }, 'services', keyed(parseService, serviceKey)),
      OURS_ABSENT_MS,
    ),
    accounts: createLists(
      runtime,
      forMs,
      name =>
        listAll(call, rpc.listAccounts, { name, pageSize: ACCOUNTS_PAGE }, 'accounts', keyed(parseAccount, accountKey)),
      OURS_ABSENT_MS,
    ),
    secrets: createLists(
      runtime,
      forMs,
      parent => listAll(call, rpc.listSecrets, { parent, pageSize: PAGE }, 'secrets', keyed(parseSecret, secretKey)),
      THEIRS_ABSENT_MS,
    ),
    singles: createSingles(runtime),
  };
}

function changed({ services, accounts, singles }: Known, step: Call, outcome: Executed): void {
  switch (step.kind) {
    case 'createAccount':
      accounts(`projects/${step.project}`).wrote(step.email, outcome.ok);
      break;
    case 'updateAccount':
    case 'deleteAccount': {
      const [project = '', account = ''] = partsOf('account', step.name) ?? [];
      const list = accounts(`projects/${project}`);
      const emails = account.includes('@') ? [account] : list.keysOf(({ uniqueId }) => uniqueId === account);
      for (const email of emails) list.wrote(email, outcome.ok);
      break;
    }
    case 'createService':
      services(step.parent).wrote(step.serviceId, outcome.ok);
      break;
    case 'updateService':
    case 'deleteService': {
      const name = step.kind === 'updateService' ? String(step.service.name) : step.name;
      const [project, region, id] = partsOf('service', name) ?? [];
      if (project && region && id) services(`projects/${project}/locations/${region}`).wrote(id, outcome.ok);
      break;
    }
    case 'setSecretPolicy':
    case 'setServicePolicy': {
      // The answer to setIamPolicy is the policy as it now is (google/iam/v1/iam_policy.proto).
      const value = outcome.ok ? parsePolicy(outcome.response) : undefined;
      singles.put(`policy ${step.kind === 'setSecretPolicy' ? step.secret : step.service}`, value);
      break;
    }
  }
}

/** A spec may name any project, also one that does not exist: the least recently used lists beyond so many are dropped. */
const MOST_LISTS = 500;

/** One list a parent, made when it is first asked for. */
function createLists<T>(
  runtime: Runtime,
  forMs: number,
  list: (parent: string) => ReturnType<typeof listAll<T>>,
  absentMs: number,
) {
  const lists = createRecent<SharedList<T>>(runtime, { forMs, most: MOST_LISTS });
  return (parent: string): SharedList<T> => {
    const known = lists.get(parent) ?? createSharedList(runtime, () => list(parent), absentMs);
    lists.set(parent, known);
    return known;
  };
}

/** What is read one by one, for as long as somebody may take it for fresh. */
function createSingles(runtime: Runtime) {
  const answers = createRecent<{ value: unknown; asOf: number }>(runtime, { forMs: SINGLES_MS });

  /** `undefined`: what was known no longer holds. */
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
      // A key names one method and resource: what stands there is what the same `get` has answered.
      if (known && maxAgeMs > 0 && asOf - known.asOf <= maxAgeMs) return { state: 'present', value: known.value as T };
      const read = await get();
      put(key, read.state === 'present' ? read.value : undefined, asOf);
      return read;
    },
  };
}

const last = (name: string): string => name.slice(name.lastIndexOf('/') + 1);
const serviceKey = ({ name }: ObservedService): string => last(name);
const accountKey = ({ email }: ObservedAccount): string => email;
/** A secret is asked for by its project's id and answered with the number: within one project its own id will do. */
const secretKey = ({ name }: ObservedSecret): string => last(name);

const keyed =
  <T>(parse: (item: JsonObject) => T | undefined, key: (value: T) => string) =>
  (item: JsonObject): [string, T] | undefined => {
    const value = parse(item);
    return value && [key(value), value];
  };
