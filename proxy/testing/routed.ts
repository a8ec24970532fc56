import { Agent, createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Endpoint } from '#model/endpoint.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import type { ResourceRef } from '#model/resource-ref.ts';
import type { HttpRule } from '#model/route.ts';
import type { Proxy } from '../proxy.ts';
import { SERVICE_HOST, TestApp, TestMesh } from './mesh.ts';

export const SERVICE: ResourceRef = {
  type: 'resource',
  group: 'core',
  kind: 'Service',
  name: 'web',
  namespace: 'shop',
  port: 80,
};
export const ROUTE: ResourceRef = {
  type: 'resource',
  group: 'gateway.networking.k8s.io',
  kind: 'HTTPRoute',
  name: 'r',
  namespace: 'shop',
};

export type Answer = { readonly status: number; readonly body: string; readonly headers: IncomingMessage['headers'] };

/** The Service itself, or another. */
export function backend(authority = `${SERVICE_HOST}:80`) {
  return { backend: { ref: SERVICE, target: { kind: 'balancer', authority } }, filters: [] } as const;
}

/** A rule for every request, to the Service itself, with changes. */
export function rule(change: Partial<HttpRule> = {}): HttpRule {
  return {
    matches: [{ path: { kind: 'prefix', value: '/' }, headers: [], queryParams: [] }],
    filters: [],
    distribution: { kind: 'first-available', backends: [backend()] },
    timeouts: {},
    allowsRequestHeaders: false,
    ...change,
  };
}

/** One route with these rules. */
export function policy(rules: readonly HttpRule[], failureAccrual?: object): OutboundPolicy {
  const accrual = failureAccrual as never;
  return {
    ref: SERVICE,
    protocol: {
      kind: 'detect',
      timeoutMs: 10_000,
      opaque: {
        ref: { type: 'default', name: 'opaq' },
        filters: [],
        distribution: { kind: 'first-available', backends: [backend()] },
      },
      routes: [{ ref: ROUTE, hosts: [], rules }],
      ...(failureAccrual !== undefined && { failureAccrual: accrual }),
    },
  };
}

/** @param handle  called when a request has arrived whole, with its number */
export function app(
  handle: (request: IncomingMessage, response: ServerResponse, count: number) => void,
): Promise<TestApp> {
  let count = 0;
  return TestApp.start(
    createServer((request, response) => {
      request.resume();
      request.on('end', () => {
        count += 1;
        handle(request, response, count);
      });
    }),
  );
}

/** Answers everything with its name. */
export function named(name: string): Promise<TestApp> {
  return app((_request, response) => void response.end(name));
}

/** Answers everything 503. */
export function failing(): Promise<TestApp> {
  return app((_request, response) => void response.writeHead(503).end('no'));
}

/** An application that sends requests through a proxy, over connections that it keeps. */
export class Client implements Disposable {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 20 });
  readonly #port: number;

  /** @param proxy  or whatever listens there */
  constructor(proxy: Pick<Proxy, 'outboundPort'>) {
    this.#port = proxy.outboundPort;
  }

  get(path = '/', headers: Readonly<Record<string, string>> = {}, method = 'GET', body?: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const options = { agent: this.#agent, port: this.#port, path, method, headers: { host: 'web', ...headers } };
      const request = httpRequest(options, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text, headers: response.headers }));
        response.on('error', reject);
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  async many(count: number, headers: Readonly<Record<string, string>> = {}): Promise<readonly Answer[]> {
    const answers: Answer[] = [];
    let left = count;
    const work = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        answers.push(await this.get('/', headers));
      }
    };
    await Promise.all(Array.from({ length: 10 }, work));
    return answers;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

export type World = { readonly mesh: TestMesh; readonly proxy: Proxy; readonly client: Client };

/** Runs a test with one outbound proxy in front of endpoints. */
export async function within(
  endpoints: readonly Endpoint[],
  outbound: OutboundPolicy | undefined,
  run: (world: World) => Promise<void>,
): Promise<void> {
  await using mesh = await TestMesh.start();
  if (outbound !== undefined) mesh.control.setOutboundPolicy(80, outbound);
  mesh.serve(endpoints);
  const proxy = await mesh.proxy({ name: 'client' });
  using client = new Client(proxy);
  await run({ mesh, proxy, client });
}

/** What the proxy exports now. */
export async function metrics(proxy: Proxy): Promise<string> {
  return (await fetch(`http://127.0.0.1:${proxy.adminPort}/metrics`)).text();
}
