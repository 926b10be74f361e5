import { closeSync, openSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { isProjectId, isRegion } from '../../operator/tenant/names.ts';
import { flagsLostToNpm } from '../../ports/npmFlags.ts';
import { isPrefix } from './names.ts';

export interface Options {
  mode: 'run' | 'cleanUp' | 'compare';
  project: string;
  region: string;
  secondRegion?: string;
  yes: boolean;
  prefix?: string;
  expensive: boolean;
  /** The ids of the facts to probe. Absent: all. */
  facts?: string[];
  only?: 'facts' | 'life';
  /** The file into which the verdicts are written. */
  verdicts?: string;
  /** The folder of the journals. */
  state: string;
  /** The file to which the exchanges of the run are written. */
  record?: string;
  /** The recording to replay, and the list of differences that are allowed. */
  compare?: string;
  allow?: string;
}

/** The command line is wrong. The message says what to write instead. */
export class UsageError extends Error {}

export const USAGE = `Usage: npm run acceptance -- --project P [OPTION…]

Checks every fact about Google Cloud that the operator rests on, and leads one tenant through its life, in project P.
Everything it makes has one random prefix and an expiry, and is removed at the end. It asks before it starts.

  --project P           the project
  --region R            the region of the services (asia-northeast1)
  --second-region R2    the region to which the tenant moves; without it, it does not move
  --yes                 do not ask; needed if there is no terminal
  --only facts|life     only the facts, or only the life of a tenant
  --facts ID,…          only these facts
  --expensive           also the facts of quota and size
  --verdicts FILE       write the verdicts into this file, without what names the project: docs/facts.md is made of it
  --clean-up            only remove what earlier runs left: those whose journal is here, and what has expired
  --prefix PREFIX       the prefix, acc- and 8 characters, instead of a random one; with --clean-up: only what has this
                        prefix, expired or not
  --state DIR           the folder of the journals (.acceptance)
  --record FILE         write every exchange to FILE, with stable names in the place of whatever is sensitive
  --compare FILE        send the requests of such a file to a local Google Cloud, and print what it answers differently; needs no
                        project and makes nothing anywhere
  --allow FILE          with --compare: the differences that are known (allowed.yaml in the folder of the recording)
  --help                this page

Credentials: Application Default Credentials. CLOUDSDK_API_ENDPOINT_OVERRIDES_RUN, …_SECRETMANAGER and …_IAM name other
addresses; an http:// address means plain text without credentials, as for the local Google Cloud of npm run sandbox.

Exit code 0: everything was confirmed and passed, or could not be observed. 1: something was refuted, failed or is left
behind, or an answer differs from the recorded one. 2: the command line is wrong, or you declined.`;

const FLAGS = {
  project: { type: 'string' },
  region: { type: 'string' },
  'second-region': { type: 'string' },
  yes: { type: 'boolean' },
  only: { type: 'string' },
  facts: { type: 'string' },
  expensive: { type: 'boolean' },
  verdicts: { type: 'string' },
  'clean-up': { type: 'boolean' },
  prefix: { type: 'string' },
  state: { type: 'string' },
  record: { type: 'string' },
  compare: { type: 'string' },
  allow: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Throws `UsageError`. */
export function readOptions(args: string[], env: Record<string, string | undefined>): Options | 'help' {
  const { values, positionals } = parsed(args);
  if (values.help) return 'help';
  // npm sets the variables of these two also for itself.
  const own = Object.keys(FLAGS).filter(name => name !== 'prefix' && name !== 'yes');
  const start = 'npm run acceptance --';
  const lost = flagsLostToNpm(env, own, args, positionals, start, `${start} --project my-project`);
  if (lost !== undefined) throw new UsageError(lost);
  const [unknown] = positionals;
  if (unknown !== undefined) throw new UsageError(`What is ${JSON.stringify(unknown)}? All arguments are flags here.`);
  const { compare, allow } = values;
  if (allow !== undefined && compare === undefined) throw new UsageError('--allow FILE needs --compare FILE.');
  const { project = '', region = 'asia-northeast1', 'second-region': secondRegion, only, prefix, facts } = values;
  if (compare === undefined && !isProjectId(project))
    throw new UsageError('Name the project by its id: --project my-project');
  for (const [flag, value] of [
    ['region', region],
    ['second-region', secondRegion],
  ] as const) {
    if (value !== undefined && !isRegion(value))
      throw new UsageError(`--${flag} ${value} is not a region such as asia-northeast1.`);
  }
  if (region === secondRegion) throw new UsageError('--second-region must be another region than --region.');
  if (only !== undefined && only !== 'facts' && only !== 'life')
    throw new UsageError(`--only ${only} must be --only facts or --only life.`);
  if (prefix !== undefined && !isPrefix(prefix))
    throw new UsageError(`--prefix ${prefix} is not a prefix such as acc-k3x9w2ab.`);
  return {
    mode: compare === undefined ? (values['clean-up'] ? 'cleanUp' : 'run') : 'compare',
    project,
    region,
    secondRegion,
    yes: values.yes ?? false,
    prefix,
    expensive: values.expensive ?? false,
    facts: facts?.split(',').map(id => id.trim()),
    only,
    verdicts: values.verdicts,
    state: values.state ?? '.acceptance',
    record: values.record,
    compare,
    allow,
  };
}

/** Throws `UsageError` if a file cannot be written: a run must not find that at its end. */
export function mustBeWritable(flag: string, file: string): void {
  try {
    closeSync(openSync(file, 'a', 0o600));
  } catch (error) {
    throw new UsageError(`--${flag} ${file} cannot be written: ${error instanceof Error ? error.message : error}`);
  }
}

function parsed(args: string[]) {
  try {
    return parseArgs({ args, options: FLAGS, strict: true, allowPositionals: true });
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    throw new UsageError(said.replace(/\. To specify a positional argument .*/s, '.'));
  }
}
