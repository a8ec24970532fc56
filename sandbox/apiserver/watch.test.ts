import assert from 'node:assert/strict';
import { request as httpsRequest } from 'node:https';
import type { ClientRequest, IncomingMessage } from 'node:http';
import { after, before, test } from 'node:test';
import { isJsonObject, type JsonObject } from './object.ts';
import { at, TestServer, until } from './test-server.ts';

let server: TestServer;
before(async () => {
  server = await TestServer.start({ historyMax: 100 });
});
after(() => server[Symbol.asyncDispose]());

const MAPS = '/api/v1/namespaces/default/configmaps';

/** The events of one watch, as they come in. */
class Watch implements Disposable {
  readonly events: JsonObject[] = [];
  isEnded = false;
  readonly #request: ClientRequest;

  private constructor(request: ClientRequest, response: IncomingMessage) {
    this.#request = request;
    let pending = '';
    response.on('data', (chunk: Buffer) => {
      const lines = (pending + chunk.toString('utf8')).split('\n');
      pending = lines.pop() ?? '';
      for (const line of lines) {
        const event: unknown = JSON.parse(line);
        assert.ok(isJsonObject(event));
        this.events.push(event);
      }
    });
    response.on('end', () => (this.isEnded = true));
    response.on('error', () => (this.isEnded = true));
  }

  /** Resolves when the headers are there. */
  static async open(path: string, headers: Record<string, string> = {}): Promise<Watch> {
    const { promise, resolve, reject } = Promise.withResolvers<Watch>();
    const target = { host: '127.0.0.1', port: server.port, path, headers };
    const request = httpsRequest({ ...server.tls(), ...target });
    request.on('response', (response) => resolve(new Watch(request, response)));
    request.on('error', reject);
    request.end();
    return promise;
  }

  /** `ADDED a`, `MODIFIED a`, ... */
  summary(): string[] {
    return this.events.map((event) => `${String(event['type'])} ${String(at(event, 'object', 'metadata', 'name'))}`);
  }

  async sees(...expected: string[]): Promise<void> {
    await until(`the watch sees ${expected.length} events`, () => this.events.length >= expected.length);
    assert.deepEqual(this.summary(), expected);
  }

  [Symbol.dispose](): void {
    this.#request.destroy();
  }
}

async function create(name: string, labels: Record<string, string> = {}): Promise<string> {
  const { json } = await server.request(MAPS, { body: { metadata: { name, labels } } });
  return String(at(json, 'metadata', 'resourceVersion'));
}

function label(name: string, labels: Record<string, string | null>): Promise<unknown> {
  const body = { metadata: { labels } };
  return server.request(`${MAPS}/${name}`, { method: 'PATCH', contentType: 'application/merge-patch+json', body });
}

test('headers of a watch arrive before there is any event', async () => {
  using watch = await Watch.open(`${MAPS}?watch=true&labelSelector=none`);
  assert.equal(watch.events.length, 0);
});

test('a watch without a version begins with what exists, then follows', async () => {
  await create('w1', { test: 'start' });
  using watch = await Watch.open(`${MAPS}?watch=1&labelSelector=test%3Dstart`);
  await watch.sees('ADDED w1');
  await label('w1', { more: 'x' });
  await server.request(`${MAPS}/w1`, { method: 'DELETE' });
  await watch.sees('ADDED w1', 'MODIFIED w1', 'DELETED w1');
  const [, , deleted] = watch.events;
  assert.equal(at(deleted, 'object', 'kind'), 'ConfigMap');
  assert.equal(at(deleted, 'object', 'metadata', 'labels', 'more'), 'x', 'the last state is whole');
});

test('a watch from a version sees exactly what came after it', async () => {
  await create('v1', { test: 'version' });
  const version = await create('v2', { test: 'version' });
  await create('v3', { test: 'version' });
  using watch = await Watch.open(`${MAPS}?watch=true&resourceVersion=${version}&labelSelector=test%3Dversion`);
  await create('v4', { test: 'version' });
  await watch.sees('ADDED v3', 'ADDED v4');
});

test('an object that enters a selector is added, one that leaves is deleted as it last matched', async () => {
  await create('s1', { colour: 'red' });
  using watch = await Watch.open(`${MAPS}?watch=true&labelSelector=colour%3Dblue`);
  await label('s1', { colour: 'blue' });
  await label('s1', { colour: 'green' });
  await label('s1', { colour: 'yellow' });
  await watch.sees('ADDED s1', 'DELETED s1');
  const [added, deleted] = watch.events;
  assert.equal(at(deleted, 'object', 'metadata', 'labels', 'colour'), 'blue');
  const version = (event: unknown): number => Number(at(event, 'object', 'metadata', 'resourceVersion'));
  assert.ok(version(deleted) > version(added), 'with the version of the change that took it away');
});

test('a field selector by name works on every kind, and namespaces are kept apart', async () => {
  using watch = await Watch.open(`/api/v1/configmaps?watch=true&fieldSelector=metadata.name%3Df1`);
  using elsewhere = await Watch.open(`/api/v1/namespaces/kube-system/configmaps?watch=true`);
  await create('f0');
  await create('f1');
  await watch.sees('ADDED f1');
  assert.deepEqual(elsewhere.summary(), []);
});

test('a version that is forgotten, or was never reached, ends the watch with 410', async () => {
  const first = await create('old');
  for (let n = 0; n < 250; n += 1) {
    await server.server.client.patch('configmaps', 'default', 'old', 'merge', { data: { n: String(n) } });
  }
  for (const version of [first, '999999999']) {
    using watch = await Watch.open(`${MAPS}?watch=true&resourceVersion=${version}`);
    await until('the watch ends', () => watch.isEnded);
    assert.equal(watch.events.length, 1);
    assert.equal(watch.events[0]?.['type'], 'ERROR');
    assert.equal(at(watch.events[0], 'object', 'code'), 410);
    assert.equal(at(watch.events[0], 'object', 'reason'), 'Expired');
  }
});

test('a timeout ends the watch in order, after a bookmark where those are wanted', async () => {
  using watch = await Watch.open(`${MAPS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=1&labelSelector=none`);
  await until('the watch ends', () => watch.isEnded);
  assert.deepEqual(watch.summary(), ['BOOKMARK undefined']);
  assert.match(String(at(watch.events[0], 'object', 'metadata', 'resourceVersion')), /^\d+$/);
});

test('initial events are marked with their end', async () => {
  await create('i1', { test: 'initial' });
  const query = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
  using watch = await Watch.open(`${MAPS}?watch=true&labelSelector=test%3Dinitial&${query}`);
  await watch.sees('ADDED i1', 'BOOKMARK undefined');
  assert.equal(at(watch.events[1], 'object', 'metadata', 'annotations', 'k8s.io/initial-events-end'), 'true');
  const refused = await server.request(`${MAPS}?watch=true&sendInitialEvents=true`);
  assert.equal(refused.status, 422);
});

test('a watch as a table sends its columns once', async () => {
  await create('t1', { test: 'table' });
  await create('t2', { test: 'table' });
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';
  using watch = await Watch.open(`${MAPS}?watch=true&labelSelector=test%3Dtable`, { accept });
  await until('both are there', () => watch.events.length === 2);
  const [first, second] = watch.events;
  assert.equal(at(first, 'object', 'kind'), 'Table');
  assert.ok(Array.isArray(at(first, 'object', 'columnDefinitions')));
  assert.equal(at(second, 'object', 'columnDefinitions'), null);
  assert.equal(at(second, 'object', 'rows', 0, 'object', 'metadata', 'name'), 't2');
});

test('a list of the future times out, an exact list of the past has expired', async () => {
  const future = await server.request(`${MAPS}?resourceVersion=99999999`);
  assert.equal(future.status, 504);
  assert.equal(at(future.json, 'details', 'causes', 0, 'reason'), 'ResourceVersionTooLarge');
  const version = await create('exact');
  const now = await server.request(`${MAPS}?resourceVersion=${version}&resourceVersionMatch=Exact`);
  assert.equal(now.status, 200);
  await create('exact2');
  const past = await server.request(`${MAPS}?resourceVersion=${version}&resourceVersionMatch=Exact`);
  assert.equal(past.status, 410);
  assert.equal((await server.request(`${MAPS}?resourceVersionMatch=Exact`)).status, 422);
});

test('items of a list have no kind, the list has the version of its moment', async () => {
  const version = await create('listed');
  const { json } = await server.request(`${MAPS}?limit=1`);
  assert.equal(json['kind'], 'ConfigMapList');
  assert.equal(at(json, 'metadata', 'resourceVersion'), version);
  assert.equal(at(json, 'items', 0, 'kind'), undefined);
});

test('closing the server ends its watches in order', async () => {
  await using other = await TestServer.start();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const target = { host: '127.0.0.1', port: other.port, path: '/api/v1/pods?watch=true' };
  const request = httpsRequest({ ...other.tls(), ...target }, (response) => {
    response.resume();
    response.on('close', () => resolve(response.complete));
    void other.server.close();
  });
  request.on('error', () => resolve(false));
  request.end();
  assert.equal(await promise, true);
});
