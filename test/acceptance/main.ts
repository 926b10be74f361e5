import { createInterface } from 'node:readline/promises';
import { acceptance } from './acceptance.ts';
import { cleanUpEarlierRuns } from './earlierRuns.ts';
import { type Options, readOptions, USAGE, UsageError } from './options.ts';
import { compareRecording } from './recording/compareRecording.ts';
import { shownText } from './shownText.ts';

/**
 * `npm run acceptance`. Exit codes: 0 everything was confirmed and passed, 1 something was refuted, failed or is left behind, 2 the
 * command line is wrong or the user declined.
 */

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2), process.env);
  if (options === 'help') {
    console.log(USAGE);
    return 0;
  }
  const print = (text: string) => console.log(shownText(text));
  if (options.compare !== undefined) return compareRecording(options.compare, options.allow, print);
  if (options.mode === 'cleanUp') return cleanUpEarlierRuns(options, process.env, print);
  const stopping = new AbortController();
  onSignals(options, stopping);
  const code = await acceptance(options, process.env, {
    print,
    confirm: () => confirmed(options),
    signal: stopping.signal,
  });
  return bugs > 0 ? 1 : code;
}

/** Bugs outside of every probe and step. */
let bugs = 0;

/** Ends the run, which then removes what it made, on Ctrl-C, on a bug, and when nobody reads its output any more. */
function onSignals({ project }: Options, stopping: AbortController): void {
  const left = `What is left: npm run acceptance -- --project ${project} --clean-up`;
  let signals = 0;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      signals++;
      if (signals > 1) {
        console.error(`Stopped at once. ${left}`);
        process.exit(1);
      }
      console.error('\nStopping, and removing what was made. Once more ends it at once and leaves it there.');
      stopping.abort();
    });
  }
  // A pipe that was closed, as by `| head`, or a terminal that is gone. Without a listener this would end the process.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => stopping.abort());
  process.on('uncaughtException', error => {
    bugs++;
    console.error(shownText(`A bug in the acceptance: ${error.message}`));
    if (bugs > 10) {
      console.error(left);
      process.exit(1);
    }
    stopping.abort();
  });
}

/** Asks for a confirmation, unless the options say yes. Throws `UsageError` if there is no terminal to ask at. */
async function confirmed({ yes, project }: Options): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new UsageError(
      `Nothing was made: there is no terminal to ask at. Write: npm run acceptance -- --project ${project} --yes`,
    );
  }
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await terminal.question('Start? [y/N] ');
  terminal.close();
  return /^y(es)?$/i.test(answer.trim());
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(shownText(error instanceof Error ? error.message : String(error)));
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
