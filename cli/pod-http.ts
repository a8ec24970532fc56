import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ApiObject, Cluster } from './cluster.ts';
import { CommandError } from './command.ts';
import { reasonOf } from './reason.ts';

const TIMEOUT_MS = 30_000;
const SHOWN_LENGTH_MAX = 500;
const ADMIN_PORT_NAME = 'linkerd-admin';

type PodSpec = { readonly initContainers?: readonly ContainerSpec[]; readonly containers?: readonly ContainerSpec[] };
type ContainerSpec = {
  readonly name: string;
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
};

/** Where in a pod something is asked for. */
export type PodTarget = {
  readonly namespace: string;
  readonly pod: string;
  readonly port: number;
  readonly path: string;
};

/** Port of the proxy's admin endpoint, or undefined when the pod has no proxy. */
export function adminPort(pod: ApiObject): number | undefined {
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
  const { status, body } = await askPod(cluster, { namespace, pod, port, path });
  if (status === 200) return body;
  const shown = body.slice(0, SHOWN_LENGTH_MAX).trim();
  throw new CommandError(`${namespace}/${pod}: GET :${port}${path} failed: status ${status}: ${shown}`);
}

/** As `fetchThrough`, whatever the status of the answer is. @throws CommandError  when there is none */
export async function askPod(
  cluster: Cluster,
  { namespace, pod, port, path }: PodTarget,
  timeoutMs = TIMEOUT_MS,
): Promise<{ readonly status: number; readonly body: string }> {
  const stream = await cluster.portForward(namespace, pod, port);
  try {
    return await httpGet(stream, path, timeoutMs);
  } catch (error) {
    throw new CommandError(`${namespace}/${pod}: GET :${port}${path} failed: ${reasonOf(error)}`);
  } finally {
    stream.destroy();
  }
}

function httpGet(
  stream: Duplex,
  path: string,
  timeoutMs: number,
): Promise<{ readonly status: number; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        createConnection: () => stream,
        path,
        host: 'localhost',
        headers: { connection: 'close' },
        timeout: timeoutMs,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() }));
        response.on('error', reject);
      },
    );
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    sent.on('error', reject);
    sent.end();
  });
}
