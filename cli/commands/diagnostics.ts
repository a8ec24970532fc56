import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect, type ApiObject, type Cluster } from '../cluster.ts';
import { CLUSTER_FLAGS, CommandError, optionalText, UsageError, type Command } from '../command.ts';
import { podsOf } from '../workloads.ts';

const SCRAPE_TIMEOUT_MS = 30_000;
const ADMIN_PORT_NAME = 'linkerd-admin';

export const proxyMetrics: Command = {
  path: ['diagnostics', 'proxy-metrics'],
  args: 'TYPE/NAME',
  summary: 'Print the metrics of the proxies of a workload.',
  flags: {
    ...CLUSTER_FLAGS,
    namespace: { type: 'string', short: 'n', value: 'NS', isName: true, help: 'namespace of the workload' },
  },
  examples: [
    'tulle diagnostics proxy-metrics -n shop deploy/web',
    'tulle dg proxy-metrics -n shop pod/web-6c9d7f5b8-x2lq7',
  ],
  run: async ({ flags, args, terminal }) => {
    const [target] = args;
    if (target === undefined || args.length > 1)
      throw new UsageError('name one workload as TYPE/NAME, for example deploy/web');
    const cluster = await connect(flags);
    try {
      const namespace = optionalText(flags, 'namespace') ?? cluster.defaultNamespace;
      const pods = (await podsOf(cluster, namespace, target)).filter((pod) => adminPort(pod) !== undefined);
      if (pods.length === 0)
        throw new CommandError(
          `${target} in namespace ${namespace} has no pod with a proxy: is it meshed (\`tulle check --proxy -n ${namespace}\`)?`,
        );
      for (const [index, pod] of pods.entries()) {
        terminal.out(`#\n# POD ${pod.metadata.name} (${index + 1} of ${pods.length})\n#\n`);
        terminal.out(await fetchThrough(cluster, namespace, pod.metadata.name, adminPort(pod) ?? 0, '/metrics'));
      }
      return 0;
    } finally {
      cluster.close();
    }
  },
};

type PodSpec = { readonly initContainers?: readonly ContainerSpec[]; readonly containers?: readonly ContainerSpec[] };
type ContainerSpec = {
  readonly name: string;
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
};

/** Port of the proxy's admin endpoint, or undefined when the pod has no proxy. */
function adminPort(pod: ApiObject): number | undefined {
  const spec = pod['spec'] as PodSpec;
  return [...(spec.initContainers ?? []), ...(spec.containers ?? [])]
    .flatMap((container) => container.ports ?? [])
    .find((port) => port.name === ADMIN_PORT_NAME)?.containerPort;
}

/** GET over a port-forward. @throws CommandError  with the pod and what went wrong */
export async function fetchThrough(
  cluster: Cluster,
  namespace: string,
  pod: string,
  port: number,
  path: string,
): Promise<string> {
  const stream = await cluster.portForward(namespace, pod, port);
  try {
    return await httpGet(stream, path);
  } catch (error) {
    throw new CommandError(
      `${namespace}/${pod}: GET :${port}${path} failed: ${error instanceof Error ? error.message : String(error)}`,
    );
  } finally {
    stream.destroy();
  }
}

function httpGet(stream: Duplex, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        createConnection: () => stream,
        path,
        host: 'localhost',
        headers: { connection: 'close' },
        timeout: SCRAPE_TIMEOUT_MS,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const body = Buffer.concat(chunks).toString();
          if (response.statusCode === 200) resolve(body);
          else reject(new Error(`status ${response.statusCode}: ${body.slice(0, 500).trim()}`));
        });
        response.on('error', reject);
      },
    );
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${SCRAPE_TIMEOUT_MS / 1000} s`)));
    sent.on('error', reject);
    sent.end();
  });
}
