import { logLine } from '../../operator/tenant/printable.ts';

/** The colours of `report.ts`. Everything else that a terminal obeys came from outside. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they begin with one.
const COLORS = /(\u001b\[3[1-39]m)/;

/** Text for a terminal or the log of a CI system, line by line: what an answer has in it is never a command to either of them. */
export const shownText = (text: string): string =>
  text
    .split('\n')
    .map(line =>
      line
        .split(COLORS)
        .map((part, index) => (index % 2 === 1 ? part : logLine(part)))
        .join(''),
    )
    .join('\n');
