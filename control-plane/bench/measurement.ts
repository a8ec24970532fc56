import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MARKER_MIN, target, write, type Change } from './changes.ts';
import { fillCluster, startCluster, type ClusterSize } from './cluster.ts';
import { Destination, type MemoryUse, type LoopDelay } from './destination.ts';
import { LatencyBook, type Latencies } from './latency-book.ts';
import { machineMs, type ProxiesReport, type ProxiesRequest } from './proxies.ts';

export type Options = {
  readonly size: ClusterSize;
  readonly proxies: number;
  readonly targets: number; // Services that each proxy talks to
  readonly rate: number; // changes a second
  readonly seconds: number;
  readonly nodeFlags: readonly string[];
  readonly progress: (text: string) => void;
};

export type Result = {
  readonly size: ClusterSize;
  readonly proxies: number;
  readonly streams: number;
  readonly rate: number; // changes a second that were really written
  readonly latency: Latencies;
  /** From its start until it serves, with all of the cluster to read. */
  readonly coldStartMs: number;
  readonly memory: {
    readonly empty: MemoryUse; // of a cluster without Services
    readonly filled: MemoryUse;
    readonly streaming: MemoryUse; // with all streams open
    readonly after: MemoryUse; // the changes
    readonly peakRss: number; // MiB, garbage included
  };
  /** Of the event loop, during the changes. */
  readonly loopDelay: LoopDelay;
  /** CPU time of the destination process, ms. */
  readonly cpu: {
    readonly fill: number; // to take in the Services, pods and policies one by one
    readonly coldStart: number;
    readonly open: number; // to open all streams, TLS included
    readonly changes: number;
    readonly changeCount: number;
  };
};

/** How long news may take before it counts as lost. */
const ARRIVAL_MS_MAX = 15_000;
/** For the first look at everything of who has become the writer of statuses. */
const SETTLE_MS = 3_000;

/** Measures one destination process: empty, filled, started cold, with streams, and with changes. */
export async function measure(options: Options): Promise<Result> {
  const { size, progress } = options;
  await using cluster = await startCluster(size);
  await using destination = await Destination.of(cluster);
  await destination.start(options.nodeFlags);
  const empty = await destination.memory();
  progress(`filling the cluster: ${size.services} Services, ${size.endpoints} endpoints`);
  const cpuBefore = destination.cpuMicros();
  await fillCluster(cluster, size);
  await sleep(1_000);
  const fill = (destination.cpuMicros() - cpuBefore) / 1000;
  const filled = await destination.memory();
  await destination.stop();
  progress('cold start');
  const coldStartMs = await destination.start(options.nodeFlags);
  const coldStart = destination.cpuMicros() / 1000;

  progress(`opening the streams of ${options.proxies} proxies`);
  const book = new LatencyBook(options);
  using proxies = await startProxies(options, destination, book);
  const open = destination.cpuMicros() / 1000 - coldStart;
  const streaming = await destination.memory();

  progress('waiting for the Lease of the writer of statuses');
  await destination.leads();
  await sleep(SETTLE_MS);

  progress(`${options.rate} changes a second for ${options.seconds} s`);
  await destination.watchLoop();
  const cpuStart = destination.cpuMicros();
  const changes = await writeChanges(options, cluster.server.client, book);
  const deadlineMs = machineMs() + ARRIVAL_MS_MAX;
  while (book.pending > 0 && machineMs() < deadlineMs) await sleep(50);
  const cpuChanges = (destination.cpuMicros() - cpuStart) / 1000;
  const loopDelay = await destination.loopDelay();
  const { peakRss } = destination;
  const after = await destination.memory();
  await destination.stop(); // in order: a profile is written at its end
  return {
    size,
    proxies: options.proxies,
    streams: proxies.streams,
    rate: changes.rate,
    latency: book.summary(),
    coldStartMs,
    memory: { empty, filled, streaming, after, peakRss },
    loopDelay,
    cpu: { fill, coldStart, open, changes: cpuChanges, changeCount: changes.count },
  };
}

/** Starts the process of the simulated proxies; resolves when all of their streams have been answered. */
async function startProxies(
  { size, proxies, targets }: Options,
  { ports, anchorsPem }: Destination,
  book: LatencyBook,
): Promise<Disposable & { readonly streams: number }> {
  const streams = proxies * (targets * 3 + 2);
  const child: ChildProcess = fork(join(import.meta.dirname, 'proxies.ts'), {
    execArgv: ['--disable-warning=ExperimentalWarning'],
  });
  const request: ProxiesRequest = { size, proxies, targets, ports, anchorsPem };
  child.send(request);
  await new Promise<void>((resolve, reject) => {
    let open = 0;
    child.on('message', ({ opened, arrivals }: ProxiesReport) => {
      open = opened;
      for (const arrival of arrivals) book.arrived(arrival);
      if (open >= streams) resolve();
    });
    child.once('exit', () => reject(new Error(`the simulated proxies ended with ${open} of ${streams} streams open`)));
  });
  return { streams, [Symbol.dispose]: () => void child.kill('SIGKILL') };
}

/** Writes at a steady rate, without waiting for what came before. */
async function writeChanges(
  { size, rate, seconds }: Options,
  client: Parameters<typeof write>[0],
  book: LatencyBook,
): Promise<{ readonly count: number; readonly rate: number }> {
  const startedMs = machineMs();
  const count = Math.round(rate * seconds);
  for (let nth = 0; nth < count; nth += 1) {
    await sleep(Math.max(0, startedMs + (nth * 1000) / rate - machineMs()));
    const change: Change = { ...target(nth, size), marker: MARKER_MIN + nth, atMs: machineMs() };
    book.written(change);
    await write(client, size, change);
  }
  return { count, rate: (count * 1000) / (machineMs() - startedMs) };
}
