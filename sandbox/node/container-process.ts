import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';

import { enterRoot, inMountOrder, type RootMount } from './container-root.ts';
import type { LogFile } from './log-file.ts';
import { killMountNamespace, mountNamespaceOf, signal } from './process-group.ts';
import { openPipe, withChildCapabilities } from './syscalls.ts';
import type { ContainerNamespaces, ThreadHome } from './thread-home.ts';

/** How long what a container wrote last is waited for after its processes are gone. */
const DRAIN_MS = 1000;

/** What the machine gives to all containers. */
export type ContainerHost = {
  readonly home: ThreadHome;
  readonly stage: string; // an empty directory, where new roots are built
  readonly hidden: readonly string[]; // directories of the machine that containers must not see
  readonly visible: readonly string[]; // directories that they see at the same path wherever they lie
};

/** Everything a container is made from, references resolved. */
export type ContainerConfig = {
  readonly argv: readonly string[]; // at least one
  readonly env: Readonly<Record<string, string>>;
  readonly directory: string; // working directory
  readonly hostname?: string; // absent: the node's
  readonly netns?: number; // descriptor; absent: the node's network
  readonly uid: number; // 0 also where the machine cannot switch users
  readonly gid: number;
  readonly capabilities: bigint; // one bit per capability number
  readonly mounts: readonly RootMount[];
};

/** How a container's first process ended. `exitCode` is 128 + signal number for a signal. */
export type ContainerExit = { readonly exitCode: number; readonly signal?: string; readonly finishedAtMs: number };

/** The program could not be started. */
export class ContainerStartError extends Error {
  override readonly name = 'ContainerStartError';
}

/** A running container: one process in its own session and namespaces, and whatever it starts. */
export class ContainerProcess {
  readonly pid: number;
  readonly startedAtMs: number;
  /** Resolves when no process of the container is left and its output is stored. Never rejects. */
  readonly exited: Promise<ContainerExit>;
  readonly #host: ContainerHost;
  readonly #config: ContainerConfig;
  readonly #namespaces: ContainerNamespaces;
  readonly #mountNamespace: string;
  #isRunning = true;

  /** @throws ContainerStartError, RootError or SystemCallError */
  static async start(host: ContainerHost, config: ContainerConfig, log: LogFile): Promise<ContainerProcess> {
    const stdout = openPipe();
    const stderr = openPipe();
    let made: { namespaces: ContainerNamespaces; mountNamespace: string } | undefined;
    try {
      const child = host.home.inNew(config.hostname, () => {
        enterRoot(host.stage, inMountOrder(config.mounts), host, config.directory);
        made = openNamespaces(host.home, config);
        return host.home.spawnHere(made.namespaces, () =>
          spawnProgram(config, config.argv, ['ignore', stdout.writeFd, stderr.writeFd]),
        );
      });
      if (made === undefined || child.pid === undefined) {
        throw new ContainerStartError(await startFailure(child, config));
      }
      return new ContainerProcess(
        host,
        config,
        made,
        child,
        child.pid,
        [
          drain(stdout.readFd, (chunk) => log.write('stdout', chunk)),
          drain(stderr.readFd, (chunk) => log.write('stderr', chunk)),
        ],
        log,
      );
    } catch (error) {
      closeSync(stdout.readFd);
      closeSync(stderr.readFd);
      if (made !== undefined) closeNamespaces(made.namespaces);
      throw error;
    } finally {
      closeSync(stdout.writeFd);
      closeSync(stderr.writeFd);
    }
  }

  private constructor(
    host: ContainerHost,
    config: ContainerConfig,
    made: { namespaces: ContainerNamespaces; mountNamespace: string },
    child: ChildProcess,
    pid: number,
    outputs: readonly Promise<void>[],
    log: LogFile,
  ) {
    this.#host = host;
    this.#config = config;
    this.#namespaces = made.namespaces;
    this.#mountNamespace = made.mountNamespace;
    this.pid = pid;
    this.startedAtMs = Date.now();
    this.exited = this.#watch(child, outputs, log);
  }

  get isRunning(): boolean {
    return this.#isRunning;
  }

  get config(): ContainerConfig {
    return this.#config;
  }

  /** To the first process, as container runtimes do. */
  signal(name: NodeJS.Signals): void {
    if (this.#isRunning) signal(this.pid, name);
  }

  /** Ends all processes of the container at once. */
  kill(): void {
    if (!this.#isRunning) return;
    signal(this.pid, 'SIGKILL');
    killMountNamespace(this.#mountNamespace);
  }

  /**
   * Starts a command in the container with its environment and rights, as the leader of a session.
   * A program that does not exist gives a child without `pid` and an `error` event.
   */
  spawn(argv: readonly string[], stdio: StdioOptions, env: Readonly<Record<string, string>> = {}): ChildProcess {
    if (!this.#isRunning) throw new ContainerStartError('the container is not running');
    const config = { ...this.#config, env: { ...this.#config.env, ...env } };
    return this.#host.home.inside(this.#namespaces, () => spawnProgram(config, argv, stdio));
  }

  async #watch(child: ChildProcess, outputs: readonly Promise<void>[], log: LogFile): Promise<ContainerExit> {
    const { promise, resolve } = Promise.withResolvers<ContainerExit>();
    child.once('exit', (code, name) => {
      const finishedAtMs = Date.now();
      const exitCode = code ?? 128 + (name === null ? 0 : constants.signals[name]);
      resolve({ exitCode, finishedAtMs, ...(name === null ? {} : { signal: name }) });
    });
    const exit = await promise;
    // With the first process the others go, as with a pid namespace.
    killMountNamespace(this.#mountNamespace);
    this.#isRunning = false;
    closeNamespaces(this.#namespaces);
    const timeout = Promise.withResolvers<void>();
    const timer = setTimeout(timeout.resolve, DRAIN_MS);
    await Promise.race([Promise.all(outputs), timeout.promise]);
    clearTimeout(timer);
    log.finish();
    return exit;
  }
}

/** Descriptors of the namespaces the calling thread is in now; its network is that of the pod only later. */
function openNamespaces(
  home: ThreadHome,
  config: ContainerConfig,
): { namespaces: ContainerNamespaces; mountNamespace: string } {
  const namespaces = {
    mount: openSync('/proc/thread-self/ns/mnt', 'r'),
    ...(config.hostname === undefined || !home.hasHostnames ? {} : { uts: openSync('/proc/thread-self/ns/uts', 'r') }),
    ...(config.netns === undefined ? {} : { net: config.netns }),
  };
  return { namespaces, mountNamespace: mountNamespaceOf('thread-self') ?? '' };
}

/** The network descriptor belongs to the pod. */
function closeNamespaces(namespaces: ContainerNamespaces): void {
  closeSync(namespaces.mount);
  if (namespaces.uts !== undefined) closeSync(namespaces.uts);
}

/** Call it inside the container's namespaces. */
function spawnProgram(config: ContainerConfig, argv: readonly string[], stdio: StdioOptions): ChildProcess {
  const [program = '', ...args] = argv;
  const user = config.uid === 0 && config.gid === 0 ? {} : { uid: config.uid, gid: config.gid };
  const child = withChildCapabilities(config.capabilities, () =>
    spawn(program, args, { ...user, cwd: config.directory, env: config.env, detached: true, stdio }),
  );
  child.on('error', () => {}); // looked at where `pid` is missing
  return child;
}

async function startFailure(child: ChildProcess, config: ContainerConfig): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<Error>();
  child.once('error', resolve);
  const error = await promise;
  return `exec: "${config.argv[0] ?? ''}": ${execFailure(error)}`;
}

/** The words of a container runtime for why a program did not start. */
export function execFailure(error: Error): string {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOENT') return 'executable file not found in $PATH';
  return code === 'EACCES' ? 'permission denied' : error.message;
}

/** Passes on what comes out of a pipe. Resolves at its end. */
function drain(fd: number, write: (chunk: Buffer) => void): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const pipe = new Socket({ fd, readable: true, writable: false });
  pipe.on('data', write);
  pipe.on('error', () => {});
  pipe.once('close', () => resolve());
  return promise;
}
