import { hostname, userInfo } from 'node:os';
import { type Options, UsageError } from '../options.ts';
import type { Session } from '../session.ts';
import { unfitProject } from './cleaner.ts';
import { createRecorder } from './recorder.ts';

/**
 * `--record FILE`: writes the exchanges of the run from now on. Answers with what ends it and says what was written. Throws `UsageError` if
 * the project's id is one that cannot be taken out.
 */
export function recordRun({ record: file }: Options, session: Session, print: (text: string) => void): () => void {
  if (file === undefined) return () => {};
  const { project, prefix, regions, log } = session;
  const unfit = unfitProject(project);
  if (unfit !== undefined) throw new UsageError(`${unfit} Run without --record, or on another project.`);
  const names = [hostname(), nameOfUser()];
  const recorder = createRecorder(file, { project, prefix, names, region: regions[0] });
  const stop = log.listen(recorder.add);
  return () => {
    stop();
    print(`\n${recorder.close()} exchanges are in ${file}. Compare them with the local Google Cloud:`);
    print(`  npm run acceptance -- --compare ${file}`);
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
