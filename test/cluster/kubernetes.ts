import { execFileSync, spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type ApiObject, type Cluster } from '../../cli/cluster.ts';
import { applyAll } from '../../sandbox/demo/apply.ts';
import type { Manifest } from '../../control-plane/install/manifest.ts';
import { until } from '../harness/until.ts';
import { ALL_CLUSTERS, BRIDGE, BRIDGE_IP, clusterAddresses, LETTERS, type ClusterAddresses } from './addresses.ts';
import { writeConfiguration } from './configuration.ts';
import type { Programs } from './programs.ts';

const READY_MS = 120_000;
const COMMAND_MS = 60_000;
const LOAD_BALANCERS_MS = 500;
/** Programs of a node that start in any order after a power failure, and within which time. */
const SHUFFLED = [
  'containerd',
  'etcd',
  'kube-apiserver',
  'kube-scheduler',
  'kubelet',
  'kube-proxy',
  'kube-controller-manager',
];
const START_SPREAD_S = 3;
/** Hierarchies of control groups (v1) in which the node has a group of its own. */
const CONTROLLERS = ['cpu', 'cpuacct', 'cpuset', 'memory', 'pids', 'blkio', 'devices', 'freezer', 'systemd'];

/** A real Kubernetes with one node, seen from the machine. */
export type Kubernetes = {
  readonly kubeconfig: string; // path
  readonly stateDirectory: string;
  readonly nodeIP: string;
  /**
   * Kills every process of the node at once, as a power failure does, and starts it again with what is on its disk.
   * Resolves when all programs of the node have been started, which is long before they are ready.
   *
   * @param random     numbers in [0, 1), for the order in which the programs of the node start
   * @param whileDown  runs when the API server answers and no pod runs yet
   */
  readonly reboot: (random: () => number, whileDown?: () => Promise<void>) => Promise<void>;
  /** Makes images known to the node. @param archives  OCI archives */
  readonly load: (archives: readonly string[]) => void;
  /** The last lines that the programs of the node wrote, for error messages. */
  readonly log: (lines: number) => string;
  /** Ends everything and removes the state. May be called twice. */
  readonly stop: () => Promise<void>;
};

/**
 * Starts a cluster: API server, etcd, controllers, scheduler, kubelet, kube-proxy, containerd and CoreDNS in namespaces of
 * their own. It ends with this process, however that ends. Nothing of the machine's own network is changed but for one bridge.
 *
 * @param images  OCI archives that its pods may use
 * @throws Error  with the end of the logs when the node does not become ready
 */
export async function startKubernetes(programs: Programs, images: readonly string[]): Promise<Kubernetes> {
  const stateDirectory = mkdtempSync(join(tmpdir(), 'tulle-cluster-'));
  const addresses = createNetwork();
  const dns = writeConfiguration(stateDirectory, addresses);
  const node = new Node(stateDirectory, programs, addresses);
  const log = (lines: number): string => node.log(lines);
  const kubeconfig = join(stateDirectory, 'kubeconfig');
  let loadBalancers: Disposable | undefined;
  try {
    node.start();
    await node.containerdReady();
    node.load([...programs.images, ...images]);
    await node.ready(kubeconfig, dns);
    loadBalancers = giveAddresses(await connect({ kubeconfig }), addresses.nodeIP);
  } catch (error) {
    const text = log(30);
    await node.stop();
    throw new Error(`the cluster did not start; its programs said last:\n${text}`, { cause: error });
  }
  return {
    kubeconfig,
    stateDirectory,
    nodeIP: addresses.nodeIP,
    log,
    load: (archives) => node.load(archives),
    async reboot(random, whileDown) {
      await node.kill();
      const hold = join(stateDirectory, 'hold');
      if (whileDown !== undefined) writeFileSync(hold, '');
      const pauses = SHUFFLED.map((program): [string, number] => [program, random() * START_SPREAD_S]);
      node.start(pauses);
      await sleep(Math.max(...pauses.map(([, seconds]) => seconds)) * 1000);
      if (whileDown === undefined) return;
      await node.apiServerReady(kubeconfig);
      await whileDown();
      rmSync(hold);
    },
    stop() {
      loadBalancers?.[Symbol.dispose]();
      return node.stop();
    },
  };
}

/** What a cloud's controller does: every Service of type LoadBalancer gets an address, here that of the node. */
function giveAddresses(cluster: Cluster, nodeIP: string): Disposable {
  const timer = setInterval(() => {
    give().catch(() => undefined); // the API server is away during a reboot: the next round finds it
  }, LOAD_BALANCERS_MS);
  const give = async (): Promise<void> => {
    for (const service of await cluster.list('/api/v1/services')) {
      const { metadata, spec, status } = service as ApiObject & {
        readonly spec?: { readonly type?: string };
        readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly object[] } };
      };
      if (spec?.type !== 'LoadBalancer' || status?.loadBalancer?.ingress !== undefined) continue;
      const path = `/api/v1/namespaces/${metadata.namespace}/services/${metadata.name}/status`;
      const body = { status: { loadBalancer: { ingress: [{ ip: nodeIP }] } } };
      await cluster.request('PATCH', path, body, 'application/merge-patch+json');
    }
  };
  return {
    [Symbol.dispose]() {
      clearInterval(timer);
      cluster.close();
    },
  };
}

class Node {
  readonly #state: string;
  readonly #programs: Programs;
  readonly #addresses: ClusterAddresses;
  #process: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  constructor(state: string, programs: Programs, addresses: ClusterAddresses) {
    this.#state = state;
    this.#programs = programs;
    this.#addresses = addresses;
  }

  /** @param pauses  programs that start later than at once, and by how many seconds */
  start(pauses: readonly (readonly [program: string, seconds: number])[] = []): void {
    const { name, nodeIP, podNetwork, serviceNetwork } = this.#addresses;
    createControlGroups(name);
    const namespaces = [
      '--mount',
      '--pid',
      '--fork',
      '--uts',
      '--propagation',
      'private',
      '--mount-proc',
      '--kill-child',
    ];
    const script = join(import.meta.dirname, 'node.sh');
    const programs = realpathSync(this.#programs.folder);
    const process = spawn(
      'nsenter',
      [
        `--net=/run/netns/${name}`,
        'unshare',
        ...namespaces,
        script,
        this.#state,
        programs,
        name,
        nodeIP,
        podNetwork,
        serviceNetwork,
        ...pauses.map(([program, seconds]) => `${program}=${seconds.toFixed(2)}`),
      ],
      // The other end of its standard input closes with this process. A group of its own: Ctrl-C is for the caller.
      { stdio: ['pipe', 'ignore', 'pipe'], detached: true },
    );
    let said = '';
    process.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4096);
      writeFileSync(join(this.#state, 'log', 'node.log'), said);
    });
    this.#process = process;
    this.#exited = new Promise((resolve) => process.once('exit', () => resolve()));
  }

  async containerdReady(): Promise<void> {
    await until('containerd', READY_MS, () => this.#ctr(['version']).status === 0);
  }

  load(archives: readonly string[]): void {
    for (const archive of archives) {
      const { status, stderr } = this.#ctr(['-n', 'k8s.io', 'images', 'import', archive]);
      if (status !== 0) throw new Error(`containerd does not take ${archive}: ${stderr}`);
    }
  }

  async apiServerReady(kubeconfig: string): Promise<void> {
    const cluster = await connect({ kubeconfig });
    try {
      await until('the API server', READY_MS, async () => (await cluster.text('GET', '/readyz')) === 'ok');
    } finally {
      cluster.close();
    }
  }

  async ready(kubeconfig: string, dns: readonly object[]): Promise<void> {
    await this.apiServerReady(kubeconfig);
    const cluster = await connect({ kubeconfig });
    try {
      await until('the node', READY_MS, async () => {
        const node = await cluster.get(`/api/v1/nodes/${this.#addresses.name}`);
        return conditionOf(node, 'Ready') === 'True';
      });
      await until('the first service account', READY_MS, async () =>
        cluster.get('/api/v1/namespaces/default/serviceaccounts/default'),
      );
      await applyAll(cluster, dns as readonly Manifest[]);
      await until(
        'DNS',
        READY_MS,
        async () =>
          conditionOf(await cluster.get('/apis/apps/v1/namespaces/kube-system/deployments/coredns'), 'Available') ===
          'True',
      );
    } finally {
      cluster.close();
    }
  }

  log(lines: number): string {
    return globSync('log/*.log', { cwd: this.#state })
      .map((file) => {
        const text = readFileSync(join(this.#state, file), 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
        return `== ${file}\n${text}`;
      })
      .join('\n');
  }

  /** Ends every process of the node. */
  async kill(): Promise<void> {
    const pid = this.#process?.pid;
    if (pid === undefined) return;
    // The child of `unshare` is the first process of the namespace: with it everything inside is killed.
    spawnSync('pkill', ['-KILL', '-P', String(pid)], { timeout: COMMAND_MS });
    this.#process?.kill('SIGKILL');
    await this.#exited;
    this.#process = undefined;
  }

  async stop(): Promise<void> {
    await this.kill();
    removeNetwork(this.#addresses);
    removeControlGroups(this.#addresses.name);
    // Retried: the kernel may still be taking down the mounts of what was killed.
    rmSync(this.#state, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  #ctr(args: readonly string[]): { readonly status: number | null; readonly stderr: string } {
    return spawnSync('ctr', ['-a', join(this.#state, 'containerd.sock'), ...args], {
      encoding: 'utf8',
      timeout: COMMAND_MS,
    });
  }
}

/** Takes the first letter that no running cluster of this machine has, and makes its network namespace. */
function createNetwork(): ClusterAddresses {
  for (const letter of LETTERS) {
    const addresses = clusterAddresses(letter);
    const { name } = addresses;
    const owner = ownerFile(name);
    if (existsSync(`/run/netns/${name}`) && isAlive(owner)) continue;
    removeNetwork(addresses);
    if (spawnSync('ip', ['netns', 'add', name], { timeout: COMMAND_MS }).status !== 0) continue;
    writeFileSync(owner, String(process.pid));
    connectNode(addresses);
    return addresses;
  }
  throw new Error(`${LETTERS.length} clusters run already: end one of them`);
}

/** Holds the process that made a network. Not beside the namespaces, where `ip netns` would take it for one. */
function ownerFile(name: string): string {
  return `/run/${name}.pid`;
}

/** The process that made a network is there. */
function isAlive(owner: string): boolean {
  try {
    return existsSync(`/proc/${readFileSync(owner, 'utf8')}`);
  } catch {
    return false;
  }
}

function connectNode({ name, letter, nodeIP, podNetwork, serviceNetwork }: ClusterAddresses): void {
  const ip = (...args: string[]): void => void execFileSync('ip', args, { timeout: COMMAND_MS, stdio: 'pipe' });
  if (spawnSync('ip', ['link', 'show', BRIDGE], { timeout: COMMAND_MS }).status !== 0) {
    ip('link', 'add', BRIDGE, 'type', 'bridge');
    ip('addr', 'add', `${BRIDGE_IP}/24`, 'dev', BRIDGE);
    ip('link', 'set', BRIDGE, 'up');
  }
  ip('link', 'add', `tulle-${letter}0`, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
  ip('link', 'set', `tulle-${letter}0`, 'master', BRIDGE, 'up');
  ip('-n', name, 'addr', 'add', `${nodeIP}/24`, 'dev', 'eth0');
  ip('-n', name, 'link', 'set', 'eth0', 'up');
  ip('-n', name, 'link', 'set', 'lo', 'up');
  // The API server calls webhooks by the address of their Service: there must be a route before that is translated.
  ip('-n', name, 'route', 'add', serviceNetwork, 'dev', 'eth0');
  const inside = (command: string): void =>
    void execFileSync('nsenter', [`--net=/run/netns/${name}`, 'sh', '-ec', command], {
      timeout: COMMAND_MS,
      stdio: 'pipe',
    });
  // Pods leave the node with its address, except towards pods and Services.
  inside(`iptables -t nat -A POSTROUTING -s ${podNetwork} ! -d ${ALL_CLUSTERS} -o eth0 -j MASQUERADE`);
  inside('echo 1 > /proc/sys/net/ipv4/ip_forward');
  inside('for f in iptables ip6tables; do echo 1 > /proc/sys/net/bridge/bridge-nf-call-$f; done');
}

function removeNetwork({ name, letter }: ClusterAddresses): void {
  const quietly = (...args: string[]): string =>
    spawnSync('ip', args, { encoding: 'utf8', timeout: COMMAND_MS }).stdout;
  quietly('link', 'del', `tulle-${letter}0`);
  quietly('netns', 'del', name);
  rmSync(ownerFile(name), { force: true });
  if (quietly('-br', 'link', 'show', 'master', BRIDGE).trim() === '') quietly('link', 'del', BRIDGE);
}

function createControlGroups(name: string): void {
  for (const controller of CONTROLLERS) {
    const parent = join('/sys/fs/cgroup', controller);
    if (!existsSync(parent)) continue;
    const group = join(parent, name);
    mkdirSync(group, { recursive: true });
    if (controller !== 'cpuset') continue;
    // Nothing can be attached to a group that has no processors.
    for (const file of ['cpuset.cpus', 'cpuset.mems'])
      writeFileSync(join(group, file), readFileSync(join(parent, file)));
  }
}

function removeControlGroups(name: string): void {
  for (const controller of CONTROLLERS) {
    const group = join('/sys/fs/cgroup', controller, name);
    const below = globSync('**/', { cwd: group }).sort((a, b) => b.length - a.length);
    for (const folder of [...below.map((path) => join(group, path)), group]) {
      try {
        rmdirSync(folder);
      } catch {
        // Still in use, or gone: an empty group costs nothing.
      }
    }
  }
}

function conditionOf(object: { readonly [field: string]: unknown }, type: string): string | undefined {
  const { conditions = [] } = (object['status'] ?? {}) as { conditions?: readonly { type: string; status: string }[] };
  return conditions.find((condition) => condition.type === type)?.status;
}
