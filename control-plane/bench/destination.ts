import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { STATUS_LEASE } from '#config/names.ts';
import { defaultValues } from '#config/values.ts';
import { createLogger } from '#runtime/log.ts';
import { cpuMicros, memoryOf } from '../../proxy/bench/measure.ts';
import type { TestCluster } from '../../test/harness/api-server.ts';
import { readIdentityConfig } from '../identity/config.ts';
import { startIdentity } from '../identity/process.ts';
import { destinationComponent } from '../install/manifests/destination.ts';
import { componentManifests } from '../install/manifests/workload.ts';
import { grantRights } from '../destination/testing-process.ts';
import { BUNDLE_FOLDER, bundleAll } from '../install/bundle.ts';
import { NODE_ENVIRONMENT, NODE_FLAGS } from '../install/node-flags.ts';

export const SERVER_NAME = 'tulle-destination.tulle.serviceaccount.identity.tulle.cluster.local';
const START_MS = 60_000;
/** A Lease that its holder has not given up is free after 15 s; it is looked at every 5 s. */
const LEAD_MS = 60_000;
const PROBE = join(import.meta.dirname, 'probe.mjs');

/**
 * Arguments of unshare before those of a program: it finds its service account where a pod has it. With a kubeconfig it would load
 * a library that no pod needs.
 */
const IN_POD = [
  '--user',
  '--map-root-user',
  '--mount',
  'sh',
  '-c',
  `set -e
   mount -t tmpfs none /var/run
   mkdir -p /var/run/secrets/kubernetes.io/serviceaccount
   cp "$0/token" "$0/ca.crt" /var/run/secrets/kubernetes.io/serviceaccount
   exec "$@"`,
];

/** By how much what was due came late because other work had its turn, ms: at 99 of 100 looks, and at worst. */
export type LoopDelay = { readonly p99: number; readonly max: number };

/** What one destination process holds after a collection of garbage, MiB. */
export type MemoryUse = { readonly rss: number; readonly heap: number; readonly external: number };

export type Ports = { readonly destination: number; readonly policy: number };

/** A destination process as it is shipped, by itself, with the identity process of a cluster beside it. */
export class Destination implements AsyncDisposable {
  readonly #cluster: TestCluster;
  readonly #folder: string;
  readonly #identity: Awaited<ReturnType<typeof startIdentity>>;
  #child: ChildProcess | undefined;
  /** Where it listens: chosen when it first starts, and the same when it starts again. */
  ports: Ports = { destination: 0, policy: 0 };

  private constructor(cluster: TestCluster, folder: string, identity: Awaited<ReturnType<typeof startIdentity>>) {
    this.#cluster = cluster;
    this.#folder = folder;
    this.#identity = identity;
  }

  /** Prepares it; nothing runs before `start`. */
  static async of(cluster: TestCluster): Promise<Destination> {
    await bundleAll();
    const folder = mkdtempSync(join(tmpdir(), 'bench-'));
    const values = defaultValues('0.0.0');
    const manifests = componentManifests(values, destinationComponent(values));
    writeFileSync(join(folder, 'token'), await grantRights(cluster, 'tulle-destination', manifests));
    writeFileSync(join(folder, 'ca.crt'), cluster.server.caCertificate);
    writeFileSync(join(folder, 'identity-token'), await cluster.token('tulle', 'tulle-destination'));
    const config = readIdentityConfig({ TULLE_ADMIN_PORT: '0', TULLE_SHUTDOWN_GRACE: '1s', TULLE_IDENTITY_PORT: '0' });
    const identity = await startIdentity(config, cluster.connection, createLogger('identity', 'silent'));
    await identity.port;
    return new Destination(cluster, folder, identity);
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get anchorsPem(): string {
    const map = this.#cluster.server.client.get('configmaps', 'tulle', 'linkerd-identity-trust-roots');
    return (map as unknown as { data: Record<string, string> }).data['ca-bundle.crt'] ?? '';
  }

  /** @returns milliseconds from its start until it serves. @throws Error  with its log, when it does not */
  async start(flags: readonly string[] = []): Promise<number> {
    const startedMs = performance.now();
    const program = [...NODE_FLAGS, ...flags, '--import', PROBE, join(BUNDLE_FOLDER, 'destination.cjs')];
    const { hostname, port } = this.#cluster.connection.server;
    const child = spawn('unshare', [...IN_POD, this.#folder, process.execPath, ...program], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: {
        ...NODE_ENVIRONMENT,
        PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
        KUBERNETES_SERVICE_HOST: hostname,
        KUBERNETES_SERVICE_PORT: port,
        TULLE_ADMIN_PORT: '0',
        TULLE_SHUTDOWN_GRACE: '2s',
        TULLE_DESTINATION_PORT: String(this.ports.destination),
        TULLE_POLICY_PORT: String(this.ports.policy),
        TULLE_IDENTITY_ADDRESS: `127.0.0.1:${await this.#identity.port}`,
        TULLE_IDENTITY_TOKEN_FILE: join(this.#folder, 'identity-token'),
      },
    });
    this.#child = child;
    const lines: string[] = [];
    const serving = new Promise<Ports>((resolve, reject) => {
      const read = (line: string): void => {
        if (lines.push(line) > 200) lines.shift();
        const { destinationPort, policyPort } = parse(line);
        if (destinationPort !== undefined && policyPort !== undefined)
          resolve({ destination: destinationPort, policy: policyPort });
      };
      for (const stream of [child.stdout, child.stderr]) createInterface(stream as Readable).on('line', read);
      child.once('exit', (code) => reject(new Error(`destination ended with ${code}:\n${lines.join('\n')}`)));
      setTimeout(() => reject(new Error(`destination does not serve:\n${lines.join('\n')}`)), START_MS).unref();
    });
    this.ports = await serving;
    return performance.now() - startedMs;
  }

  /** Ends it at once or in order. */
  async stop(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  /** CPU time that it has used so far, µs. */
  cpuMicros(): number {
    return cpuMicros([this.pid]);
  }

  /** What it holds once its garbage is collected. */
  async memory(): Promise<MemoryUse> {
    const { heapUsed, external } = await this.#ask<NodeJS.MemoryUsage>('collect');
    const MIB = 1024 * 1024;
    return { rss: memoryOf([this.pid]).rss, heap: heapUsed / MIB, external: external / MIB };
  }

  /** The most that was resident since it started, MiB. */
  get peakRss(): number {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.pid}/status`, 'utf8'))?.[1] ?? NaN) / 1024;
  }

  /** Resolves when it is the one that writes statuses, as one replica is in every cluster. */
  async leads(): Promise<void> {
    const holder = (): string => {
      const lease = this.#cluster.server.client.get('leases.coordination.k8s.io', 'tulle', STATUS_LEASE);
      return (lease as { spec?: { holderIdentity?: string } } | undefined)?.spec?.holderIdentity ?? '';
    };
    const deadlineMs = performance.now() + LEAD_MS;
    while (!holder().endsWith(`-${this.pid}`)) {
      if (performance.now() > deadlineMs) throw new Error(`the Lease ${STATUS_LEASE} is held by "${holder()}"`);
      await sleep(100);
    }
  }

  /** Begins to watch its event loop. */
  async watchLoop(): Promise<void> {
    await this.#ask('watchLoop');
  }

  /** What was seen of its event loop. */
  loopDelay(): Promise<LoopDelay> {
    return this.#ask<LoopDelay>('loopDelay');
  }

  async #ask<A>(question: 'collect' | 'watchLoop' | 'loopDelay'): Promise<A> {
    const answer = once(this.#child!, 'message');
    this.#child!.send(question);
    const [told] = (await answer) as [A];
    return told;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop('SIGKILL');
    await this.#identity.stop();
    rmSync(this.#folder, { recursive: true });
  }
}

function parse(line: string): { readonly destinationPort?: number; readonly policyPort?: number } {
  try {
    return JSON.parse(line) as { destinationPort?: number; policyPort?: number };
  } catch {
    return {};
  }
}
