import type { FactResult, Verdict } from '../fact.ts';

/**
 * Verdicts as they are committed beside this file, for docs/facts.md: `local.json` of the local Google Cloud, which a test keeps current, and
 * `google-cloud.json` of a real project, as `npm run acceptance -- --verdicts FILE` writes it.
 */
export interface Verdicts {
  /** The day on which the probes ran, `2026-11-27`. Absent: they have not run yet, or they run in every test. */
  on?: string;
  /** By the id of the fact. A fact that is absent was not probed. */
  verdicts: Record<string, Recorded>;
}

/** Why a fact could not be observed, or what was answered instead. */
type Recorded = 'confirmed' | { notObservable: string } | { refuted: string };

export function recorded(verdict: Verdict): Recorded {
  switch (verdict.verdict) {
    case 'confirmed':
      return 'confirmed';
    case 'notObservable':
      return { notObservable: verdict.why };
    case 'refuted':
      return { refuted: verdict.answered };
  }
}

/** The text of a file of verdicts. What names the project or the run is replaced. */
export function verdictsText(
  results: readonly Pick<FactResult, 'fact' | 'verdict'>[],
  run: { on?: string; project: string; projectNumber?: string; prefix: string },
): string {
  const verdicts = Object.fromEntries(results.map(({ fact, verdict }) => [fact.id, recorded(verdict)]));
  const content: Verdicts = { ...(run.on !== undefined && { on: run.on }), verdicts };
  return `${JSON.stringify(content, null, 2)}\n`
    .replaceAll(run.prefix, 'PREFIX')
    .replaceAll(run.project, 'PROJECT')
    .replaceAll(run.projectNumber ?? run.project, 'NUMBER');
}
