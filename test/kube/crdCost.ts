import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { findCostEstimator, OLDER } from '../../sandbox/envtest/binaries.ts';

/**
 * `node test/kube/crdCost.ts`: prints what the rules of crds/aitenants.yaml cost by the estimates of the oldest and the newest Kubernetes,
 * which refuse a CRD over their limits. Exit code 1: a rule or the sum costs more than half of its limit.
 */

const CRD = new URL('../../crds/aitenants.yaml', import.meta.url);

interface Report {
  expressionLimit: number;
  sumLimit: number;
  expressions: { path: string; kind: 'rule' | 'messageExpression'; text: string; cost: number }[];
}

interface Estimate {
  kubernetes: string;
  /** As a share of the limit of one rule, the costliest first. */
  expressions: { path: string; text: string; share: number }[];
  /** As a share of the limit of all rules together. */
  sum: number;
}

/** The estimates of each tested version of Kubernetes. Throws `NoBinariesError` if Go is needed and is not installed. */
export async function crdCosts(): Promise<Estimate[]> {
  const crd = JSON.stringify(parse(readFileSync(CRD, 'utf8')));
  const estimates: Estimate[] = [];
  for (const version of [...OLDER, undefined]) {
    const program = await findCostEstimator(version);
    const { status, stdout, stderr } = spawnSync(program, { input: crd, encoding: 'utf8' });
    if (status !== 0) throw new Error(stderr);
    estimates.push(estimate(version ?? 'newest', JSON.parse(stdout) as Report));
  }
  return estimates;
}

const estimate = (kubernetes: string, { expressions, expressionLimit, sumLimit }: Report): Estimate => ({
  kubernetes,
  expressions: expressions
    .map(({ path, kind, text, cost }) => ({ path: `${path} ${kind}`, text, share: cost / expressionLimit }))
    .sort((a, b) => b.share - a.share),
  sum: expressions.reduce((sum, { cost }) => sum + cost, 0) / sumLimit,
});

const percent = (share: number): string => `${(share * 100).toFixed(1).padStart(5)} %`;

/** One line for the sum, and one for each of the five costliest expressions. */
export const costLines = ({ kubernetes, expressions, sum }: Estimate): string[] => [
  `Kubernetes ${kubernetes}: ${expressions.length} expressions cost ${percent(sum).trim()} of the limit of all`,
  ...expressions.slice(0, 5).map(({ path, text, share }) => `  ${percent(share)} ${path}: ${text.slice(0, 80)}`),
];

if (import.meta.main) {
  for (const one of await crdCosts()) {
    console.log(costLines(one).join('\n'));
    if (one.sum > 0.5 || one.expressions.some(({ share }) => share > 0.5)) process.exitCode = 1;
  }
}
