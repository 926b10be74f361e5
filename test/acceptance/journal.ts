import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NamedKind } from './fact.ts';

/**
 * What a run is about to make, one JSON object a line, written to the disk before the first call that makes it. A run that is killed
 * leaves the file behind, and a later clean-up removes what it names.
 */

/** One thing that a run may have made. */
export interface JournalEntry {
  kind: NamedKind;
  id: string;
  /** Of a service. */
  region?: string;
  /** Milliseconds since the epoch of the last call that may have made it. */
  at: number;
}

export interface Header {
  project: string;
  prefix: string;
  /** Seconds since the epoch. */
  expires: string;
  regions: string[];
  /** The number of the process, by which a clean-up knows that the run is still going on. */
  pid: number;
}

export interface Journal {
  /** An earlier run with this prefix has left its journal here. */
  isOld: boolean;
  /** The entry is on the disk when this returns. */
  write(entry: Omit<JournalEntry, 'at'>): void;
  entries(): JournalEntry[];
  /** Everything is gone, so the file is not needed any more. */
  remove(): void;
}

const fileOf = (folder: string, prefix: string): string => join(folder, `${prefix}.jsonl`);

/** The folder and the file are made by the first entry: a clean-up makes nothing, so that it works in a folder that cannot be written. */
export function openJournal(folder: string, header: Header): Journal {
  const path = fileOf(folder, header.prefix);
  const isOld = existsSync(path);
  const entries = new Map<string, JournalEntry>();
  /** The last write failed, so that half a line may stand at the end of the file. */
  let isTorn = false;
  const append = (value: object): void => {
    mkdirSync(folder, { recursive: true });
    const file = openSync(path, 'a', 0o600);
    const start = isTorn ? '\n' : '';
    isTorn = true;
    try {
      // It goes on until everything is written; `writeSync` may write a part where the disk is nearly full, and says so only by a number.
      writeFileSync(file, `${start}${JSON.stringify(value)}\n`);
      fsyncSync(file);
      isTorn = false;
    } finally {
      closeSync(file);
    }
  };
  let hasHeader = isOld;
  return {
    isOld,
    write({ kind, id, region }) {
      if (!hasHeader) append(header);
      hasHeader = true;
      const entry = { kind, id, ...(region && { region }), at: Date.now() };
      append(entry);
      entries.set(`${kind} ${id} ${region ?? ''}`, entry);
    },
    entries: () => [...entries.values()],
    remove: () => rmSync(path, { force: true }),
  };
}
