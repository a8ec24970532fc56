/** Why a part of an object is not used. */
export type Problem = { readonly field: string; readonly message: string };

/** For people: `spec.rules[0].matches[1].path.value: "x" does not begin with /`. */
export function formatProblems(problems: readonly Problem[]): string {
  return problems.map(({ field, message }) => `${field}: ${message}`).join('; ');
}

/** Collects what is wrong with an object while it is read. */
export class Problems {
  readonly found: Problem[] = [];

  /** @returns nothing, so that a reader can `return problems.add(...)` */
  add(field: string, message: string): undefined {
    if (this.found.length < PROBLEMS_MAX) this.found.push({ field, message });
    return undefined;
  }
}

/** More do not help anybody, and statuses are bounded. */
const PROBLEMS_MAX = 8;
