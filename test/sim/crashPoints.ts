import type { Outcome, Task } from './pool.ts';
import { SCENARIOS, type Scenario, SPAN_MS } from './scenarios.ts';
import type { Fault } from './script.ts';

/** A crash before or after the so-manieth call of a port, counted from the scenario's beginning or the crash before it. */
interface Point {
  port: 'gcp' | 'kube';
  skip: number;
  when: 'Before' | 'After';
  isWrite: boolean;
}

type Run = (tasks: Task[]) => Promise<Outcome[]>;

/** A crash after a read is one before whatever comes next. */
const isTelling = ({ when, isWrite }: Point): boolean => when === 'Before' || isWrite;

/** The calls that came after a crash. */
function afterwards(calls: Outcome['calls'], crash: Point | undefined, from: number): Outcome['calls'] {
  const own = calls.filter(({ port, at }) => port === crash?.port && at >= from);
  const struck = own[crash?.skip ?? 0];
  return struck ? calls.slice(calls.indexOf(struck) + 1) : [];
}

/** Crashes before and after every single call of every scenario; with `pairs`, every two of them where that is asked for. */
export async function crashPoints(pairs: boolean, run: Run): Promise<Outcome[]> {
  const clean = await run(SCENARIOS.map(scenario => ({ name: scenario.name, script: scenario.script })));
  const singles = SCENARIOS.flatMap(scenario => {
    const calls = clean.find(({ name }) => name === scenario.name)?.calls ?? [];
    return pointsOf(calls, scenario.from).map(point => ({ scenario, points: [point] }));
  });
  const crash = async (all: Crashed[]) => checked(await run(all.map(taskOf)));
  const once = await crash(singles);
  if (!pairs) return [...clean, ...once];
  const doubles = singles
    .filter(({ scenario, points }) => scenario.pairs && points.every(isTelling))
    .flatMap(single => {
      const [first] = single.points;
      const calls = once.find(({ name }) => name === nameOf(single))?.calls ?? [];
      return pointsOf(afterwards(calls, first, single.scenario.from), single.scenario.from)
        .filter(isTelling)
        .map(point => ({ scenario: single.scenario, points: [...single.points, point] }));
    });
  return [...clean, ...once, ...(await crash(doubles))];
}

/** A run in which no crash struck has shown nothing. The second of a pair may come to nothing: the first changes what follows. */
const checked = (outcomes: Outcome[]): Outcome[] =>
  outcomes.map(outcome => {
    const { crashBefore = 0, crashAfter = 0 } = outcome.struck;
    if (crashBefore + crashAfter > 0 || outcome.problems.length > 0) return outcome;
    return { ...outcome, problems: ['no crash struck'] };
  });

/** The task that a printed name stands for. */
export function crashTask(name: string): Task | undefined {
  const [wanted = '', ...rest] = name.split(' / ');
  const scenario = SCENARIOS.find(other => other.name === wanted);
  if (!scenario) return undefined;
  const points = rest.flatMap(text => {
    const [, when, skip, port] = /^(Before|After) (\d+) (gcp|kube)$/.exec(text) ?? [];
    return when
      ? [{ when: when as Point['when'], skip: Number(skip), port: port as Point['port'], isWrite: true }]
      : [];
  });
  return taskOf({ scenario, points });
}

interface Crashed {
  scenario: Scenario;
  points: Point[];
}

const nameOf = ({ scenario, points }: Crashed): string =>
  [scenario.name, ...points.map(({ when, skip, port }) => `${when} ${skip} ${port}`)].join(' / ');

function taskOf(crashed: Crashed): Task {
  const { scenario, points } = crashed;
  const faults = points.map(
    ({ port, skip, when }): Fault => ({ at: scenario.from - 1, fault: `crash${when}`, cluster: 0, port, skip }),
  );
  return { name: nameOf(crashed), script: { ...scenario.script, faults: [...scenario.script.faults, ...faults] } };
}

/** Calls of the scenario's own time: what comes long after is the same thing again, for ever. */
function pointsOf(calls: Outcome['calls'], from: number): Point[] {
  const points: Point[] = [];
  for (const port of ['gcp', 'kube'] as const) {
    const own = calls.filter(call => call.port === port && call.at >= from && call.at < from + SPAN_MS);
    for (const [skip, { kind }] of own.entries()) {
      const isWrite = kind === 'write';
      points.push({ port, skip, when: 'Before', isWrite }, { port, skip, when: 'After', isWrite });
    }
  }
  return points;
}
