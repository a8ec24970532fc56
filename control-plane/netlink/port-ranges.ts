/** Ports from `first` to `last`, both included; 1 <= first <= last <= 65535. */
export type PortRange = { readonly first: number; readonly last: number };

const PORT_MAX = 65535;

/** A port list or a subnet that cannot be read. The text names the input and what is wrong with it. */
export class RedirectInputError extends Error {
  override readonly name = 'RedirectInputError';
}

/**
 * Reads `4190,4191,5000-5010`. Spaces around items are fine, an empty text is an empty list.
 *
 * @throws RedirectInputError  naming the item that is not a port or a range
 */
export function parsePortRanges(text: string): PortRange[] {
  if (text.trim() === '') return [];
  return text.split(',').map((item) => parseRange(item.trim(), text));
}

function parseRange(item: string, text: string): PortRange {
  const bad = (why: string): RedirectInputError => new RedirectInputError(`port list "${text}": ${why}`);
  if (item === '') throw bad('an item is empty');
  const match = /^(\d{1,10})(?:\s*-\s*(\d{1,10}))?$/.exec(item);
  if (match === null) throw bad(`"${item}" is neither a port nor a range such as 5000-5010`);
  const first = Number(match[1]);
  const last = Number(match[2] ?? match[1]);
  for (const port of [first, last]) {
    if (port < 1 || port > PORT_MAX) throw bad(`${port} is not a port (1 to ${PORT_MAX})`);
  }
  if (first > last) throw bad(`the range ${item} ends before it begins`);
  return { first, last };
}

/** The text that `parsePortRanges` reads. */
export function formatPortRanges(ranges: readonly PortRange[]): string {
  return ranges.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`)).join(',');
}

/** Sorted, overlaps and neighbours joined: what an nftables interval set wants. */
export function mergePortRanges(ranges: readonly PortRange[]): PortRange[] {
  const merged: PortRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = merged.at(-1);
    if (before !== undefined && range.first <= before.last + 1) {
      merged[merged.length - 1] = { first: before.first, last: Math.max(before.last, range.last) };
    } else {
      merged.push(range);
    }
  }
  return merged;
}
