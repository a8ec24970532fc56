// Very many streams that want nothing, before the destination process as it is shipped.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DestinationService } from '#api/gen/destination.ts';
import { eventually } from '#k8s/testing.ts';
import { createLogger } from '#runtime/log.ts';
import { GrpcClient } from '../../proxy/grpc/client.ts';
import { anonymousContext, readTrustAnchors } from '../../proxy/identity/credentials.ts';
import { MARKER_MIN, write } from '../bench/changes.ts';
import { fillCluster, placeOf, PORT, startCluster } from '../bench/cluster.ts';
import { Destination, SERVER_NAME } from '../bench/destination.ts';

const SIZE = { services: 50, endpoints: 100, namespaces: 5 };
const STREAMS = 10_000;
const PER_CONNECTION = 500;
/** About 100 MiB of heap were measured. */
const HEAP_MIB_MAX = 250;
const RESIDENT_MIB_MAX = 600;

test(
  '10,000 idle streams take bounded memory, which comes back, and others hear their news',
  { timeout: 240_000 },
  async () => {
    await using cluster = await startCluster(SIZE);
    await fillCluster(cluster, SIZE);
    await using destination = await Destination.of(cluster);
    await destination.start();
    const context = anonymousContext(readTrustAnchors(destination.anchorsPem));
    const connect = (): GrpcClient =>
      new GrpcClient(
        { host: '127.0.0.1', port: destination.ports.destination, identity: SERVER_NAME },
        {
          exemption: { kind: 'uid', uid: 2102 },
          context: () => context,
          log: createLogger('test', 'silent'),
          random: Math.random,
        },
      );
    const asked = (nth: number) => {
      const { name, namespace } = placeOf(nth % SIZE.services, SIZE);
      return { scheme: '', path: `${name}.${namespace}.svc.cluster.local:${PORT}`, contextToken: '' };
    };
    const before = await destination.memory();

    const idle = new DisposableStack();
    using _idle = idle;
    let client = connect();
    let answered = 0;
    let ended = 0;
    for (let nth = 0; nth < STREAMS; nth += 1) {
      if (nth % PER_CONNECTION === 0) {
        await eventually(`${nth} answers`, () => answered >= nth, 60_000);
        client = idle.use(connect());
      }
      let isFirst = true;
      client.stream(DestinationService.get, asked(nth), {
        onMessage: () => {
          if (isFirst) answered += 1;
          isFirst = false;
        },
        onEnd: () => (ended += 1),
      });
    }
    await eventually('all answers', () => answered === STREAMS, 60_000);
    const full = await destination.memory();
    const [heap, rss] = [full.heap - before.heap, full.rss - before.rss];
    assert.ok(heap < HEAP_MIB_MAX && rss < RESIDENT_MIB_MAX, `${heap} MiB of heap, ${rss} MiB resident`);

    let news = 0;
    using other = connect();
    using _stream = other.stream(DestinationService.get, asked(1), {
      onMessage: () => (news += 1),
      onEnd: assert.fail,
    });
    await eventually('the answer to another client', () => news === 1, 10_000);
    await write(cluster.server.client, SIZE, { topic: 'endpoints', service: 1, marker: MARKER_MIN });
    await eventually('its news', () => news > 1, 10_000);
    assert.equal(ended, 0);

    idle.dispose();
    let left = full;
    for (let tries = 0; tries < 20 && left.heap > before.heap + heap / 4; tries += 1) left = await destination.memory();
    assert.ok(
      left.heap < before.heap + heap / 4,
      `${left.heap} MiB of heap are left, ${before.heap} were there before`,
    );
  },
);
