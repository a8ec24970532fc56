import { Socket } from 'node:net';

/**
 * What is read, until the next read. One for all: reads come one after another, and who wants to keep bytes copies them. Without
 * it every read allocates 64 KiB outside of the heap, whose release is a third of the CPU time of large bodies.
 */
const READ_BUFFER = Buffer.allocUnsafeSlow(64 * 1024);

/** Parts of `net.Socket` behind its option `onread`, which an accepted socket and one that TLS came to later cannot be given. */
type Internals = {
  readonly kBuffer: symbol;
  readonly kBufferCb: symbol;
  readonly kBufferGen: symbol;
};
type Handle = { useUserBuffer?: (buffer: Uint8Array) => void };

const INTERNALS = findInternals();

/**
 * From now on the socket reads into the shared buffer.
 *
 * @param onBytes  takes the bytes, which are gone when it returns; @returns false to stop reading
 * @returns false where this Node works otherwise: then nothing has changed, and the socket goes on emitting `data`
 */
export function readIntoBuffer(socket: Socket, onBytes: (bytes: Buffer) => boolean): boolean {
  const { _handle: handle } = socket as { _handle?: Handle | null };
  if (INTERNALS === undefined || handle?.useUserBuffer === undefined) return false;
  const fields = socket as unknown as Record<symbol, unknown>;
  fields[INTERNALS.kBuffer] = READ_BUFFER;
  fields[INTERNALS.kBufferCb] = (length: number) => onBytes(READ_BUFFER.subarray(0, length));
  fields[INTERNALS.kBufferGen] = null;
  handle.useUserBuffer(READ_BUFFER);
  return true;
}

function findInternals(): Internals | undefined {
  const symbols = new Map(Object.getOwnPropertySymbols(new Socket()).map((one) => [one.description, one]));
  const [kBuffer, kBufferCb, kBufferGen] = ['kBuffer', 'kBufferCb', 'kBufferGen'].map((name) => symbols.get(name));
  if (kBuffer === undefined || kBufferCb === undefined || kBufferGen === undefined) return undefined;
  return { kBuffer, kBufferCb, kBufferGen };
}

export const SLAB_BYTES = 64 * 1024;
/** Slabs that wait to be used again: memory, and nothing that could differ. */
const SPARE_SLABS: Buffer[] = [];
const SPARE_SLABS_MAX = 16;

/** Memory for bytes on their way, to be given back. */
export function takeSlab(): Buffer {
  return SPARE_SLABS.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES);
}

export function giveSlab(slab: Buffer): void {
  if (SPARE_SLABS.length < SPARE_SLABS_MAX) SPARE_SLABS.push(slab);
}

/** Shorter copies are made by the heap faster than they waste a slab. */
const COPY_IN_SLAB_MIN = SLAB_BYTES / 4;

/** Bytes that wait, of whose memory this is the only user. */
export class HeldBytes {
  bytes: Buffer; // may become shorter
  readonly #slab: Buffer | undefined;

  /** @param bytes  copied */
  constructor(bytes: Buffer) {
    const { length } = bytes;
    if (length < COPY_IN_SLAB_MIN || length > SLAB_BYTES) this.bytes = Buffer.from(bytes);
    else {
      this.#slab = takeSlab();
      bytes.copy(this.#slab);
      this.bytes = this.#slab.subarray(0, length);
    }
  }

  /** They are not needed any more. */
  release(): void {
    if (this.#slab !== undefined) giveSlab(this.#slab);
  }
}
