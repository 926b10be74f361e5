import { type Figure, limitOf } from './figure.ts';

const WIDTH = 760;
const ROW = 26;
const LABEL = 356;
/** Pixels of the longest bar or the farthest target; the rest of the width is for the value and the target in words. */
const ROOM = WIDTH - LABEL - 170;
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
  let y = HEAD.title;
  const drawn = [...groups].map(([unit, group]) => {
    const text = groupSvg(unit, group, y, shown);
    y += HEAD.unit + group.length * ROW + HEAD.below;
    return text;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="sans-serif" font-size="12">` +
    `<rect width="100%" height="100%" fill="#fff"/><text x="12" y="24" font-size="15">${escaped(title)}</text>` +
    `${drawn.join('')}</svg>\n`
  );
}

function groupSvg(unit: string, group: Figure[], top: number, shown: (value: number) => string): string {
  const values = group.flatMap(figure => [figure.value, limitOf(figure)?.limit ?? 0]).filter(Number.isFinite);
  const scale = ROOM / (Math.max(...values) || 1);
  const rows = group.map((figure, index) => {
    const y = top + HEAD.unit + index * ROW;
    const limit = limitOf(figure);
    const length = Math.max(1, Math.max(0, figure.value) * scale);
    const at = LABEL + (limit ? limit.limit * scale : 0);
    const after = Math.max(LABEL + length, at) + 6;
    return (
      `<text x="${LABEL - 8}" y="${y + 13}" text-anchor="end">${escaped(figure.what)}</text>` +
      `<rect x="${LABEL}" y="${y}" width="${length.toFixed(1)}" height="18" fill="${limit?.met === false ? COLOR.missed : COLOR.bar}"/>` +
      (limit ? `<rect x="${at.toFixed(1)}" y="${y - 3}" width="2" height="24" fill="${COLOR.target}"/>` : '') +
      `<text x="${after.toFixed(1)}" y="${y + 13}">${shown(figure.value)}${limit ? ` (target ${figure.target})` : ''}</text>`
    );
  });
  return `<text x="12" y="${top + 14}" font-weight="bold">${escaped(unit)}</text>${rows.join('')}`;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
