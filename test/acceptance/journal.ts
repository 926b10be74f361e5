import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
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
  /** The entry is on the disk when this returns. */
  write(entry: Omit<JournalEntry, 'at'>): void;
  entries(): JournalEntry[];
  /** Everything is gone, so the file is not needed any more. */
  remove(): void;
}

const fileOf = (folder: string, prefix: string): string => join(folder, `${prefix}.jsonl`);

export function openJournal(folder: string, header: Header): Journal {
  mkdirSync(folder, { recursive: true });
  const entries = new Map<string, JournalEntry>();
  const append = (value: object): void => {
    const file = openSync(fileOf(folder, header.prefix), 'a', 0o600);
    try {
      writeSync(file, `${JSON.stringify(value)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  };
  return {
    write({ kind, id, region }) {
      if (entries.size === 0) append(header);
      const entry = { kind, id, ...(region && { region }), at: Date.now() };
      append(entry);
      entries.set(`${kind} ${id} ${region ?? ''}`, entry);
    },
    entries: () => [...entries.values()],
    remove: () => rmSync(fileOf(folder, header.prefix), { force: true }),
  };
}
