import { writeFileSync } from 'node:fs';
import { announcement, missingPermissions } from './announcement.ts';
import { cleanUpOf } from './cleanUp.ts';
import type { Fact, FactResult, NamedKind, RunOfFacts } from './fact.ts';
import { runFacts } from './factRunner.ts';
import { FACTS } from './facts/all.ts';
import type { StepResult } from './life/life.ts';
import { liveOnce } from './life/liveOnce.ts';
import { carries, EXPIRES } from './names.ts';
import { mustBeWritable, type Options, UsageError } from './options.ts';
import { differences, listProject, type ProjectList } from './projectList.ts';
import { recordRun } from './recording/recordRun.ts';
import { factLine, factTable, stepTable } from './report.ts';
import { openSession, projectNumber, regionsOf, type Session, type Times } from './session.ts';
import { verdictsText } from './verdicts/verdicts.ts';

export interface Terminal {
  print(text: string): void;
  /** Asks the user whether to start. */
  confirm(): Promise<boolean>;
  /** Aborts when the user wants the run to end. */
  signal: AbortSignal;
}

/** One run from the announcement to the table. Resolves to the exit code. Throws `UsageError`. */
export async function acceptance(
  options: Options,
  env: Record<string, string | undefined>,
  terminal: Terminal,
  times?: Times,
): Promise<number> {
  const facts = chosenFacts(options);
  const session = openSession(options, env, { times });
  const { caller, project, prefix } = session;
  if (session.journal.isOld) {
    throw new UsageError(
      `A run with the prefix ${prefix} has left its journal here. Remove what it left: npm run acceptance -- --project ${project} --clean-up --prefix ${prefix}`,
    );
  }
  if (options.verdicts !== undefined) mustBeWritable('verdicts', options.verdicts);
  const endRecording = recordRun(options, session, terminal.print);
  let isRecorded = true;
  let code: number;
  try {
    code = await announced(options, env, session, facts, terminal);
  } finally {
    isRecorded = endRecording();
    caller.close();
  }
  return code === 0 && !isRecorded ? 1 : code;
}

async function announced(
  options: Options,
  env: Record<string, string | undefined>,
  session: Session,
  facts: Fact[],
  terminal: Terminal,
): Promise<number> {
  const { caller, project, regions } = session;
  const before = await listProject(caller.call, project, regions);
  mustBeFit(options, session, before, await regionsOf(session));
  const asked = { expensive: options.expensive, life: options.only !== 'facts' };
  terminal.print(announcement(session, facts, asked, await missingPermissions(session)));
  for (const { text } of before.problems) terminal.print(`Before the start, ${text}`);
  if (terminal.signal.aborted || !(await terminal.confirm())) {
    terminal.print('Nothing was made.');
    return terminal.signal.aborted ? 1 : 2;
  }
  return performed(options, env, session, facts, before, terminal);
}

/** Throws if nothing may be made in this project. */
function mustBeFit(options: Options, { project, regions, prefix }: Session, before: ProjectList, told: string[]): void {
  const { items, problems } = before;
  const taken = items.filter(({ id }) => carries(prefix, id)).map(({ id }) => id);
  if (taken.length > 0) {
    throw new UsageError(`Project ${project} has things of the prefix ${prefix} already: ${taken.join(', ')}.`);
  }
  const reasons = problems.map(({ text }) => `\n  ${text}`).join('');
  // No two runs have one random prefix, so only a chosen one needs every list.
  if (options.prefix !== undefined && problems.length > 0) {
    throw new Error(`Nothing was made: whether something has the prefix ${prefix} already cannot be read.${reasons}`);
  }
  if (problems.length === 2 + regions.length) {
    throw new Error(`Nothing was made: project ${project} cannot be read.${reasons}`);
  }
  const unknown = regions.find(region => told.length > 0 && !told.includes(region));
  if (unknown !== undefined) {
    throw new UsageError(`Nothing was made: Cloud Run has no region ${unknown}. It has ${told.toSorted().join(', ')}.`);
  }
}

/** Throws `UsageError` if there is no fact of an id. */
function chosenFacts({ facts: ids, only }: Options): Fact[] {
  if (only === 'life') return [];
  const unknown = ids?.find(id => !FACTS.some(fact => fact.id === id));
  if (unknown !== undefined)
    throw new UsageError(`There is no fact ${JSON.stringify(unknown)}: docs/facts.md has all of them.`);
  return FACTS.filter(({ id }) => ids === undefined || ids.includes(id));
}

/** What a run has found out. */
interface Findings {
  number?: string;
  results: FactResult[];
  steps: StepResult[];
  /** What the operator tried to change although it is not the run's. */
  refused: string[];
  /** What could not be removed. */
  left: string[];
  /** What else in the project has changed meanwhile. */
  changed: string[];
}

async function performed(
  options: Options,
  env: Record<string, string | undefined>,
  session: Session,
  facts: Fact[],
  before: ProjectList,
  { print, signal }: Terminal,
): Promise<number> {
  const { caller, project, regions, prefix } = session;
  const found: Findings = { results: [], steps: [], refused: [], left: [], changed: [] };
  try {
    const run = await runOfFacts(session, options);
    found.number = run.projectNumber;
    const probing = runFacts(facts, run, {
      expensive: options.expensive,
      signal,
      onResult(result) {
        found.results.push(result);
        print(factLine(result));
      },
    });
    // Both wait most of the time, so they are made side by side. If one of them rejects, the other one must end before the clean-up.
    const living = options.only === 'facts' ? undefined : liveOnce(session, options, env, { print, signal });
    const [, life] = await bothEnded(probing, Promise.resolve(living));
    if (life) Object.assign(found, life);
  } finally {
    found.left = await removeAll(session, print);
  }
  const after = await listProject(caller.call, project, regions);
  for (const { text } of after.problems) print(`At the end, ${text}`);
  found.changed = differences(before, after, id => carries(prefix, id));
  if (options.verdicts !== undefined) {
    const on = new Date().toISOString().slice(0, 10);
    writeFileSync(options.verdicts, verdictsText(found.results, { on, project, projectNumber: found.number, prefix }));
  }
  tell(found, print);
  if (signal.aborted) print('The run was stopped before its end.');
  return signal.aborted || !isGood(found) ? 1 : 0;
}

async function bothEnded<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([first, second]);
  return Promise.all([first, second]);
}

function tell({ results, steps, refused, changed }: Findings, print: (text: string) => void): void {
  if (results.length > 0) print(`\n${factTable(results)}`);
  if (steps.length > 0) print(`\n${stepTable(steps)}`);
  if (refused.length > 0) print(`\nThe operator tried to change what is not the run's:\n${indented(refused)}`);
  print(
    changed.length === 0
      ? '\nNothing else in the project has changed.'
      : `\nMeanwhile the project has changed, by others, because a run writes to nothing else:\n${indented(changed)}`,
  );
}

const isGood = ({ results, steps, refused, left, changed }: Findings): boolean =>
  results.every(({ verdict }) => verdict.verdict !== 'refuted') &&
  steps.every(({ outcome }) => outcome !== 'failed') &&
  [...refused, ...left, ...changed].length === 0;

const indented = (lines: string[]): string => lines.map(line => `  ${line}`).join('\n');

async function runOfFacts(session: Session, { region, secondRegion }: Options): Promise<RunOfFacts> {
  const { caller, project, prefix, expires, journal, pollMs } = session;
  return {
    project,
    projectNumber: await projectNumber(session),
    region,
    secondRegion,
    prefix,
    name(kind: NamedKind, suffix: string, at = region) {
      const id = `${prefix}-${suffix}`;
      journal.write({ kind, id, ...(kind === 'service' && { region: at }) });
      return id;
    },
    call: caller.call,
    expires,
    labels: { [EXPIRES]: expires },
    description: `${EXPIRES}=${expires}`,
    pollMs,
  };
}

/** The clean-up at the end of the run. Answers with what is left. */
async function removeAll(session: Session, print: (text: string) => void): Promise<string[]> {
  const { project, prefix, regions, journal } = session;
  const entries = journal.entries();
  if (entries.length === 0) return [];
  print('\nRemoving what was made.');
  const left = await cleanUpOf(session, { regions, entries });
  if (left.length === 0) {
    journal.remove();
    return [];
  }
  print(`Not removed:\n${left.map(line => `  ${line}`).join('\n')}`);
  print(`Once more: npm run acceptance -- --project ${project} --clean-up --prefix ${prefix}`);
  return left;
}
