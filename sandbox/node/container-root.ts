import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  type Dirent,
} from 'node:fs';
import { join, posix } from 'node:path';

import { bind, makeReadOnly, mountDevpts, mountTmpfs, pivotHere, remountReadOnly } from './syscalls.ts';

/** One thing to be seen inside a container. `source` is a path on the node; a file or a directory. */
export type RootMount = {
  readonly source: string;
  readonly target: string; // absolute path inside the container
  readonly isReadOnly: boolean;
};

/** Empty and writable in every container, whatever the machine has there. */
const PRIVATE_DIRECTORIES: Readonly<Record<string, number>> = { tmp: 0o1777, run: 0o755, dev: 0o755 };
/** Bind mounted as they are: the kernel decides what may be written. */
const KERNEL_DIRECTORIES = new Set(['proc', 'sys']);
/** What a container runtime puts into /dev. Source: OCI runtime specification, "Default Devices". */
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];
const DEVICE_LINKS = {
  fd: '/proc/self/fd',
  stdin: '/proc/self/fd/0',
  stdout: '/proc/self/fd/1',
  stderr: '/proc/self/fd/2',
};
const LINKS_MAX = 40;
/** Bound on the bind mounts that replace one directory of the machine. */
const SHADOW_CHILDREN_MAX = 4096;

/** What of the machine containers see differently from the machine itself. Absolute paths of directories. */
export type MachineView = {
  readonly hidden: readonly string[]; // read as empty
  readonly visible: readonly string[]; // are there even below a directory that containers have to themselves
};

/** A container's root cannot be built as the pod asks. The message names the path and the reason. */
export class RootError extends Error {
  override readonly name = 'RootError';
}

/**
 * Builds and enters the root directory of a container: the machine's top-level directories read-only, private /tmp,
 * /run and /dev/shm, and the mounts. Call it in a new mount namespace.
 *
 * A mount point that the machine lacks cannot be made there (an ordinary user may not, and the machine is not ours to
 * change). So the nearest directory that exists is replaced by a tmpfs directory with the same children, bind mounted
 * one by one, in which the missing part is made.
 *
 * @param stage   an empty directory, hidden by this
 * @param mounts     parents before children
 * @param directory  made if it is missing, as container runtimes do with working directories
 */
export function enterRoot(stage: string, mounts: readonly RootMount[], machine: MachineView, directory: string): void {
  mountTmpfs(stage, 'mode=0755');
  const root = join(stage, 'root');
  mkdirSync(root);
  bind(root, root);
  populate(root);
  const builder = new RootBuilder(stage, root);
  for (const path of machine.visible) {
    // What lies below a private directory, /tmp for one, has to be brought back.
    if (!existsSync(join(root, path))) builder.mount({ source: path, target: path, isReadOnly: true });
  }
  for (const path of machine.hidden) {
    if (existsSync(join(root, path))) mountTmpfs(join(root, path), 'mode=0555,size=4k');
  }
  for (const mount of mounts) builder.mount(mount);
  builder.makeDirectory(directory);
  process.chdir(root);
  pivotHere();
  process.chdir('/');
}

/** Parents before children, so that no mount hides another. */
export function inMountOrder(mounts: readonly RootMount[]): RootMount[] {
  const depth = (path: string): number => path.split('/').filter((part) => part !== '').length;
  return mounts
    .map((mount) => ({ ...mount, target: posix.normalize(mount.target) }))
    .sort((a, b) => depth(a.target) - depth(b.target));
}

function populate(root: string): void {
  for (const entry of readdirSync('/', { withFileTypes: true })) {
    const source = join('/', entry.name);
    const target = join(root, entry.name);
    const mode = PRIVATE_DIRECTORIES[entry.name];
    if (mode !== undefined && entry.isDirectory()) continue;
    if (!mirror(entry, source, target)) continue;
    if (KERNEL_DIRECTORIES.has(entry.name) || entry.isSymbolicLink()) continue;
    makeReadOnly(target);
  }
  for (const [name, mode] of Object.entries(PRIVATE_DIRECTORIES)) mountPrivate(join(root, name), mode);
  if (existsSync(join(root, 'var/tmp'))) mountTmpfs(join(root, 'var/tmp'), 'mode=1777');
  mkdirSync(join(root, 'run/lock'));
  populateDevices(join(root, 'dev'));
}

function mountPrivate(target: string, mode: number): void {
  if (!existsSync(target)) mkdirSync(target);
  mountTmpfs(target, `mode=${mode.toString(8)}`);
}

function populateDevices(dev: string): void {
  for (const name of DEVICES) {
    if (!existsSync(join('/dev', name))) continue;
    writeFileSync(join(dev, name), '');
    bind(join('/dev', name), join(dev, name));
  }
  for (const [name, target] of Object.entries(DEVICE_LINKS)) symlinkSync(target, join(dev, name));
  mountPrivate(join(dev, 'shm'), 0o1777);
  mkdirSync(join(dev, 'pts'));
  symlinkSync('pts/ptmx', join(dev, 'ptmx'));
  try {
    mountDevpts(join(dev, 'pts'));
  } catch {
    // Only `exec` with a terminal needs it, and says so then.
  }
}

/** Shows one directory entry of the machine at `target`. False for what cannot be shown. */
function mirror(entry: Dirent, source: string, target: string): boolean {
  if (entry.isSymbolicLink()) {
    symlinkSync(readlinkSync(source), target);
    return true;
  }
  if (entry.isDirectory()) mkdirSync(target);
  else writeFileSync(target, '');
  try {
    bind(source, target);
    return true;
  } catch {
    return false; // an entry that vanished meanwhile, or a directory nobody may enter: leave the empty one
  }
}

class RootBuilder {
  readonly #stage: string;
  readonly #root: string;
  /** Device numbers of this root's own tmpfs file systems, in which mount points may be made. */
  readonly #ownDevices = new Set<number>();
  /** Mount points of writable volumes, in which mount points may be made too. */
  readonly #volumes: string[] = [];
  #shadowCount = 0;

  constructor(stage: string, root: string) {
    this.#stage = stage;
    this.#root = root;
    for (const path of ['', ...Object.keys(PRIVATE_DIRECTORIES), 'dev/shm', 'var/tmp']) {
      if (existsSync(join(root, path))) this.#ownDevices.add(statSync(join(root, path)).dev);
    }
  }

  mount(mount: RootMount): void {
    const isDirectory = statSync(mount.source).isDirectory();
    const target = this.#mountPoint(mount.target, isDirectory);
    bind(mount.source, target);
    if (mount.isReadOnly) {
      if (!makeReadOnly(target)) remountReadOnly(target);
    } else if (isDirectory) {
      this.#volumes.push(`${target}/`);
    }
  }

  makeDirectory(path: string): void {
    this.#mountPoint(path, true);
  }

  /** The path below the new root at which `path` is found from inside, made if it is missing. */
  #mountPoint(path: string, isDirectory: boolean): string {
    const parts = split(path);
    let current = this.#root;
    for (let links = 0; parts.length > 0;) {
      const part = parts.shift();
      if (part === undefined) break;
      if (part === '..') {
        if (current !== this.#root) current = posix.dirname(current);
        continue;
      }
      const next = join(current, part);
      const found = lstatSync(next, { throwIfNoEntry: false });
      if (found === undefined) {
        this.#make(current, part, parts.length > 0 || isDirectory);
        current = next;
      } else if (found.isSymbolicLink() && (parts.length > 0 || isDirectory)) {
        links += 1;
        if (links > LINKS_MAX) throw new RootError(`mount path ${path}: too many symbolic links`);
        const link = readlinkSync(next);
        parts.unshift(...split(link));
        if (link.startsWith('/')) current = this.#root;
      } else if (found.isSymbolicLink()) {
        // A file on top of a link (the machine's /etc/resolv.conf often is one): replace the link, not its target.
        if (this.#ownDevices.has(statSync(current).dev)) unlinkSync(next);
        else this.#shadow(current, part);
        writeFileSync(next, '');
        current = next;
      } else if (parts.length > 0 && !found.isDirectory()) {
        throw new RootError(`mount path ${path}: ${next.slice(this.#root.length)} is not a directory`);
      } else if (parts.length === 0 && found.isDirectory() !== isDirectory) {
        throw new RootError(`mount path ${path}: a ${isDirectory ? 'directory' : 'file'} cannot be mounted on it`);
      } else {
        current = next;
      }
    }
    return current;
  }

  #make(parent: string, name: string, isDirectory: boolean): void {
    const isVolume = this.#volumes.some((volume) => `${parent}/`.startsWith(volume));
    if (!isVolume && !this.#ownDevices.has(statSync(parent).dev)) this.#shadow(parent, undefined);
    if (isDirectory) mkdirSync(join(parent, name));
    else writeFileSync(join(parent, name), '');
  }

  /** Puts a tmpfs directory with the same children in the place of `directory`, leaving out one name. */
  #shadow(directory: string, without: string | undefined): void {
    const children = readdirSync(directory, { withFileTypes: true });
    const inside = directory.slice(this.#root.length);
    if (children.length > SHADOW_CHILDREN_MAX) {
      throw new RootError(
        `mount point below ${inside}: the machine's directory has more than ${SHADOW_CHILDREN_MAX} entries`,
      );
    }
    this.#shadowCount += 1;
    const shadow = join(this.#stage, `shadow-${this.#shadowCount}`);
    mkdirSync(shadow);
    for (const entry of children) {
      if (entry.name === without) continue;
      mirror(entry, join(directory, entry.name), join(shadow, entry.name));
    }
    bind(shadow, directory);
  }
}

function split(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
