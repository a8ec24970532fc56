import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inNetns } from '#netlink/namespace.ts';
import { openTcpSocket } from '#netlink/tcp-socket.ts';
import { connectedHosts, type TestHost } from '#netlink/testing.ts';
import { parseOptions } from '../redirect/options.ts';
import { installRedirect } from '../redirect/program.ts';

/** Ports of the peers and of what is reached without a proxy: not redirected. */
const APART = '7000-7999,9000-9999';
export const PROXY_UID = 2102;
/** The load, the backend and the control plane have one core, the two proxies of a pair the other. */
export type Core = 'load' | 'proxies';
const CORES: Readonly<Record<Core, string>> = { load: '0', proxies: '1' };
const LISTENING_MS = 15_000;

/**
 * Two pods: network namespaces with a link between them, both with the redirection that the mesh has. What runs in them ends
 * when this is disposed of, or this process ends by itself or by a signal that allows it.
 */
export class Place implements Disposable {
  readonly client: TestHost;
  readonly server: TestHost;
  readonly folder: string;
  readonly #children: ChildProcess[] = [];
  readonly #dispose = (): void => this[Symbol.dispose]();

  constructor() {
    [this.client, this.server] = connectedHosts();
    this.folder = mkdtempSync(join(tmpdir(), 'tulle-bench-'));
    chmodSync(this.folder, 0o755); // proxies and nginx's workers are other users
    const options = parseOptions([
      '--incoming-proxy-port=4143',
      '--outgoing-proxy-port=4140',
      `--proxy-uid=${PROXY_UID}`,
      `--inbound-ports-to-ignore=4190,4191,${APART}`,
      `--outbound-ports-to-ignore=${APART}`,
    ]);
    for (const { netns } of [this.client, this.server]) inNetns(netns, () => installRedirect(options));
    // This process too: what it does must not be in the way of the proxies.
    spawnSync('taskset', ['--all-tasks', '--cpu-list', '--pid', CORES.load, String(process.pid)]);
    process.once('exit', this.#dispose);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  }

  /** Starts a process in a pod, on a core. What it says goes to `<name>.log` in the folder. */
  start(
    host: TestHost,
    core: Core,
    name: string,
    command: readonly string[],
    options: Pick<SpawnOptions, 'env' | 'uid'> = {},
  ): ChildProcess {
    const log = openSync(join(this.folder, `${name}.log`), 'a');
    const child = this.run(host, core, command, { ...options, stdio: ['ignore', log, log], detached: true });
    this.#children.push(child);
    return child;
  }

  run(host: TestHost, core: Core, command: readonly string[], options: SpawnOptions): ChildProcess {
    return inNetns(host.netns, () => spawn('taskset', ['-c', CORES[core], ...command], options));
  }

  /** Waits until something listens. @throws Error  with the end of the log of the process that should */
  async listening(host: TestHost, port: number, name: string): Promise<void> {
    const deadline = performance.now() + LISTENING_MS;
    while (!(await this.#answers(host, port))) {
      if (performance.now() > deadline) throw new Error(`${name} does not listen on ${port}: ${this.logOf(name)}`);
      await new Promise((resolve) => void setTimeout(resolve, 50));
    }
  }

  /** Ends a process that was started here, and its own children, at once. */
  async end(leader: number): Promise<void> {
    const child = this.#children.find(({ pid }) => pid === leader);
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    killGroup(leader);
    await ended;
  }

  logOf(name: string): string {
    return readFileSync(join(this.folder, `${name}.log`), 'utf8').slice(-2_000);
  }

  #answers(host: TestHost, port: number): Promise<boolean> {
    return new Promise((resolve) => {
      // By the link's own address: connections to it stay inside and are not redirected.
      const socket = inNetns(host.netns, () => openTcpSocket(false));
      socket.connect({ host: host.ipv4, port });
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', () => resolve(false));
    });
  }

  [Symbol.dispose](): void {
    process.off('exit', this.#dispose);
    // With their own children: nginx's workers outlive a master that was killed.
    for (const { pid, exitCode } of this.#children) if (pid !== undefined && exitCode === null) killGroup(pid);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function killGroup(leader: number): void {
  try {
    process.kill(-leader, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // it has ended meanwhile
  }
}
