#!/usr/bin/env node
import packageJson from '../../package.json' with { type: 'json' };
import { UsageError } from '../process/options.ts';
import { logLine, quoted } from '../tenant/printable.ts';
import { type Command, type Program, programOf } from './command.ts';
import { guardrailCommand } from './guardrail.ts';
import { importCommand } from './importCommand.ts';
import { nearest } from './nearest.ts';
import { planCommand } from './planCommand.ts';
import { printed } from './printed.ts';
import { statusCommand } from './statusCommand.ts';

/**
 * `aitenant COMMAND`, also as `kubectl aitenant COMMAND` and `npm run COMMAND`. It is bundled into one file for users and for the
 * operator's image (scripts/bundle.mjs).
 */

const COMMANDS: Record<string, Command> = {
  status: statusCommand,
  plan: planCommand,
  import: importCommand,
  guardrail: guardrailCommand,
};

function usage(program: Program): string {
  const commands = Object.entries({ ...COMMANDS, version: { summary: 'print the version' } });
  const lines = commands.map(([name, { summary }]) => `  ${name.padEnd(11)}${summary}`);
  const start = program.start('');
  return [
    `Usage: ${start} COMMAND [FLAG…]`,
    '',
    ...lines,
    '',
    `${start} COMMAND --help lists the flags of a command.`,
    'Exit codes: 0 done, 1 an error, 2 (plan, guardrail --check) there is something to change.',
    '',
  ].join('\n');
}

/** Answers with the exit code. `file`: the file that Node.js was started with. */
async function main([name = '', ...rest]: string[], file: string, env: NodeJS.ProcessEnv): Promise<number> {
  const program = programOf(name, file, env);
  const start = program.start('');
  const [topic] = rest;
  if (name === '') {
    process.stderr.write(usage(program));
    return 1;
  }
  if (name === '--help' || name === '-h' || (name === 'help' && (topic === undefined || topic.startsWith('-')))) {
    await printed(usage(program));
    return 0;
  }
  if (name === 'version' || name === '--version') {
    await printed(`aitenant ${packageJson.version}\n`);
    return 0;
  }
  if (name === 'help') return main([topic ?? '', '--help'], file, env);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    console.error(`${start}: ${unknownCommand(name, start)} See ${start} --help.`);
    return 1;
  }
  try {
    if (!asksForHelp(rest)) return await command.run(rest, { env, program });
    await printed(`${command.usage(program)}\n`);
    return 0;
  } catch (error) {
    const message = command.explained?.(error) ?? (error instanceof Error ? error.message : String(error));
    for (const line of `${name}: ${message}`.split('\n')) console.error(logLine(line));
    if (error instanceof UsageError) console.error(`See ${program.start(name)} --help.`);
    return 1;
  }
}

/** Whether `--help` is among the flags: help is given even if other flags are wrong. */
function asksForHelp(argv: string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? undefined : end).some(argument => argument === '--help' || argument === '-h');
}

function unknownCommand(name: string, start: string): string {
  if (name.startsWith('-')) return `the command comes first: ${start} COMMAND ${logLine(name)} …`;
  const meant = nearest(name, [...Object.keys(COMMANDS), 'version', 'help'], 1);
  return `there is no command ${quoted(name)}.${meant.length > 0 ? ` Did you mean ${meant}?` : ''}`;
}

// If nobody reads the output any more (`| head -1`), the rest is not printed. It is no error.
process.stdout.on('error', () => {});
const [, file = '', ...argv] = process.argv;
// No `await` at the top: the bundle is a CommonJS file, so that an old Node.js gets an understandable message.
main(argv, file, process.env)
  .catch((error: Error) => {
    console.error(logLine(`aitenant: ${error.message}`));
    return 1;
  })
  .then(code => {
    process.exitCode = code;
  });
