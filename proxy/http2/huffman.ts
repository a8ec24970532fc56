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

/**
 * The tree in steps of four bits: no code is shorter than five, so a step gives one symbol at most. Of each node and four bits: the node
 * that follows, the symbol plus one from bit 16 on, or -1 for what no string may hold.
 */
const STEPS = buildSteps();

function buildSteps(): Int32Array {
  const steps = new Int32Array((TREE.length / 2) * 16);
  for (let node = 0; node < TREE.length; node += 2) {
    for (let bits = 0; bits < 16; bits += 1) steps[node * 8 + bits] = step(node, bits);
  }
  return steps;
}

function step(node: number, bits: number): number {
  let at = node;
  let symbol = 0;
  for (let shift = 3; shift >= 0; shift -= 1) {
    const next = TREE[at + ((bits >> shift) & 1)] as number;
    if (next >= 0) at = next;
    else if (~next === END_OF_STRING) return -1;
    else {
      symbol = ~next + 1;
      at = 0;
    }
  }
  return at | (symbol << 16);
}

/** Nodes at which a string may end: what follows the last symbol are fewer than eight ones. */
const ENDS = buildEnds();

function buildEnds(): ReadonlySet<number> {
  const ends = new Set<number>();
  for (let at = 0, bits = 0; bits <= PADDING_BITS_MAX; bits += 1, at = TREE[at + 1] as number) ends.add(at);
  return ends;
}

/** For strings of usual length, until each is text. */
const SCRATCH = Buffer.allocUnsafeSlow(4096);

/** @returns the text in latin1, or undefined when the bytes are no valid Huffman string */
export function decodeHuffman(bytes: Buffer, start: number, end: number): string | undefined {
  const longest = Math.ceil(((end - start) * 8) / 5);
  const out = longest <= SCRATCH.length ? SCRATCH : Buffer.allocUnsafe(longest);
  let length = 0;
  let at = 0;
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index] as number;
    const high = STEPS[at * 8 + (byte >> 4)] as number;
    if (high < 0) return undefined;
    if (high > 0xffff) {
      out[length] = (high >> 16) - 1;
      length += 1;
    }
    const low = STEPS[(high & 0xffff) * 8 + (byte & 15)] as number;
    if (low < 0) return undefined;
    if (low > 0xffff) {
      out[length] = (low >> 16) - 1;
      length += 1;
    }
    at = low & 0xffff;
  }
  return ENDS.has(at) ? out.toString('latin1', 0, length) : undefined;
}
