import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { readOptions, usage } from '../../operator/process/options.ts';
import { compileCrd, type PlainObject } from '../../schema/index.ts';
import { reference } from '../../scripts/reference.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const file = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const compiled = compileCrd(parse(file('crds/aitenants.yaml')) as PlainObject);
const [version] = compiled.ok ? compiled.crd.versions : [];
if (version === undefined) throw new Error('the CRD does not compile');

const pages = [
  'README.md',
  'README.ja.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'CONTRIBUTING.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.md'))
    .map(path => `docs/${path}`),
];

/** A heading's anchor as the usual forges make it. */
const anchor = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\- _]/gu, '')
    .replaceAll(' ', '-');

/** The text without its code blocks, and those by language. */
function parts(text: string): { prose: string; blocks: { language: string; code: string }[] } {
  const blocks: { language: string; code: string }[] = [];
  const prose = text.replaceAll(/^```(\w*)\n([\s\S]*?)^```$/gm, (_, language: string, code: string) => {
    blocks.push({ language, code });
    return '';
  });
  return { prose, blocks };
}

describe.each(pages)('%s', page => {
  const { prose, blocks } = parts(file(page));

  test('links to what is there', () => {
    const dead: string[] = [];
    for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(target)) continue;
      const [path = '', fragment] = target.split('#');
      const to = path === '' ? page : join(dirname(page), decodeURIComponent(path));
      if (!existsSync(join(ROOT, to))) dead.push(target);
      else if (fragment !== undefined) {
        const headings = [...parts(file(to)).prose.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchor(heading));
        if (!headings.includes(decodeURIComponent(fragment))) dead.push(target);
      }
    }
    expect(dead).toEqual([]);
  });

  test('shows AiTenants that the API takes, and YAML that can be read', () => {
    const documents = blocks
      .filter(({ language }) => language === 'yaml')
      .flatMap(({ code }) => parseAllDocuments(code).map(document => document.toJS() as PlainObject));
    const problems = documents
      .filter(object => object.kind === 'AiTenant')
      .flatMap(object => [
        ...version.unknownFields(object),
        ...version.validate(version.applyDefaults(object)).map(({ field, message }) => `${field}: ${message}`),
      ]);
    expect(problems).toEqual([]);
  });

  test('shows shell commands that a shell can read, and kubectl what it knows', () => {
    for (const { code } of blocks.filter(({ language }) => language === 'sh')) {
      const read = spawnSync('sh', ['-n'], { input: code, encoding: 'utf8' });
      expect(read.stderr, code).toBe('');
      for (const [, path = ''] of code.matchAll(/(?:-f |-k |^)((?:manifests|examples)\/[\w./-]+)/gm)) {
        if (!path.startsWith('manifests/my-cluster')) expect(existsSync(join(ROOT, path)), path).toBe(true);
      }
    }
  });
});

test('Every claim of the README about this project links to the test that shows it', () => {
  const [, table = ''] = /## By hand, with Config Connector, with this\n([\s\S]*?)\n## /.exec(file('README.md')) ?? [];
  const rows = table.split('\n').filter(line => line.startsWith('| ') && !line.startsWith('| task |'));
  expect(rows.length).toBeGreaterThan(10);
  for (const row of rows) {
    const cells = row.split(/ ?\| ?/).slice(1, -1);
    expect(cells, row).toHaveLength(4);
    const shown = [...(cells[3] ?? '').matchAll(/\]\((test\/[\w./-]+\.test\.ts)\)/g)].map(([, path = '']) => path);
    expect(shown, row).not.toEqual([]);
    for (const path of shown) expect(existsSync(join(ROOT, path)), path).toBe(true);
  }
});

test('The README links to every page and to its Japanese translation', () => {
  const linked = new Set([...file('README.md').matchAll(/\]\(([\w./-]+\.md)/g)].map(([, path = '']) => path));
  const others = [...pages, 'bench/README.md'].filter(
    page => page !== 'README.md' && !page.startsWith('docs/decisions/') && !linked.has(page),
  );
  expect(others).toEqual([]);
});

/** Diagrams are translated, so they differ. */
const codeOf = (page: string) =>
  parts(file(page))
    .blocks.filter(({ language }) => language !== 'mermaid')
    .map(({ code }) => code);
const levelsOf = (page: string) => [...parts(file(page)).prose.matchAll(/^(#+) /gm)].map(([, marks]) => marks);
const translated = pages.filter(page => page.startsWith('docs/ja/') && existsSync(join(ROOT, page.replace('ja/', ''))));

test('Some pages are translated', () => {
  expect(translated.length).toBeGreaterThan(0);
});

test.each(translated)('%s has the headings and the code blocks of the English page', page => {
  const english = page.replace('ja/', '');
  expect(levelsOf(page)).toEqual(levelsOf(english));
  expect(codeOf(page)).toEqual(codeOf(english));
});

test('docs/reference.md is what scripts/reference.ts makes of the CRD', () => {
  expect(file('docs/reference.md'), 'run: node scripts/reference.ts > docs/reference.md').toBe(
    reference(file('crds/aitenants.yaml')),
  );
});

test('The runbook explains every reason of a tenant', () => {
  const types = file('operator/tenant/types.ts');
  const [, union = ''] = /export type Reason =([^;]*);/.exec(types) ?? [];
  const reasons = [...union.matchAll(/'(\w+)'/g)].map(([, reason = '']) => reason);
  expect(reasons).toContain('UpToDate');
  const headings = [...file('docs/runbook.md').matchAll(/^### (\w+)$/gm)].map(([, heading]) => heading);
  expect(reasons.filter(reason => !headings.includes(reason))).toEqual([]);
});

test('The README lists the flags that the operator has', () => {
  const listed = [...file('README.md').matchAll(/^\| `(--[\w-]+)` \|/gm)].map(([, flag]) => flag);
  const known = [...usage().matchAll(/^ {2}(--[\w-]+)/gm)].map(([, flag]) => flag).filter(flag => flag !== '--help');
  expect(listed).toEqual(known);
});

const FLAG =
  /(?<![\w-])--(project|projects|sync-interval|claim-policy|cluster-id|region-move-grace|log-level|workers)=([\w*-]+)/g;

test('The flags of the operator that pages show are as it takes them', () => {
  const shown = pages.filter(page => !page.includes('ja')).flatMap(page => [...file(page).matchAll(FLAG)]);
  const given = shown.map(([text]) => text).filter(text => !/PROJECT|=(ID|asia)/.test(text));
  expect(given).toContain('--cluster-id=prod-tokyo');
  for (const flag of given) expect(() => readOptions([flag], {}), flag).not.toThrow();
});

test('The version is one: package, changelog, manifests and pages', () => {
  const { version: own } = JSON.parse(file('package.json')) as { version: string };
  expect(file('CHANGELOG.md')).toContain(`\n## ${own}\n`);
  expect(file('manifests/argocd/operator.yaml')).toContain(`aitenant-operator:${own}`);
  const shown = pages.flatMap(page => [...file(page).matchAll(/(?:ai-backend|aitenant-operator):(\d[\w.]*)/g)]);
  expect(new Set(shown.map(([, tag]) => tag))).toEqual(new Set([own]));
});

test('cloudbuild.yaml tests first, and builds each Dockerfile into an image that it pushes', () => {
  const { steps, images } = parse(file('cloudbuild.yaml')) as {
    steps: { id: string; waitFor?: string[]; args?: string[]; script?: string }[];
    images: string[];
  };
  expect(steps[0]?.script).toContain('npm test');
  const builds = steps.filter(({ args }) => args?.[0] === 'build');
  for (const { args = [], waitFor } of builds) {
    expect(waitFor).toEqual([steps[0]?.id]);
    expect(existsSync(join(ROOT, args[args.indexOf('-f') + 1] ?? ''))).toBe(true);
  }
  expect(builds.map(({ args = [] }) => args[args.indexOf('-t') + 1])).toEqual(images);
});
