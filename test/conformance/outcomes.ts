/** How one test of the suite ended. */
export type Outcome = { readonly test: string; readonly result: 'PASS' | 'FAIL' | 'SKIP' };

/** `go test -v` says this of a test below `TestConformance`, with four spaces of indentation, and of its parts with more. */
const LINE = /^ {4}--- (PASS|FAIL|SKIP): TestConformance\/(\w+) \([\d.]+s\)$/gm;

/**
 * The mesh tests in what the suite printed, in its order. Tests of gateways are left out: Tulle is none.
 *
 * @param output  of a test program with `-test.v`
 */
export function meshOutcomes(output: string): readonly Outcome[] {
  return [...output.matchAll(LINE)]
    .map(([, result, test]) => ({ test: test ?? '', result: result as Outcome['result'] }))
    .filter(({ test }) => test.startsWith('Mesh'));
}

/**
 * What is wrong with a run, besides its exit status: an empty list is a run of which every mesh test passed.
 *
 * @param wanted  how many mesh tests the suite has: fewer have lost one, more are news
 */
export function shortcomings(outcomes: readonly Outcome[], wanted: number): string[] {
  const problems = outcomes
    .filter(({ result }) => result !== 'PASS')
    .map(({ test, result }) => `${test} ${result === 'FAIL' ? 'failed' : 'was skipped'}`);
  if (outcomes.length !== wanted) problems.push(`${outcomes.length} mesh tests are in the output instead of ${wanted}`);
  return problems;
}
