// The control plane goes away and comes back under 200 proxies' clients: a process of its own, before it a front that counts.
import assert from 'node:assert/strict';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { test } from 'node:test';
import { decodeEndpointUpdate } from '#api/decode/destination.ts';
import { decodeOutboundPolicy } from '#api/decode/outbound.ts';
import { encodeSocketAddress } from '#api/encode/net.ts';
import { DestinationService } from '#api/gen/destination.ts';
import { OutboundPoliciesService } from '#api/gen/outbound.ts';
import { eventually } from '#k8s/testing.ts';
import { createLogger } from '#runtime/log.ts';
import { MARKER_MIN, write } from '../../control-plane/bench/changes.ts';
import { fillCluster, placeOf, PORT, startCluster } from '../../control-plane/bench/cluster.ts';
import { Destination, SERVER_NAME } from '../../control-plane/bench/destination.ts';
import { endpointsMarker, outboundMarker } from '../../control-plane/bench/markers.ts';
import { watchStream } from '../discovery/watch-stream.ts';
import { anonymousContext, readTrustAnchors } from '../identity/credentials.ts';
import { GrpcClient, type Method } from './client.ts';

const SIZE = { services: 1, endpoints: 2, namespaces: 1 };
const CLIENTS = 200;
/** How often each may have tried when it is back, on average; the tries of one are paced by `ReconnectPace`. */
const ATTEMPTS_EACH_MAX = 10;
const RESYNC_MS_MAX = 10_000;

/** Passes connections on to a port, and counts them. */
class Front implements AsyncDisposable {
  attempts = 0;
  readonly #server: Server;

  constructor(target: number) {
    this.#server = createServer((socket) => {
      this.attempts += 1;
      const upstream = connect(target, '127.0.0.1');
      socket.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
      upstream.on('error', () => socket.destroy()).on('close', () => socket.destroy());
      socket.pipe(upstream).pipe(socket);
    });
  }

  listen(): Promise<number> {
    return new Promise((resolve) => {
      this.#server.listen(0, '127.0.0.1', () => resolve((this.#server.address() as AddressInfo).port));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
  }
}

test('when the control plane comes back, all proxies are up to date within 10 s', { timeout: 180_000 }, async () => {
  await using cluster = await startCluster(SIZE);
  await fillCluster(cluster, SIZE);
  await using destination = await Destination.of(cluster);
  await destination.start();
  await using discovery = new Front(destination.ports.destination);
  await using policy = new Front(destination.ports.policy);
  const ports = { discovery: await discovery.listen(), policy: await policy.listen() };
  const context = anonymousContext(readTrustAnchors(destination.anchorsPem));
  const { ip, name, namespace } = placeOf(0, SIZE);
  const known = { endpoints: new Map<number, number>(), outbound: new Map<number, number>() };
  using all = new DisposableStack();
  const watch = <Req, Rsp>(port: number, method: Method<Req, Rsp>, request: Req, onMessage: (message: Rsp) => void) => {
    const options = { exemption: { kind: 'uid', uid: 2102 }, context: () => context } as const;
    const log = createLogger('test', 'silent');
    const target = { host: '127.0.0.1', port, identity: SERVER_NAME };
    const client = all.use(new GrpcClient(target, { ...options, log, random: Math.random }));
    all.use(watchStream(client, method, request, { onMessage, onRefused: (error) => assert.fail(error) }));
  };
  for (let nth = 0; nth < CLIENTS; nth += 1) {
    const path = `${name}.${namespace}.svc.cluster.local:${PORT}`;
    watch(ports.discovery, DestinationService.get, { scheme: '', path, contextToken: '' }, (update) =>
      known.endpoints.set(nth, endpointsMarker(decodeEndpointUpdate(update)) ?? 0),
    );
    const address = { $case: 'addr', value: encodeSocketAddress(ip, PORT) } as const;
    watch(ports.policy, OutboundPoliciesService.watch, { sourceWorkload: '', target: address }, (message) =>
      known.outbound.set(nth, outboundMarker(decodeOutboundPolicy(message)) ?? 0),
    );
    // One by one: this process has all of them to open.
    await eventually(`the answers to client ${nth}`, () => known.endpoints.has(nth) && known.outbound.has(nth));
  }
  const allKnow = (marker: number): boolean =>
    [known.endpoints, known.outbound].every(
      (told) => told.size === CLIENTS && [...told.values()].every((one) => one === marker),
    );
  await eventually('all clients', () => allKnow(0), 30_000);

  const before = [discovery.attempts, policy.attempts];
  await destination.stop('SIGKILL');
  for (const topic of ['endpoints', 'outbound'] as const)
    await write(cluster.server.client, SIZE, { topic, service: 0, marker: MARKER_MIN });
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  assert.ok(allKnow(0), 'what is known stays');
  await destination.start();
  await eventually('the news at all of them', () => allKnow(MARKER_MIN), RESYNC_MS_MAX);
  for (const [nth, front] of [discovery, policy].entries()) {
    const attempts = front.attempts - (before[nth] ?? 0);
    assert.ok(attempts <= CLIENTS * ATTEMPTS_EACH_MAX, `${attempts} attempts`);
  }
});
