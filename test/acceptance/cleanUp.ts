import { setTimeout as sleep } from 'node:timers/promises';
import { serviceAccountEmail } from '../../operator/tenant/names.ts';
import { API } from './addresses.ts';
import { answerIn, type Call, type Exchange, fieldIn, succeeded, textIn } from './exchange.ts';
import type { JournalEntry } from './journal.ts';
import { carries, EXPIRES } from './names.ts';
import { type Item, listProject, shownItem } from './projectList.ts';
import type { Session } from './session.ts';

/** The longest clean-up, in milliseconds. */
const LONGEST_MS = 300_000;

type Thing = Pick<Item, 'kind' | 'id' | 'region'>;

export interface CleanUp {
  call: Call;
  project: string;
  prefix: string;
  regions: readonly string[];
  /** What the journal says may have been made. */
  entries: readonly JournalEntry[];
  /** Seconds since the epoch. Of what the journal does not name, only what has expired before is removed. Absent: whatever has an expiry. */
  expiredBefore?: number;
  /**
   * Milliseconds. A "not found" is not believed for this long after the last call that may have made the thing, because an account is only
   * eventually visible. A delete that succeeded is believed at once.
   */
  settleMs: number;
  pollMs: number;
  /** Lets the guard pass a delete of an id without the prefix, after it was read that this run made it. */
  permit: (id: string) => void;
}

/** The clean-up of the session's prefix, with its connection, its guard and its times. */
export const cleanUpOf = (
  { caller, guard, project, prefix, settleMs, pollMs }: Session,
  what: Pick<CleanUp, 'regions' | 'entries' | 'expiredBefore'>,
): Promise<string[]> =>
  cleanUp({ ...what, call: caller.call, project, prefix, settleMs, pollMs, permit: guard.permit });

/**
 * Removes everything of a prefix that a run has made: what the lists show with an expiry, and what the journal names although no list shows
 * it. The prefix alone is no proof: `acc-payments` may be the name of a service of somebody. Answers with what is left, one line each;
 * nothing if all is gone.
 */
export async function cleanUp(options: CleanUp): Promise<string[]> {
  const { call, project, regions, entries, settleMs, pollMs } = options;
  const deadline = performance.now() + LONGEST_MS;
  const places = [...new Set([...regions, ...entries.flatMap(({ region }) => region ?? [])])];
  const journaled = await ownOf(options);
  const isYoung = ({ at }: JournalEntry): boolean => Date.now() - at < settleMs;
  /** Things whose delete has succeeded. */
  const deleted = new Set<string>();

  for (let round = 0; ; round++) {
    const list = await listProject(call, project, places);
    const { listed, foreign } = sorted(options, list.items);
    const things = new Map<string, Thing>(listed.map(item => [shownItem(item), item]));
    // What was made a moment ago may be missing in the lists, and a list may not be readable at all.
    for (const entry of journaled) if (round === 0 || isYoung(entry)) things.set(shownItem(entry), entry);
    const left = (
      await Promise.all([...things.values()].map(thing => tried(options, thing, { deleted, deadline })))
    ).flat();
    const unsure =
      list.problems.some(({ again }) => again) ||
      journaled.some(entry => isYoung(entry) && !deleted.has(shownItem(entry)));
    if (listed.length === 0 && left.length === 0 && !unsure) {
      // Without a journal only the lists could have shown what is left.
      return [...foreign, ...(entries.length > 0 ? [] : list.problems.map(({ text }) => text))];
    }
    const isHopeless = left.length > 0 && left.every(({ again }) => !again);
    if (isHopeless || performance.now() > deadline) {
      const still = listed.map(item => `${shownItem(item)} is still there`);
      return [...(left.length > 0 ? left.map(({ problem }) => problem) : still), ...foreign];
    }
    await sleep(pollMs);
  }
}

/** What may be removed of the items with the prefix, and a line for each of the others. */
function sorted({ prefix, entries, expiredBefore }: CleanUp, items: Item[]): { listed: Item[]; foreign: string[] } {
  const journaled = new Set(entries.map(shownItem));
  const listed: Item[] = [];
  const foreign: string[] = [];
  for (const item of items) {
    if (!carries(prefix, item.id)) continue;
    const { expires } = item;
    const isOurs = expires !== undefined && (expiredBefore === undefined || expires < expiredBefore);
    if (isOurs || journaled.has(shownItem(item))) listed.push(item);
    else if (expires !== undefined) foreign.push(`${shownItem(item)} has not expired yet and is left alone`);
    else foreign.push(`${shownItem(item)} has no ${EXPIRES}, so no run has made it, and it is left alone`);
  }
  return { listed, foreign };
}

/** Something that may still be there. `again`: another try may succeed. */
interface Left {
  problem: string;
  again: boolean;
}

/** The entries that may be deleted: those with the prefix, and others whose description says that a run made them. */
async function ownOf({ call, project, prefix, entries, permit }: CleanUp): Promise<JournalEntry[]> {
  const own: JournalEntry[] = [];
  for (const entry of entries) {
    if (carries(prefix, entry.id)) own.push(entry);
    else if (entry.kind === 'account') {
      const read = await call('GET', urlOf(project, entry));
      if (!textIn(read, 'description').includes(EXPIRES)) continue;
      permit(entry.id);
      own.push(entry);
    }
  }
  return own;
}

/** How far a clean-up is. */
interface Progress {
  /** Things whose delete has succeeded. */
  deleted: Set<string>;
  deadline: number;
}

/** Deletes one thing. Answers with the problem, if it may still be there; one thing that cannot be asked for stops no other. */
async function tried(options: CleanUp, thing: Thing, progress: Progress): Promise<Left[]> {
  try {
    return await removed(options, thing, progress);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return [{ problem: `${shownItem(thing)} cannot be deleted: ${why}`, again: false }];
  }
}

async function removed({ call, project, pollMs }: CleanUp, thing: Thing, progress: Progress): Promise<Left[]> {
  const { deleted, deadline } = progress;
  const url = urlOf(project, thing);
  const answer = await call('DELETE', url);
  if (isGone(answer)) return [];
  if (!succeeded(answer)) {
    return [{ problem: `${shownItem(thing)} cannot be deleted: ${answerIn(answer)}`, again: mayPass(answer) }];
  }
  deleted.add(shownItem(thing));
  if (thing.kind !== 'service') return [];
  // A service is deleted by a long-running operation.
  for (let read = 0; read < 60 && performance.now() < deadline; read++) {
    if (isGone(await call('GET', url))) return [];
    await sleep(pollMs);
  }
  return [{ problem: `${shownItem(thing)} is not gone yet`, again: true }];
}

/** No answer, a conflict with another call, a quota, an outage; or a fresh account, which may answer 403. */
const mayPass = ({ status, body }: Exchange): boolean =>
  status === 0 ||
  status === 409 ||
  status === 429 ||
  (status === 403 && typeof body === 'object') ||
  (status >= 500 && status !== 501);

const isGone = (exchange: Exchange): boolean =>
  exchange.status === 404 && fieldIn(exchange, 'error.status') === 'NOT_FOUND';

function urlOf(project: string, { kind, id, region }: Thing): string {
  if (kind === 'secret') return `${API.secretmanager}/v1/projects/${project}/secrets/${id}`;
  if (kind === 'service') return `${API.run}/v2/projects/${project}/locations/${region}/services/${id}`;
  return `${API.iam}/v1/projects/${project}/serviceAccounts/${serviceAccountEmail(id, project)}`;
}
