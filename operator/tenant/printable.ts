/**
 * What others wrote, made fit for a status, an event or a terminal: no control characters, and none that turn the
 * direction of what follows.
 */
export const printable = (text: string): string => text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]+/gu, ' ');

/** In quotes, and cut, so that it does not crowd out what is said about it. */
export const quoted = (text: string): string => `"${printable(text.length > 100 ? `${text.slice(0, 100)}…` : text)}"`;

/**
 * One line for a log that a CI system reads: printable, and never a command to it. GitHub Actions obeys `::` at a line's start
 * and `##[` anywhere, Azure Pipelines `##vso[`, TeamCity `##teamcity[`. Sources: "Workflow commands" of GitHub Actions, "Logging
 * commands" of Azure Pipelines, "Service messages" of TeamCity.
 */
export const logLine = (text: string): string =>
  printable(text)
    .replace(/^(\s*):(?=:)/, '$1: ')
    .replace(/##(?=\[|vso\[|teamcity\[)/g, '# #');

/** JSON or YAML in double quotes: what is not printable, and what a CI system obeys, stands in it as an escape. */
export const escaped = (text: string): string =>
  text
    .replace(
      /[\p{Bidi_Control}\x7f-\x9f\u2028\u2029\ufeff]/gu,
      c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
    .replace(/##(?=\[|vso\[|teamcity\[)/g, '#\\u0023');
