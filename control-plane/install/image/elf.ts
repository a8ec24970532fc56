const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;
const DYNAMIC_ENTRIES_MAX = 4096;

export type DynamicLinks = {
  readonly interpreter: string | undefined; // path of the loader; absent in libraries
  readonly needed: readonly string[]; // names of libraries
};

type Segment = {
  readonly type: number;
  readonly offset: number; // in the file
  readonly address: number; // in memory
  readonly fileBytes: number;
};

/**
 * What a program or library of a 64-bit little-endian machine is linked to.
 *
 * Source: System V ABI, chapters 4 and 5 (ELF-64).
 * @throws Error  when the bytes are not such a file
 */
export function dynamicLinks(bytes: Buffer): DynamicLinks {
  const segments = segmentsOf(bytes);
  const offsetOf = (address: number): number => {
    const segment = segments.find(
      (one) => one.type === PT_LOAD && address >= one.address && address < one.address + one.fileBytes,
    );
    if (segment === undefined) throw new Error(`address ${address} of the dynamic section is in no segment`);
    return address - segment.address + segment.offset;
  };
  const interpreter = segments.find(({ type }) => type === PT_INTERP);
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
  const names: number[] = [];
  let table = 0;
  const entries = dynamic === undefined ? 0 : Math.min(Math.floor(dynamic.fileBytes / 16), DYNAMIC_ENTRIES_MAX);
  for (let index = 0; index < entries; index += 1) {
    const at = (dynamic?.offset ?? 0) + index * 16;
    const tag = bytes.readBigInt64LE(at);
    const value = Number(bytes.readBigUInt64LE(at + 8));
    if (tag === 0n) break;
    if (tag === DT_NEEDED) names.push(value);
    if (tag === DT_STRTAB) table = offsetOf(value);
  }
  return {
    interpreter: interpreter === undefined ? undefined : textAt(bytes, interpreter.offset),
    needed: names.map((name) => textAt(bytes, table + name)),
  };
}

/**
 * The same program without what only debuggers read: symbols and sections lie behind everything that is loaded.
 *
 * @throws Error  when the bytes are not such a file
 */
export function withoutSymbols(bytes: Buffer): Buffer {
  const end = Math.max(...segmentsOf(bytes).map(({ offset, fileBytes }) => offset + fileBytes));
  const stripped = Buffer.from(bytes.subarray(0, end));
  stripped.writeBigUInt64LE(0n, 40); // e_shoff
  stripped.fill(0, 58, 64); // e_shentsize, e_shnum, e_shstrndx
  return stripped;
}

function segmentsOf(bytes: Buffer): readonly Segment[] {
  if (bytes.length < 64 || bytes.toString('latin1', 0, 4) !== '\x7fELF' || bytes[4] !== 2 || bytes[5] !== 1) {
    throw new Error('not an ELF file of 64 bits, little-endian');
  }
  const programOffset = Number(bytes.readBigUInt64LE(32));
  const entryBytes = bytes.readUInt16LE(54);
  return Array.from({ length: bytes.readUInt16LE(56) }, (_, index) => {
    const at = programOffset + index * entryBytes;
    return {
      type: bytes.readUInt32LE(at),
      offset: Number(bytes.readBigUInt64LE(at + 8)),
      address: Number(bytes.readBigUInt64LE(at + 16)),
      fileBytes: Number(bytes.readBigUInt64LE(at + 32)),
    };
  });
}

function textAt(bytes: Buffer, offset: number): string {
  return bytes.toString('latin1', offset, bytes.indexOf(0, offset));
}
