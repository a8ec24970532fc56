/** Lengths in bits of the codes of the bytes 0 to 255 and of the end of string. Source: RFC 7541 appendix B. */
const LENGTHS = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
];
const END_OF_STRING = 256;
/** Padding is at most seven bits. */
const PADDING_BITS_MAX = 7;

/** Binary tree in pairs: index of the next pair, or the complement of a symbol. */
const TREE = buildTree();

/** The code is canonical: ordered by length, then by symbol. */
function buildTree(): Int32Array {
  const tree = new Int32Array(2 * LENGTHS.length);
  const order = LENGTHS.map((bits, symbol) => ({ bits, symbol })).sort(
    (a, b) => a.bits - b.bits || a.symbol - b.symbol,
  );
  let used = 2;
  let code = 0;
  let before = 0;
  for (const { bits, symbol } of order) {
    code *= 2 ** (bits - before);
    before = bits;
    let at = 0;
    for (let bit = bits - 1; bit >= 0; bit -= 1) {
      const slot = at + (Math.floor(code / 2 ** bit) % 2);
      if (bit === 0) tree[slot] = ~symbol;
      else {
        if (tree[slot] === 0) {
          tree[slot] = used;
          used += 2;
        }
        at = tree[slot] as number;
      }
    }
    code += 1;
  }
  return tree;
}

/** @returns the text in latin1, or undefined when the bytes are no valid Huffman string */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string | undefined {
  const out = Buffer.allocUnsafe(Math.ceil(((end - start) * 8) / 5));
  let length = 0;
  let at = 0;
  let pending = 0; // bits since the last symbol
  let areOnes = true;
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index] as number;
    for (let shift = 7; shift >= 0; shift -= 1) {
      const bit = (byte >> shift) & 1;
      const next = TREE[at + bit] as number;
      if (next < 0) {
        if (~next === END_OF_STRING) return undefined;
        out[length] = ~next;
        length += 1;
        at = 0;
        pending = 0;
        areOnes = true;
      } else {
        at = next;
        pending += 1;
        if (bit === 0) areOnes = false;
      }
    }
  }
  return pending > PADDING_BITS_MAX || !areOnes ? undefined : out.toString('latin1', 0, length);
}
