import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { plot } from '../../bench/support/report.ts';
import { readOptions, usage } from '../../operator/process/options.ts';
import { compileCrd, type PlainObject } from '../../schema/index.ts';
import { factPages } from '../../scripts/facts.ts';
import { referencePages } from '../../scripts/reference.ts';

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
  'bench/README.md',
  'bench/README.ja.md',
  'charts/aitenant-operator/README.md',
  'charts/aitenant-operator/README.ja.md',
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

/** Words that Japanese pages do not use, each with the right one. */
const WORDS: [wrong: RegExp, right: string][] = [
  [/(?<!KMS )鍵/, 'キー'],
  [/印(?!刷)/, 'ラベル'],
  [/代役|身代わり|スタンドイン/, 'スタブ、モック'],
  [/拒まれ|断られ/, '拒否され'],
  [/既定値/, 'デフォルト'],
  [/サービスアカウント|サービスエージェント/, 'サービス アカウント、サービス エージェント'],
  [/名前空間|ネームスペース/, 'Namespace'],
  [/クラスタ(?!ー)/, 'クラスター'],
  [/サーバ(?!ー)/, 'サーバー'],
  [/ユーザ(?!ー)/, 'ユーザー'],
  [/フォルダー/, 'フォルダ'],
  [/端末/, 'ターミナル'],
  [/コンテナー/, 'コンテナ'],
  [/[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}] ?[,;]/u, '、'],
];

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

/** Pages that are not translated: texts for people who change the code, and what only links to other pages. */
const ENGLISH_ONLY = /^docs\/decisions\/|^(?:CHANGELOG|CONTRIBUTING|SECURITY)\.md$/;
/** Pages that have no twin for another reason. */
const ALONE: Record<string, string> = {
  'README.md': 'README.ja.md is a short version of it',
  'README.ja.md': 'the same',
  'docs/ja/first-tenant.md': 'for readers of the Japanese manual',
};
const isJapanese = (page: string) => /^docs\/ja\/|\.ja\.md$/.test(page);
/** The page in the other language. */
function twinOf(page: string): string {
  if (!page.startsWith('docs/'))
    return isJapanese(page) ? page.replace(/\.ja\.md$/, '.md') : page.replace(/\.md$/, '.ja.md');
  return isJapanese(page) ? page.replace('docs/ja/', 'docs/') : page.replace('docs/', 'docs/ja/');
}
const paired = pages.filter(page => !ENGLISH_ONLY.test(page) && !ALONE[page]);
const japanese = pages.filter(isJapanese);

/** The files to which a page links, from the root of the repository. */
const linksOf = (page: string) =>
  [...parts(file(page)).prose.matchAll(/\]\(([^)\s#]+)(?:#[^)\s]*)?\)/g)]
    .map(([, target = '']) => target)
    .filter(target => !/^https?:/.test(target))
    .map(target => join(dirname(page), decodeURIComponent(target)));

test('The README links to every page and to its Japanese translation', () => {
  const linked = new Set(linksOf('README.md'));
  const others = pages.filter(page => page !== 'README.md' && !page.startsWith('docs/decisions/') && !linked.has(page));
  expect(others).toEqual([]);
});

test('The Japanese README links to every Japanese page, and says which pages are in English only', () => {
  const linked = new Set(linksOf('README.ja.md'));
  const english = pages.filter(page => ENGLISH_ONLY.test(page) && !/^docs\/decisions\/(?!README)/.test(page));
  expect([...japanese, ...english].filter(page => page !== 'README.ja.md' && !linked.has(page))).toEqual([]);
});

test.each(paired)('%s exists in English and in Japanese', page => {
  expect(existsSync(join(ROOT, twinOf(page))), twinOf(page)).toBe(true);
});

/** The blocks, also those within lists, without their comments. Diagrams are translated, so they differ. */
const codeOf = (page: string) =>
  [...file(page).matchAll(/^( *)```(\w*)\n([\s\S]*?)^\1```$/gm)]
    .filter(([, , language]) => language !== 'mermaid')
    .map(([, , language, code = '']) => ({
      language,
      code: code.split('\n').map(line => line.replace(/(^|\s)# .*/, '').trim()),
    }));
const levelsOf = (page: string) => [...parts(file(page)).prose.matchAll(/^(#+) /gm)].map(([, marks]) => marks);
const tablesOf = (page: string) =>
  (parts(file(page)).prose.match(/(?:^\|.*\n)+/gm) ?? []).map(rows => rows.split('\n').length);
/** Of each section, the number of list items. */
const itemsOf = (page: string) =>
  parts(file(page))
    .prose.split(/^#.*$/m)
    .map(section => (section.match(/^ *(?:[-*]|\d+\.) /gm) ?? []).length);
const translated = paired.filter(page => isJapanese(page) && existsSync(join(ROOT, twinOf(page))));

describe.each(translated)('%s', page => {
  test('has the headings of the English page', () => {
    expect(levelsOf(page)).toEqual(levelsOf(twinOf(page)));
  });

  test('has the code blocks of the English page', () => {
    expect(codeOf(page)).toEqual(codeOf(twinOf(page)));
  });

  test('has the tables of the English page, row by row', () => {
    expect(tablesOf(page)).toEqual(tablesOf(twinOf(page)));
  });

  test('has the list items of the English page, section by section', () => {
    expect(itemsOf(page)).toEqual(itemsOf(twinOf(page)));
  });

  test('links to the files to which the English page links', () => {
    // A picture of a program that speaks both languages has a Japanese twin.
    const english = (target: string) => target.replace(/-ja\.png$/, '-en.png');
    const filesOf = (one: string) =>
      [...new Set(linksOf(one).filter(target => !target.endsWith('.md')))].map(english).sort();
    expect(filesOf(page)).toEqual(filesOf(twinOf(page)));
  });
});

describe.each(japanese)('%s', page => {
  test('links to the Japanese page where there is one', () => {
    const english = linksOf(page).filter(target => paired.includes(target) && !isJapanese(target));
    expect(english).toEqual([]);
  });

  test('uses the words of the Japanese documentation of Google Cloud and Kubernetes', () => {
    const { prose } = parts(file(page));
    expect(WORDS.filter(([wrong]) => wrong.test(prose)).map(([wrong, right]) => `${wrong} → ${right}`)).toEqual([]);
  });
});

test.each(Object.entries(referencePages()))('%s is what scripts/reference.ts generates from the CRD', (path, page) => {
  expect(file(path), 'run: node scripts/reference.ts').toBe(page);
});

test('Every Japanese text of the reference belongs to a text of the CRD', () => {
  const texts = (parse(file('scripts/reference.ja.yaml')) as { en: string }[]).map(({ en }) => en);
  const english = file('docs/reference.md').replaceAll('\\|', '|');
  expect(texts.filter(text => !english.includes(text))).toEqual([]);
});

test.each(Object.entries(factPages()))(
  '%s is what scripts/facts.ts generates from the facts and verdicts',
  (path, page) => {
    expect(file(path), 'run: node scripts/facts.ts').toBe(page);
  },
);

test('Every Japanese text of the facts belongs to a text of a fact', () => {
  const texts = (parse(file('scripts/facts.ja.yaml')) as { en: string }[]).map(({ en }) => en);
  const english = file('docs/facts.md').replaceAll('\\|', '|');
  expect(texts.filter(text => !english.includes(text))).toEqual([]);
});

test('No page shows a picture that only looks like a screenshot', () => {
  const pictures = pages.flatMap(page =>
    [...file(page).matchAll(/!\[[^\]]*\]\(([^)\s]+\.svg)\)/g)].map(([, to]) => to),
  );
  expect(pictures.filter(to => !/^(?:bench\/)?results\//.test(to ?? ''))).toEqual([]);
});

const results = readdirSync(join(ROOT, 'bench/results')).filter(name => name.endsWith('.json'));
test.each(results)('The plot of bench/results/%s shows its figures', name => {
  const svg = file(`bench/results/${name.replace('json', 'svg')}`);
  expect(svg, 'run: npm run bench -- --plots').toBe(plot(JSON.parse(file(`bench/results/${name}`))));
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
