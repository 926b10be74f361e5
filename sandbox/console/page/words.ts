import table from './words.md';

/** The console's texts: a table with a row for each key, and a column for each language. `{0}` is replaced by the first value. */
const COLUMNS = { en: 1, ja: 2 };

export type Language = keyof typeof COLUMNS;
/** The text of a key. A key without a text is shown as it is. */
export type Words = (key: string, ...values: (string | number)[]) => string;

export function wordsOf(language: Language): Words {
  const rows = table.split('\n').map(line =>
    line
      .split('|')
      .slice(1)
      .map(cell => cell.trim()),
  );
  const texts = new Map(rows.map(row => [row[0], row[COLUMNS[language]]]));
  return (key, ...values) => (texts.get(key) ?? key).replaceAll(/\{(\d)\}/g, (_, at) => String(values[at] ?? ''));
}
