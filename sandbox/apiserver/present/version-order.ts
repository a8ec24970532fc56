const STAGES: Readonly<Record<string, number>> = { '': 2, beta: 1, alpha: 0 };

/**
 * Order of API versions, most wanted first: v10 v2 v1 v2beta1 v1beta2 v1alpha1, then other names alphabetically.
 * Source: apimachinery `version.CompareKubeAwareVersionStrings`.
 */
export function compareVersions(a: string, b: string): number {
  const left = parse(a);
  const right = parse(b);
  if (left === undefined || right === undefined) {
    if (left !== undefined) return -1;
    if (right !== undefined) return 1;
    return a < b ? -1 : Number(a > b);
  }
  return right.stage - left.stage || right.major - left.major || right.minor - left.minor;
}

function parse(version: string): { stage: number; major: number; minor: number } | undefined {
  const match = /^v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?$/.exec(version);
  if (match === null) return undefined;
  return { stage: STAGES[match[2] ?? ''] ?? 0, major: Number(match[1]), minor: Number(match[3] ?? '0') };
}
