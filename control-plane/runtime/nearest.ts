const MAX_DISTANCE = 3;

/** The known word that a mistyped one probably means, or undefined when none is close. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const limit = Math.min(MAX_DISTANCE, Math.max(1, Math.floor(word.length / 2)));
  const [best] = known
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate, limit) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance);
  return best?.candidate;
}

/**
 * Levenshtein distance: insertions, deletions and replacements of one character. Of the table only what is near the diagonal is looked
 * at: words come from whoever may write an object, and the whole of it would take as long as they like.
 *
 * @returns a number above `max` where the distance is above it
 */
function editDistance(a: string, b: string, max: number): number {
  if (Math.abs(a.length - b.length) > max) return Infinity;
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  let current = [...previous];
  for (let row = 1; row <= a.length; row += 1) {
    current.fill(Infinity);
    current[0] = row;
    const last = Math.min(b.length, row + max);
    for (let column = Math.max(1, row - max); column <= last; column += 1) {
      const replaced = (previous[column - 1] ?? Infinity) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current[column] = Math.min(replaced, (previous[column] ?? Infinity) + 1, (current[column - 1] ?? Infinity) + 1);
    }
    [previous, current] = [current, previous];
  }
  return previous[b.length] ?? Infinity;
}
