import { appendFileSync, closeSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import type { Json, JsonObject } from '../../../ports/json.ts';
import { type Exchange, isObject, isTooDeep } from '../exchange.ts';
import { type Cleaner, createCleaner, type Known, unfitProject } from './cleaner.ts';

/** The first line of a recording: what a replay needs to know. The names are those of the recording. */
export interface RecordingHead {
  recording: 1;
  project: string;
  number: string;
  prefix?: string;
  region?: string;
}

export interface Recorder {
  /** Writes the exchange to the file at once, so that a run that is killed leaves what it had. */
  add(exchange: Exchange): void;
  /**
   * Cleans the whole file again with everything that was found until the end: what an early line had in a text may have been told to be
   * sensitive by a later one. Answers with the number of exchanges.
   */
  close(): number;
}

/** Where the exchanges stand until the recording is closed: a file that was not cleaned to the end must not be taken for one that was. */
export const unfinished = (file: string): string => `${file}.unfinished`;

/** Records exchanges, cleaned (`cleaner.ts`), to a file, which is overwritten. Throws if the project's exchanges cannot be cleaned. */
export function createRecorder(file: string, known: Known & { region?: string }): Recorder {
  const unfit = unfitProject(known.project);
  if (unfit !== undefined) throw new Error(`${unfit} Record on another project.`);
  const cleaner = createCleaner(known);
  const head: RecordingHead = {
    recording: 1,
    project: 'project-1',
    number: 'number-1',
    ...(known.prefix !== undefined && { prefix: known.prefix }),
    ...(known.region !== undefined && { region: known.region }),
  };
  const open = unfinished(file);
  rmSync(open, { force: true });
  closeSync(openSync(open, 'wx', 0o600));
  let count = 0;
  const write = (line: object) => appendFileSync(open, `${JSON.stringify(line)}\n`);
  write(head);
  return {
    add(exchange) {
      write(cleaner.exchange(exchange));
      count++;
    },
    close() {
      writeFileSync(`${file}.new`, cleanedAgain(readFileSync(open, 'utf8'), cleaner), { mode: 0o600 });
      renameSync(`${file}.new`, file);
      rmSync(open);
      return count;
    },
  };
}

function cleanedAgain(text: string, cleaner: Cleaner): string {
  const [head = '', ...lines] = text.trimEnd().split('\n');
  const exchanges = lines.map(line => cleaner.exchange(JSON.parse(line) as Exchange));
  return `${[head, ...exchanges.map(exchange => JSON.stringify(exchange))].join('\n')}\n`;
}

/** Reads a recording. Throws with the number of the line that is none. */
export function readRecording(file: string): { head: RecordingHead; exchanges: Exchange[] } {
  const lines = readFileSync(file, 'utf8').split('\n');
  const parsed = lines.flatMap((line, index) => (line.trim() === '' ? [] : [parsedLine(line, file, index + 1)]));
  const [first, ...rest] = parsed;
  const fits = first?.recording === 1 && typeof first.project === 'string' && typeof first.number === 'string';
  if (!fits) throw new Error(`${file}: line 1 is not the head of a recording, {"recording":1,"project":…,"number":…}.`);
  for (const [index, one] of rest.entries()) {
    const problem = problemOf(one);
    if (problem !== undefined) throw new Error(`${file}: the exchange ${index + 1} ${problem}.`);
  }
  return { head: first as unknown as RecordingHead, exchanges: rest as unknown as Exchange[] };
}

/** What makes an exchange one that cannot be replayed. A recording may come from anybody. */
function problemOf({ method, url, status, when, body, requestHeaders }: JsonObject): string | undefined {
  if (typeof method !== 'string' || typeof url !== 'string' || typeof status !== 'number')
    return 'has no method, url or status';
  if (!/^(GET|POST|PUT|PATCH|DELETE)$/.test(method)) return `has the method ${JSON.stringify(method.slice(0, 20))}`;
  if (!URL.canParse(url)) return 'has a url that is none';
  if (typeof when !== 'string' || Number.isNaN(Date.parse(when))) return 'has no time in when';
  if (body === undefined) return 'has no body';
  const headers = requestHeaders ?? {};
  const isMap = isObject(headers) && Object.values(headers).every(value => typeof value === 'string');
  return isMap ? undefined : 'has requestHeaders that are no map of texts';
}

function parsedLine(line: string, file: string, number: number): JsonObject {
  try {
    const value = JSON.parse(line) as Json;
    if (isTooDeep(value)) throw new Error('too deep');
    if (isObject(value)) return value;
  } catch {
    // Told below.
  }
  throw new Error(`${file}: line ${number} is not a JSON object.`);
}
