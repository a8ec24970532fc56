import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { isIPv6 } from 'node:net';
import { delimiter } from 'node:path';
import type { SecureContextOptions } from 'node:tls';
import { systemClock, type Clock } from '#runtime/clock.ts';

/** How to reach an API server. */
export interface Connection {
  readonly server: URL;
  /** Credentials to use now. Files are read again when they may have changed. */
  credentials(): Promise<Credentials>;
  /** The server refused the credentials: read them anew before the next use. */
  refresh(): void;
}

export type Credentials = {
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: Pick<SecureContextOptions, 'ca' | 'cert' | 'key'> & {
    readonly rejectUnauthorized?: boolean;
    readonly servername?: string;
  };
};

/** What the environment says about the API server. */
export type ConnectionSource = {
  readonly kubeconfig?: string; // KUBECONFIG: paths separated by colons
  readonly serviceHost?: string; // KUBERNETES_SERVICE_HOST, set in every pod
  readonly servicePort?: string; // KUBERNETES_SERVICE_PORT
};

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Kubernetes renews the token file long before it expires; a minute is what client-go uses. */
const TOKEN_READ_INTERVAL_MS = 60_000;

/**
 * Finds the API server: by KUBECONFIG when it is set, in a pod by its service account, else by `~/.kube/config`.
 *
 * @throws when the chosen source cannot be read
 */
export async function findConnection(source: ConnectionSource): Promise<Connection> {
  if (source.kubeconfig === undefined && source.serviceHost !== undefined) {
    return new ServiceAccountConnection(source.serviceHost, source.servicePort ?? '443');
  }
  return kubeconfigConnection(source.kubeconfig);
}

/** The API server as a pod sees it. */
export class ServiceAccountConnection implements Connection {
  readonly server: URL;
  readonly #folder: string;
  readonly #clock: Clock;
  #read: { readonly atMs: number; readonly credentials: Credentials } | undefined;

  constructor(host: string, port: string, folder = SERVICE_ACCOUNT, clock: Clock = systemClock) {
    this.server = new URL(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`);
    this.#folder = folder;
    this.#clock = clock;
  }

  credentials(): Promise<Credentials> {
    const nowMs = this.#clock.now();
    const ageMs = this.#read === undefined ? Number.POSITIVE_INFINITY : Math.abs(nowMs - this.#read.atMs);
    if (this.#read === undefined || ageMs >= TOKEN_READ_INTERVAL_MS) {
      const token = readFileSync(`${this.#folder}/token`, 'utf8').trim();
      const ca = readFileSync(`${this.#folder}/ca.crt`, 'utf8');
      this.#read = { atMs: nowMs, credentials: { headers: { authorization: `Bearer ${token}` }, tls: { ca } } };
    }
    return Promise.resolve(this.#read.credentials);
  }

  refresh(): void {
    this.#read = undefined;
  }
}

/** Loaded only when asked for: in a pod it would cost 30 MiB for nothing. */
async function kubeconfigConnection(paths: string | undefined): Promise<Connection> {
  const { KubeConfig } = await import('@kubernetes/client-node').catch((error: unknown) => {
    throw new Error('there is no service account (/var/run/secrets), and an image cannot read a kubeconfig', {
      cause: error,
    });
  });
  const config = new KubeConfig();
  if (paths === undefined || paths.includes(delimiter)) config.loadFromDefault();
  else config.loadFromFile(paths);
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new Error('the kubeconfig has no current context with a cluster');
  return {
    server: new URL(cluster.server),
    async credentials() {
      const options: RequestOptions = { headers: {} };
      await config.applyToHTTPSOptions(options);
      const { ca, cert, key, rejectUnauthorized, servername } = options;
      const headers = Object.entries(options.headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]);
      const basic = typeof options.auth === 'string' ? Buffer.from(options.auth).toString('base64') : undefined;
      return {
        headers: { ...Object.fromEntries(headers), ...(basic && { authorization: `Basic ${basic}` }) },
        tls: {
          ...(ca && { ca }),
          ...(cert && { cert }),
          ...(key && { key }),
          ...(rejectUnauthorized !== undefined && { rejectUnauthorized }),
          ...(servername !== undefined && { servername }),
        },
      };
    },
    refresh() {},
  };
}
