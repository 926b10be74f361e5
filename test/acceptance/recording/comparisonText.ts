import type { Json } from '../../../ports/json.ts';
import { answerIn, type Exchange } from '../exchange.ts';
import { type Allowed, requestLine } from './allowed.ts';
import { DIFFERENCE_KINDS, type Difference, KIND_TITLES } from './differences.ts';
import type { Replayed } from './replay.ts';

/** Columns of the table; a longer value is shortened in the middle. */
const VALUE = 46;
const REQUEST = 300;

/** The differences for people: one block for each exchange that has some, and a summary. */
export function comparisonText(replayed: Replayed[], taken: { entry: Allowed; count: number }[]): string {
  const different = replayed.filter(({ differences }) => differences.length > 0);
  return [...different.map(block), summary(replayed, taken)].join('\n');
}

function block(one: Replayed): string {
  const { recorded, present, differences } = one;
  const { id, requestBody, by } = recorded;
  const lines = [`Exchange ${id} (${by}): ${requestLine(one)}`];
  if (requestBody !== undefined) lines.push(`  sent      ${shortened(JSON.stringify(requestBody), REQUEST)}`);
  lines.push(`  recorded  ${answerLine(recorded)}`);
  if (present) lines.push(`  now       ${answerLine(present)}`);
  lines.push('', ...table(differences), '');
  return lines.join('\n');
}

const answerLine = (exchange: Exchange): string =>
  exchange.status >= 400 || exchange.status === 0
    ? answerIn(exchange)
    : `HTTP ${exchange.status}: ${shortened(JSON.stringify(exchange.body), REQUEST)}`;

function table(differences: Difference[]): string[] {
  const rows = differences.map(({ kind, path, recorded, present }) => {
    const [before, now] = apart(text(recorded), text(present));
    return [KIND_TITLES[kind], path, before, now];
  });
  const all = [['difference', 'where', 'recorded', 'now'], ...rows];
  const widths = [0, 1, 2].map(column => Math.max(...all.map(row => row[column]?.length ?? 0)));
  return all.map(row => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd());
}

const text = (value: Json | undefined): string =>
  value === undefined ? '-' : typeof value === 'string' ? value : JSON.stringify(value);

/** The two values from shortly before the place where they begin to differ. */
function apart(recorded: string, present: string): [string, string] {
  if (recorded.length <= VALUE && present.length <= VALUE) return [recorded, present];
  let same = 0;
  while (same < Math.min(recorded.length, present.length) && recorded[same] === present[same]) same++;
  const from = Math.max(0, same - 12);
  const cut = (value: string) => shortened(from > 0 ? `…${value.slice(from)}` : value, VALUE);
  return [cut(recorded), cut(present)];
}

function shortened(value: string, most: number): string {
  const line = value.replace(/\s+/g, ' ');
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

function summary(replayed: Replayed[], taken: { entry: Allowed; count: number }[]): string {
  const sent = replayed.filter(({ present }) => present !== undefined);
  const count = (part: Replayed['part']) => replayed.filter(one => one.part === part).length;
  const different = replayed.filter(({ differences }) => differences.length > 0).length;
  const kinds = DIFFERENCE_KINDS.flatMap(kind => {
    const found = replayed.flatMap(({ differences }) => differences).filter(one => one.kind === kind).length;
    return found > 0 ? [`${found} × ${KIND_TITLES[kind]}`] : [];
  });
  const left = [
    [count('sentAgain'), 'writes that were refused and sent again'],
    [count('unanswered'), 'without an answer'],
    [count('elsewhere'), 'to a service or another API'],
  ].flatMap(([number, what]) => (number === 0 ? [] : [`${number} ${what}`]));
  return [
    `${sent.length} of ${replayed.length} exchanges were replayed${left.length > 0 ? `, not: ${left.join(', ')}` : ''}.`,
    ...taken.map(({ entry: { request, path = '*', reason }, count: number }) =>
      number > 0
        ? `Allowed ${number} ×: ${request}, ${path}: ${reason}`
        : `Not needed any more: the allowed difference ${request}, ${path}`,
    ),
    different === 0 ? 'No difference.' : `${different} exchanges differ: ${kinds.join(', ')}.`,
  ].join('\n');
}
