import { appendFileSync, closeSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { JsonObject } from '../../../ports/json.ts';
import type { Exchange } from '../exchange.ts';
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
  closeSync(openSync(file, 'w', 0o600));
  let count = 0;
  const write = (line: object) => appendFileSync(file, `${JSON.stringify(line)}\n`);
  write(head);
  return {
    add(exchange) {
      write(cleaner.exchange(exchange));
      count++;
    },
    close() {
      writeFileSync(`${file}.new`, cleanedAgain(readFileSync(file, 'utf8'), cleaner), { mode: 0o600 });
      renameSync(`${file}.new`, file);
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
    const isExchange = typeof one.method === 'string' && typeof one.url === 'string' && typeof one.status === 'number';
    if (!isExchange) throw new Error(`${file}: the exchange ${index + 1} has no method, url or status.`);
  }
  return { head: first as unknown as RecordingHead, exchanges: rest as unknown as Exchange[] };
}

function parsedLine(line: string, file: string, number: number): JsonObject {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as JsonObject;
  } catch {
    // Told below.
  }
  throw new Error(`${file}: line ${number} is not a JSON object.`);
}
