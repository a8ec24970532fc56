import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { Agent, request as httpsRequest, type RequestOptions } from 'node:https';
import { duplexPair, PassThrough, type Duplex } from 'node:stream';
import type { KubeConfig } from '@kubernetes/client-node';
import { CommandError, optionalText, type FlagValues } from './command.ts';
import { loadKubeconfig } from './kubeconfig.ts';
import { reasonOf } from './reason.ts';

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

/** What to do when the API server knows the caller but not enough, or not at all. */
const REFUSED: Readonly<Record<number, string>> = {
  401: 'the credentials of the kubeconfig are not accepted (any more), log in again or use another --context',
  403: 'use a kubeconfig or --context with more rights',
};

/** A failed API request with the code and reason of the server's Status. */
export class ApiError extends CommandError {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message, code === 403 && !message.includes('User "') ? undefined : REFUSED[code]);
    this.code = code;
  }
}

/** A connection to the API server of a kubeconfig. */
export class Cluster {
  readonly #config: KubeConfig;
  readonly #server: string;
  readonly #agent: Agent | HttpAgent;

  /** @param config  with a current context that has a cluster */
  constructor(config: KubeConfig) {
    this.#config = config;
    this.#server = config.getCurrentCluster()?.server ?? '';
    if (!URL.canParse(this.#server))
      throw new CommandError(`the kubeconfig names "${this.#server}" as the server, which is not a URL: correct it`);
    const options = { keepAlive: true, maxSockets: 8 };
    this.#agent = this.#isTls() ? new Agent(options) : new HttpAgent(options);
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

  async each(path: string, tell: (object: ApiObject) => void): Promise<void> {
    for (const object of await this.list(path)) tell(object);
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
    try {
      return text === '' ? {} : JSON.parse(text);
    } catch {
      throw new CommandError(
        `${this.#server}${path.split('?', 1)[0]} did not answer with JSON: is that a Kubernetes API?`,
      );
    }
  }

  /** The same for answers that are not JSON, such as logs. */
  async text(method: string, path: string, body?: unknown, contentType = 'application/json'): Promise<string> {
    const options: RequestOptions = {
      method,
      agent: this.#agent,
      headers: { accept: 'application/json, */*' },
      timeout: REQUEST_TIMEOUT_MS,
    };
    await this.#authenticate(options);
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    if (payload !== undefined)
      Object.assign(options.headers as object, { 'content-type': contentType, 'content-length': payload.length });
    const { status, text } = await new Promise<{ status: number; text: string }>((resolve, reject) => {
      const send = this.#isTls() ? httpsRequest : httpRequest;
      const request = send(new URL(this.#server.replace(/\/$/, '') + path), options, (response) => {
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
        `cannot reach the Kubernetes API at ${this.#server} (${reasonOf(error)}): is the cluster up, and is this the right kubeconfig?`,
      );
    });
    if (status >= 400) throw apiError(status, text, method, path);
    return text;
  }

  /** A byte stream to a port of a pod, through the API server. */
  async portForward(namespace: string, pod: string, port: number): Promise<Duplex> {
    const [stream, podSide] = duplexPair();
    const failure = new PassThrough();
    let socket;
    try {
      const { PortForward } = await import('@kubernetes/client-node');
      socket = await new PortForward(this.#config, true).portForward(namespace, pod, [port], podSide, failure, podSide);
    } catch (error) {
      throw new CommandError(`cannot open a port-forward to ${namespace}/${pod}:${port} (${reasonOf(error)})`);
    }
    // Only now: a failure may come together with the answer to the upgrade, before anybody listens to the stream.
    failure.on('data', (chunk: Buffer) =>
      stream.destroy(new CommandError(`port-forward to ${namespace}/${pod}:${port}: ${chunk.toString().trim()}`)),
    );
    stream.on('close', () => (typeof socket === 'function' ? socket()?.close() : socket.close()));
    return stream;
  }

  close(): void {
    this.#agent.destroy();
  }

  #isTls(): boolean {
    return this.#server.startsWith('https:');
  }

  /** Certificates, tokens and credential plugins of the kubeconfig. */
  async #authenticate(options: RequestOptions): Promise<void> {
    if (!this.#isTls()) return; // `kubectl proxy`: the client sends no secret without TLS
    try {
      await this.#config.applyToHTTPSOptions(options);
    } catch (error) {
      throw new CommandError(`the credentials of the kubeconfig cannot be used: ${reasonOf(error)}`);
    }
    // The client makes an agent for each request; ours keeps connections. One of another class leads through a proxy and stays.
    const { constructor } = options.agent as object;
    if (constructor === Agent) options.agent = this.#agent;
  }
}

/**
 * Connects with the flags `--kubeconfig` and `--context`.
 *
 * @throws UsageError / CommandError  naming the file or the context that is not there
 */
export async function connect(
  flags: FlagValues,
  environment: NodeJS.ProcessEnv = process.env, // oxlint-disable-line node/no-process-env -- where kubectl looks too
): Promise<Cluster> {
  const file = optionalText(flags, 'kubeconfig');
  return new Cluster(await loadKubeconfig({ file, context: optionalText(flags, 'context'), environment }));
}

function apiError(status: number, text: string, method: string, path: string): ApiError {
  let message = text.slice(0, 200);
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? message;
  } catch {
    // Not a Status: a proxy or another server answered; its text is what there is to show.
  }
  const said = message.trim();
  // Kubernetes says by itself what was refused; other failures are clearer with the request.
  return new ApiError(status, status === 403 && said !== '' ? said : `${method} ${path.split('?', 1)[0]}: ${said}`);
}
