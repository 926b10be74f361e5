import { type ParseArgsConfig, parseArgs } from 'node:util';

/**
 * A script's options: `--help` prints `help` and ends with exit code 0; an option that there is not ends with a line that names it and
 * exit code 2.
 */
export function commandLine<T extends ParseArgsConfig>(help: string, config: T): ReturnType<typeof parseArgs<T>> {
  if (process.argv.slice(2).includes('--help')) {
    console.log(help);
    process.exit(0);
  }
  try {
    return parseArgs(config);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\nSee --help.`);
    process.exit(2);
  }
}
