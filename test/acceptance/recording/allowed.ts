import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { DIFFERENCE_KINDS, type DifferenceKind } from './differences.ts';
import type { Replayed } from './replay.ts';

/** A difference that is known and accepted, with its reason. */
export interface Allowed {
  /** The request, `GET /v2/projects/*`: `*` stands for any text. */
  request: string;
  /** The path in the answer, with `*` too. Default: all of them. */
  path?: string;
  /** Default: all kinds. */
  kind?: DifferenceKind;
  reason: string;
}

/** Reads a list in YAML. Throws with the number of the entry that is not one. */
export function readAllowed(file: string): Allowed[] {
  const given: unknown = parse(readFileSync(file, 'utf8')) ?? [];
  if (!Array.isArray(given)) throw new Error(`${file}: this is not a list.`);
  return given.map((entry: unknown, index) => {
    const problem = problemOf(entry);
    if (problem) throw new Error(`${file}: the entry ${index + 1} ${problem}.`);
    return entry as Allowed;
  });
}

function problemOf(entry: unknown): string | undefined {
  if (typeof entry !== 'object' || entry === null) return 'is not an object';
  const { request, reason, kind, path, ...rest } = entry as Record<string, unknown>;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) return `has an unknown field ${unknown}`;
  if (typeof request !== 'string') return 'has no request, such as "GET /v2/projects/*"';
  if (typeof reason !== 'string' || reason.trim() === '') return 'has no reason';
  if (path !== undefined && typeof path !== 'string') return 'has a path that is not a text';
  const isKind = kind === undefined || DIFFERENCE_KINDS.some(one => one === kind);
  return isKind ? undefined : `has a kind that is none of ${DIFFERENCE_KINDS.join(', ')}`;
}

/** Takes the allowed differences out. Answers with what is left, and how many each entry took. */
export function withoutAllowed(
  replayed: Replayed[],
  allowed: Allowed[],
): { left: Replayed[]; taken: { entry: Allowed; count: number }[] } {
  const taken = allowed.map(entry => ({ entry, count: 0 }));
  const left = replayed.map(one => ({
    ...one,
    differences: one.differences.filter(({ kind, path }) => {
      const found = taken.find(
        ({ entry }) =>
          patternOf(entry.request).test(requestLine(one)) &&
          (entry.kind === undefined || entry.kind === kind) &&
          patternOf(entry.path ?? '*').test(path),
      );
      if (found) found.count++;
      return found === undefined;
    }),
  }));
  return { left, taken };
}

const patternOf = (text: string): RegExp =>
  new RegExp(`^${text.replace(/[\\^$.+?()[\]{}|]/g, '\\$&').replaceAll('*', '.*')}$`);

/** `GET /v2/…`, without the host. */
export function requestLine({ recorded: { method, url } }: Replayed): string {
  return `${method} ${url.replace(/^https?:\/\/[^/]+/, '')}`;
}
