import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

import { reap } from './syscalls.ts';

/** A process of this pid namespace; all numbers are those of this namespace. */
export type ProcessFacts = {
  readonly pid: number;
  readonly isZombie: boolean;
  readonly isChild: boolean; // of this process
  readonly session: number;
};

/** Bound on the rounds of killing: each round can only miss children made while it ran. */
const KILL_ROUNDS_MAX = 20;

/**
 * How /proc counts. Inside a container that masks parts of its /proc no fresh one can be mounted; the one there shows
 * the process ids of an outer pid namespace, and each process's ids in all namespaces below that.
 */
type Numbering = { readonly level: number; readonly own: string };

function numbering(): Numbering {
  const ids = ownField('NSpid');
  return { level: ids.length - 1, own: ids[0] ?? '' };
}

function ownField(name: string): string[] {
  return field(readFileSync('/proc/self/status', 'utf8'), name);
}

/** The words of a line of /proc/<pid>/status. */
function field(status: string, name: string): string[] {
  return new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1]?.split(/\s+/) ?? [];
}

/** Names of the folders of processes in /proc, whatever they count. */
function processFolders(): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
}

/** Undefined for a process that has ended or belongs to another pid namespace. */
function factsIn(folder: string, { level, own }: Numbering): ProcessFacts | undefined {
  let status: string;
  try {
    status = readFileSync(`/proc/${folder}/status`, 'utf8');
  } catch {
    return undefined;
  }
  const pid = field(status, 'NSpid')[level];
  const session = field(status, 'NSsid')[level];
  if (pid === undefined) return undefined;
  return {
    pid: Number(pid),
    isZombie: field(status, 'State')[0] === 'Z',
    isChild: field(status, 'PPid')[0] === own,
    session: Number(session ?? 0),
  };
}

/** All processes of this pid namespace that /proc shows. */
export function listProcesses(): ProcessFacts[] {
  const view = numbering();
  return processFolders()
    .map((folder) => factsIn(folder, view))
    .filter((facts) => facts !== undefined);
}

/**
 * Identity of a mount namespace, such as `mnt:[4026532248]`. Each container has one of its own.
 *
 * @param folder  of a process in /proc, such as `thread-self`
 */
export function mountNamespaceOf(folder: string): string | undefined {
  try {
    return readlinkSync(`/proc/${folder}/ns/mnt`);
  } catch {
    return undefined; // a zombie, ended, or not ours to look at
  }
}

/** Live processes of a container, also those that left its session. */
function pidsInMountNamespace(namespace: string): number[] {
  const view = numbering();
  return processFolders()
    .filter((folder) => folder !== view.own && mountNamespaceOf(folder) === namespace)
    .map((folder) => factsIn(folder, view)?.pid)
    .filter((pid) => pid !== undefined);
}

/** Kills every process of a container, also those made meanwhile. What is left after that is beyond signals. */
export function killMountNamespace(namespace: string): void {
  killAll(() => pidsInMountNamespace(namespace));
}

/** Kills every process of a session, as of a command run by `exec`. */
export function killSession(session: number): void {
  killAll(() =>
    listProcesses()
      .filter((facts) => facts.session === session && !facts.isZombie)
      .map((facts) => facts.pid),
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
    const zombies = listProcesses()
      .filter((facts) => facts.isZombie && facts.isChild)
      .map((facts) => facts.pid);
    for (const pid of zombies) if (this.#seen.has(pid)) reap(pid);
    this.#seen = new Set(zombies);
  }
}
