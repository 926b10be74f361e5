import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import { valueNode } from '../../operator/cli/importCommand.ts';
import { AS_KUBECTL } from '../../operator/kube/kubectlYaml.ts';

/** YAML of manifests, held against the kubectl of this machine; without one against what kubectl 1.34 answered. */

const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
const folder = mkdtempSync(join(tmpdir(), 'yaml-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function readByKubectl(spec: string): unknown {
  const file = join(folder, 'a.yaml');
  writeFileSync(file, `apiVersion: ai-platform.dev/v1alpha1\nkind: AiTenant\nmetadata: { name: a }\nspec:\n${spec}`);
  const out = execFileSync('kubectl', ['label', '--local', '-f', file, 'a=b', '-o', 'json'], { encoding: 'utf8' });
  return (JSON.parse(out) as { spec: unknown }).spec;
}

const TRICKY = [
  ...[
    'yes',
    'Yes',
    'YES',
    'no',
    'on',
    'Off',
    'y',
    'N',
    'true',
    'False',
    'null',
    'Null',
    '~',
    '',
    ' a',
    'a ',
    '.nan',
    '.inf',
    '-.inf',
  ],
  ...[
    '010',
    '0o10',
    '0x1F',
    '0b11',
    '1_000',
    '1:30',
    '12:30:45',
    '1e3',
    '1E400',
    '.5',
    '5.',
    '+1',
    '-1',
    '1.5:2',
    '0',
    '00',
    '1__0',
  ],
  ...[
    '2001-01-01',
    '2001-12-14t21:59:43.10-05:00',
    '=',
    '<<',
    '*a',
    '&a',
    '!a',
    '%a',
    '@a',
    '`a',
    '- a',
    '? a',
    ': a',
    'a: b',
    'a #b',
  ],
  ...[
    '#a',
    '[a',
    '{a',
    '"a',
    "'a",
    'a\nb',
    'a\tb',
    '\u0085',
    '\u2028',
    '\ufeff',
    'é',
    '😀',
    '---',
    '...',
    '|',
    '>',
    '\u007f',
    '\u001b',
  ],
];

describe('a value that import prints', () => {
  test('is the same text for kubectl and for YAML 1.2', () => {
    const random = fc.sample(
      fc.oneof(fc.string(), fc.string({ unit: 'grapheme' }), fc.stringMatching(/^[-+.:_0-9eExob~]{1,8}$/)),
      300,
    );
    const values = [...TRICKY, ...random].filter(value => value.isWellFormed());
    const yaml = `${values.map(value => `  - ${valueNode(value)}`).join('\n')}\n`;
    expect(parseDocument(yaml).toJS()).toEqual(values);
    expect(parseDocument(yaml, AS_KUBECTL).toJS()).toEqual(values);
    if (hasKubectl) expect(readByKubectl(yaml)).toEqual(values);
  });
});

describe('a value that plan reads', () => {
  const READ: [text: string, value: unknown][] = [
    ['yes', true],
    ['Off', false],
    ['y', true],
    ['010', 8],
    ['0x1F', 31],
    ['0b11', 3],
    ['0o12', 10],
    ['-0O1_7', -15],
    ['+0X1f', 31],
    ['-0B11', -3],
    ['08', 8],
    ['1_000', 1000],
    ['1:30', '1:30'],
    ['2001-01-01', '2001-01-01'],
    ['~', null],
    ['nope', 'nope'],
    ['E7', 'E7'],
    ['e-4', 'e-4'],
    ['1e3', 1000],
    ['{ a: 1, a: 2 }', { a: 2 }],
    ['{ <<: { a: 1 }, b: 2 }', { a: 1, b: 2 }],
  ];

  test.each(READ)('%s is what kubectl makes of it', (text, value) => {
    expect(parseDocument(`v: ${text}\n`, AS_KUBECTL).toJS()).toEqual({ v: value });
  });

  test('was made of it by the kubectl of this machine', () => {
    const yaml = READ.map(([text], i) => `  v${i}: ${text}\n`).join('');
    const values = Object.fromEntries(READ.map(([, value], i) => [`v${i}`, value]));
    expect(parseDocument(yaml, AS_KUBECTL).toJS()).toEqual(values);
    if (hasKubectl) expect(readByKubectl(yaml)).toEqual(values);
  });
});
