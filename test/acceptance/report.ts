import { styleText } from 'node:util';
import { answerIn, type Exchange } from './exchange.ts';
import type { FactResult, Verdict } from './fact.ts';
import type { StepResult } from './life/life.ts';

/** How the verdict is shown. */
const WORDS: Record<Verdict['verdict'], { word: string; color: 'green' | 'red' | 'yellow' }> = {
  confirmed: { word: 'confirmed', color: 'green' },
  refuted: { word: 'REFUTED', color: 'red' },
  notObservable: { word: 'not observable', color: 'yellow' },
};

/** One line of progress for a fact, with the calls if it was refuted. */
export function factLine({ fact, verdict, exchanges, ms }: FactResult): string {
  const { word, color } = WORDS[verdict.verdict];
  const head = `${styleText(color, word.padEnd(14))}  ${fact.id}${fact.unsure ? ' (?)' : ''}  ${seconds(ms)}`;
  const more = reasonOf(verdict);
  if (more === undefined) return head;
  const calls = verdict.verdict === 'refuted' ? callLines(exchanges).map(line => `\n      ${line}`) : [];
  return `${head}\n    ${more}${calls.join('')}`;
}

const reasonOf = (verdict: Verdict): string | undefined =>
  verdict.verdict === 'refuted' ? verdict.answered : verdict.verdict === 'notObservable' ? verdict.why : undefined;

/** The calls without those that say the same as the one before: a probe that waits reads one thing again and again. */
const callLines = (exchanges: readonly Exchange[]): string[] =>
  exchanges.map(callLine).filter((line, index, all) => line !== all[index - 1]);

const callLine = (exchange: Exchange): string =>
  `${exchange.method} ${exchange.url} → ${answerIn(exchange).slice(0, 160)}`;

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** The numbers of verdicts by section, as a table. */
export function factTable(results: readonly FactResult[]): string {
  const sections = [...Map.groupBy(results, ({ fact }) => fact.section)];
  const count = (of: readonly FactResult[], verdict: Verdict['verdict']) =>
    String(of.filter(result => result.verdict.verdict === verdict).length);
  const row = (name: string, of: readonly FactResult[]) => [
    name,
    count(of, 'confirmed'),
    count(of, 'refuted'),
    count(of, 'notObservable'),
  ];
  return table([
    ['facts', 'confirmed', 'refuted', 'not observable'],
    ...sections.map(([section, of]) => row(section, of)),
    row('all', results),
  ]);
}

const OUTCOMES: Record<StepResult['outcome'], { word: string; color: 'green' | 'red' | 'yellow' }> = {
  passed: { word: 'passed', color: 'green' },
  failed: { word: 'FAILED', color: 'red' },
  skipped: { word: 'skipped', color: 'yellow' },
};

/** One line of progress for a step, with the rules that do not hold. */
export function stepLine({ step, outcome, why, checks, ms }: StepResult): string {
  const { word, color } = OUTCOMES[outcome];
  const head = `${styleText(color, word.padEnd(14))}  life: ${step.id}. ${step.text}  ${seconds(ms)}`;
  const broken = checks.filter(({ holds }) => !holds).map(({ rule, found }) => `\n    not so: ${rule}; read: ${found}`);
  return `${head}${why === undefined ? '' : `\n    ${why}`}${broken.join('')}`;
}

/** The steps with the number of rules that were checked, as a table. */
export function stepTable(results: readonly StepResult[]): string {
  const count = ({ checks }: StepResult, holds: boolean) =>
    String(checks.filter(check => check.holds === holds).length);
  return table([
    ['life of a tenant', 'outcome', 'rules held', 'broken', 'seconds'],
    ...results.map(result => [
      result.step.id,
      OUTCOMES[result.outcome].word,
      count(result, true),
      count(result, false),
      (result.ms / 1000).toFixed(1),
    ]),
  ]);
}

/** Columns as wide as their widest cell; the first one to the left, the others to the right. */
function table(rows: string[][]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)));
  return rows
    .map(row =>
      row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0))),
    )
    .map(cells => cells.join('  ').trimEnd())
    .join('\n');
}
