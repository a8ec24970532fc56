import koffi from 'koffi';

import { checked } from '#netlink/libc.ts';

const library = koffi.load(null);

const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_BIND = 4096;
const MS_REC = 16384;
const MS_PRIVATE = 1 << 18;
const MNT_DETACH = 2;
const AT_FDCWD = -100;
const AT_RECURSIVE = 0x8000;
const MOUNT_ATTR_RDONLY = 1n;
const MOUNT_ATTR_BYTES = 32;
const SYS_MOUNT_SETATTR = 442; // the same on every architecture
const SYS_PIVOT_ROOT = process.arch === 'arm64' ? 41 : 155;
const O_CLOEXEC = 0o2000000;
const WNOHANG = 1;

export const CLONE_FS = 0x200;
export const CLONE_NEWNS = 0x20000;
export const CLONE_NEWUTS = 0x4000000;
export const CLONE_NEWNET = 0x40000000;

type Call<A extends unknown[]> = (...args: A) => number;
const c = {
  mount: library.func('int mount(str, str, str, ulong, str)') as Call<
    [string | null, string, string | null, number, string | null]
  >,
  umount2: library.func('int umount2(str, int)') as Call<[string, number]>,
  setns: library.func('int setns(int, int)') as Call<[number, number]>,
  unshare: library.func('int unshare(int)') as Call<[number]>,
  chroot: library.func('int chroot(str)') as Call<[string]>,
  fchdir: library.func('int fchdir(int)') as Call<[number]>,
  sethostname: library.func('int sethostname(str, size_t)') as Call<[string, number]>,
  mountSetattr: library.func('long syscall(long, long, str, long, void *, long)') as Call<
    [number, number, string, number, Buffer, number]
  >,
  pivotRoot: library.func('long syscall(long, str, str)') as Call<[number, string, string]>,
  pipe2: library.func('int pipe2(void *, int)') as Call<[Buffer, number]>,
  waitpid: library.func('int waitpid(int, void *, int)') as Call<[number, null, number]>,
  prctl: library.func('int prctl(int, ulong, ulong, ulong, ulong)') as Call<[number, number, number, number, number]>,
  capget: library.func('int capget(void *, void *)') as Call<[Buffer, Buffer]>,
  capset: library.func('int capset(void *, void *)') as Call<[Buffer, Buffer]>,
};

/** Bind mount with everything mounted below, as a user namespace demands. `source` may be a file or a directory. */
export function bind(source: string, target: string): void {
  checked(`bind mount ${source} on ${target}`, c.mount(source, target, null, MS_BIND | MS_REC, null));
}

/** @param options  of tmpfs(5), such as `mode=1777,size=64m` */
export function mountTmpfs(target: string, options: string): void {
  checked(`mount tmpfs on ${target}`, c.mount('tmpfs', target, 'tmpfs', MS_NOSUID | MS_NODEV, options));
}

export function mountDevpts(target: string): void {
  checked(
    `mount devpts on ${target}`,
    c.mount('devpts', target, 'devpts', MS_NOSUID, 'newinstance,ptmxmode=0666,mode=0620'),
  );
}

/** Makes a mount and all mounts below it read-only. False on kernels before 5.12, which cannot do that at once. */
export function makeReadOnly(target: string): boolean {
  const attributes = Buffer.alloc(MOUNT_ATTR_BYTES);
  attributes.writeBigUInt64LE(MOUNT_ATTR_RDONLY, 0);
  const result = c.mountSetattr(SYS_MOUNT_SETATTR, AT_FDCWD, target, AT_RECURSIVE, attributes, MOUNT_ATTR_BYTES);
  return result === 0;
}

/** For one mount of ours on any kernel. Fails on mounts whose flags the user namespace has locked. */
export function remountReadOnly(target: string): void {
  const flags = MS_BIND | 32 /* MS_REMOUNT */ | MS_RDONLY;
  checked(`remount ${target} read-only`, c.mount(null, target, null, flags, null));
}

/** What is mounted or unmounted from now on stays in this mount namespace. */
export function makePrivate(): void {
  checked('make / private', c.mount(null, '/', null, MS_REC | MS_PRIVATE, null));
}

export function unmount(target: string): void {
  checked(`unmount ${target}`, c.umount2(target, MNT_DETACH));
}

/** Makes the current directory, a mount point, the root of this mount namespace and forgets the old root. */
export function pivotHere(): void {
  checked('pivot_root', c.pivotRoot(SYS_PIVOT_ROOT, '.', '.'));
  unmount('.');
}

export function unshare(flags: number): void {
  checked('unshare', c.unshare(flags));
}

export function setns(fd: number, type: number): void {
  checked('setns', c.setns(fd, type));
}

export function chrootHere(): void {
  checked('chroot', c.chroot('.'));
}

export function fchdir(fd: number): void {
  checked('fchdir', c.fchdir(fd));
}

export function setHostname(name: string): void {
  checked('sethostname', c.sethostname(name, Buffer.byteLength(name)));
}

/** A pipe whose ends no child inherits unless it is given them. Not a socket pair: programs reopen /dev/stdout. */
export function openPipe(): { readFd: number; writeFd: number } {
  const fds = Buffer.alloc(8);
  checked('pipe2', c.pipe2(fds, O_CLOEXEC));
  const view = new Int32Array(fds.buffer, fds.byteOffset, 2);
  return { readFd: view[0] ?? -1, writeFd: view[1] ?? -1 };
}

/** Collects one dead child. Never call it for a child that Node has started: Node would wait for it forever. */
export function reap(pid: number): boolean {
  return c.waitpid(pid, null, WNOHANG) === pid;
}

const CAPABILITY_VERSION_3 = 0x20080522;
const PR_GET_SECUREBITS = 27;
const PR_SET_SECUREBITS = 28;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const SECBIT_NOROOT = 1;
const SECBIT_NO_SETUID_FIXUP = 4;

/** Capability sets of the calling thread, one bit per capability number. */
type CapabilitySets = { effective: bigint; permitted: bigint; inheritable: bigint };

function capabilityHeader(): Buffer {
  return Buffer.from(Uint32Array.of(CAPABILITY_VERSION_3, 0).buffer);
}

function readCapabilities(): CapabilitySets {
  const data = Buffer.alloc(24);
  checked('capget', c.capget(capabilityHeader(), data));
  const words = new Uint32Array(data.buffer, data.byteOffset, 6);
  const join = (low: number): bigint => (BigInt(words[low + 3] ?? 0) << 32n) | BigInt(words[low] ?? 0);
  return { effective: join(0), permitted: join(1), inheritable: join(2) };
}

function writeCapabilities(sets: CapabilitySets): void {
  const low = (bits: bigint): number => Number(bits & 0xffffffffn);
  const high = (bits: bigint): number => Number(bits >> 32n);
  const all = [sets.effective, sets.permitted, sets.inheritable];
  const data = Buffer.from(Uint32Array.from([...all.map(low), ...all.map(high)]).buffer);
  checked('capset', c.capset(capabilityHeader(), data));
}

/**
 * Runs `fn` so that a process started in it has exactly the wanted capabilities, whatever its user is: root's
 * privileges come from its capabilities only (securebit NOROOT), and those are the ambient ones. The calling thread
 * keeps its own rights. Capabilities that the thread does not have are left out.
 *
 * @param wanted  one bit per capability number
 */
export function withChildCapabilities<T>(wanted: bigint, fn: () => T): T {
  const own = readCapabilities();
  const bits = checked('prctl', c.prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
  const granted = wanted & own.permitted;
  try {
    writeCapabilities({ ...own, inheritable: granted });
    for (let number = 0; granted >> BigInt(number) > 0n; number += 1) {
      if (((granted >> BigInt(number)) & 1n) === 0n) continue;
      checked(`raise capability ${number}`, c.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0));
    }
    checked('set securebits', c.prctl(PR_SET_SECUREBITS, bits | SECBIT_NOROOT | SECBIT_NO_SETUID_FIXUP, 0, 0, 0));
    return fn();
  } finally {
    checked('reset securebits', c.prctl(PR_SET_SECUREBITS, bits, 0, 0, 0));
    checked('reset capabilities', c.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    writeCapabilities(own);
  }
}
