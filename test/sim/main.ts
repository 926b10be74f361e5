import { availableParallelism } from 'node:os';
import { commandLine } from '../../scripts/commandLine.ts';
import { crashPoints, crashTask } from './crashPoints.ts';
import { generate } from './generate.ts';
import { type Outcome, runAll, type Task } from './pool.ts';
import regressions from './regressions.json' with { type: 'json' };
import { run } from './run.ts';
import { type Script, shown, time } from './script.ts';
import { shrink } from './shrink.ts';
import { sumOf } from './tally.ts';

/**
 * `npm run test:sim -- --seeds N --from S`: that many runs, and the scripts that failed in the past. `--crashes` and `--pairs`
 * strike at every single call of the scenarios instead, once and twice. Exit code 1 if a run fails: each kind of failure is
 * told with the command that replays it, the first ones also with a script as small as can be and what happened in it.
 */

/** So many kinds of failure are shown in full. */
const MOST_SHOWN = 3;
const SHRINKING_RUNS = 120;

const HELP = `npm run test:sim -- [OPTIONS]

  --seeds N --from S   so many runs, from this seed on (default 200 from 1), and every script of regressions.json
  --seconds N          begins no new run after so many seconds, whatever --seeds says
  --crashes            a crash before and after every call of every scenario, instead of seeds
  --pairs              and every pair of crashes, where a scenario makes, rotates, moves or deletes
  --run NAME           one script of the past, or one crash point, by the name that is printed
  --verbose            tells everything that happens in a single run
  --bail               begins nothing more once a run has failed
  --brief              says only which ones failed: makes no script smaller
  --workers N          threads (default: one a processor)

A failing run is printed with the command that replays it. Exit code 1 if one fails. docs/reliability.md tells more.`;

const { values: options } = commandLine(HELP, {
  options: {
    seeds: { type: 'string', default: '200' },
    from: { type: 'string', default: '1' },
    seconds: { type: 'string' },
    workers: { type: 'string', default: String(availableParallelism()) },
    crashes: { type: 'boolean', default: false },
    pairs: { type: 'boolean', default: false },
    run: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    bail: { type: 'boolean', default: false },
    brief: { type: 'boolean', default: false },
  },
});

const startedAt = performance.now();
const workers = Number(options.workers);
const until = options.seconds === undefined ? undefined : startedAt + Number(options.seconds) * 1000;
let toldAt = startedAt;

const runTasks = (tasks: Task[]): Promise<Outcome[]> =>
  runAll(tasks, {
    workers,
    until,
    bail: options.bail,
    onProgress(done) {
      if (performance.now() - toldAt < 10_000) return;
      toldAt = performance.now();
      const failing = done.filter(({ problems }) => problems.length > 0).map(({ name }) => name);
      console.log(`${done.length} of ${tasks.length}; failed: ${failing.length} ${failing.slice(0, 10).join(', ')}`);
    },
  });

/** Scripts that showed a bug once, as small as they could be made: they outlive every change of the generator. */
const past: Task[] = regressions.map(({ name, script }) => ({ name, script: script as Script }));
const taskNamed = (name: string): Task | undefined => past.find(task => task.name === name) ?? crashTask(name);
const scriptOf = (name: string): Script => taskNamed(name)?.script ?? generate(Number(name));
const replay = (name: string): string =>
  `npm run test:sim -- ${taskNamed(name) ? `--run '${name}'` : `--seeds 1 --from ${name}`} --verbose`;

async function outcomesOf(): Promise<Outcome[]> {
  if (options.run !== undefined) {
    const task = taskNamed(options.run);
    if (!task) throw new Error(`There is no run called ${options.run}.`);
    return runTasks([task]);
  }
  if (options.crashes || options.pairs) return crashPoints(options.pairs, runTasks);
  const count = Number(options.seeds);
  const fresh = Array.from({ length: count }, (_, index) => Number(options.from) + index);
  const seeds = fresh.map(seed => ({ name: String(seed), script: generate(seed) }));
  return runTasks(count === 1 ? seeds : [...past, ...seeds]);
}

/** The failure again, made as small as can be, step by step. */
async function explain(name: string): Promise<void> {
  const found = await shrink(await run(scriptOf(name)), SHRINKING_RUNS);
  const { steps, faults, replicas } = found.script;
  console.log(`  made smaller: ${replicas.join('+')} replicas, ${steps.length} steps, ${faults.length} faults`);
  for (const entry of [...steps, ...faults].sort((a, b) => a.at - b.at)) console.log(`    ${shown(entry)}`);
  console.log('  what happened:');
  for (const { at, text } of found.timeline.slice(0, 80)) console.log(`    ${time(at)} ${text.slice(0, 300)}`);
  for (const problem of found.problems) console.log(`  → ${problem}`);
  console.log(`  for regressions.json: ${JSON.stringify(found.script)}`);
}

const outcomes = await outcomesOf();
const failed = outcomes.filter(({ problems }) => problems.length > 0);
const kinds = [...Map.groupBy(failed, ({ kind, problems }) => kind ?? problems[0]).values()];
for (const [index, alike] of kinds.entries()) {
  const [first, ...others] = alike;
  if (!first) continue;
  console.log(`\n${first.name}: ${first.problems.slice(0, 3).join('\n  ').slice(0, 1_500)}`);
  console.log(`  replay: ${replay(first.name)}`);
  if (others.length > 0)
    console.log(
      `  ${others.length} more alike: ${others
        .slice(0, 20)
        .map(({ name }) => name)
        .join(', ')}`,
    );
  if (index < MOST_SHOWN && !options.brief && !options.verbose) await explain(first.name);
}
if (options.verbose && outcomes.length === 1 && outcomes[0]) {
  const { timeline } = await run(scriptOf(outcomes[0].name));
  for (const { at, text } of timeline) console.log(`${time(at)} ${text.slice(0, 400)}`);
}
const struck = Object.entries(sumOf(outcomes.map(({ struck }) => struck))).sort(([, a], [, b]) => b - a);
if (outcomes.length > 1)
  console.log(`\nWhat struck, and who acted: ${struck.map(([what, times]) => `${what} ${times}`).join(' · ')}`);
const seconds = (performance.now() - startedAt) / 1000;
const sum = (of: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + of(outcome), 0);
console.log(
  `\n${outcomes.length} runs in ${seconds.toFixed(1)} s: ${sum(({ writes }) => writes)} writes of the operator judged; ` +
    `the slowest settled ${(Math.max(0, ...outcomes.map(({ settledMs }) => settledMs)) / 60_000).toFixed(0)} virtual minutes after the last fault`,
);
console.log(`${outcomes.length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;
