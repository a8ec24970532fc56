// Faults of a watch between an informer and the sandbox's API server: whatever happens, two seconds after it the state is
// that of a fresh list.
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { ManualClock, type Clock } from '#runtime/clock.ts';
import { startTestCluster, type TestCluster } from '../../test/harness/api-server.ts';
import { KubeClient } from './client.ts';
import { asObject, asText, type JsonObject } from './json.ts';
import { Informer, type InformerStep } from './informer.ts';
import { listAll } from './list.ts';
import { CONFIG_MAPS, type ConfigMap } from './resources/config-map.ts';
import { eventually, RecordingIndex } from './testing.ts';
import { startFaultProxy, type Fault, type FaultProxy } from './testing-faults.ts';

const PATH = '/api/v1/namespaces/shop/configmaps';

/** An informer of the ConfigMaps of a namespace that sees the cluster through the proxy. */
type Watched = AsyncDisposable & {
  readonly cluster: TestCluster;
  readonly proxy: FaultProxy;
  readonly index: RecordingIndex<ConfigMap>;
  readonly steps: InformerStep[];
  /** Creates, changes and deletes objects at random, some of them more than once. */
  readonly change: (times: number) => Promise<void>;
  /** What the index holds, and what the server has, as comparable texts. */
  readonly state: () => string;
  readonly truth: () => Promise<string>;
};

async function startWatched(clock?: Clock): Promise<Watched> {
  const cluster = await startTestCluster();
  const { client } = cluster.server;
  await client.create('namespaces', { metadata: { name: 'shop' } });
  for (let nth = 0; nth < 6; nth += 1)
    await client.create('configmaps', {
      metadata: { namespace: 'shop', name: `map-${nth}` },
      data: { v: '0' },
    });
  const proxy = await startFaultProxy(cluster.connection);
  const kubeClient = new KubeClient(proxy.connection);
  const index = new RecordingIndex<ConfigMap>();
  const steps: InformerStep[] = [];
  const informer = new Informer({
    client: kubeClient,
    kind: CONFIG_MAPS,
    index,
    namespace: 'shop',
    ...(clock && { clock }),
    observe: (step) => void steps.push(step),
  });
  informer.start();
  await eventually('the first watch', () => steps.some(({ kind }) => kind === 'watch'));
  let version = 0;
  const text = (maps: Iterable<readonly [string, string]>): string =>
    [...maps]
      .map((map) => map.join('='))
      .sort()
      .join();
  return {
    cluster,
    proxy,
    index,
    steps,
    async change(times) {
      for (let nth = 0; nth < times; nth += 1) {
        const name = `map-${Math.floor(Math.random() * 12)}`;
        const data = { v: String((version += 1)) };
        if (client.get('configmaps', 'shop', name) === undefined)
          await client.create('configmaps', { metadata: { namespace: 'shop', name }, data });
        else if (Math.random() < 0.3) await client.delete('configmaps', 'shop', name);
        else await client.patch('configmaps', 'shop', name, 'merge', { data });
      }
    },
    state: () => text([...index.live.values()].map(({ name, data }) => [name, data['v'] ?? ''])),
    async truth() {
      const found: [string, string][] = [];
      const signal = AbortSignal.timeout(5_000);
      await listAll(cluster.client, { path: PATH, selectors: {}, signal }, (object: JsonObject) =>
        found.push([asText(asObject(object['metadata'])['name']) ?? '', asText(asObject(object['data'])['v']) ?? '']),
      );
      return text(found);
    },
    async [Symbol.asyncDispose]() {
      informer[Symbol.dispose]();
      kubeClient[Symbol.dispose]();
      proxy.close();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

const GONE = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' };

/** Answers requests itself so many times. */
function refuse(times: number, answer: (response: ServerResponse) => void, ofWatches: boolean): Fault {
  let left = times;
  return {
    onRequest(isWatch, response) {
      if (isWatch !== ofWatches || left <= 0) return false;
      left -= 1;
      answer(response);
      return true;
    },
  };
}

/** Does something with one line in three. */
function spoil(what: (line: string, response: ServerResponse) => void): Fault {
  let lines = 0;
  return {
    onLine(line, response) {
      if ((lines += 1) % 3 !== 0) return false;
      what(line, response);
      return true;
    },
  };
}

/** Holds lines back for a moment and sends them in the reverse order. */
function reorder(): Fault {
  const waiting: string[] = [];
  return {
    onLine(line, response) {
      if (waiting.push(line) > 1) return true;
      setTimeout(() => {
        for (const held of waiting.splice(0).reverse()) response.write(`${held}\n`);
      }, 30);
      return true;
    },
  };
}

const FAULTS: Readonly<Record<string, () => Fault>> = {
  'a watch is refused with 410': () => refuse(2, (response) => response.writeHead(410).end(JSON.stringify(GONE)), true),
  '410 comes as an event in the middle': () =>
    spoil((_line, response) => response.write(`${JSON.stringify({ type: 'ERROR', object: GONE })}\n`)),
  'the connection is reset in the middle of a line': () =>
    spoil((line, response) => {
      response.write(line.slice(0, line.length / 2));
      setImmediate(() => response.socket?.resetAndDestroy());
    }),
  'a line is cut and the next follows': () => spoil((line, response) => response.write(`${line.slice(0, 40)}\n`)),
  'the watch ends in order in the middle of a line': () =>
    spoil((line, response) => response.end(line.slice(0, line.length / 2))),
  'every event comes three times': () => ({
    onLine: (line, response) => response.write(`${line}\n${line}\n${line}\n`) || true,
  }),
  'events come again after those that followed them': () => {
    const sent: string[] = [];
    return {
      onLine(line, response) {
        sent.push(line);
        response.write(`${line}\n`);
        for (const old of sent.slice(-4)) response.write(`${old}\n`);
        return true;
      },
    };
  },
  'events come in the reverse order': reorder,
  'there are no bookmarks': () => ({ onLine: (line) => line.includes('"BOOKMARK"') }),
  'lists fail with 500': () => {
    const lists = refuse(3, (response) => response.writeHead(500).end('{"message":"boom"}'), false);
    const gone = spoil((_line, response) => response.write(`${JSON.stringify({ type: 'ERROR', object: GONE })}\n`));
    return { ...lists, ...gone };
  },
  'lists fail with 429 and Retry-After': () => {
    const busy = (response: ServerResponse): void =>
      void response.writeHead(429, { 'retry-after': '1' }).end('{"message":"too many requests"}');
    const gone = spoil((_line, response) => response.write(`${JSON.stringify({ type: 'ERROR', object: GONE })}\n`));
    return { ...refuse(1, busy, false), ...gone };
  },
};

for (const [what, fault] of Object.entries(FAULTS)) {
  test(`no drift two seconds after: ${what}`, async () => {
    await using watched = await startWatched();
    watched.proxy.fault = fault();
    for (let burst = 0; burst < 4; burst += 1) {
      await watched.change(6);
      await new Promise((resolve) => setTimeout(resolve, 60));
    }
    watched.proxy.fault = {};
    await watched.change(3);
    const truth = await watched.truth();
    await eventually(`${truth}, not ${watched.state()}`, () => watched.state() === truth, 2_000);
  });
}

test('a server that wants to be left alone is', async () => {
  await using watched = await startWatched();
  const busy = (response: ServerResponse): void =>
    void response.writeHead(429, { 'retry-after': '1' }).end('{"message":"too many requests"}');
  const lists = refuse(1, busy, false);
  const gone = spoil((_line, response) => response.write(`${JSON.stringify({ type: 'ERROR', object: GONE })}\n`));
  watched.proxy.fault = { ...lists, ...gone };
  await watched.change(4);
  const delays = (): readonly number[] =>
    watched.steps.flatMap((step) => (step.kind === 'failure' ? [step.delayMs] : []));
  await eventually('the refusal', () => delays().length === 2);
  assert.ok((delays()[1] ?? 0) >= 1_000, String(delays()));
});

test('a watch on which nothing comes any more ends with its time', async () => {
  const clock = new ManualClock();
  await using watched = await startWatched(clock);
  watched.proxy.fault = { onLine: () => true }; // swallowed: the connection stands, and nothing is heard
  await watched.change(10);
  await new Promise((resolve) => setTimeout(resolve, 100));
  const truth = await watched.truth();
  assert.notEqual(watched.state(), truth);
  watched.proxy.fault = {};
  clock.advance(170_000);
  await eventually('the end of the watch', () => watched.steps.some(({ kind }) => kind === 'failure'));
  clock.advance(1_000);
  await eventually(truth, () => watched.state() === truth, 2_000);
});

test('a change that was lost on the way is found by comparing, named and mended', async () => {
  const clock = new ManualClock();
  await using watched = await startWatched(clock);
  const { client } = watched.cluster.server;
  watched.proxy.fault = { onLine: (line) => /"name":"map-[013]"/.test(line) };
  await client.delete('configmaps', 'shop', 'map-0');
  await client.patch('configmaps', 'shop', 'map-1', 'merge', { data: { v: 'lost' } });
  await client.patch('configmaps', 'shop', 'map-2', 'merge', { data: { v: 'seen' } });
  await eventually('the change after them', () => watched.state().includes('map-2=seen'));
  watched.proxy.fault = {};
  const truth = await watched.truth();
  assert.notEqual(watched.state(), truth, 'going on where it was does not bring them back');

  const checks = (): readonly (readonly string[])[] =>
    watched.steps.flatMap((step) => (step.kind === 'check' ? [step.drifted] : []));
  await eventually('a comparison that finds them', () => {
    clock.advance(1_000);
    return checks().length > 0;
  });
  assert.deepEqual(checks()[0], ['shop/map-0', 'shop/map-1']);
  await eventually('the repair', () => watched.state() === truth, 2_000);
  const found = checks().length;
  await eventually('another comparison', () => {
    clock.advance(1_000);
    return checks().length > found;
  });
  assert.deepEqual(checks().slice(found), [[]]);
  await client.patch('configmaps', 'shop', 'map-1', 'merge', { data: { v: 'after' } });
  await eventually('news after it', () => watched.state().includes('map-1=after'));
});

test('comparing finds nothing while changes come and go', async () => {
  const clock = new ManualClock();
  await using watched = await startWatched(clock);
  const checks = (): number => watched.steps.filter(({ kind }) => kind === 'check').length;
  for (let second = 0; checks() < 3 && second < 3_000; second += 1) {
    const arrived = watched.change(3);
    clock.advance(1_000);
    await arrived;
    const truth = await watched.truth();
    await eventually('the changes of this second', () => {
      clock.advance(10); // for pauses of a watch that ended
      return watched.state() === truth;
    });
  }
  const drifted = watched.steps.flatMap((step) => (step.kind === 'check' ? step.drifted : []));
  assert.deepEqual(drifted, []);
  assert.equal(checks(), 3);
});
