import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { KubeObject } from '../../object.ts';
import { asStatusError, unknownResource } from '../../status-error.ts';
import { openLog } from '../log.ts';
import { refuseUpgrade } from '../refusal.ts';
import { Streams } from '../streams.ts';
import { LocalAgent } from './local-agent.ts';

export const testPod: KubeObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'web',
    namespace: 'default',
    uid: 'u',
    resourceVersion: '7',
    creationTimestamp: '2026-01-10T11:55:00Z',
  },
  spec: { containers: [{ name: 'main', image: 'x', ports: [] }] },
  status: { phase: 'Running', containerStatuses: [{ name: 'main', ready: true }] },
};

/** One pod and its streams over plain HTTP, without authentication. */
export class StreamServer implements AsyncDisposable {
  readonly agent = new LocalAgent();
  readonly streams = new Streams(100);
  readonly #server: Server = createServer((request, response) => this.#answer(request, response));
  pod: KubeObject = testPod;

  static async start(): Promise<StreamServer> {
    const self = new StreamServer();
    self.#server.on('upgrade', (request: IncomingMessage, socket, head) => {
      const url = new URL(request.url ?? '', 'http://x');
      const kind = /\/pods\/web\/(exec|attach|portforward)$/.exec(url.pathname)?.[1];
      if (kind !== 'exec' && kind !== 'attach' && kind !== 'portforward') {
        refuseUpgrade(socket, unknownResource());
        return;
      }
      const { agent, pod } = self;
      self.streams.handle({ kind, pod, query: url.searchParams, request, socket, head, agent });
    });
    await new Promise<void>((resolve) => {
      self.#server.listen(0, '127.0.0.1', resolve);
    });
    return self;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get kubeconfig(): object {
    const cluster = { server: `http://127.0.0.1:${this.port}`, 'insecure-skip-tls-verify': true };
    return {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'c', namespace: 'default' } }],
      users: [{ name: 'c', user: {} }],
      'current-context': 'c',
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.streams[Symbol.dispose]();
    this.#server.closeAllConnections();
    await new Promise((resolve) => {
      this.#server.close(resolve);
    });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', 'http://x');
    try {
      if (url.pathname.endsWith('/pods/web/log')) {
        const log = openLog(this.agent, this.pod, url.searchParams);
        response.writeHead(200, { 'Content-Type': 'text/plain' });
        log.pipe(response);
        return;
      }
      const known = fixed[url.pathname];
      if (known === undefined && !url.pathname.endsWith('/pods/web')) throw unknownResource();
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(known ?? this.pod));
    } catch (error) {
      const status = asStatusError(error).toStatus();
      response.writeHead(status.code ?? 500, { 'Content-Type': 'application/json' }).end(JSON.stringify(status));
    }
  }
}

/** What kubectl wants to know before it looks at a pod. */
const fixed: Readonly<Record<string, object>> = {
  '/version': { major: '1', minor: '32', gitVersion: 'v1.32.5' },
  '/api': { kind: 'APIVersions', versions: ['v1'] },
  '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
  '/api/v1': {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: [{ name: 'pods', singularName: 'pod', namespaced: true, kind: 'Pod', verbs: ['get', 'list'] }],
  },
};
