import { hostname, userInfo } from 'node:os';
import { mustBeWritable, type Options, UsageError } from '../options.ts';
import type { Session } from '../session.ts';
import { unfitProject } from './cleaner.ts';
import { createRecorder, unfinished } from './recorder.ts';

/**
 * `--record FILE`: writes the exchanges of the run from now on. Answers with what ends it and says what was written; false: the recording is
 * not complete. A file that cannot be written any more does not stop the run, which has yet to remove what it made. Throws `UsageError` if
 * the file cannot be written at all, or the project's id is one that cannot be taken out.
 */
export function recordRun({ record: file }: Options, session: Session, print: (text: string) => void): () => boolean {
  if (file === undefined) return () => true;
  const { project, prefix, regions, log } = session;
  const unfit = unfitProject(project);
  if (unfit !== undefined) throw new UsageError(`${unfit} Run without --record, or on another project.`);
  const names = [hostname(), nameOfUser()];
  mustBeWritable('record', file);
  const recorder = createRecorder(file, { project, prefix, names, region: regions[0] });
  let problem: string | undefined;
  const attempt = (act: () => void): void => {
    try {
      if (problem === undefined) act();
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error);
    }
  };
  const stop = log.listen(exchange => attempt(() => recorder.add(exchange)));
  return () => {
    stop();
    attempt(() => {
      print(`\n${recorder.close()} exchanges are in ${file}. Compare them with the local Google Cloud:`);
      print(`  npm run acceptance -- --compare ${file}`);
    });
    if (problem !== undefined) {
      print(
        `\nThe recording is not complete: ${problem}. What there is of it is in ${unfinished(file)}, cleaned only once.`,
      );
    }
    return problem === undefined;
  };
}

/** Empty if the machine has no user of that number, as in some containers. */
function nameOfUser(): string {
  try {
    return userInfo().username;
  } catch {
    return '';
  }
}
