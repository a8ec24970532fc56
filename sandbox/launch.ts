import { spawn } from 'node:child_process';
import { closeSync, mkdirSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';

import { namespaceArguments, preflight, PreflightError } from './network/preflight.ts';

/** A port of the machine that the sandbox serves. */
export type Listener = { readonly name: string; readonly address: string; readonly port: number }; // port 0: any

export type LaunchOptions = {
  readonly command: readonly string[]; // program and arguments, run as pid 1 of the sandbox
  /** An existing directory that both sides see. Inside, `<stateDirectory>/run` is private and vanishes at the end. */
  readonly stateDirectory: string;
  readonly listeners: readonly Listener[];
  readonly environment: NodeJS.ProcessEnv;
};

/** What the inner command finds when it starts; see `readLaunch`. */
export type Launched = {
  readonly stateDirectory: string;
  readonly runDirectory: string; // tmpfs of this sandbox
  readonly listeners: ReadonlyMap<string, number>; // name -> descriptor, for `server.listen({ fd })`
  readonly hasOwnProc: boolean; // false: /proc shows the machine's process ids, not the sandbox's
};

const VARIABLE = 'TULLE_SANDBOX_LAUNCH';
const PROC_VARIABLE = 'TULLE_SANDBOX_PROC';
const FIRST_LISTENER_FD = 3;
/** What is passed on for each. SIGHUP would end unshare itself, so losing the terminal becomes a request to end. */
const SIGNALS = { SIGINT: 'SIGINT', SIGTERM: 'SIGTERM', SIGHUP: 'SIGTERM' } as const;

/**
 * Runs in the sandbox before the command. A fresh /proc is refused inside containers that mask parts of theirs;
 * the old one then still answers for /proc/self and /proc/thread-self.
 */
const SET_UP = `
unset ${PROC_VARIABLE}
if mount -t proc -o nosuid,nodev,noexec proc /proc 2>/dev/null; then export ${PROC_VARIABLE}=own; fi
mount -t tmpfs -o nosuid,nodev,mode=755 tulle-sandbox "$1" || exit 70
shift
exec "$@"
`;

/**
 * Runs a command inside new user (unless root), network, mount, host name, ipc and process id namespaces, with nothing
 * but `lo`, which is down. Whatever ends this process, SIGKILL included, ends everything inside.
 *
 * SIGINT, SIGTERM and SIGHUP are passed on; the command decides when to end.
 *
 * @returns exit code of the command, 128 + signal if a signal ended it
 * @throws PreflightError  naming what this machine lacks, or the port that is taken
 */
export async function launch(options: LaunchOptions): Promise<number> {
  await preflight();
  const runDirectory = join(options.stateDirectory, 'run');
  mkdirSync(runDirectory, { recursive: true, mode: 0o755 });
  const descriptors = await openListeners(options.listeners);
  try {
    return await runInside(options, runDirectory, descriptors);
  } finally {
    for (const fd of descriptors) closeSync(fd);
  }
}

/**
 * The inner side.
 *
 * @returns undefined if this process was not started by `launch`
 */
export function readLaunch(environment: NodeJS.ProcessEnv): Launched | undefined {
  const text = environment[VARIABLE];
  if (text === undefined) return undefined;
  const { stateDirectory, names } = JSON.parse(text) as { stateDirectory: string; names: string[] };
  return {
    stateDirectory,
    runDirectory: join(stateDirectory, 'run'),
    listeners: new Map(names.map((name, index) => [name, FIRST_LISTENER_FD + index])),
    hasOwnProc: environment[PROC_VARIABLE] === 'own',
  };
}

async function openListeners(listeners: readonly Listener[]): Promise<number[]> {
  // Only now: without the native addon, which this needs, `preflight` has ended with a sentence.
  const { openTcpListener } = await import('#netlink/tcp-socket.ts');
  const opened: number[] = [];
  try {
    for (const { name, address, port } of listeners) {
      try {
        opened.push(openTcpListener(address, port));
      } catch (error) {
        throw listenProblem(`port ${port} on ${address} (${name})`, error);
      }
    }
    return opened;
  } catch (error) {
    for (const fd of opened) closeSync(fd);
    throw error;
  }
}

function listenProblem(place: string, cause: unknown): PreflightError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  switch (code) {
    case 'EADDRINUSE':
      return new PreflightError(
        `${place} is already in use: stop the program that listens there, or choose another port`,
        { cause },
      );
    case 'EACCES':
      return new PreflightError(`not allowed to listen on ${place}: choose a port above 1023, or start this as root`, {
        cause,
      });
    case 'EADDRNOTAVAIL':
      return new PreflightError(`cannot listen on ${place}: this machine does not have that address, use 127.0.0.1`, {
        cause,
      });
    default:
      return new PreflightError(`cannot listen on ${place}: ${String(cause)}`, { cause });
  }
}

function runInside(options: LaunchOptions, runDirectory: string, descriptors: readonly number[]): Promise<number> {
  const isRoot = process.geteuid?.() === 0;
  const args = [
    // unshare dies with this process, and by --kill-child takes pid 1 of the sandbox and so everything along.
    '--pdeathsig=KILL',
    'unshare',
    ...namespaceArguments(isRoot),
    'sh',
    '-c',
    SET_UP,
    'sh',
    runDirectory,
    ...options.command,
  ];
  const launched = { stateDirectory: options.stateDirectory, names: options.listeners.map(({ name }) => name) };
  const child = spawn('setpriv', args, {
    // A process group of its own: unshare does not pass signals on, so they are sent to the group.
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', ...descriptors],
    env: { ...options.environment, [VARIABLE]: JSON.stringify(launched) },
  });
  return new Promise((resolve, reject) => {
    const handlers = Object.entries(SIGNALS).map(
      ([signal, passedOn]) => [signal, () => signalGroup(child.pid, passedOn)] as const,
    );
    for (const [signal, handler] of handlers) process.on(signal, handler);
    const finish = (): void => {
      for (const [signal, handler] of handlers) process.off(signal, handler);
    };
    child.once('error', (error) => {
      finish();
      reject(error);
    });
    child.once('exit', (code, signal) => {
      finish();
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}

function signalGroup(leader: number | undefined, signal: NodeJS.Signals): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, signal);
  } catch {
    // It has ended meanwhile; its exit event is on the way.
  }
}
