import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DEFENCES } from '../security/defences.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const file = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8');
const page = file('docs/security.md');

/** `file — name` of every test that the page links to. */
const linked = [...page.matchAll(/\[([^\]]+)\]\(\.\.\/test\/([\w./-]+\.test\.ts)\)/g)].map(
  ([, name = '', path = '']) => ({ name, path }),
);

describe('docs/security.md', () => {
  test('names tests that exist', () => {
    expect(linked.length).toBeGreaterThan(50);
    const missing = linked.filter(({ name, path }) => {
      if (!existsSync(`${ROOT}test/${path}`)) return true;
      const source = file(`test/${path}`);
      return !["'", '`', '"'].some(quote => source.includes(`${quote}${name}${quote}`));
    });
    expect(missing).toEqual([]);
  });

  test('has a test in every line of the threat model', () => {
    const [, model = ''] = page.split('\n## Threat model\n');
    const rows = (model.split('\n## ')[0] ?? '').split('\n').filter(line => /^\| (?!---|they could)/.test(line));
    expect(rows.length).toBeGreaterThan(40);
    expect(rows.filter(row => !row.includes('](../test/'))).toEqual([]);
  });

  test('and the list of defences to take out speak of the same tests', () => {
    const onPage = new Set(linked.map(({ name, path }) => `${path} — ${name}`));
    const inList = new Set(DEFENCES.map(({ shownBy: [path, name] }) => `${path} — ${name}`));
    expect([...onPage].filter(one => !inList.has(one))).toEqual([]);
    expect([...inList].filter(one => !onPage.has(one))).toEqual([]);
  });

  test.each(DEFENCES.map(defence => [`${defence.file}: ${defence.find.trim().slice(0, 60)}`, defence] as const))(
    'what takes a defence out still applies: %s',
    (_, defence) => {
      expect(file(defence.file).split(defence.find)).toHaveLength(2);
      expect(defence.replace).not.toBe(defence.find);
    },
  );
});
