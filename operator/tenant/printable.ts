/**
 * Foreign text for a status, an event or a terminal, without control characters and characters that change the direction of
 * text.
 */
export const printable = (text: string): string => text.replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]+/gu, ' ');

/** Foreign text in quotes, cut at 100 characters. */
export const quoted = (text: string): string => `"${printable(text.length > 100 ? `${text.slice(0, 100)}…` : text)}"`;

/**
 * One line for a log that a CI system reads: printable, and never a command to that system. GitHub Actions obeys `::` at a
 * line's start and `##[` anywhere, Azure Pipelines `##vso[`, TeamCity `##teamcity[`. Sources: "Workflow commands" of GitHub
 * Actions, "Logging commands" of Azure Pipelines, "Service messages" of TeamCity.
 */
export const logLine = (text: string): string =>
  printable(text)
    .replace(/^(\s*):(?=:)/, '$1: ')
    .replace(/##(?=\[|vso\[|teamcity\[)/g, '# #');

/** JSON or YAML in double quotes, in which unprintable characters and commands to a CI system are escaped. */
export const escaped = (text: string): string =>
  text
    .replace(
      /[\p{Bidi_Control}\x7f-\x9f\u2028\u2029\ufeff]/gu,
      c => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    )
    .replace(/##(?=\[|vso\[|teamcity\[)/g, '#\\u0023');
