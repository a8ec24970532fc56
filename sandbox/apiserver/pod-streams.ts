import type { IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream';
import type { Duplex } from 'node:stream';
import type { Logger } from '#runtime/log.ts';
import type { NodeAgent } from '../node/node-agent.ts';
import type { ApiCall } from './api-call.ts';
import type { Gateway } from './gateway.ts';
import type { KubeObject } from './object.ts';
import { asStatusError, badRequest, notFound, notImplemented } from './status-error.ts';
import type { Store } from './store.ts';
import { openLog } from './streams/log.ts';
import { refuseUpgrade } from './streams/refusal.ts';
import { Streams } from './streams/streams.ts';

/** Logs and upgraded connections into pods, for which the node that runs them is asked. */
export class PodStreams implements Disposable {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #streams = new Streams();
  #agent: NodeAgent | undefined;

  constructor(store: Store, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  /** From now on this node answers for all pods. */
  connect(agent: NodeAgent): void {
    this.#agent = agent;
  }

  [Symbol.dispose](): void {
    this.#streams[Symbol.dispose]();
  }

  /** @throws StatusError before the first byte is sent */
  sendLog(pod: KubeObject, { query, response }: ApiCall): void {
    const log = openLog(this.#requireAgent(), pod, query);
    response.writeHead(200, { 'content-type': 'text/plain', 'cache-control': 'no-cache, private' });
    response.flushHeaders();
    // A client that goes away ends the stream; a log that breaks ends the response: nothing else to do about either.
    pipeline(log, response, (error) => this.#log.debug({ err: error }, 'log stream ended'));
  }

  /** Answers a request that wants to leave HTTP: exec, attach and port-forward. Never throws. */
  upgrade(gateway: Gateway, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    try {
      const { target, query } = gateway.admit(request, request.url ?? '/');
      if (target.kind !== 'resource' || target.type.kind !== 'Pod') throw badRequest('this path cannot be upgraded');
      const { subresource, namespace, name = '' } = target;
      if (subresource !== 'exec' && subresource !== 'attach' && subresource !== 'portforward') {
        throw badRequest('this path cannot be upgraded');
      }
      const pod = this.#store.get('pods', namespace, name);
      if (pod === undefined) throw notFound(target.type, name);
      this.#streams.handle({ kind: subresource, pod, query, request, socket, head, agent: this.#requireAgent() });
    } catch (error) {
      refuseUpgrade(socket, asStatusError(error));
    }
  }

  #requireAgent(): NodeAgent {
    if (this.#agent === undefined) throw notImplemented('access to pods without a node');
    return this.#agent;
  }
}
