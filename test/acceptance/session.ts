import { isRegion } from '../../operator/tenant/names.ts';
import { type Addresses, API, addressesFrom } from './addresses.ts';
import { type Caller, createCaller } from './caller.ts';
import { createExchangeLog, type ExchangeLog, fieldIn, isObject, textIn, textOf } from './exchange.ts';
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
  /** Milliseconds within which a change of a step of the life must take effect. */
  waitMs: number;
}

/** The times of a session; tests set shorter ones. */
export type Times = Pick<Session, 'pollMs' | 'settleMs' | 'waitMs'>;

const REAL: Times = { pollMs: 1_500, settleMs: 60_000, waitMs: 240_000 };
const LOCAL: Times = { pollMs: 50, settleMs: 1_000, waitMs: 40_000 };

/** A run takes ten minutes. After this time a clean-up of another run may remove what it has left, in seconds. */
const KEPT_SECONDS = 2 * 3600;

export function openSession(
  options: Options,
  env: Record<string, string | undefined>,
  given: { prefix?: string; times?: Times } = {},
): Session {
  const { project, region, secondRegion, state } = options;
  const { prefix = options.prefix ?? newPrefix() } = given;
  const regions = [region, ...(secondRegion ? [secondRegion] : [])];
  const addresses = addressesFrom(env);
  const log = createExchangeLog();
  const expires = String(Math.ceil(Date.now() / 1000) + KEPT_SECONDS);
  const journal = openJournal(state, { project, prefix, expires, regions, pid: process.pid });
  const guard = createGuard({ project, prefix, journal });
  const caller = createCaller({ addresses, guard, log });
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
    ...(given.times ?? (addresses.isReal ? REAL : LOCAL)),
  };
}

/**
 * The project's number: from Resource Manager, or, where that API is not enabled, from the text in which Secret Manager says that a secret
 * does not exist. Undefined: neither of them tells it.
 */
export async function projectNumber({ caller, project, prefix }: Session): Promise<string | undefined> {
  const answer = await caller.call('GET', `${API.cloudresourcemanager}/v3/projects/${project}`);
  const [, number] = /^projects\/(\d+)$/.exec(textIn(answer, 'name')) ?? [];
  if (number !== undefined) return number;
  const missing = await caller.call('GET', `${API.secretmanager}/v1/projects/${project}/secrets/${prefix}-none`);
  return /projects\/(\d+)\//.exec(textIn(missing, 'error.message'))?.[1];
}

/** The regions of Cloud Run, or none if it does not tell them. */
export async function regionsOf({ caller, project }: Session): Promise<string[]> {
  const answer = await caller.call('GET', `${API.run}/v1/projects/${project}/locations?pageSize=200`);
  const locations = fieldIn(answer, 'locations');
  const told = (Array.isArray(locations) ? locations : []).filter(isObject).map(({ locationId }) => textOf(locationId));
  return told.filter(isRegion);
}
