import { closeSync, type FSWatcher, fstatSync, mkdirSync, openSync, readSync, watch } from 'node:fs';
import { dirname } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import type { Runtime } from '../../../ports/runtime.ts';
import type { LoggedLine } from '../contracts.ts';

/**
 * The last lines that instances have printed, with the time at which each was seen. Instances print into files; the book follows the
 * files, so that no instance depends on this process reading its output.
 */
export interface LogBook {
  /** Follows the log of a revision from its present end on. The returned function ends that; what was read stays. */
  follow(service: string, revision: string, file: string): () => void;
  /** The lines that are kept, the oldest first. */
  lines(): LoggedLine[];
  /** Ends the following of every log. */
  close(): void;
}

/** The book keeps this many lines of a revision, and the lines of this many revisions. */
const MOST_LINES = 1000;
const MOST_REVISIONS = 200;
/** A longer line is cut, in characters: an entry of Cloud Logging has at most 256 KB. */
const LONGEST_LINE = 64_000;

interface Followed {
  service: string;
  revision: string;
  fd: number;
  /** Bytes read so far. */
  position: number;
  decoder: StringDecoder;
  /** The beginning of a line that has not ended yet. */
  rest: string;
  lines: LoggedLine[];
  watcher?: FSWatcher;
  ended: boolean;
}

export function createLogBook(runtime: Pick<Runtime, 'now'>): LogBook {
  const followed: Followed[] = [];
  const buffer = Buffer.alloc(64 * 1024);
  let sequence = 0;

  function take(one: Followed, text: string): void {
    const lines = (one.rest + text).split('\n');
    one.rest = (lines.pop() ?? '').slice(0, LONGEST_LINE);
    const { service, revision } = one;
    for (const line of lines.filter(line => line !== '')) {
      one.lines.push({ sequence: ++sequence, service, revision, at: runtime.now(), text: line.slice(0, LONGEST_LINE) });
    }
    one.lines.splice(0, Math.max(0, one.lines.length - MOST_LINES));
  }

  function read(one: Followed): void {
    if (one.ended) return;
    for (;;) {
      const length = readSync(one.fd, buffer, 0, buffer.length, one.position);
      if (length === 0) return;
      one.position += length;
      take(one, one.decoder.write(buffer.subarray(0, length)));
    }
  }

  function end(one: Followed): void {
    if (one.ended) return;
    read(one);
    one.ended = true;
    one.watcher?.close();
    closeSync(one.fd);
    for (const old of followed.filter(({ ended }) => ended).slice(0, Math.max(0, followed.length - MOST_REVISIONS))) {
      followed.splice(followed.indexOf(old), 1);
    }
  }

  return {
    follow(service, revision, file) {
      try {
        mkdirSync(dirname(file), { recursive: true });
        const fd = openSync(file, 'a+');
        const { size: position } = fstatSync(fd);
        const decoder = new StringDecoder('utf8');
        const one: Followed = { service, revision, fd, position, decoder, rest: '', lines: [], ended: false };
        followed.push(one);
        one.watcher = watch(file, { persistent: false }, () => read(one));
        one.watcher.on('error', () => {});
        return () => end(one);
      } catch {
        // A file that cannot be made fails the instance that would print into it.
        return () => {};
      }
    },
    lines() {
      for (const one of followed) read(one);
      return followed.flatMap(({ lines }) => lines).sort((a, b) => a.sequence - b.sequence);
    },
    close() {
      for (const one of [...followed]) end(one);
    },
  };
}
