/**
 * Resource quantities such as `500m`, `1Gi`, `2e3`. Source: apimachinery `pkg/api/resource`.
 *
 * `nano` is the value in billionths: the finest the API keeps; finer values round up (away from zero).
 */
export type Quantity = { readonly nano: bigint; readonly format: 'decimal' | 'binary' | 'exponent' };

const giga = 1_000_000_000n;
const decimalPowers: Readonly<Record<string, number>> = {
  n: -9,
  u: -6,
  m: -3,
  '': 0,
  k: 3,
  M: 6,
  G: 9,
  T: 12,
  P: 15,
  E: 18,
};
const decimalSuffixes = new Map(Object.entries(decimalPowers).map(([suffix, power]) => [power, suffix]));
const binarySuffixes = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei'];

/** @returns undefined when the text is no quantity */
export function parseQuantity(text: string): Quantity | undefined {
  const parts = /^([+-]?)(\d{1,40}\.?\d{0,40}|\.\d{1,40})(Ki|Mi|Gi|Ti|Pi|Ei|[numkMGTPE]|[eE][+-]?\d{1,3})?$/.exec(text);
  if (parts === null) return undefined;
  const [, sign, number = '', suffix = ''] = parts;
  const [whole = '', fraction = ''] = number.split('.');
  const digits = BigInt(`${whole}${fraction}` || '0');
  const scaled = scale(digits, fraction.length, suffix);
  if (scaled === undefined) return undefined;
  return { nano: sign === '-' ? -scaled.nano : scaled.nano, format: scaled.format };
}

function scale(digits: bigint, fractionDigits: number, suffix: string): Quantity | undefined {
  const shift = 10n ** BigInt(fractionDigits);
  const binary = suffix === '' ? -1 : binarySuffixes.indexOf(suffix);
  if (binary >= 0) return { nano: divideUp(digits * 1024n ** BigInt(binary) * giga, shift), format: 'binary' };
  const isExponent = /^[eE][+-]?\d/.test(suffix);
  const power = isExponent ? Number(suffix.slice(1)) : decimalPowers[suffix];
  if (power === undefined || Math.abs(power) > 100) return undefined;
  const format = isExponent ? 'exponent' : 'decimal';
  if (power >= 0) return { nano: divideUp(digits * 10n ** BigInt(power) * giga, shift), format };
  return { nano: divideUp(digits * giga, shift * 10n ** BigInt(-power)), format };
}

function divideUp(value: bigint, by: bigint): bigint {
  return (value + by - 1n) / by;
}

/** The canonical text: no fraction, the largest suffix that keeps the number whole. */
export function printQuantity({ nano, format }: Quantity): string {
  if (nano === 0n) return '0';
  if (format === 'binary' && nano % giga === 0n && abs(nano) >= 1024n * giga) {
    let value = nano / giga;
    let step = 0;
    for (; value % 1024n === 0n && step < binarySuffixes.length - 1; step += 1) value /= 1024n;
    return `${value}${binarySuffixes[step] ?? ''}`;
  }
  let value = nano;
  let power = -9;
  for (; value % 1000n === 0n && power < 18; power += 3) value /= 1000n;
  if (format === 'exponent') return power === 0 ? String(value) : `${value}e${power}`;
  return `${value}${decimalSuffixes.get(power) ?? ''}`;
}

function abs(value: bigint): bigint {
  return value < 0n ? -value : value;
}

/** Reads a field that the schema says is a quantity; undefined when absent or malformed. */
export function quantityOf(value: unknown): Quantity | undefined {
  if (typeof value === 'number') return parseQuantity(String(value));
  return typeof value === 'string' ? parseQuantity(value) : undefined;
}
