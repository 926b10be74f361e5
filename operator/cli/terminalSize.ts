/**
 * The size of the terminal on standard output in characters. Undefined: there is no terminal, or it does not know its size and says 0,
 * as some pseudo-terminals do.
 */
export function terminalSize(): { columns: number | undefined; rows: number | undefined } {
  const { isTTY, columns, rows } = process.stdout;
  return { columns: (isTTY && columns) || undefined, rows: (isTTY && rows) || undefined };
}
