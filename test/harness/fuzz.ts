import { seededRandom } from './random.ts';

/** Rounds of a fuzz test: `TULLE_FUZZ=1000000` for the long run. */
export function fuzzRounds(usual: number): number {
  return Number(process.env['TULLE_FUZZ'] ?? usual);
}

/** `FUZZ_SEED`, else another one each time; whoever uses it prints it. */
export function fuzzSeed(): number {
  return Number(process.env['FUZZ_SEED'] ?? Date.now() % 2 ** 31);
}

/** Changes, removes, repeats and inserts some bytes, at least one. */
export function mutateBytes(bytes: Buffer, random: () => number): Buffer {
  let out = Buffer.from(bytes);
  for (let left = 1 + Math.floor(random() * 4); left > 0; left -= 1) {
    const at = Math.floor(random() * (out.length + 1));
    const length = Math.floor(random() * 8);
    const byte = Buffer.from([Math.floor(random() * 256)]);
    const kind = Math.floor(random() * 5);
    if (kind === 0) out = Buffer.concat([out.subarray(0, at), byte, out.subarray(at + 1)]);
    else if (kind === 1) out = Buffer.concat([out.subarray(0, at), out.subarray(at + length)]);
    else if (kind === 2) out = Buffer.concat([out.subarray(0, at + length), out.subarray(at)]);
    else if (kind === 3) out = out.subarray(0, at);
    else out = Buffer.concat([out.subarray(0, at), byte, out.subarray(at)]);
  }
  return out;
}

/**
 * Runs a parser over a corpus as it is and over mutations of it. A parser may refuse; what else it throws fails the test with the seed and
 * the input in hexadecimal.
 *
 * @param isRefusal  whether this is how the parser says no
 */
export function fuzz(
  corpus: readonly Buffer[],
  rounds: number,
  seed: number,
  parse: (bytes: Buffer) => void,
  isRefusal: (error: unknown) => boolean,
): void {
  const random = seededRandom(seed);
  const attempt = (bytes: Buffer): void => {
    try {
      parse(bytes);
    } catch (error) {
      if (!isRefusal(error))
        throw new Error(`FUZZ_SEED=${seed}, input ${bytes.toString('hex')}: ${String(error)}`, { cause: error });
    }
  };
  for (const bytes of corpus) attempt(bytes);
  for (let round = 0; round < rounds; round += 1)
    attempt(mutateBytes(corpus[round % corpus.length] ?? Buffer.alloc(0), random));
}
