import koffi from 'koffi';
import { endianness } from 'node:os';
import { getSystemErrorName } from 'node:util';

// Symbols that the running node binary has linked already: the same code serves glibc and musl.
const library = koffi.load(null);
const mallocTrim = optional('int malloc_trim(size_t)') as ((keptBytes: number) => number) | undefined;

/** A function that not every C library has. */
function optional(declaration: string): unknown {
  try {
    return library.func(declaration);
  } catch {
    return undefined;
  }
}

type SystemCall<A extends unknown[]> = (...args: A) => number;

export const libc = {
  socket: library.func('int socket(int, int, int)') as SystemCall<[domain: number, type: number, protocol: number]>,
  bind: library.func('int bind(int, const void *, uint32_t)') as SystemCall<
    [fd: number, address: Buffer, length: number]
  >,
  listen: library.func('int listen(int, int)') as SystemCall<[fd: number, backlog: number]>,
  close: library.func('int close(int)') as SystemCall<[fd: number]>,
  setns: library.func('int setns(int, int)') as SystemCall<[fd: number, type: number]>,
  unshare: library.func('int unshare(int)') as SystemCall<[flags: number]>,
  send: library.func('intptr_t send(int, const void *, uintptr_t, int)') as SystemCall<
    [fd: number, data: Buffer, length: number, flags: number]
  >,
  recv: library.func('intptr_t recv(int, void *, uintptr_t, int)') as SystemCall<
    [fd: number, into: Buffer, length: number, flags: number]
  >,
  setsockopt: library.func('int setsockopt(int, int, int, const void *, uint32_t)') as SystemCall<
    [fd: number, level: number, option: number, value: Buffer, length: number]
  >,
  getsockopt: library.func('int getsockopt(int, int, int, void *, void *)') as SystemCall<
    [fd: number, level: number, option: number, into: Buffer, length: Buffer]
  >,
};

export const SOCK_STREAM = 1;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const SOL_SOCKET = 1;

/** A system call said no. `code` is the errno's name, as in Node's own errors. */
export class SystemCallError extends Error {
  override readonly name = 'SystemCallError';
  readonly code: string;
  readonly systemCall: string;

  constructor(systemCall: string, code: string) {
    super(`${systemCall}: ${code}`);
    this.systemCall = systemCall;
    this.code = code;
  }
}

export const isLittleEndian = endianness() === 'LE';
export const EAGAIN = 11;

/** The errno of the last call through `libc` that failed. */
export function lastErrno(): number {
  return koffi.errno();
}

/** `EPERM` for 1 and so on; numbers that Node has no name for read `errno 524`. */
export function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
}

/** Passes the result of a system call through, or throws what errno says. */
export function checked(systemCall: string, result: number): number {
  if (result < 0) throw new SystemCallError(systemCall, errnoName(koffi.errno()));
  return result;
}

/** A C `int` as the buffer that get- and setsockopt take. */
export function intBuffer(value: number): Buffer {
  return Buffer.from(Int32Array.of(value).buffer);
}

/** Gives memory that was freed back to the kernel. Only glibc can. */
export function trimHeap(): void {
  mallocTrim?.(0);
}
