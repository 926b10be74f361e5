import { readFileSync } from 'node:fs';
import { Ajv2020, type SchemaObject } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import MarkdownIt from 'markdown-it';
import { describe, expect, test } from 'vitest';
import { asMarkdown } from '../../operator/cli/planMarkdown.ts';
import { asJson, asText, summaryOf } from '../../operator/cli/planOutput.ts';
import type { State, TenantResult } from '../../operator/cli/planTenant.ts';
import type { Step } from '../../operator/tenant/types.ts';

/** The output of `plan` for whatever a manifest, the cluster or Google Cloud may contain. */

const HOSTILE = [
  '```',
  '````\n# heading',
  '</code></details><img src=https://example.com/x.png>',
  '@octocat @org/team',
  '| a | b |',
  '\n\n![x](https://example.com/x.png)',
  '<!-- aitenant-plan -->',
  '&lt;b&gt;',
  'www.example.com',
  'https://example.com',
  '\r\n~~~\r\n',
  '\u2028[link](javascript:alert(1))',
  '\u202eevil',
  '::error::x',
  '##[command]x',
  '#1 fixes #2',
  '<script>alert(1)</script>',
];
const text = fc.oneof(
  fc.constantFrom(...HOSTILE),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc
    .array(fc.constantFrom(...HOSTILE, ' ', '`', '\n', '<', '*', '_', '|'), { maxLength: 6 })
    .map(parts => parts.join('')),
);
const ACTIONS: Step['verb'][] = ['Create', 'Update', 'Grant', 'Revoke', 'Delete', 'Adopt', 'Abandon'];
const STATES: State[] = ['unchanged', 'changes', 'blocked', 'suspended', 'deleting', 'unread'];
const result: fc.Arbitrary<TenantResult> = fc.record(
  {
    namespace: text,
    name: text,
    state: fc.constantFrom(...STATES),
    project: text,
    projectFrom: text,
    steps: fc.array(
      fc.record({
        action: fc.constantFrom(...ACTIONS),
        target: text,
        changes: fc.array(fc.record({ field: text, from: text, to: text }, { requiredKeys: ['field'] }), {
          maxLength: 3,
        }),
      }),
      { maxLength: 3 },
    ),
    blocked: fc.array(fc.record({ reason: fc.constantFrom('InvalidSpec', 'Held'), message: text }), { maxLength: 2 }),
    notes: fc.array(text, { maxLength: 2 }),
  },
  { requiredKeys: ['namespace', 'name', 'state', 'steps', 'blocked', 'notes'] },
);
const results = fc.array(result, { maxLength: 4 });

const tenant = (over: Partial<TenantResult> = {}): TenantResult => ({
  namespace: 'team-a',
  name: 'tenant-a',
  state: 'changes',
  project: 'demo-project',
  steps: [{ action: 'Create', target: 'service account sa-tenant-a', changes: [{ field: 'access', to: 'Public' }] }],
  blocked: [],
  notes: [],
  ...over,
});

/** As GitHub reads it: with HTML, tables and addresses that become links. */
const markdown = new MarkdownIt({ html: true, linkify: true });

/** What the reader's browser gets, without the content of code. A code element has no HTML in it, or it would not be replaced. */
const outside = (comment: string): string => markdown.render(comment).replaceAll(/<code[^<>]*>[^<>]*<\/code>/g, 'CODE');

const COUNTS = '\\d+ to add, \\d+ to change, \\d+ to remove';
/** Everything that may be there besides code. */
const OWN_WORDS = new RegExp(
  `^<h3>(?:There is no AiTenant here\\.|Plan(?: of what could be read)?: ${COUNTS}(?:; \\d+ of \\d+ tenants blocked)?\\.)</h3>\n` +
    '(?:<p><strong>The plan is incomplete: \\d+ of \\d+ tenants could not be read\\. It reads with your own credentials\\.</strong></p>\n)?' +
    `(?:<details(?: open)?>\n<summary>CODE: ${COUNTS}(?:, blocked|, not read)?</summary>\n<pre>CODE</pre>\n</details>\n*)*` +
    '(?:<p>Nothing to change: CODE(?:, CODE)*\\.</p>\n)?$',
);

describe('Markdown', () => {
  test('whatever a value contains, it stays in code: no heading, link, picture, HTML or mention', () => {
    fc.assert(
      fc.property(results, list => {
        expect(outside(asMarkdown(list))).toMatch(OWN_WORDS);
      }),
      { numRuns: 500 },
    );
  });

  test.each(HOSTILE)('%j as everything', hostile => {
    const comment = asMarkdown([
      tenant({
        namespace: hostile,
        name: hostile,
        project: hostile,
        projectFrom: hostile,
        steps: [{ action: 'Update', target: hostile, changes: [{ field: hostile, from: hostile, to: hostile }] }],
        blocked: [{ reason: 'InvalidSpec', message: hostile }],
        notes: [hostile],
      }),
    ]);
    const html = markdown.render(comment);
    expect(html.match(/<details/g)).toHaveLength(1);
    expect(html.match(/<pre>/g)).toHaveLength(1);
    expect(html).not.toMatch(/<(?:img|a|script)\b/);
    expect(html.replaceAll(/<code[^>]*>[\s\S]*?<\/code>/g, '')).not.toMatch(/octocat|example|@|evil/);
    expect(comment).not.toMatch(/[\r\u2028\u202e]/);
    expect(comment).not.toMatch(/^::|##\[/m);
  });

  test('a tenant of each kind', () => {
    const comment = asMarkdown([
      tenant(),
      tenant({ name: 'tenant-b', state: 'unchanged', steps: [] }),
      tenant({
        name: 'tenant-c',
        state: 'unread',
        steps: [],
        blocked: [{ reason: 'PermissionDenied', message: 'Cannot read x' }],
      }),
      tenant({ name: 'tenant-d', state: 'unchanged', steps: [], notes: ['a note'] }),
    ]);
    expect(comment).toBe(
      [
        '### Plan of what could be read: 1 to add, 0 to change, 0 to remove.',
        '',
        '**The plan is incomplete: 1 of 4 tenants could not be read. It reads with your own credentials.**',
        '',
        '<details open>',
        '<summary><code>team-a/tenant-a in project demo-project</code>: 1 to add, 0 to change, 0 to remove</summary>',
        '',
        '```diff',
        '+ Create service account sa-tenant-a',
        '    access: Public',
        '```',
        '',
        '</details>',
        '',
        '<details open>',
        '<summary><code>team-a/tenant-c in project demo-project</code>: 0 to add, 0 to change, 0 to remove, not read</summary>',
        '',
        '```diff',
        '! PermissionDenied: Cannot read x',
        '```',
        '',
        '</details>',
        '',
        '<details>',
        '<summary><code>team-a/tenant-d in project demo-project</code>: 0 to add, 0 to change, 0 to remove</summary>',
        '',
        '```diff',
        'Nothing to change.',
        '# a note',
        '```',
        '',
        '</details>',
        '',
        'Nothing to change: <code>team-a/tenant-b</code>.',
      ].join('\n'),
    );
  });

  test('a plan that is too long for a comment says what is left out', () => {
    const changes = Array.from({ length: 2_000 }, (_, i) => ({ field: `env.VARIABLE_${i}`, to: 'x'.repeat(40) }));
    const long = tenant({ name: 'long', steps: [{ action: 'Create', target: 'service', changes }] });
    const many = Array.from({ length: 1_000 }, (_, i) => tenant({ name: `tenant-${i}` }));
    const comment = asMarkdown([long, ...many]);
    expect(Buffer.byteLength(comment)).toBeLessThan(61_000);
    expect(comment).toContain('<code>team-a/long in project demo-project</code>: 1 to add');
    expect(comment).toContain('They do not fit into a comment');
    expect(comment).toMatch(/\n\d+ more tenants do not fit into a comment\./);
    expect(comment.startsWith(`### ${summaryOf([long, ...many])}`)).toBe(true);
  });
});

describe('JSON', () => {
  const schema = JSON.parse(
    readFileSync(new URL('../../schemas/plan.v1.schema.json', import.meta.url), 'utf8'),
  ) as SchemaObject;
  const ajv = new Ajv2020({ strict: true, allErrors: true });
  const validate = ajv.compile(closed(schema));

  test('follows its schema, and has no field that the schema lacks', () => {
    fc.assert(
      fc.property(results, list => {
        validate(JSON.parse(asJson(list)));
        expect(validate.errors).toBeNull();
      }),
    );
  });

  test.each([
    ['another version', { schemaVersion: 2 }],
    ['an unknown state', { tenants: [{ ...tenant(), state: 'fine' }] }],
    ['a missing list', { tenants: [{ ...tenant(), notes: undefined }] }],
    ['a field that the schema lacks', { tenants: [{ ...tenant(), more: 1 }] }],
  ])('the schema refuses %s', (_, over) => {
    const output = { ...JSON.parse(asJson([tenant()])), ...over };
    expect(validate(JSON.parse(JSON.stringify(output)))).toBe(false);
  });
});

/** The schema with `additionalProperties: false` in each object, which the published one leaves out: a later output may have more. */
function closed(schema: SchemaObject): SchemaObject {
  return JSON.parse(JSON.stringify(schema), (_, value) =>
    typeof value === 'object' && value?.type === 'object' ? { ...value, additionalProperties: false } : value,
  ) as SchemaObject;
}

test('Text: no value ends a line or gives a command to a CI system', () => {
  fc.assert(
    fc.property(results, list => {
      const lines = asText(list).split('\n');
      const expected = list.reduce((sum, { steps, blocked, notes }) => {
        const changes = steps.reduce((all, step) => all + 1 + step.changes.length, 0);
        return sum + 1 + changes + blocked.length + notes.length + (steps.length + blocked.length === 0 ? 1 : 0);
      }, 0);
      const unread = list.some(({ state }) => state === 'unread') ? 1 : 0;
      expect(lines).toHaveLength(expected + unread + (list.length > 0 ? 2 : 1));
      expect(lines.filter(line => /^\s*::|##\[/.test(line))).toEqual([]);
    }),
  );
});
