import { stripVTControlCharacters } from 'node:util';

const CELL = { width: 8.4, height: 18 };
const MOST_COLUMNS = 150;
const COLORS: Record<string, string> = {
  31: '#e06c75',
  32: '#98c379',
  33: '#e5c07b',
  34: '#61afef',
  35: '#c678dd',
  36: '#56b6c2',
  90: '#7f848e',
};

/** A terminal's window that shows this text, with its colours (SGR), as an SVG. */
export function terminalSvg(title: string, text: string): string {
  const lines = text.trimEnd().split('\n').flatMap(wrap);
  const columns = Math.max(60, ...lines.map(line => stripVTControlCharacters(line).length));
  const [width, height] = [columns * CELL.width + 32, lines.length * CELL.height + 60];
  const rows = lines.map(
    (line, at) => `<text x="16" y="${56 + at * CELL.height}" xml:space="preserve">${spans(line)}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${Math.ceil(width)}" height="${height}" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" fill="#dcdfe4">
<title>${escaped(title)}</title>
<rect width="100%" height="100%" rx="8" fill="#282c34"/>
<g fill="#e06c75"><circle cx="20" cy="18" r="6"/><circle cx="40" cy="18" r="6" fill="#e5c07b"/><circle cx="60" cy="18" r="6" fill="#98c379"/></g>
<text x="84" y="23" fill="#9da5b4">${escaped(title)}</text>
${rows.join('\n')}
</svg>
`;
}

function wrap(line: string): string[] {
  if (stripVTControlCharacters(line).length <= MOST_COLUMNS) return [line];
  const plain = stripVTControlCharacters(line);
  return Array.from({ length: Math.ceil(plain.length / MOST_COLUMNS) }, (_, n) =>
    plain.slice(n * MOST_COLUMNS, (n + 1) * MOST_COLUMNS),
  );
}

function spans(line: string): string {
  let style = '';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape sequences themselves
  return [...line.matchAll(/\x1b\[([\d;]*)m|([^\x1b]+)/g)]
    .map(([, code, text]) => {
      if (text !== undefined) return style ? `<tspan ${style}>${escaped(text)}</tspan>` : escaped(text);
      for (const one of (code ?? '').split(';')) {
        if (one === '1') style = 'font-weight="bold"';
        else if (COLORS[one]) style = `fill="${COLORS[one]}"`;
        else style = '';
      }
      return '';
    })
    .join('');
}

export const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
