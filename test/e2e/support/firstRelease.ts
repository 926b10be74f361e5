import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KUBERNETES_VERSION } from '../../../sandbox/envtest/binaries.ts';

/**
 * The part of a rule in the CRD of version 0.1.0 whose estimated cost is over the limit of Kubernetes 1.31, in both ways to quote it.
 * So no such cluster can have that CRD as it was.
 */
const COSTLY = /self\.matches\(('{1,2})\^\[1-9\]\[0-9\]\{0,17\}\$\1\)/g;

/**
 * The text of a YAML file in `test/e2e/fixtures` that has the CRD of version 0.1.0. If the tests run on an older Kubernetes
 * (`npm run test:envtest -- --kubernetes 1.31`), the text is without the part that it refuses. Throws if the file has no such part.
 */
export function firstRelease(file: string): string {
  const text = readFileSync(fileURLToPath(new URL(`../fixtures/${file}`, import.meta.url)), 'utf8');
  const accepted = text.replaceAll(COSTLY, 'size(self) > 0');
  if (accepted === text) throw new Error(`${file} does not have the costly rule of 0.1.0`);
  return process.env[KUBERNETES_VERSION] ? accepted : text;
}
