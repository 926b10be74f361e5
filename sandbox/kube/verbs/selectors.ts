import { labelValueErrors, qualifiedNameErrors } from '../../../schema/names.ts';
import { badRequest } from '../status.ts';

type Matcher = (labels: Record<string, string>) => boolean;

/** A label selector (`a=b,c!=d,e in (f,g),!h`) as a predicate. Throws a 400 Status. */
export function labelSelector(text: string | undefined): Matcher {
  if (!text?.trim()) return () => true;
  const unable = (why: string) => badRequest(`unable to parse requirement: ${why}`);
  const checkKey = (key: string) => {
    const errors = qualifiedNameErrors(key);
    if (errors.length) throw unable(`<nil>: Invalid value: "${key}": ${errors.join('; ')}`);
  };
  const matchers: Matcher[] = splitOutsideParentheses(text).map(part => {
    const term = part.trim();
    const set = /^(\S+)\s+(in|notin)\s*\(([^)]*)\)$/.exec(term);
    const compare = /^([^=!<>\s]+)\s*(==|=|!=|>|<)\s*(.*)$/.exec(term);
    const [, key = '', operator = '', rest = ''] = set ?? compare ?? [];
    if (set || compare) {
      const values = set ? rest.split(',').map(value => value.trim()) : [rest.trim()];
      checkKey(key);
      if (/^[=!<>]/.test(rest)) throw unable(`found '${rest[0]}', expected: identifier`);
      values.forEach((value, index) => {
        const errors = labelValueErrors(value);
        if (errors.length) throw unable(`values[${index}][${key}]: Invalid value: "${value}": ${errors.join('; ')}`);
      });
      if (operator === '>' || operator === '<') {
        const bound = Number(values[0]);
        return labels => {
          const value = labels[key] === undefined ? Number.NaN : Number(labels[key]);
          return operator === '>' ? value > bound : value < bound;
        };
      }
      const positive = operator === 'in' || operator === '=' || operator === '==';
      return labels => {
        const value = labels[key];
        return value === undefined ? !positive : values.includes(value) === positive;
      };
    }
    const absent = term.startsWith('!');
    const bare = absent ? term.slice(1).trim() : term;
    const [, stray, next = ''] = bare.split(/\s+/);
    if (stray === 'in' || stray === 'notin') throw unable(`found '${next}' expected: '('`);
    if (stray) throw unable(`found '${stray}', expected: in, notin, =, ==, !=, gt, lt`);
    checkKey(bare);
    return labels => (labels[bare] === undefined) === absent;
  });
  return labels => matchers.every(matches => matches(labels));
}

function splitOutsideParentheses(text: string): string[] {
  return text.match(/(?:\([^)]*\)|[^,(])+/g) ?? [];
}

/** One term of a field selector. */
export interface FieldTerm {
  field: string;
  equal: boolean;
  value: string;
}

/** A field selector (`metadata.name=a,type!=b`) as terms. Throws a 400 Status. */
export function fieldSelector(text: string | undefined): FieldTerm[] {
  if (!text) return [];
  return (text.match(/(?:\\.|[^,\\])+/g) ?? []).map(term => {
    const parts = /^((?:\\.|[^=!\\])+)(==|=|!=)(.*)$/.exec(term);
    if (!parts) throw badRequest(`invalid selector: '${term}'; can't understand '${term}'`);
    const [, field = '', operator, value = ''] = parts;
    return { field, equal: operator !== '!=', value: value.replace(/\\([\\,=])/g, '$1') };
  });
}
