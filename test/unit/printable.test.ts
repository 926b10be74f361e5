import fc from 'fast-check';
import { expect, test } from 'vitest';
import { escaped, logLine } from '../../operator/tenant/printable.ts';

const NASTY = [
  '::error file=a::b',
  '##[error]',
  '##vso[task.x]',
  "##teamcity[buildStop comment='x']",
  '\n',
  '\r',
  '\u001b[2J',
  '\u009b',
  '\u202e',
  '\u2028',
  ' ',
  ':',
  '#',
  '[',
];
const text = fc.array(fc.oneof(fc.constantFrom(...NASTY), fc.string({ unit: 'binary' }))).map(parts => parts.join(''));

test('a line for a log is one line without control characters, and no command to a CI system', () => {
  fc.assert(
    fc.property(text, value => {
      const line = logLine(value);
      expect(line).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u);
      expect(line.trimStart()).not.toMatch(/^::/);
      expect(line).not.toMatch(/##(?:\[|vso\[|teamcity\[)/);
    }),
  );
});

test('escaped JSON has the same value and nothing that a terminal or a CI system obeys', () => {
  fc.assert(
    fc.property(text, value => {
      const json = escaped(JSON.stringify({ value }, null, 2));
      expect(JSON.parse(json)).toEqual({ value });
      expect(json.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/u);
      expect(json).not.toMatch(/##(?:\[|vso\[|teamcity\[)/);
    }),
  );
});
