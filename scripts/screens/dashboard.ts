import { escaped } from './terminal.ts';

export interface Series {
  name: string;
  /** Seconds from the left, value. */
  points: [number, number][];
}

export interface Panel {
  title: string;
  type: string;
  gridPos: Record<'x' | 'y' | 'w' | 'h', number>;
  fieldConfig?: { defaults?: { unit?: string } };
  series: Series[];
}

const UNIT = { x: 50, y: 30 };
const COLORS = [
  '#73bf69',
  '#f2cc0c',
  '#5794f2',
  '#ff780a',
  '#f2495c',
  '#b877d9',
  '#8ab8ff',
  '#96d98d',
  '#ffb357',
  '#c0d8ff',
];

/** A dashboard's panels where its file has them, as Grafana lays them out on 24 columns. */
export function dashboardSvg(panels: Panel[]): string {
  const height = Math.max(...panels.map(({ gridPos: { y, h } }) => y + h)) * UNIT.y + 10;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${24 * UNIT.x}" height="${height}" font-family="Inter, Helvetica, Arial, sans-serif" font-size="12" fill="#ccccdc">
<title>Grafana dashboard of the operator</title>
<rect width="100%" height="100%" fill="#111217"/>
${panels.map(panelSvg).join('\n')}
</svg>
`;
}

function panelSvg({ title, type, gridPos: { x, y, w, h }, fieldConfig, series }: Panel): string {
  const [width, height] = [w * UNIT.x - 8, h * UNIT.y - 8];
  const unit = fieldConfig?.defaults?.unit ?? 'short';
  const inside = type === 'stat' ? stat(series, width, height, unit) : chart(series, width, height, unit);
  return `<g transform="translate(${x * UNIT.x + 4},${y * UNIT.y + 4})"><rect width="${width}" height="${height}" rx="2" fill="#181b1f" stroke="#2c3235"/><text x="10" y="18" font-weight="bold">${escaped(title)}</text>${inside}</g>`;
}

function stat(series: Series[], width: number, height: number, unit: string): string {
  const last = series[0]?.points.at(-1)?.[1];
  return `<text x="${width / 2}" y="${height / 2 + 24}" font-size="34" text-anchor="middle" fill="${COLORS[0]}">${shown(last, unit)}</text>`;
}

function chart(series: Series[], width: number, height: number, unit: string): string {
  const all = series.flatMap(({ points }) => points);
  if (all.length === 0)
    return `<text x="${width / 2}" y="${height / 2}" text-anchor="middle" fill="#8e8e8e">No data</text>`;
  const legendRows = Math.min(3, Math.ceil(series.length / 2));
  const box = { left: 56, top: 30, right: width - 12, bottom: height - 14 - legendRows * 16 };
  const [end, top] = [Math.max(1, ...all.map(([at]) => at)), Math.max(...all.map(([, value]) => value)) || 1];
  const place = ([at, value]: [number, number]) =>
    `${(box.left + (at / end) * (box.right - box.left)).toFixed(1)},${(box.bottom - (value / top) * (box.bottom - box.top)).toFixed(1)}`;
  const grid = [0, 0.5, 1].map(share => {
    const at = box.bottom - share * (box.bottom - box.top);
    return `<line x1="${box.left}" x2="${box.right}" y1="${at}" y2="${at}" stroke="#2c3235"/><text x="${box.left - 6}" y="${at + 4}" text-anchor="end" fill="#8e8e8e">${shown(share * top, unit)}</text>`;
  });
  const lines = series.map(
    ({ points }, n) =>
      `<polyline fill="none" stroke="${COLORS[n % COLORS.length]}" stroke-width="1.5" points="${points.map(place).join(' ')}"/>`,
  );
  const legend = series.slice(0, legendRows * 2).map(({ name }, n) => {
    const [lx, ly] = [12 + (n % 2) * (width / 2), box.bottom + 18 + Math.floor(n / 2) * 16];
    return `<rect x="${lx}" y="${ly - 8}" width="10" height="3" fill="${COLORS[n % COLORS.length]}"/><text x="${lx + 16}" y="${ly}" font-size="11">${escaped(name.slice(0, Math.floor(width / 14)))}</text>`;
  });
  return [...grid, ...lines, ...legend].join('');
}

function shown(value: number | undefined, unit: string): string {
  if (value === undefined) return '–';
  if (unit === 's') return value < 1 ? `${Math.round(value * 1_000)} ms` : `${Number(value.toPrecision(3))} s`;
  return `${Number(value.toPrecision(2))}${unit === 'ops' ? '/s' : ''}`;
}
