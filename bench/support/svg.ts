const WIDTH = 720;
const ROW = 26;
const LABEL = 330;

interface Bar {
  what: string;
  value: number;
  /** The value as it is written beside the bar. */
  shown: string;
}

/** Horizontal bars on a logarithmic scale: the figures of one benchmark differ by orders of magnitude. */
export function bars(title: string, figures: Bar[]): string {
  const values = figures.map(({ value }) => value).filter(value => value > 0);
  const [low, high] = [Math.log10(Math.min(...values, 1)), Math.log10(Math.max(...values, 10))];
  const room = WIDTH - LABEL - 90;
  const rows = figures.map(({ what, value, shown }, index) => {
    const y = 44 + index * ROW;
    const length = value > 0 ? Math.max(2, ((Math.log10(value) - low) / (high - low)) * room) : 0;
    return (
      `<text x="${LABEL - 8}" y="${y + 13}" text-anchor="end">${escaped(what)}</text>` +
      `<rect x="${LABEL}" y="${y}" width="${length.toFixed(1)}" height="18" fill="#4a7ab5"/>` +
      `<text x="${(LABEL + length + 6).toFixed(1)}" y="${y + 13}">${shown}</text>`
    );
  });
  const height = 56 + figures.length * ROW;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">` +
    `<rect width="100%" height="100%" fill="#fff"/><text x="12" y="24" font-size="15">${escaped(title)} (log scale)</text>` +
    `${rows.join('')}</svg>\n`
  );
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
