import type { Credentials } from '../../operator/gcp/credentials.ts';
import { type Addresses, API, addressesFrom } from './addresses.ts';
import { type Caller, createCaller } from './caller.ts';
import { createExchangeLog, type ExchangeLog, fieldIn } from './exchange.ts';
import { createGuard, type Guard } from './guard.ts';
import { type Journal, openJournal } from './journal.ts';
import { newPrefix } from './names.ts';
import type { Options } from './options.ts';

/** A run's connection to Google Cloud, and what it may touch there. */
export interface Session {
  project: string;
  regions: string[];
  prefix: string;
  /** Seconds since the epoch. */
  expires: string;
  addresses: Addresses;
  log: ExchangeLog;
  journal: Journal;
  guard: Guard;
  caller: Caller;
  /** Milliseconds between two reads of something that is waited for. */
  pollMs: number;
  /** See `cleanUp.ts`. */
  settleMs: number;
}

/** A run takes ten minutes. After this time a clean-up of another run may remove what it has left, in seconds. */
const KEPT_SECONDS = 2 * 3600;

export function openSession(
  options: Options,
  env: Record<string, string | undefined>,
  prefix = options.prefix ?? newPrefix(),
  credentials?: Credentials,
): Session {
  const { project, region, secondRegion, state } = options;
  const regions = [region, ...(secondRegion ? [secondRegion] : [])];
  const addresses = addressesFrom(env);
  const log = createExchangeLog();
  const expires = String(Math.ceil(Date.now() / 1000) + KEPT_SECONDS);
  const journal = openJournal(state, { project, prefix, expires, regions });
  const guard = createGuard({ project, prefix, journal });
  const caller = createCaller({ addresses, guard, log, credentials });
  return {
    project,
    regions,
    prefix,
    expires,
    addresses,
    log,
    journal,
    guard,
    caller,
    pollMs: addresses.isReal ? 1_500 : 50,
    settleMs: addresses.isReal ? 60_000 : 1_000,
  };
}

/** The project's number. Undefined: Resource Manager did not answer with it. */
export async function projectNumber({ caller, project }: Session): Promise<string | undefined> {
  const answer = await caller.call('GET', `${API.cloudresourcemanager}/v3/projects/${project}`);
  const [, number] = /^projects\/(\d+)$/.exec(String(fieldIn(answer, 'name') ?? '')) ?? [];
  return number;
}
