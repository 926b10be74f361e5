import { readFileSync, writeFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { Fact } from '../test/acceptance/fact.ts';
import { FACTS } from '../test/acceptance/facts/all.ts';
import type { Verdicts } from '../test/acceptance/verdicts/verdicts.ts';

/**
 * Writes docs/facts.md and docs/ja/facts.md: every fact about Google Cloud of test/acceptance/facts/, with its source and its last
 * verdicts. The Japanese texts are in facts.ja.yaml. `node scripts/facts.ts` probes the local Google Cloud, writes its verdicts, and writes
 * both pages; a test compares them with what this file generates.
 */

/** What the page says in one language, besides the texts of the facts. */
interface Words {
  /** The translation of a text of a fact. Throws if there is none. */
  text(english: string): string;
  title: string;
  intro: string[];
  command: string[];
  after: string[];
  head: string;
  verdicts: { confirmed: string; refuted: string; notObservable: string; notProbed: string };
  unsure: string;
  expensive: string;
  /** Between a word and what explains it. */
  colon: string;
}

const COMMAND = ['```sh', 'npm run acceptance -- --project my-project --verdicts verdicts.json', '```'];

const ENGLISH: Words = {
  text: english => english,
  title: 'Facts about Google Cloud',
  intro: [
    'After this page you know on which facts about Google Cloud the operator and the local Google Cloud rest, how each of them is known, and how to check all of them in a project of yours.',
  ],
  command: COMMAND,
  after: [
    'Each fact has a probe: a few calls of the public REST APIs that find it confirmed, refuted or not observable. The command makes things of one random prefix only, asks before it starts, and removes them at the end; it costs a few cents. With `--expensive` it also probes the facts that say so. If it says "refuted", please send us the file and what it printed, because then the operator or this page must change. To show your verdicts on this page, put the file in place of `test/acceptance/verdicts/google-cloud.json` and run `node scripts/facts.ts`.',
    'How a fact is known: **P** the published protos or the discovery document, **D** the documentation of Google Cloud, **C** captures and bug reports of client projects, **?** nothing but memory. "Local" is the verdict on the local Google Cloud of this repository, which tests keep current; "real" is the last verdict that was recorded on a real project.',
  ],
  head: '| fact | source | local | real |',
  verdicts: { confirmed: 'confirmed', refuted: 'refuted', notObservable: 'not observable', notProbed: '–' },
  unsure: '(?)',
  expensive: 'Only with `--expensive`',
  colon: ': ',
};

const JAPANESE: Omit<Words, 'text'> = {
  title: 'Google Cloud に関する事実',
  intro: [
    'このページを読むと、オペレーターとローカルの Google Cloud が前提としている Google Cloud の事実、それぞれの根拠、そして自分のプロジェクトですべてを確認する方法がわかります。',
  ],
  command: COMMAND,
  after: [
    'それぞれの事実にはプローブがあります。プローブは公開 REST API を数回呼び出し、その事実を「確認」「反証」「観測不可」のいずれかと判定します。このコマンドは、ランダムな接頭辞が付いたリソースだけを作成します。開始前に確認を求め、終了時にリソースを削除します。費用は数セントです。`--expensive` を付けると、その旨が書かれた事実もプローブします。「反証」と表示された場合は、オペレーターまたはこのページを直す必要があるため、ファイルと出力をお送りください。自分の判定をこのページに表示するには、ファイルを `test/acceptance/verdicts/google-cloud.json` と置き換えて、`node scripts/facts.ts` を実行します。',
    '根拠の記号は次のとおりです。**P** は公開されている proto または Discovery ドキュメント、**D** は Google Cloud のドキュメント、**C** はクライアントのプロジェクトにおける通信の記録とバグ報告、**?** は記憶だけを表します。「ローカル」は、このリポジトリのローカルの Google Cloud での判定で、テストによって最新に保たれます。「実環境」は、実際のプロジェクトで最後に記録された判定です。',
  ],
  head: '| 事実 | 根拠 | ローカル | 実環境 |',
  verdicts: { confirmed: '確認', refuted: '反証', notObservable: '観測不可', notProbed: '–' },
  unsure: '（?）',
  expensive: '`--expensive` を付けた場合のみ',
  colon: '：',
};

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');
const verdictsOf = (name: string): Verdicts => JSON.parse(read(`../test/acceptance/verdicts/${name}.json`)) as Verdicts;

function japanese(): Words {
  const texts = parse(read('facts.ja.yaml')) as { en: string; ja: string }[];
  const translations = new Map(texts.map(({ en, ja }) => [en, ja]));
  return {
    ...JAPANESE,
    text(english) {
      const translation = translations.get(english);
      if (translation === undefined) throw new Error(`scripts/facts.ja.yaml has no translation of: ${english}`);
      return translation;
    },
  };
}

/** A source that is an address or the name of a file is the same in every language. */
const isAddress = (source: string): boolean => source === '?' || /^[PDC?][:;] \S+(, \S+)*$/.test(source);

/** What would end a cell of a table. */
const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function verdictCell(words: Words, found: Verdicts['verdicts'][string] | undefined, explain: boolean): string {
  if (found === undefined) return words.verdicts.notProbed;
  if (found === 'confirmed') return words.verdicts.confirmed;
  if ('refuted' in found) return `**${words.verdicts.refuted}**${words.colon}${cell(found.refuted)}`;
  return words.verdicts.notObservable + (explain ? words.colon + cell(words.text(found.notObservable)) : '');
}

function row(words: Words, fact: Fact, local: Verdicts, real: Verdicts): string {
  const text = cell(words.text(fact.text)) + (fact.unsure ? ` ${words.unsure}` : '');
  const price = fact.expensive === undefined ? '' : `<br>${words.expensive}${words.colon}${words.text(fact.expensive)}`;
  const source = isAddress(fact.source) ? fact.source : words.text(fact.source);
  const verdicts = [
    verdictCell(words, local.verdicts[fact.id], true),
    verdictCell(words, real.verdicts[fact.id], false),
  ];
  return `| \`${fact.id}\`<br>${text}${price} | ${cell(source)} | ${verdicts.join(' | ')} |`;
}

function page(words: Words): string {
  const [local, real] = [verdictsOf('local'), verdictsOf('google-cloud')];
  const sections = [...Map.groupBy(FACTS, ({ section }) => section)].flatMap(([section, facts]) => [
    `## ${words.text(section)}`,
    [words.head, '|---|---|---|---|', ...facts.map(fact => row(words, fact, local, real))].join('\n'),
  ]);
  const generated =
    '<!-- scripts/facts.ts generates this page from test/acceptance/facts and test/acceptance/verdicts. -->';
  const parts = [`# ${words.title}`, generated, ...words.intro, words.command.join('\n'), ...words.after, ...sections];
  return `${parts.join('\n\n')}\n`;
}

/** Both pages, by their path in the repository. */
export function factPages(): Record<string, string> {
  return { 'docs/facts.md': page(ENGLISH), 'docs/ja/facts.md': page(japanese()) };
}

if (import.meta.main) {
  const { localVerdicts } = await import('../test/unit/support/factCloud.ts');
  writeFileSync(new URL('../test/acceptance/verdicts/local.json', import.meta.url), await localVerdicts());
  for (const [path, text] of Object.entries(factPages())) writeFileSync(new URL(`../${path}`, import.meta.url), text);
}
