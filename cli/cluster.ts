import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import { existsSync } from 'node:fs';
import { duplexPair, PassThrough, type Duplex } from 'node:stream';
import { KubeConfig, PortForward } from '@kubernetes/client-node';
import { CommandError, optionalText, UsageError, type FlagValues } from './command.ts';

const REQUEST_TIMEOUT_MS = 30_000;
const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** An object of the API as the commands read it. */
export type ApiObject = {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly creationTimestamp?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly [field: string]: unknown;
};

/** A failed API request with the code and reason of the server's Status. */
export class ApiError extends CommandError {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** A connection to the API server of a kubeconfig. */
export class Cluster {
  readonly #config: KubeConfig;
  readonly #server: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });

  constructor(config: KubeConfig) {
    this.#config = config;
    const cluster = config.getCurrentCluster();
    if (cluster === null)
      throw new CommandError(
        `the kubeconfig has no cluster for context "${config.getCurrentContext()}": choose one with --context`,
      );
    this.#server = cluster.server;
  }

  get server(): string {
    return this.#server;
  }

  /** Namespace of the current context, else `default`. */
  get defaultNamespace(): string {
    return this.#config.getContextObject(this.#config.getCurrentContext())?.namespace ?? 'default';
  }

  /** @throws ApiError 404 and the like; CommandError when the server cannot be reached */
  async get(path: string): Promise<ApiObject> {
    return (await this.request('GET', path)) as ApiObject;
  }

  async list(path: string): Promise<readonly ApiObject[]> {
    const answer = (await this.request('GET', path)) as { items?: readonly ApiObject[] };
    return answer.items ?? [];
  }

  /** The object, or undefined when it does not exist. */
  async find(path: string): Promise<ApiObject | undefined> {
    try {
      return await this.get(path);
    } catch (error) {
      if (error instanceof ApiError && error.code === 404) return undefined;
      throw error;
    }
  }

  /** Sends a request and reads the JSON of the answer. `{}` when there is none. */
  async request(method: string, path: string, body?: unknown, contentType?: string): Promise<unknown> {
    const text = await this.text(method, path, body, contentType);
    return text === '' ? {} : JSON.parse(text);
  }

  /** The same for answers that are not JSON, such as logs. */
  async text(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<string> {
    const options: RequestOptions = {
      method,
      agent: this.#agent,
      headers: { accept: 'application/json, */*' },
      timeout: REQUEST_TIMEOUT_MS,
    };
    await this.#config.applyToHTTPSOptions(options);
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    if (payload !== undefined)
      Object.assign(options.headers as object, { 'content-type': contentType, 'content-length': payload.length });
    const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const request = httpsRequest(new URL(this.#server.replace(/\/$/, '') + path), options, (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        response.on('data', (chunk: Buffer) => {
          bytes += chunk.length;
          if (bytes > MAX_BODY_BYTES) request.destroy(new Error(`the answer is larger than ${MAX_BODY_BYTES} bytes`));
          else chunks.push(chunk);
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
        response.on('error', reject);
      });
      request.on('timeout', () => request.destroy(new Error(`no answer within ${REQUEST_TIMEOUT_MS / 1000} s`)));
      request.on('error', reject);
      request.end(payload);
    }).catch((error: unknown) => {
      throw new CommandError(
        `cannot reach the Kubernetes API at ${this.#server} (${describe(error)}): is the cluster up, and is this the right kubeconfig?`,
      );
    });
    if (status >= 400) throw apiError(status, text, method, path);
    return text;
  }

  /** A byte stream to a port of a pod, through the API server. */
  async portForward(namespace: string, pod: string, port: number): Promise<Duplex> {
    const [stream, podSide] = duplexPair();
    const failure = new PassThrough();
    failure.on('data', (chunk: Buffer) =>
      stream.destroy(new CommandError(`port-forward to ${namespace}/${pod}:${port}: ${chunk.toString().trim()}`)),
    );
    let socket;
    try {
      socket = await new PortForward(this.#config, true).portForward(namespace, pod, [port], podSide, failure, podSide);
    } catch (error) {
      throw new CommandError(`cannot open a port-forward to ${namespace}/${pod}:${port} (${describe(error)})`);
    }
    stream.on('close', () => (typeof socket === 'function' ? socket()?.close() : socket.close()));
    return stream;
  }

  close(): void {
    this.#agent.destroy();
  }
}

/**
 * Connects with the flags `--kubeconfig` and `--context`.
 *
 * @throws UsageError / CommandError  naming the file or the context that is not there
 */
export function connect(flags: FlagValues): Cluster {
  const file = optionalText(flags, 'kubeconfig');
  const context = optionalText(flags, 'context');
  const config = new KubeConfig();
  if (file !== undefined && !existsSync(file)) throw new UsageError(`--kubeconfig ${file}: there is no such file`);
  try {
    if (file === undefined) config.loadFromDefault();
    else config.loadFromFile(file);
  } catch (error) {
    throw new CommandError(`the kubeconfig${file === undefined ? '' : ` ${file}`} cannot be read: ${describe(error)}`);
  }
  if (context !== undefined) {
    if (config.getContextObject(context) === null) {
      throw new UsageError(
        `--context ${context}: the kubeconfig has only ${config
          .getContexts()
          .map(({ name }) => name)
          .join(', ')}`,
      );
    }
    config.setCurrentContext(context);
  }
  return new Cluster(config);
}

function apiError(status: number, text: string, method: string, path: string): ApiError {
  let message = text.slice(0, 200);
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? message;
  } catch {
    // Not a Status: a proxy or another server answered; its text is what there is to show.
  }
  return new ApiError(status, `${method} ${path.split('?', 1)[0]}: ${message.trim()}`);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = (error as NodeJS.ErrnoException).code;
  // Both families refused: Node reports an AggregateError without a message.
  return error.message === '' ? (code ?? error.name) : error.message;
}
