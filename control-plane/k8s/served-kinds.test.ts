import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ManualClock } from '#runtime/clock.ts';
import { KubeClient } from './client.ts';
import { Informer } from './informer.ts';
import { CUSTOM_RESOURCE_DEFINITIONS } from './resources/custom-resource-definition.ts';
import type { CustomObject } from './resources/custom-object.ts';
import { ServedKinds } from './served-kinds.ts';
import { eventually, RecordingIndex, startFaultyServer } from './testing.ts';

function definition(name: string, versions: readonly string[], isEstablished = true) {
  const conditions = isEstablished ? [{ type: 'Established', status: 'True' }] : [];
  const parsed = CUSTOM_RESOURCE_DEFINITIONS.parse({
    metadata: { name },
    spec: { versions: versions.map((version) => ({ name: version, served: true })) },
    status: { conditions },
  });
  assert.ok(parsed);
  return parsed;
}

async function setUp(answer: (path: string) => object | undefined) {
  const asked: string[] = [];
  const server = await startFaultyServer((_request, url, response) => {
    const body = url.searchParams.has('watch') ? undefined : answer(url.pathname);
    if (!url.searchParams.has('watch')) asked.push(url.pathname);
    response.writeHead(body === undefined && !url.searchParams.has('watch') ? 403 : 200);
    if (body === undefined) response.flushHeaders();
    if (body !== undefined) response.end(JSON.stringify(body));
    else if (!url.searchParams.has('watch')) response.end('{}');
  });
  const client = new KubeClient(server.connection);
  const index = new RecordingIndex<CustomObject>();
  const clock = new ManualClock();
  const kinds = new ServedKinds(
    [{ group: 'example.com', kind: 'Route', plural: 'routes', versions: ['v2', 'v1'], index }],
    (kind, to) => new Informer({ client, kind, index: to }),
    clock,
  );
  return {
    asked,
    index,
    clock,
    kinds,
    [Symbol.dispose]() {
      kinds[Symbol.dispose]();
      client[Symbol.dispose]();
      server.close();
    },
  };
}

const LIST = {
  metadata: { resourceVersion: '1' },
  items: [{ metadata: { name: 'a', namespace: 'x', generation: 2 }, spec: { port: 80 } }],
};

test('a kind is read in the preferred version that is served, and its objects go with it', async () => {
  using all = await setUp(() => LIST);
  all.kinds.apply(definition('other.example.com', ['v1']));
  all.kinds.apply(definition('routes.example.com', ['v1'], false));
  assert.deepEqual(all.kinds.served, []);
  all.kinds.apply(definition('routes.example.com', ['v1', 'v3']));
  assert.deepEqual(all.kinds.waiting, ['routes.example.com']);
  await eventually('the object', () => all.index.live.has('x/a'));
  assert.equal(all.index.live.get('x/a')?.generation, 2);
  assert.deepEqual(all.kinds.waiting, []);
  all.kinds.apply(definition('routes.example.com', ['v1', 'v2']));
  await eventually('the other version', () => all.asked.includes('/apis/example.com/v2/routes'));
  assert.deepEqual(all.asked, ['/apis/example.com/v1/routes', '/apis/example.com/v2/routes']);
  await eventually('the object again', () => all.index.live.has('x/a'));
  all.kinds.delete('', 'routes.example.com');
  assert.equal(all.index.live.size, 0);
  assert.deepEqual(all.kinds.served, []);
  all.kinds.apply(definition('routes.example.com', ['v2']));
  await eventually('the object of the new definition', () => all.index.live.has('x/a'));
  all.kinds.reset([]);
  assert.equal(all.index.live.size, 0);
});

test('a kind that may not be listed holds up the others for a limited time only', async () => {
  using all = await setUp(() => undefined);
  all.kinds.apply(definition('routes.example.com', ['v1']));
  await eventually('the refusal', () => all.asked.length > 0);
  assert.deepEqual(all.kinds.waiting, ['routes.example.com']);
  all.clock.advance(10_001);
  assert.deepEqual(all.kinds.waiting, []);
});
