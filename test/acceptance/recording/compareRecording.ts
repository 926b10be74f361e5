import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Allowed, readAllowed, withoutAllowed } from './allowed.ts';
import { comparisonText } from './comparisonText.ts';
import { readRecording } from './recorder.ts';
import { replay } from './replay.ts';

/** The list of allowed differences beside a recording. */
const ALLOWED = 'allowed.yaml';

/**
 * `--compare FILE`: replays the recording against a local Google Cloud and prints what differs. Without `allow`, the list `allowed.yaml` in
 * the recording's folder is used if there is one. Answers with the exit code: 1 if something differs.
 */
export async function compareRecording(
  file: string,
  allow: string | undefined,
  print: (text: string) => void,
): Promise<number> {
  const recording = readRecording(file);
  const beside = join(dirname(file), ALLOWED);
  const list = allow ?? (existsSync(beside) ? beside : undefined);
  const allowed: Allowed[] = list === undefined ? [] : readAllowed(list);
  const { left, taken } = withoutAllowed(await replay(recording), allowed);
  print(comparisonText(left, taken));
  return left.some(({ differences }) => differences.length > 0) ? 1 : 0;
}
