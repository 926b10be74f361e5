import { isMainThread, parentPort, Worker } from 'node:worker_threads';
import { run } from './run.ts';
import type { Script } from './script.ts';
import { kindOf } from './shrink.ts';

/** What came of one run, without its timeline. */
export interface Outcome {
  name: string;
  problems: string[];
  kind?: string;
  writes: number;
  settledMs: number;
  struck: Record<string, number>;
  /** The calls that each run made, for who wants to strike at them. */
  calls: { at: number; port: 'gcp' | 'kube'; kind: 'read' | 'write' }[];
}

export interface Task {
  name: string;
  script: Script;
}

/** Tasks handed to a worker at a time. */
const BATCH = 8;

/** Runs them all, on so many threads; `until` (performance.now()) nothing more is begun after. In any order. */
export async function runAll(
  tasks: Task[],
  options: { workers: number; until?: number; bail?: boolean; onProgress?: (done: Outcome[]) => void },
): Promise<Outcome[]> {
  const { workers, until = Number.POSITIVE_INFINITY, bail = false, onProgress } = options;
  if (tasks.length <= BATCH) return inThisThread(tasks);
  const queue = [...tasks];
  const outcomes: Outcome[] = [];
  const work = () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL(import.meta.url));
      const next = () => {
        const over = performance.now() >= until || (bail && outcomes.some(({ problems }) => problems.length > 0));
        const batch = !over ? queue.splice(0, bail ? 2 : BATCH) : [];
        if (batch.length === 0) void worker.terminate().then(() => resolve());
        else worker.postMessage(batch);
      };
      worker.on('message', (done: Outcome[]) => {
        outcomes.push(...done);
        onProgress?.(outcomes);
        next();
      });
      worker.on('error', reject);
      next();
    });
  await Promise.all(Array.from({ length: Math.max(1, workers) }, work));
  return outcomes;
}

async function inThisThread(tasks: Task[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const { name, script } of tasks) outcomes.push(await outcomeOf(name, script));
  return outcomes;
}

/** What was thrown outside any promise of the run under way, such as a failed assertion in a timer. */
let uncaught: string[] = [];

async function outcomeOf(name: string, script: Script): Promise<Outcome> {
  uncaught = [];
  try {
    const result = await run(script);
    const { writes, settledMs, struck } = result;
    const problems = [...uncaught, ...result.problems];
    const calls = result.calls.map(({ at, port, kind }) => ({ at, port, kind }));
    return { name, problems, kind: kindOf(result), writes, settledMs, struck, calls };
  } catch (error) {
    const text = error instanceof Error ? String(error.stack) : String(error);
    return { name, problems: [text], kind: text.slice(0, 60), writes: 0, settledMs: 0, struck: {}, calls: [] };
  }
}

if (!isMainThread) {
  process.on('uncaughtException', error =>
    uncaught.push(`uncaught: ${error instanceof Error ? error.stack : String(error)}`),
  );
  parentPort?.on('message', async (tasks: Task[]) => parentPort?.postMessage(await inThisThread(tasks)));
}
