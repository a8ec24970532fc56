import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { connect, type ApiObject, type Cluster } from '../../cli/cluster.ts';
import { ResourcePaths } from '../../cli/resource-paths.ts';
import { bundleAll } from '../../control-plane/install/bundle.ts';
import { applyAll, readManifests } from '../../sandbox/demo/apply.ts';
import { isRolledOut, waitForDeployments } from '../../sandbox/demo/wait.ts';
import { previousCheckout } from './previous-build.ts';
import { linkTestBeds, startTestBed, type TestBed, type TestBedOptions } from './test-bed.ts';
import { until } from './until.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
const READY_MS = 120_000;

export type CommandResult = { readonly status: number; readonly stdout: string; readonly stderr: string };

/** A cluster for scenarios, with what a person would do to it. */
export class Mesh implements AsyncDisposable {
  /** The sandbox, or the real Kubernetes, that it runs on. */
  readonly bed: TestBed;
  readonly cluster: Cluster;

  private constructor(bed: TestBed, cluster: Cluster) {
    this.bed = bed;
    this.cluster = cluster;
  }

  /** An empty cluster. */
  static async start(options: TestBedOptions = {}): Promise<Mesh> {
    await bundleAll();
    const bed = await startTestBed(options);
    return new Mesh(bed, await connect({ kubeconfig: bed.kubeconfig }));
  }

  /** A cluster with Tulle, and where asked with viz, with the definitions of Gateway API before it. */
  static async install(
    flags: readonly string[] = [],
    { hasViz = false, hasGatewayApi = false }: { readonly hasViz?: boolean; readonly hasGatewayApi?: boolean } = {},
  ): Promise<Mesh> {
    const mesh = await Mesh.start();
    try {
      if (hasGatewayApi) await mesh.apply(mesh.tulle(['install', '--crds', '--gateway-api']).stdout);
      await mesh.apply(mesh.tulle(['install', ...flags]).stdout);
      await mesh.ready('tulle');
      if (hasViz) await mesh.apply(mesh.tulle(['viz', 'install']).stdout);
      if (hasViz) await mesh.ready('tulle-viz');
      return mesh;
    } catch (error) {
      const log = mesh.bed.log(20);
      await mesh[Symbol.asyncDispose]();
      throw new Error(`the installation failed; the cluster's own log ends with:\n${log}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cluster.close();
    await this.bed.stop();
  }

  /** From now on each reaches the other's node. */
  static async link(a: Mesh, b: Mesh): Promise<void> {
    await linkTestBeds(a.bed, b.bed);
  }

  /** Applies YAML documents. */
  async apply(yaml: string): Promise<void> {
    await applyAll(this.cluster, readManifests(yaml));
  }

  /** Deletes what YAML documents name, as `kubectl delete -f -` does, and waits until it is gone. */
  async delete(yaml: string): Promise<void> {
    const paths = new ResourcePaths(this.cluster);
    for (const object of readManifests(yaml)) {
      const path = await paths.of(object);
      if (path !== undefined) await this.remove(path);
    }
  }

  /** Waits until all Deployments of the namespaces are rolled out. */
  async ready(...namespaces: readonly string[]): Promise<void> {
    await waitForDeployments(this.cluster, namespaces, READY_MS, () => undefined);
  }

  /** Runs the command line. */
  tulle(args: readonly string[], input = ''): CommandResult {
    return this.#run(process.execPath, [join(CHECKOUT, 'cli/main.ts'), ...args], input);
  }

  /** Runs the command line of the previous build. */
  previousTulle(args: readonly string[]): CommandResult {
    return this.#run(process.execPath, [join(previousCheckout(), 'cli/main.ts'), ...args], '');
  }

  kubectl(args: readonly string[], input = ''): CommandResult {
    return this.#run('kubectl', args, input);
  }

  #run(program: string, args: readonly string[], input: string): CommandResult {
    const environment = { ...process.env, KUBECONFIG: this.bed.kubeconfig };
    const { status, stdout, stderr, error } = spawnSync(program, args, {
      encoding: 'utf8',
      input,
      env: environment,
      timeout: 120_000,
      maxBuffer: 64 * 1024 * 1024,
    });
    if (error !== undefined) throw error;
    return { status: status ?? -1, stdout, stderr };
  }

  async pods(namespace: string, labelSelector?: string): Promise<readonly ApiObject[]> {
    const query = labelSelector === undefined ? '' : `?labelSelector=${encodeURIComponent(labelSelector)}`;
    const pods = await this.cluster.list(`/api/v1/namespaces/${namespace}/pods${query}`);
    return pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  async logs(namespace: string, pod: string, container: string): Promise<string> {
    return this.cluster.text('GET', `/api/v1/namespaces/${namespace}/pods/${pod}/log?container=${container}`);
  }

  async annotate(path: string, annotations: Readonly<Record<string, string | null>>): Promise<void> {
    await this.cluster.request('PATCH', path, { metadata: { annotations } }, 'application/merge-patch+json');
  }

  /** What `kubectl rollout restart` does, and waits until it is through. */
  async restart(namespace: string, deployment: string): Promise<void> {
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${deployment}`;
    const body = {
      spec: {
        template: { metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': new Date().toISOString() } } },
      },
    };
    await this.cluster.request('PATCH', path, body, 'application/strategic-merge-patch+json');
    await until(`the restart of ${deployment}`, READY_MS, async () => isRolledOut(await this.cluster.get(path)));
  }

  /** Runs a program of `test/apps` in a pod until it ends. @returns what it printed */
  async runToEnd(
    namespace: string,
    name: string,
    args: readonly string[],
    isMeshed: boolean,
    deadlineMs = 120_000,
  ): Promise<string> {
    await this.apply(podYaml(namespace, name, args, isMeshed, 'Never'));
    return this.endOf(namespace, name, deadlineMs);
  }

  /** Waits until a pod that is not restarted ends. @returns what its container `app` printed */
  async endOf(namespace: string, name: string, deadlineMs = 120_000): Promise<string> {
    const end = await until(`pod ${name} to end`, deadlineMs, async () => {
      const pod = await this.cluster.get(`/api/v1/namespaces/${namespace}/pods/${name}`);
      const { phase } = pod['status'] as { phase?: string };
      return phase === 'Succeeded' || phase === 'Failed' ? phase : false;
    });
    const log = await this.logs(namespace, name, 'app');
    if (end === 'Failed') throw new Error(`pod ${name} failed: ${log}`);
    return log;
  }

  async remove(path: string): Promise<void> {
    await this.cluster.request('DELETE', path);
    await until(`${path} to be gone`, 60_000, async () => (await this.cluster.find(path)) === undefined);
  }
}

/** A pod with a program of `test/apps`. */
export function podYaml(
  namespace: string,
  name: string,
  args: readonly string[],
  isMeshed: boolean,
  restartPolicy = 'Always',
): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      labels: { app: name },
      annotations: { 'linkerd.io/inject': isMeshed ? 'enabled' : 'disabled' },
    },
    spec: {
      restartPolicy,
      terminationGracePeriodSeconds: 20,
      containers: [{ name: 'app', image: 'tulle.dev/test:0.1.0', args }],
    },
  });
}

/** A Deployment with a program of `test/apps`, and a Service in front of it when it has ports. */
export function serviceYaml(
  namespace: string,
  name: string,
  options: { readonly args: readonly string[]; readonly replicas: number; readonly ports: readonly number[] },
): string {
  const labels = { app: name };
  const port = options.ports[0];
  return [
    ...(port === undefined
      ? []
      : [
          {
            apiVersion: 'v1',
            kind: 'Service',
            metadata: { name, namespace },
            spec: { selector: labels, ports: options.ports.map((number) => ({ name: `p${number}`, port: number })) },
          },
        ]),
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name, namespace },
      spec: {
        replicas: options.replicas,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            terminationGracePeriodSeconds: 20,
            containers: [
              {
                name: 'app',
                image: 'tulle.dev/test:0.1.0',
                args: options.args,
                ...(port === undefined
                  ? {}
                  : {
                      ports: options.ports.map((number) => ({ containerPort: number })),
                      readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
                    }),
              },
            ],
          },
        },
      },
    },
  ]
    .map((object) => `---\n${JSON.stringify(object)}\n`)
    .join('');
}

/** A namespace, meshed or not. */
export function namespaceYaml(name: string, isMeshed: boolean): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, annotations: isMeshed ? { 'linkerd.io/inject': 'enabled' } : {} },
  });
}

export type LoadSummary = {
  readonly sent: number;
  readonly ok: number;
  readonly failed: number;
  readonly reasons: Readonly<Record<string, number>>;
};

/** The newest figures that `test/apps/load.ts` printed. */
export function loadSummary(log: string): LoadSummary {
  const line = log
    .trimEnd()
    .split('\n')
    .findLast((text) => text.includes('"summary"') || text.includes('"progress"'));
  if (line === undefined) throw new Error(`the load generator printed no figures yet: ${log.slice(-500)}`);
  const { summary, progress } = JSON.parse(line) as { summary?: LoadSummary; progress?: LoadSummary };
  return summary ?? progress ?? { sent: 0, ok: 0, failed: 0, reasons: {} };
}
