import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRegion } from '../../operator/tenant/names.ts';
import { cleanUpOf } from './cleanUp.ts';
import type { Header, JournalEntry } from './journal.ts';
import { isPrefix, prefixIn } from './names.ts';
import type { Options } from './options.ts';
import { listProject } from './projectList.ts';
import { openSession, regionsOf, type Session } from './session.ts';

/** The clean-up of runs that were killed: `--clean-up`. */

interface EarlierRun {
  prefix: string;
  regions: string[];
  entries: JournalEntry[];
  /** Of a run that is known by nothing else than the expiry of what it made. */
  expiredBefore?: number;
}

/**
 * Removes what is left of the prefix in the options; without one, of each run whose journal is here and of each whose expiry has passed.
 * Resolves to the exit code.
 */
export async function cleanUpEarlierRuns(
  options: Options,
  env: Record<string, string | undefined>,
  print: (text: string) => void,
): Promise<number> {
  const { project, prefix, state } = options;
  const journaled = journalsIn(state).filter(({ header }) => {
    if (header.project !== project || (prefix !== undefined && header.prefix !== prefix)) return false;
    if (prefix !== undefined || !isRunning(header)) return true;
    print(
      `${header.prefix} is left alone: its run may be going on as process ${header.pid}. Add --prefix ${header.prefix} to remove it.`,
    );
    return false;
  });
  const runs = new Map<string, EarlierRun>(
    journaled.map(({ header, entries }) => [
      header.prefix,
      { prefix: header.prefix, regions: header.regions, entries },
    ]),
  );
  if (prefix !== undefined && !runs.has(prefix)) runs.set(prefix, { prefix, regions: [], entries: [] });
  const session = openSession(options, env, { prefix });
  try {
    const regions = await allRegions(
      session,
      [...runs.values()].flatMap(run => run.regions),
    );
    let code = 0;
    // A file that cannot be removed, or a bug, stops the clean-up of no other run.
    const failed = (error: unknown) => print(`A clean-up failed: ${error instanceof Error ? error.message : error}`);
    if (prefix === undefined) {
      const { items, problems } = await listProject(session.caller.call, project, regions);
      for (const { text } of problems) print(`Not looked for what has expired: ${text}`);
      if (problems.length > 0) code = 1;
      const now = Date.now() / 1000;
      for (const { id, expires } of items) {
        const found = prefixIn(id);
        if (found && expires !== undefined && expires < now && !runs.has(found))
          runs.set(found, { prefix: found, regions: [], entries: [], expiredBefore: now });
      }
    }
    for (const run of runs.values()) if (!(await cleaned(options, env, run, regions, print).catch(failed))) code = 1;
    if (runs.size === 0 && code === 0) print(`Project ${project} has nothing that an earlier run left.`);
    return code;
  } finally {
    session.caller.close();
  }
}

/** Whether a process of that number runs and the run has not expired. */
function isRunning({ pid, expires }: Header): boolean {
  if (Number(expires) * 1000 < Date.now()) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    // The process is another user's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function cleaned(
  options: Options,
  env: Record<string, string | undefined>,
  { prefix, entries, expiredBefore }: EarlierRun,
  regions: string[],
  print: (text: string) => void,
): Promise<boolean> {
  const session = openSession(options, env, { prefix });
  const { caller, project, journal } = session;
  try {
    const left = await cleanUpOf(session, { regions, entries, expiredBefore });
    if (left.length === 0) {
      journal.remove();
      print(`${prefix}: nothing is left in project ${project}.`);
      return true;
    }
    print(`${prefix}: not removed from project ${project}:\n${left.map(line => `  ${line}`).join('\n')}`);
    return false;
  } finally {
    caller.close();
  }
}

/** The regions of Cloud Run, if it tells them, and those that are known to have been used. */
const allRegions = async (session: Session, known: string[]): Promise<string[]> => [
  ...new Set([...session.regions, ...known.filter(isRegion), ...(await regionsOf(session))]),
];

function journalsIn(folder: string): { header: Header; entries: JournalEntry[] }[] {
  return filesIn(folder).flatMap(file => {
    const lines = readFileSync(join(folder, file), 'utf8').split('\n').flatMap(parsedLine);
    const header = lines.find(isHeader);
    return header && file === `${header.prefix}.jsonl` ? [{ header, entries: lines.filter(isEntry) }] : [];
  });
}

const isHeader = (line: Partial<Header & JournalEntry>): line is Header =>
  typeof line.project === 'string' && typeof line.prefix === 'string' && Array.isArray(line.regions);

const isEntry = (line: Partial<Header & JournalEntry>): line is JournalEntry =>
  (line.kind === 'account' || line.kind === 'secret' || (line.kind === 'service' && line.region !== undefined)) &&
  typeof line.id === 'string' &&
  typeof line.at === 'number';

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder).filter(file => isPrefix(file.replace(/\.jsonl$/, '')));
  } catch {
    // No run has been here.
    return [];
  }
}

/** A run that was killed while it wrote has left the last line incomplete; it had not called Google Cloud for it yet. */
function parsedLine(line: string): Partial<Header & JournalEntry>[] {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? [value] : [];
  } catch {
    return [];
  }
}
