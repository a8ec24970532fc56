/** One entry of an archive. Owner, group and time are the same for all, so that equal content gives equal bytes. */
export type TarEntry = { readonly path: string; readonly mode?: number } & (
  | { readonly kind: 'file'; readonly content: Uint8Array }
  | { readonly kind: 'folder' }
);

const BLOCK = 512;
const NAME_MAX = 100;
const PREFIX_MAX = 155;
const FILE_BYTES_MAX = 8 ** 11 - 1; // what eleven octal digits can say

/**
 * A POSIX tar archive (ustar). Folders above an entry are added, entries are sorted by path, everything belongs to root
 * and is from 1970.
 *
 * @throws Error  when a path or a file is too long for the format
 */
export function tarArchive(entries: readonly TarEntry[]): Buffer {
  const all = new Map<string, TarEntry>();
  for (const entry of entries) {
    const parts = entry.path.split('/');
    for (let depth = 1; depth < parts.length; depth += 1) {
      const path = parts.slice(0, depth).join('/');
      if (!all.has(path)) all.set(path, { kind: 'folder', path });
    }
    all.set(entry.path, entry);
  }
  const chunks: Uint8Array[] = [];
  for (const entry of [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    const size = entry.kind === 'file' ? entry.content.length : 0;
    chunks.push(header(entry, size));
    if (entry.kind === 'file') chunks.push(entry.content, Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK));
  }
  chunks.push(Buffer.alloc(2 * BLOCK));
  return Buffer.concat(chunks);
}

/** Source: POSIX.1-1988, ustar interchange format. */
function header(entry: TarEntry, size: number): Buffer {
  if (size > FILE_BYTES_MAX) throw new Error(`${entry.path} is too large for a tar archive: ${size} bytes`);
  const isFolder = entry.kind === 'folder';
  const { name, prefix } = splitPath(isFolder ? `${entry.path}/` : entry.path);
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, offset: number, length: number): void => {
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, 'latin1');
  };
  block.write(name, 0, 'utf8');
  octal(entry.mode ?? (isFolder ? 0o755 : 0o644), 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.write(isFolder ? '5' : '0', 156, 'latin1');
  block.write('ustar\u000000', 257, 'latin1');
  block.write(prefix, 345, 'utf8');
  block.fill(' ', 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function splitPath(path: string): { readonly name: string; readonly prefix: string } {
  if (Buffer.byteLength(path) <= NAME_MAX) return { name: path, prefix: '' };
  for (let slash = path.indexOf('/'); slash > 0; slash = path.indexOf('/', slash + 1)) {
    const prefix = path.slice(0, slash);
    const name = path.slice(slash + 1);
    if (name !== '' && Buffer.byteLength(prefix) <= PREFIX_MAX && Buffer.byteLength(name) <= NAME_MAX) {
      return { name, prefix };
    }
  }
  throw new Error(`the path is too long for a tar archive: ${path}`);
}
