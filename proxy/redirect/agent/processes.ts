import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, readSync, statSync } from 'node:fs';

/** First argument of the image, and so part of the command line, of a container that waits to be redirected. */
const WAITING = 'await-redirect';
/** How far from the start of a command line that word may be: the interpreter and its flags come first. */
const WAITING_AT_MAX = 12;
const COMMAND_LINE_BYTES_MAX = 64 * 1024;
/** A process becomes another program (execve) soon after it was made, if ever. */
const YOUNG_MS = 10_000;
const FULL_SCAN_MS = 5_000;

/** A process that waits to be redirected. */
export type WaitingProcess = {
  readonly args: readonly string[]; // of `await-redirect`
  readonly netns: number; // open descriptor; closed by disposing
  readonly isHostNetwork: boolean;
  readonly uidMap: string | undefined; // contents of its uid_map; absent on a kernel without user namespaces
} & Disposable;

/**
 * Finds the processes of the node that may have begun to wait. Most have been there for long and are looked at seldom, so a look
 * costs little more than listing them.
 */
export class ProcessScan {
  readonly #firstSeenMs = new Map<string, number>();
  readonly #folder: string;
  #fullScanMs = -Infinity;

  /** @param folder  where the processes are, such as /proc */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Ids of those that must be looked at now. */
  next(nowMs: number): readonly string[] {
    const ids = readdirSync(this.#folder).filter((name) => /^\d+$/.test(name));
    const isFull = nowMs - this.#fullScanMs >= FULL_SCAN_MS;
    if (isFull) {
      this.#fullScanMs = nowMs;
      const alive = new Set(ids);
      for (const id of this.#firstSeenMs.keys()) if (!alive.has(id)) this.#firstSeenMs.delete(id);
    }
    return ids.filter((id) => {
      const firstSeenMs = this.#firstSeenMs.get(id) ?? nowMs;
      this.#firstSeenMs.set(id, firstSeenMs);
      return isFull || nowMs - firstSeenMs < YOUNG_MS;
    });
  }
}

/**
 * Opens what is needed of a process, if it waits. All is read by one descriptor of its folder: should the process end and its id
 * be given to another, reading fails.
 *
 * @returns undefined for a process that is another program, or is gone
 */
export function openWaiting(folder: string, id: string, hostNetns: string): WaitingProcess | undefined {
  let directory: number | undefined;
  try {
    directory = openSync(`${folder}/${id}`, constants.O_RDONLY | constants.O_DIRECTORY);
    const at = `/proc/self/fd/${directory}`;
    const args = waitingArguments(readStart(`${at}/cmdline`));
    if (args === undefined) return undefined;
    const netns = openSync(`${at}/ns/net`, 'r');
    return {
      args,
      netns,
      isHostNetwork: isSame(netns, hostNetns),
      uidMap: readUidMap(`${at}/uid_map`),
      [Symbol.dispose]: () => closeSync(netns),
    };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  } finally {
    if (directory !== undefined) closeSync(directory);
  }
}

/** The arguments after the name of the process, when the command line is that of a container that waits. */
export function waitingArguments(commandLine: Buffer): readonly string[] | undefined {
  if (!commandLine.includes(WAITING) || commandLine.length > COMMAND_LINE_BYTES_MAX) return undefined;
  const words = commandLine.toString('utf8').split('\0');
  if (words.pop() !== '') return undefined; // the end is missing
  const at = words.indexOf(WAITING);
  return at < 1 || at > WAITING_AT_MAX ? undefined : words.slice(at + 1);
}

/** At most one byte more than what is accepted. */
function readStart(file: string): Buffer {
  const descriptor = openSync(file, 'r');
  try {
    const parts: Buffer[] = [];
    let length = 0;
    while (length <= COMMAND_LINE_BYTES_MAX) {
      const part = Buffer.alloc(4096);
      const count = readSync(descriptor, part);
      if (count === 0) break;
      parts.push(part.subarray(0, count));
      length += count;
    }
    return Buffer.concat(parts);
  } finally {
    closeSync(descriptor);
  }
}

function isSame(netns: number, path: string): boolean {
  const [one, other] = [fstatSync(netns), statSync(path)];
  return one.ino === other.ino && one.dev === other.dev;
}

function readUidMap(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
