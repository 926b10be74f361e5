import { addTo, measure, type Reached, startCoverage } from './coverage.ts';

/**
 * A coverage-guided fuzzer on V8's own counters: an input that reaches code of ours that none before it reached is kept
 * and changed further. (jazzer.js 4.0.0 is the usual one for JavaScript; its fuzzer is built for glibc 2.38, which the
 * Debian of our image does not have yet.)
 */

export interface Target {
  name: string;
  /** Inputs to begin with, and words that a parser looks for. */
  seeds: string[];
  words: string[];
  /** Throws where something does not hold for the input. */
  run(input: string): void;
}

export interface Found {
  name: string;
  runs: number;
  /** Inputs that were kept because they reached something new, the seeds included. */
  kept: number;
  /** Characters of source reached, of those of the functions that were entered. */
  reached: number;
  of: number;
  failure?: { input: string; error: unknown };
}

/** Inputs between two questions to V8. */
const BATCH = 32;

const reachedBy = startCoverage(url => /\/(?:operator|backend|schema)\/|fuzzed/.test(url));

/** Runs a target until `enough` says so or an input fails, which is then made as short as it can be. */
export function fuzz(target: Target, random: () => number, enough: (runs: number) => boolean): Found {
  const known: Reached = new Map();
  const corpus: string[] = [];
  let runs = 0;
  let failure: Found['failure'];

  function run(input: string): void {
    if (failure) return;
    runs++;
    try {
      target.run(input);
    } catch (error) {
      failure = shrunk(target, input, error);
    }
  }

  const isNew = (input: string) => {
    const reached = reachedBy(() => run(input));
    return addTo(known, reached);
  };

  for (const seed of target.seeds) {
    isNew(seed);
    corpus.push(seed);
  }
  while (!failure && !enough(runs)) {
    const inputs = Array.from({ length: BATCH }, () => changed(corpus, target.words, random));
    // Asking V8 is what takes time: it is asked for one input only where a batch of them reached something new.
    const together = reachedBy(() => inputs.forEach(run));
    const copy = new Map([...known].map(([place, source]) => [place, source.slice()]));
    if (!addTo(copy, together)) continue;
    for (const input of inputs) if (isNew(input)) corpus.push(input);
    // What only all of them reached, one after the other, is not news again.
    addTo(known, together);
  }
  return { name: target.name, runs, kept: corpus.length, ...measure(known), ...(failure && { failure }) };
}

const ODD = [
  '',
  ' ',
  '\n',
  '\u0000',
  '\u202e',
  'é',
  '😀',
  '\ud800',
  '..',
  '/',
  '%2f',
  '%',
  '*',
  '"',
  '\\',
  '{',
  '}',
  '[',
  ']',
  ':',
  ',',
  '-',
  '+',
  '0',
  '1',
  '9007199254740993',
  '1e999',
  '-1',
  'null',
  'true',
  '__proto__',
  'constructor',
  'NaN',
];

/** One of the inputs so far with one to four changes. */
function changed(corpus: string[], words: string[], random: () => number): string {
  const below = (n: number) => Math.floor(random() * n);
  const pick = (from: string[]) => from[below(from.length)] ?? '';
  // The newest are the least explored.
  let text = random() < 0.5 ? (corpus.at(-1 - below(Math.min(8, corpus.length))) ?? '') : pick(corpus);
  for (let times = 1 + below(4); times > 0; times--) {
    const [from, length] = [below(text.length + 1), below(8)];
    const rest = text.slice(from + length);
    const tree = below(2) === 0 ? changedTree(text, words, below) : undefined;
    if (tree !== undefined) {
      text = tree;
      continue;
    }
    switch (below(7)) {
      case 0:
        text = text.slice(0, from) + rest;
        break;
      case 1:
        text = text.slice(0, from) + pick(words) + text.slice(from);
        break;
      case 2:
        text = text.slice(0, from) + pick(ODD) + rest;
        break;
      case 3:
        text = text.slice(0, from) + String.fromCharCode(below(random() < 0.8 ? 128 : 65_536)) + text.slice(from + 1);
        break;
      case 4:
        text =
          text.slice(0, from) + text.slice(from, from + length).repeat(1 + below(random() < 0.05 ? 1_000 : 4)) + rest;
        break;
      case 5:
        text = text.slice(0, from) + pick(corpus).slice(below(20));
        break;
      default:
        text = text.slice(0, from) + pick(words) + rest;
    }
  }
  return text.slice(0, 200_000);
}

/** One value of a JSON text left out, replaced, or repeated up to 2,000 times; undefined: it is no JSON. */
function changedTree(source: string, words: string[], below: (n: number) => number): string | undefined {
  if (!/^[[{]/.test(source)) return undefined;
  const places: (() => void)[] = [];
  const text = words[below(words.length)]?.replaceAll('"', '') ?? '';
  const odd = [null, '', 0, -1, 1e308, true, [], {}, 'x'.repeat(5_000), { [text]: text }, [text], text, text, text];
  const change = (holder: Record<string, unknown> | unknown[], key: string) => {
    const [way, at] = [below(3), Number(key)];
    if (way === 0) Array.isArray(holder) ? holder.splice(at, 1) : delete holder[key];
    else if (way === 1 && Array.isArray(holder)) {
      holder.splice(at, 0, ...Array(1 + below(below(10) === 0 ? 2_000 : 3)).fill(holder[at]));
    } else Reflect.set(holder, key, odd[below(odd.length)]);
  };
  const walk = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    const holder = value as Record<string, unknown> | unknown[];
    for (const [key, child] of Object.entries(holder)) {
      places.push(() => change(holder, key));
      walk(child);
    }
  };
  try {
    const value: unknown = JSON.parse(source);
    walk(value);
    places[below(places.length)]?.();
    return JSON.stringify(value);
  } catch {
    return undefined;
  }
}

/** The same failure with as little input as leaving pieces out gives. */
function shrunk(target: Target, input: string, error: unknown): { input: string; error: unknown } {
  let best = { input, error };
  for (let size = Math.ceil(input.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.input.length; ) {
      const shorter = best.input.slice(0, at) + best.input.slice(at + size);
      try {
        target.run(shorter);
        at += size;
      } catch (thrown) {
        best = { input: shorter, error: thrown };
      }
    }
  }
  return best;
}

/** mulberry32 (Tommy Ettinger, public domain). */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
