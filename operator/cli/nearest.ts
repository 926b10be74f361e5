/**
 * The words that the user may have meant, the nearest first: those with at most two typing mistakes (one in a short word), and
 * those that begin with the word or are its beginning.
 */
export function nearest(word: string, words: readonly string[], most = 3): string[] {
  const mistakes = word.length <= 3 ? 1 : 2;
  return words
    .filter(other => other !== word)
    .map(other => ({ other, distance: mistakesBetween(word.toLowerCase(), other.toLowerCase(), mistakes) }))
    .filter(({ other, distance }) => distance <= mistakes || isBeginning(word, other))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, most)
    .map(({ other }) => other);
}

const isBeginning = (a: string, b: string): boolean =>
  a.length > 2 && b.length > 2 && (a.startsWith(b) || b.startsWith(a));

/**
 * The number of letters that are missing, superfluous, wrong or swapped with the next one (optimal string alignment distance).
 * Infinity if the lengths alone differ by more than `most`.
 */
function mistakesBetween(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return Number.POSITIVE_INFINITY;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwap) best = Math.min(best, (before[j - 2] ?? 0) + 1);
      next.push(best);
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
