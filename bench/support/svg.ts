import { type Figure, limitOf } from './figure.ts';

const ROW = 26;
/** Pixels of a character of a label, at most. */
const CHARACTER = 6.7;
/** Pixels of the longest bar or the farthest target, and of the value and the target in words after it. */
const ROOM = { bar: 240, words: 170 };
const HEAD = { title: 40, unit: 30, below: 10 };
const COLOR = { bar: '#4a7ab5', missed: '#c0504d', target: '#333' };

/** A figure's unit, from its words: `until all are Ready, s` is in seconds. Figures of one unit share a scale. */
function unitOf({ what }: Figure): string {
  const [, unit] = /[ ,](s|ms|µs|MiB)(?: \(.*\))?$/.exec(what) ?? [];
  if (unit) return unit;
  if (/[÷×]/.test(what)) return 'ratio';
  if (/\ba second\b/.test(what)) return 'per second';
  return /\bcalls\b/.test(what) ? 'calls' : 'number';
}

/**
 * Horizontal bars, one group for each unit, each with a linear scale that begins at 0. A line across a bar is its target; the bar
 * of a target that was missed is red. `shown` writes a value.
 */
export function bars(title: string, figures: Figure[], shown: (value: number) => string): string {
  const groups = Map.groupBy(figures, unitOf);
  const left = Math.ceil(Math.max(...figures.map(({ what }) => what.length)) * CHARACTER) + 16;
  const width = left + ROOM.bar + ROOM.words;
  let y = HEAD.title;
  const drawn = [...groups].map(([unit, group]) => {
    const text = groupSvg(unit, group, { left, top: y }, shown);
    y += HEAD.unit + group.length * ROW + HEAD.below;
    return text;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="12">` +
    `<rect width="100%" height="100%" fill="#fff"/><text x="12" y="24" font-size="15">${escaped(title)}</text>` +
    `${drawn.join('')}</svg>\n`
  );
}

function groupSvg(
  unit: string,
  group: Figure[],
  at: { left: number; top: number },
  shown: (value: number) => string,
): string {
  const { left, top } = at;
  const values = group.flatMap(figure => [figure.value, limitOf(figure)?.limit ?? 0]).filter(Number.isFinite);
  const scale = ROOM.bar / (Math.max(...values) || 1);
  const rows = group.map((figure, index) => {
    const y = top + HEAD.unit + index * ROW;
    const limit = limitOf(figure);
    const length = Math.max(1, Math.max(0, figure.value) * scale);
    const target = left + (limit ? limit.limit * scale : 0);
    const after = Math.max(left + length, target) + 6;
    return (
      `<text x="${left - 8}" y="${y + 13}" text-anchor="end">${escaped(figure.what)}</text>` +
      `<rect x="${left}" y="${y}" width="${length.toFixed(1)}" height="18" fill="${limit?.met === false ? COLOR.missed : COLOR.bar}"/>` +
      (limit ? `<rect x="${target.toFixed(1)}" y="${y - 3}" width="2" height="24" fill="${COLOR.target}"/>` : '') +
      `<text x="${after.toFixed(1)}" y="${y + 13}">${shown(figure.value)}${limit ? ` (target ${figure.target})` : ''}</text>`
    );
  });
  return `<text x="12" y="${top + 14}" font-weight="bold">${escaped(unit)}</text>${rows.join('')}`;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
