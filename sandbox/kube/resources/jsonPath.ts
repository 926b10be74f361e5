import { JSONPath } from 'jsonpath-plus';

/**
 * Kubernetes' JSONPath (`.status.conditions[?(@.type=="Ready")].status`) over jsonpath-plus: the root `$` is implied
 * and dots in a key are escaped (`.metadata.annotations.example\.com/x`). Answers all matches; none where a step is
 * missing or the path makes no sense.
 */
export function jsonPath(path: string, object: object): unknown[] {
  try {
    const options = { path: translated(path), json: object, eval: 'safe', ignoreEvalErrors: true, wrap: true } as const;
    return JSONPath(options) as unknown[];
  } catch {
    return [];
  }
}

const cache = new Map<string, string>();

function translated(path: string): string {
  let done = cache.get(path);
  if (done === undefined) {
    const steps = path.replace(/^\$/, '').match(/\.\.|\.?\[(?:[^[\]]|\[[^\]]*\])*\]|\.?(?:\\.|[^.[\\])+/g) ?? [];
    done = `$${steps.map(step => translatedStep(step)).join('')}`;
    cache.set(path, done);
  }
  return done;
}

function translatedStep(step: string): string {
  if (step === '..') return step;
  const bare = step.replace(/^\./, '');
  if (bare.startsWith('[')) return bare;
  if (bare === '*') return '[*]';
  return `['${bare.replace(/\\(.)/g, '$1').replaceAll("'", "\\'")}']`;
}
