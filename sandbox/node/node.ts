import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Duplex, Readable } from 'node:stream';

import { createLogger, type Logger } from '#runtime/log.ts';

import type { LocalClient } from '../apiserver/local-client.ts';
import { KUBERNETES_VERSION } from '../apiserver/path-handler.ts';
import { StatusError } from '../apiserver/status-error.ts';
import type { RestartBackoff } from './container-slot.ts';
import type { ContainerSlot } from './container-slot.ts';
import { startExec } from './exec-session.ts';
import { defaultImages, type ImageMap } from './images.ts';
import { readLog } from './log-reader.ts';
import type { ExecOptions, ExecSession, LogOptions, NodeAgent } from './node-agent.ts';
import type { NodeContext, PodNetworks } from './node-context.ts';
import { NodeRegistration, type NodeFacts } from './node-object.ts';
import { PodWorker } from './pod-worker.ts';
import { asPod, isTerminal, namespaceOf, type Pod } from './pod.ts';
import { forwardPort } from './port-forward.ts';
import { OrphanReaper } from './process-group.ts';
import { Scheduler } from './scheduler.ts';
import { makePrivate, mountTmpfs, unmount } from './syscalls.ts';
import { ThreadHome } from './thread-home.ts';

const DEFAULT_NAME = 'sandbox';
const DEFAULT_IP = '10.42.0.1';
const DEFAULT_DNS_IP = '10.96.0.10';
const DEFAULT_VERSION = `${KUBERNETES_VERSION}+tulle`;
const REAP_MS = 3000;
/** Source: kubelet `MaxContainerBackOff`; a sandbox starts with a shorter first delay than a kubelet's 10 s. */
const DEFAULT_BACKOFF: RestartBackoff = { minMs: 1000, maxMs: 300_000, resetAfterMs: 600_000 };

export type NodeOptions = {
  /** Everything of the node lies below it. What an earlier node left there is removed. */
  readonly stateDirectory: string;
  readonly networks: PodNetworks;
  /** Folder of the checkout: its `dist` has the bundled programs. Containers see it at the same path. */
  readonly checkout: string;
  readonly images?: ImageMap; // instead of the usual ones
  readonly name?: string;
  readonly ip?: string;
  readonly dnsIP?: string;
  readonly clusterDomain?: string;
  readonly version?: string; // instead of the API server's
  readonly backoff?: RestartBackoff;
  readonly log?: Logger;
  /** Directories of the machine that containers must not see, besides the state directory. */
  readonly hidden?: readonly string[];
};

/**
 * Starts the only node of a sandbox: registers it, binds pending pods to it and runs them. The calling process must be
 * in private mount, network, UTS and pid namespaces with CAP_SYS_ADMIN over them, and /proc must be that of the pid
 * namespace. Namespaces of the calling thread change for moments, within synchronous calls.
 */
export async function startNode(client: LocalClient, options: NodeOptions): Promise<Node & NodeAgent> {
  const node = new Node(client, options);
  await node.start(randomUUID());
  return node;
}

/** The kubelet and the scheduler of a sandbox. */
export class Node implements NodeAgent, AsyncDisposable {
  readonly #client: LocalClient;
  readonly #context: NodeContext;
  readonly #home: ThreadHome;
  readonly #facts: Omit<NodeFacts, 'bootID'>;
  readonly #log: Logger;
  #registration: NodeRegistration | undefined;
  #scheduler: Scheduler | undefined;
  readonly #reaper = new OrphanReaper();
  readonly #workers = new Map<string, PodWorker>(); // by uid
  readonly #awaited = new Map<string, NodeJS.Timeout>(); // by uid, pods whose turn to start has not come
  #watches: Disposable[] = [];
  readonly #memory: string;
  #reapTimer: NodeJS.Timeout | undefined;
  #closing: Promise<void> | undefined;

  constructor(client: LocalClient, options: NodeOptions) {
    const log = options.log ?? createLogger('node', 'warn');
    const { stateDirectory, name = DEFAULT_NAME, ip = DEFAULT_IP } = options;
    const path = (part: string): string => join(stateDirectory, part);
    this.#client = client;
    this.#memory = path('memory');
    this.#home = prepareDirectories(stateDirectory, this.#memory);
    this.#context = {
      client,
      nodeName: name,
      nodeIP: ip,
      networks: options.networks,
      host: {
        home: this.#home,
        stage: path('stage'),
        hidden: [stateDirectory, ...(options.hidden ?? [])],
        visible: [options.checkout],
      },
      images: options.images ?? defaultImages(join(options.checkout, 'dist')),
      names: { dnsIP: options.dnsIP ?? DEFAULT_DNS_IP, clusterDomain: options.clusterDomain ?? 'cluster.local' },
      allocatable: { cpu: availableParallelism(), memoryBytes: totalmem() },
      backoff: options.backoff ?? DEFAULT_BACKOFF,
      directories: { pods: path('pods'), memory: this.#memory, logs: path('logs') },
      log,
      isUserMapped: userMap(),
    };
    this.#facts = { name, ip, version: options.version ?? DEFAULT_VERSION, cpus: availableParallelism() };
    this.#log = log;
  }

  /**
   * @param bootID   what the node's object shows, so that others see that it has started again
   * @param delayMs  how long each pod that is there already has to wait for its turn; none does by default
   */
  async start(bootID: string, delayMs?: (pod: Pod) => number): Promise<void> {
    this.#registration = new NodeRegistration(this.#client, { ...this.#facts, bootID }, this.#log);
    this.#scheduler = new Scheduler(this.#client, this.#facts.name, this.#log);
    await this.#registration.start();
    if (delayMs !== undefined) {
      for (const pod of this.#client.list('pods').map(asPod)) this.#await(pod, delayMs(pod));
    }
    this.#watches.push(
      this.#client.watch('pods', {
        apply: (object) => this.#apply(asPod(object)),
        delete: (object) => this.#workers.get(object.metadata.uid)?.removed(),
      }),
      this.#watchConfig('configmaps', 'configMap'),
      this.#watchConfig('secrets', 'secret'),
    );
    this.#scheduler.start();
    this.#reapTimer = setInterval(() => this.#reaper.sweep(), REAP_MS);
    this.#reapTimer.unref();
  }

  /** All processes are killed at once; networks, addresses and memory are gone, objects and disk stay until `start`. */
  async losePower(): Promise<void> {
    this.#stopWork();
    await Promise.all([...this.#workers.values()].map((worker) => worker.losePower()));
    this.#workers.clear();
    this.#context.networks.startOver();
    await this.#registration?.lost();
  }

  logs(namespace: string, pod: string, container: string, options: LogOptions): Readable {
    const worker = this.#worker(namespace, pod);
    const slot = this.#slot(worker, container);
    const log = options.previous ? slot.previousLog : slot.currentLog;
    if (log !== undefined) return readLog(log, options);
    const name = slot.container.name;
    if (options.previous) throw badRequest(`previous terminated container "${name}" in pod "${pod}" not found`);
    const reason = slot.problem?.reason ?? (slot.role === 'main' ? 'PodInitializing' : 'ContainerCreating');
    throw badRequest(`container "${name}" in pod "${pod}" is waiting to start: ${reason}`);
  }

  exec(
    namespace: string,
    pod: string,
    container: string,
    command: readonly string[],
    options: ExecOptions,
  ): ExecSession {
    if (command.length === 0) throw badRequest('you must specify at least 1 command for the container');
    const slot = this.#slot(this.#worker(namespace, pod), container);
    const running = slot.instance?.process;
    if (running?.isRunning !== true) {
      throw new StatusError(404, 'NotFound', `container not found ("${slot.container.name}")`);
    }
    return startExec(running, command, options);
  }

  async portForward(namespace: string, pod: string, port: number): Promise<Duplex> {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw badRequest(`port ${port} is not a TCP port`);
    const { network } = this.#worker(namespace, pod).surroundings;
    if (network === undefined) throw badRequest(`pod "${pod}" is not running`);
    return forwardPort(network.netns, port);
  }

  /** Ends all pods' processes at once and removes everything of the node except its objects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #stopWork(): void {
    clearInterval(this.#reapTimer);
    this.#registration?.[Symbol.dispose]();
    this.#scheduler?.[Symbol.dispose]();
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#watches = [];
    for (const timer of this.#awaited.values()) clearTimeout(timer);
    this.#awaited.clear();
  }

  async #close(): Promise<void> {
    this.#stopWork();
    await Promise.all([...this.#workers.values()].map((worker) => worker.close()));
    this.#workers.clear();
    unmount(this.#memory);
    this.#home[Symbol.dispose]();
    for (const part of STATE_PARTS) {
      rmSync(join(this.#memory, '..', part), { recursive: true, force: true });
    }
  }

  #await({ metadata: { uid, namespace, name } }: Pod, delayMs: number): void {
    const begin = (): void => {
      this.#awaited.delete(uid);
      const pod = this.#client.get('pods', namespace, name);
      if (pod?.metadata.uid === uid) this.#apply(asPod(pod));
    };
    this.#awaited.set(uid, setTimeout(begin, delayMs));
  }

  #apply(pod: Pod): void {
    if (pod.spec.nodeName !== this.#context.nodeName || this.#closing !== undefined) return;
    if (this.#awaited.has(pod.metadata.uid)) return;
    const known = this.#workers.get(pod.metadata.uid);
    if (known !== undefined) {
      known.update(pod);
      return;
    }
    if (isTerminal(pod) && pod.metadata.deletionTimestamp === undefined) return;
    const worker = new PodWorker(this.#context, pod);
    this.#workers.set(pod.metadata.uid, worker);
    void worker.removedAndGone.then(() => this.#workers.delete(worker.uid));
  }

  #watchConfig(resource: string, kind: 'configMap' | 'secret'): Disposable {
    const changed = (object: { metadata: { namespace?: string; name: string } }): void => {
      for (const worker of this.#workers.values()) {
        if (namespaceOf(worker.pod) === object.metadata.namespace) worker.configChanged(kind, object.metadata.name);
      }
    };
    return this.#client.watch(resource, { apply: changed, delete: changed });
  }

  #worker(namespace: string, name: string): PodWorker {
    const pod = this.#client.get('pods', namespace, name);
    if (pod === undefined) throw new StatusError(404, 'NotFound', `pods "${name}" not found`);
    const worker = this.#workers.get(pod.metadata.uid);
    if (worker !== undefined) return worker;
    throw badRequest(`pod ${name} does not have a host assigned`);
  }

  #slot(worker: PodWorker, container: string): ContainerSlot {
    const pod = worker.pod.metadata.name;
    const names = worker.slots.map((slot) => slot.container.name);
    const mains = worker.slots.filter((slot) => slot.role === 'main');
    if (container === '' && mains.length > 1) {
      throw badRequest(`a container name must be specified for pod ${pod}, choose one of: [${names.join(' ')}]`);
    }
    const slot = container === '' ? mains[0] : worker.slots.find((candidate) => candidate.container.name === container);
    if (slot === undefined) throw badRequest(`container ${container} is not valid for pod ${pod}`);
    return slot;
  }
}

const STATE_PARTS = ['stage', 'pods', 'logs', 'memory'];

function badRequest(message: string): StatusError {
  return new StatusError(400, 'BadRequest', message);
}

/** Empty folders for the node. Mounts made from now on stay in this process's mount namespace. */
function prepareDirectories(stateDirectory: string, memory: string): ThreadHome {
  makePrivate();
  for (const part of STATE_PARTS) {
    rmSync(join(stateDirectory, part), { recursive: true, force: true });
    mkdirSync(join(stateDirectory, part), { recursive: true });
  }
  mountTmpfs(memory, 'mode=0755');
  return new ThreadHome();
}

/** Which user ids exist here. Source: user_namespaces(7), lines of `first inside, first outside, count`. */
function userMap(): (uid: number) => boolean {
  if (!existsSync('/proc/self/uid_map')) return () => true;
  const ranges = readFileSync('/proc/self/uid_map', 'utf8')
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number));
  return (uid) => ranges.some(([first = 0, , count = 0]) => uid >= first && uid < first + count);
}
