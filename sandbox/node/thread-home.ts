import { closeSync, openSync, stat } from 'node:fs';

import {
  chrootHere,
  CLONE_FS,
  CLONE_NEWNET,
  CLONE_NEWNS,
  CLONE_NEWUTS,
  fchdir,
  makePrivate,
  setHostname,
  setns,
  unshare,
} from './syscalls.ts';

/** Open descriptors of the namespaces of one container. */
export type ContainerNamespaces = {
  readonly mount: number;
  readonly uts?: number; // absent where hostnames cannot be set
  readonly net?: number; // absent: the node's network
};

/**
 * The namespaces the calling thread lives in, and the way back to them.
 *
 * Namespaces belong to threads, and a child process gets those of the thread that spawns it. So a container is started
 * by stepping into its namespaces, spawning, and stepping back, all in one synchronous call: no launcher process, a
 * millisecond per container.
 */
export class ThreadHome implements Disposable {
  readonly #mount = openSync('/proc/thread-self/ns/mnt', 'r');
  readonly #uts = openSync('/proc/thread-self/ns/uts', 'r');
  readonly #net = openSync('/proc/thread-self/ns/net', 'r');
  readonly #root = openSync('/', 'r');
  readonly #directory = openSync('.', 'r');
  /** False where the UTS namespace belongs to another user namespace: there would be no way back into it. */
  readonly hasHostnames: boolean;
  #isAway = false;

  constructor() {
    // Threads inherit the namespaces of the thread that starts them, and libuv starts its pool at the first use.
    stat('/', () => {});
    this.hasHostnames = canSetns(this.#uts, CLONE_NEWUTS);
  }

  /** Runs `fn` in a mount namespace (and UTS namespace) of its own, a copy of the node's. `fn` must be synchronous. */
  inNew<T>(hostname: string | undefined, fn: () => T): T {
    return this.#away(() => {
      const isNamed = hostname !== undefined && this.hasHostnames;
      unshare(CLONE_NEWNS | (isNamed ? CLONE_NEWUTS : 0));
      if (isNamed) setHostname(hostname);
      makePrivate();
      return fn();
    });
  }

  /** Runs `fn` in the namespaces of a container. `fn` must be synchronous. */
  inside<T>(namespaces: ContainerNamespaces, fn: () => T): T {
    return this.#away(() => {
      if (namespaces.net !== undefined) setns(namespaces.net, CLONE_NEWNET);
      if (namespaces.uts !== undefined) setns(namespaces.uts, CLONE_NEWUTS);
      // A thread may enter a mount namespace only when no other thread shares its root and working directory.
      unshare(CLONE_FS);
      setns(namespaces.mount, CLONE_NEWNS);
      return fn();
    });
  }

  /** For `fn` of `inNew`: runs `spawn` with the network of the container too. */
  spawnHere<T>(namespaces: ContainerNamespaces, spawn: () => T): T {
    if (!this.#isAway) throw new Error('spawnHere belongs inside inNew');
    if (namespaces.net !== undefined) setns(namespaces.net, CLONE_NEWNET);
    return spawn();
  }

  [Symbol.dispose](): void {
    for (const fd of [this.#mount, this.#uts, this.#net, this.#root, this.#directory]) closeSync(fd);
  }

  #away<T>(fn: () => T): T {
    if (this.#isAway) throw new Error('namespaces are entered one at a time');
    this.#isAway = true;
    try {
      return fn();
    } finally {
      this.#return();
      this.#isAway = false;
    }
  }

  /** Going on in a container's namespaces would mix up the node and the container: better to end here. */
  #return(): void {
    try {
      unshare(CLONE_FS);
      setns(this.#mount, CLONE_NEWNS);
      setns(this.#net, CLONE_NEWNET);
      if (this.hasHostnames) setns(this.#uts, CLONE_NEWUTS);
      fchdir(this.#root);
      chrootHere();
      fchdir(this.#directory);
    } catch (error) {
      process.stderr.write(`no way back from a container's namespaces: ${String(error)}\n`);
      process.abort();
    }
  }
}

function canSetns(fd: number, type: number): boolean {
  try {
    setns(fd, type);
    return true;
  } catch {
    return false;
  }
}
