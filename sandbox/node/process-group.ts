import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

import { reap } from './syscalls.ts';

/** Facts of /proc/<pid>/stat. Source: proc(5). */
export type ProcessFacts = {
  readonly pid: number;
  readonly state: string; // one letter; Z is a zombie
  readonly parent: number;
  readonly session: number;
};

/** Bound on the rounds of killing: each round can only miss children made while it ran. */
const KILL_ROUNDS_MAX = 20;

export function listPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

export function processFacts(pid: number): ProcessFacts | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return undefined; // it ended meanwhile
  }
  // The command in parentheses may contain anything, so count from its end.
  const [state = '', parent, , session] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { pid, state, parent: Number(parent), session: Number(session) };
}

/** Identity of a mount namespace, such as `mnt:[4026532248]`. Each container has one of its own. */
export function mountNamespaceOf(pid: number | 'thread-self'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`);
  } catch {
    return undefined; // a zombie, or ended
  }
}

/** Live processes of a container, also those that left its session. */
export function pidsInMountNamespace(namespace: string): number[] {
  return listPids().filter((pid) => pid !== process.pid && mountNamespaceOf(pid) === namespace);
}

/** Kills every process of a container, also those made meanwhile. What is left after that is beyond signals. */
export function killMountNamespace(namespace: string): void {
  killAll(() => pidsInMountNamespace(namespace));
}

/** Kills every process of a session, as of a command run by `exec`. */
export function killSession(session: number): void {
  killAll(() =>
    listPids().filter((pid) => {
      const facts = processFacts(pid);
      return facts !== undefined && facts.session === session && facts.state !== 'Z';
    }),
  );
}

function killAll(remaining: () => number[]): void {
  for (let round = 0; round < KILL_ROUNDS_MAX; round += 1) {
    const pids = remaining();
    if (pids.length === 0) return;
    for (const pid of pids) signal(pid, 'SIGKILL');
  }
}

/** False when there is no such process any more. */
export function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch {
    return false;
  }
}

/**
 * Collects orphans of containers that ended as children of this process, when it is the first of its pid namespace.
 * Node collects its own children within a turn of the event loop, so a zombie that two sweeps have seen is an orphan.
 */
export class OrphanReaper {
  #seen = new Set<number>();

  sweep(): void {
    const zombies = listPids().filter((pid) => {
      const facts = processFacts(pid);
      return facts !== undefined && facts.state === 'Z' && facts.parent === process.pid;
    });
    for (const pid of zombies) if (this.#seen.has(pid)) reap(pid);
    this.#seen = new Set(zombies);
  }
}
