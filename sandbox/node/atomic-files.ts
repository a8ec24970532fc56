import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';

/** One file of a volume; the path is relative and without `..`. */
export type VolumeFile = { readonly bytes: Buffer; readonly mode: number };
export type VolumeFiles = ReadonlyMap<string, VolumeFile>;

const CURRENT = '..data';

/**
 * Replaces all files of a directory at once: readers see the old files or the new ones, never a mixture. The files lie
 * in a hidden directory, `..data` is a link to it, and each name is a link through `..data`.
 * Source: kubelet `pkg/volume/util/atomic_writer.go`.
 *
 * @returns false when the files were like that already
 */
export function writeAtomically(directory: string, files: VolumeFiles): boolean {
  mkdirSync(directory, { recursive: true });
  chmodSync(directory, 0o755);
  const old = linkTarget(join(directory, CURRENT));
  if (old !== undefined && hasFiles(join(directory, old), files)) return false;
  const hidden = `..${new Date().toISOString().replaceAll(/[-:T]/g, '_').slice(0, 19)}.${randomBytes(5).toString('hex')}`;
  mkdirSync(join(directory, hidden));
  chmodSync(join(directory, hidden), 0o755);
  for (const [path, file] of files) {
    const target = join(directory, hidden, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, file.bytes);
    chmodSync(target, file.mode);
  }
  symlinkSync(hidden, join(directory, `${CURRENT}_tmp`));
  renameSync(join(directory, `${CURRENT}_tmp`), join(directory, CURRENT));
  linkNames(directory, files);
  if (old !== undefined) rmSync(join(directory, old), { recursive: true, force: true });
  return true;
}

/** The visible names: first components of the paths. */
function linkNames(directory: string, files: VolumeFiles): void {
  const wanted = new Set([...files.keys()].map((path) => path.split('/')[0] ?? path));
  for (const name of readdirSync(directory)) {
    if (!name.startsWith('..') && !wanted.has(name)) rmSync(join(directory, name), { force: true });
  }
  for (const name of wanted) {
    if (lstatSync(join(directory, name), { throwIfNoEntry: false }) === undefined) {
      symlinkSync(`${CURRENT}/${name}`, join(directory, name));
    }
  }
}

function hasFiles(directory: string, files: VolumeFiles): boolean {
  const present = readdirSync(directory, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  if (present.length !== files.size) return false;
  for (const [path, file] of files) {
    const found = lstatSync(join(directory, path), { throwIfNoEntry: false });
    if (found === undefined || (found.mode & 0o777) !== (file.mode & 0o777)) return false;
    if (!readFileSync(join(directory, path)).equals(file.bytes)) return false;
  }
  return true;
}

function linkTarget(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false }) === undefined ? undefined : readlinkSync(path);
}
