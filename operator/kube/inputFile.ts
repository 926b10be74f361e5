import { accessSync, closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';

/** Reads a file that a user has named: a manifest, a kubeconfig. Such a path may also name a folder, a pipe or an endless device. */

/** The most bytes of a file, which is about 50,000 tenants. A larger file is a mistake, and one such as /dev/zero never ends. */
const MOST_BYTES = 16 * 1024 * 1024;
/** How long a pipe may stay without a program that writes into it. */
const WRITER_MS = 3_000;
const PAUSE_MS = 20;

/** The message says in words what is wrong. `code` is Node.js's code, such as ENOENT, if the system refused the file. */
export class InputFileError extends Error {
  readonly code: string | undefined;
  constructor(message: string, code?: string) {
    super(message);
    this.code = code;
  }
}

const WORDS: Record<string, string> = {
  ENOENT: 'there is no such file or folder',
  EACCES: 'you have no permission to read it',
  EISDIR: 'this is a folder',
  ENOTDIR: 'a part of this path is a file, not a folder',
  ELOOP: 'its symbolic links lead in a circle',
  ENAMETOOLONG: 'this name is too long for a file',
  ENXIO: 'this is a socket or a device without a driver, not a file',
};

/** The bytes of the file, or of standard input for 0. Throws `InputFileError`, also for a file of more than 16 MiB. */
export function readInputFile(path: string | 0): Buffer {
  try {
    // Without O_NONBLOCK, a pipe that no program writes into would block here for ever.
    const file = path === 0 ? 0 : openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      return bytesOf(file, path !== 0 && fstatSync(file).isFIFO());
    } finally {
      if (file !== 0) closeSync(file);
    }
  } catch (error) {
    throw inWords(error);
  }
}

/** Throws `InputFileError` if the file cannot be read. Nothing is read, because what is in a pipe can be read only once. */
export function checkReadable(path: string): void {
  try {
    accessSync(path, constants.R_OK);
  } catch (error) {
    throw inWords(error);
  }
}

function inWords(error: unknown): InputFileError {
  if (error instanceof InputFileError) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new InputFileError(WORDS[code] ?? message, code);
}

/** The text of a file. As in kubectl, a byte order mark selects UTF-8 or UTF-16. Throws `InputFileError` if it is no text. */
export function textOf(bytes: Buffer): string {
  const encoding =
    bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : 'utf-8';
  let text: string;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    throw new InputFileError('this is not UTF-8 text; save it as UTF-8');
  }
  if (text.includes('\0'))
    throw new InputFileError('it holds NUL characters, as UTF-16 without its mark does; save it as UTF-8');
  return text;
}

function bytesOf(file: number, isPipe: boolean): Buffer {
  const chunks: Buffer[] = [];
  let waitedMs = 0;
  for (let size = 0; ; ) {
    const chunk = Buffer.alloc(256 * 1024);
    const length = readNow(file, chunk);
    // A pipe has no end before a program has written into it: the program may not have been started yet.
    if (length === undefined || (length === 0 && isPipe && size === 0)) {
      waitedMs = length === undefined ? 0 : waitedMs + PAUSE_MS;
      if (waitedMs > WRITER_MS) throw new InputFileError('this is a pipe, and no program has written into it for 3 s');
      pause(PAUSE_MS);
      continue;
    }
    if (length === 0) return Buffer.concat(chunks);
    size += length;
    if (size > MOST_BYTES) throw new InputFileError('it is larger than 16 MiB, so it is not the file that was meant');
    chunks.push(chunk.subarray(0, length));
  }
}

/** The number of bytes that could be read; undefined if there are none yet. */
function readNow(file: number, chunk: Buffer): number | undefined {
  try {
    return readSync(file, chunk);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}

const pause = (ms: number): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
