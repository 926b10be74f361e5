import { type ParseArgsConfig, parseArgs } from 'node:util';
import { flagsLostToNpm } from '../../ports/npmFlags.ts';
import { flagProblem, UsageError } from '../process/options.ts';
import { quoted } from '../tenant/printable.ts';
import { nearest } from './nearest.ts';

/** What the commands of `aitenant` have in common. */

export interface Command {
  /** One line for `aitenant --help`. */
  summary: string;
  usage(program: Program): string;
  /** Resolves to the exit code. Throws `UsageError` for wrong flags. */
  run(argv: string[], context: Context): Promise<number>;
  /** The message of an error, if it is more than the error's own. It may have several lines. */
  explained?(error: unknown): string;
}

export interface Context {
  env: NodeJS.ProcessEnv;
  program: Program;
}

/** How the user started this program. */
export interface Program {
  /** What to type before the flags of a command: `aitenant plan`, `kubectl aitenant plan` or `npm run plan --`. */
  start(command: string): string;
  /** npm started it, and npm may have taken flags for itself. */
  byNpm: boolean;
}

/** The scripts of package.json whose output is meant for a file: npm's own lines must not be in it. */
const QUIET = ['import', 'plan', 'status'];

/** `file`: the file that was started, `process.argv[1]`. npm names its script in `npm_lifecycle_event`. */
export function programOf(command: string, file: string, env: NodeJS.ProcessEnv): Program {
  if (env.npm_lifecycle_event === command) {
    return { start: name => `npm run ${QUIET.includes(name) ? '-s ' : ''}${name} --`, byNpm: true };
  }
  // kubectl runs the plug-in `kubectl-aitenant` for `kubectl aitenant` (kubectl documentation, "Extend kubectl with plugins").
  const isPlugin = /(?:^|[\\/])kubectl-aitenant(?:\.\w+)?$/.test(file);
  return { start: name => (isPlugin ? `kubectl aitenant ${name}` : `aitenant ${name}`).trimEnd(), byNpm: false };
}

type Flags = NonNullable<ParseArgsConfig['options']>;

/** Parses a command's flags, as `parseArgs` does. Throws `UsageError`, which names the flag that may have been meant. */
export function parsedFlags<T extends Flags>(args: string[], options: T) {
  try {
    return parseArgs({ args, options, strict: true, allowPositionals: true });
  } catch (error) {
    throw new UsageError(withSuggestion(flagProblem(error), Object.keys(options)));
  }
}

/** Adds the flag that may have been meant to the message about an unknown one. */
export function withSuggestion(message: string, flags: string[]): string {
  const [, unknown] = /^Unknown option '--?([^']+)'/.exec(message) ?? [];
  const [meant] = unknown === undefined ? [] : nearest(unknown, flags, 1);
  return meant === undefined ? message : `${message}. Did you mean --${meant}?`;
}

/** Throws `UsageError` if npm took a flag of this command for itself. `own`: the command's flags. */
export function checkNpm(
  { env, program }: Context,
  own: string[],
  argv: string[],
  positionals: string[],
  example: string,
): void {
  if (!program.byNpm) return;
  const lost = flagsLostToNpm(env, own, argv, positionals, program.start(env.npm_lifecycle_event ?? ''), example);
  if (lost !== undefined) throw new UsageError(lost);
}

/** Throws `UsageError` for arguments of a command that takes none. */
export function checkNoArguments([first]: string[]): void {
  if (first !== undefined) throw new UsageError(`What is ${quoted(first)}? All arguments are flags here.`);
}
