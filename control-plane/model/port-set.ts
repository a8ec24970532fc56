/** Ports as operators list them: numbers, ranges, and names that stand for numbers. */
export type PortSet = { readonly ranges: readonly (readonly [from: number, to: number])[] };

export const NO_PORTS: PortSet = { ranges: [] };

/**
 * Reads `25,3000-3010,http`. Names that nobody knows and parts that are nonsense are left out and reported, so that one
 * typing error does not change the meaning of the others.
 *
 * @param named  number of a named port, if there is one
 */
export function parsePortSet(
  text: string,
  named: (name: string) => number | undefined = () => undefined,
): { readonly ports: PortSet; readonly unknown: readonly string[] } {
  const ranges: (readonly [number, number])[] = [];
  const unknown: string[] = [];
  for (const part of text.split(',').map((piece) => piece.trim())) {
    if (part === '') continue;
    const range = parseRange(part) ?? single(named(part));
    if (range === undefined) unknown.push(part);
    else ranges.push(range);
  }
  return { ports: { ranges }, unknown };
}

function parseRange(part: string): readonly [number, number] | undefined {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
  if (match === null) return undefined;
  const from = Number(match[1]);
  const to = Number(match[2] ?? match[1]);
  return from >= 1 && from <= to && to <= 65_535 ? [from, to] : undefined;
}

function single(port: number | undefined): readonly [number, number] | undefined {
  return port === undefined ? undefined : [port, port];
}

export function hasPort({ ranges }: PortSet, port: number): boolean {
  return ranges.some(([from, to]) => port >= from && port <= to);
}
