const SUFFIXES: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** The number a Kubernetes quantity such as `100m`, `1.5Gi` or `1e3` stands for; undefined for other text. */
export function parseQuantity(text: string): number | undefined {
  const match = /^([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(?:[eE]([+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)$/.exec(text.trim());
  if (match === null) return undefined;
  const [, digits, exponent, suffix] = match;
  const factor = exponent === undefined ? (SUFFIXES[suffix ?? ''] ?? 1) : 10 ** Number(exponent);
  return Number(digits) * factor;
}

/** A quantity in units of `divisor`, rounded up, as resourceFieldRef gives it. */
export function inUnitsOf(quantity: number, divisor: string | undefined): string {
  const unit = divisor === undefined || divisor === '' || divisor === '0' ? 1 : (parseQuantity(divisor) ?? 1);
  // 0.1 / 0.001 is a little more than 100 in binary; the cut keeps that from being rounded up.
  return String(Math.ceil(Number((quantity / unit).toFixed(6))));
}
