import { invalid } from '../../errors.ts';

/**
 * True if labels match a selector of Kubernetes: `a=b`, `a == b`, `a != b`, `a`, `!a`, `a in (b, c)`, joined by commas. gcloud puts
 * spaces around `=`. Throws INVALID_ARGUMENT.
 */
export function matchesSelector(selector: string, labels: Record<string, string>): boolean {
  return requirements(selector).every(text => matches(text, labels));
}

/** The parts between commas that do not stand in parentheses. */
const requirements = (selector: string): string[] =>
  selector
    .split(/,(?![^(]*\))/)
    .map(part => part.trim())
    .filter(Boolean);

function matches(text: string, labels: Record<string, string>): boolean {
  const [, key = '', operator, value = ''] = /^([\w./-]+)\s*(?:(==|=|!=)\s*([\w.-]*))?$/.exec(text) ?? [];
  if (operator === '=' || operator === '==') return labels[key] === value;
  if (operator === '!=') return labels[key] !== value;
  if (key) return Object.hasOwn(labels, key);
  const [, absent] = /^!\s*([\w./-]+)$/.exec(text) ?? [];
  if (absent) return !Object.hasOwn(labels, absent);
  const [, name = '', not, list = ''] = /^([\w./-]+)\s+(not)?\s*in\s*\(([^)]*)\)$/.exec(text) ?? [];
  if (!name) throw invalid(`labelSelector: '${text}' cannot be parsed.`);
  const isListed = list.split(',').some(one => one.trim() === labels[name]);
  return not ? !isListed : isListed;
}
