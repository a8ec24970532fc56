import { median } from '../bench/measure.ts';

/** What a process holds at a moment. */
export type Holding = {
  readonly resident: number; // MiB
  readonly private: number; // MiB
  readonly heap: number; // MiB, of V8, after a collection
  readonly buffers: number; // MiB, outside of V8's heap
  readonly descriptors: number;
};

/** By how much the last third may lie above the first: a share of that, and something on top. */
const BOUNDS: Readonly<Record<keyof Holding, { readonly share: number; readonly plus: number }>> = {
  resident: { share: 0.1, plus: 4 },
  private: { share: 0.1, plus: 4 },
  heap: { share: 0.05, plus: 0.5 },
  buffers: { share: 0.1, plus: 1 },
  descriptors: { share: 0.1, plus: 6 },
};

export type Growth = {
  readonly what: keyof Holding;
  readonly first: number; // median of the first third
  readonly last: number;
  readonly isBeyond: boolean;
};

/** Compares the medians of the first and the last third of what was seen in turn. */
export function growthOf(holdings: readonly Holding[]): readonly Growth[] {
  const third = Math.max(1, Math.floor(holdings.length / 3));
  return (Object.keys(BOUNDS) as (keyof Holding)[]).map((what) => {
    const middle = (some: readonly Holding[]): number => median(some.map((one) => one[what]));
    const first = middle(holdings.slice(0, third));
    const last = middle(holdings.slice(-third));
    const { share, plus } = BOUNDS[what];
    return { what, first, last, isBeyond: last > first * (1 + share) + plus };
  });
}
