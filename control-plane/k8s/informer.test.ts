import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { KubeClient } from './client.ts';
import { Informer, type InformerStep } from './informer.ts';
import { CONFIG_MAPS, type ConfigMap } from './resources/config-map.ts';
import { eventually, RecordingIndex, startFaultyServer } from './testing.ts';

type Watcher = { readonly resourceVersion: string; readonly response: ServerResponse };

/** A server whose lists and watches the test decides. */
class Script implements AsyncDisposable {
  readonly index = new RecordingIndex<ConfigMap>();
  readonly steps: InformerStep[] = [];
  readonly watchers: Watcher[] = [];
  readonly lists: URL[] = [];
  listAnswer: (response: ServerResponse, url: URL) => void = listOf('1', []);
  watchAnswer: (response: ServerResponse) => boolean = () => true; // false: answered already
  readonly #close: (() => void)[] = [];

  async start(): Promise<this> {
    const server = await startFaultyServer((_request, url, response) => {
      if (url.searchParams.get('watch') !== 'true') {
        this.lists.push(url);
        this.listAnswer(response, url);
        return;
      }
      if (!this.watchAnswer(response)) return;
      response.writeHead(200, { 'content-type': 'application/json' });
      response.flushHeaders();
      this.watchers.push({ resourceVersion: url.searchParams.get('resourceVersion') ?? '', response });
    });
    const client = new KubeClient(server.connection);
    const observe = (step: InformerStep): void => void this.steps.push(step);
    const informer = new Informer({ client, kind: CONFIG_MAPS, index: this.index, observe, random: () => 0 });
    this.#close.push(
      () => informer[Symbol.dispose](),
      () => client[Symbol.dispose](),
      server.close,
    );
    informer.start();
    await eventually('the first watch', () => this.watchers.length > 0 || this.failures > 0);
    return this;
  }

  get failures(): number {
    return this.steps.filter((step) => step.kind === 'failure').length;
  }

  get names(): string {
    return [...this.index.live.values()]
      .map((map) => `${map.name}=${map.data['v']}`)
      .sort()
      .join(' ');
  }

  get watcher(): Watcher {
    const last = this.watchers.at(-1);
    assert.ok(last);
    return last;
  }

  send(...lines: readonly unknown[]): void {
    for (const line of lines)
      this.watcher.response.write(typeof line === 'string' ? line : `${JSON.stringify(line)}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#close) close();
  }
}

function configMap(name: string, resourceVersion: string, v = resourceVersion): object {
  return { metadata: { namespace: 'ns', name, resourceVersion }, data: { v } };
}

function listOf(resourceVersion: string, items: readonly object[]): (response: ServerResponse) => void {
  return (response) => void response.end(JSON.stringify({ metadata: { resourceVersion }, items }));
}

const added = (object: object): object => ({ type: 'ADDED', object });
const modified = (object: object): object => ({ type: 'MODIFIED', object });
const deleted = (object: object): object => ({ type: 'DELETED', object });

test('what is there is listed and what changes is seen at once', async () => {
  await using script = new Script();
  script.listAnswer = listOf('7', [configMap('a', '3')]);
  await script.start();
  assert.equal(script.names, 'a=3');
  assert.equal(script.watcher.resourceVersion, '7');
  script.send(added(configMap('b', '8')), modified(configMap('a', '9')));
  await eventually('both changes', () => script.names === 'a=9 b=8', 1000);
  script.send(deleted(configMap('a', '10')));
  await eventually('the deletion', () => script.names === 'b=8', 1000);
});

test('events that come twice change nothing', async () => {
  await using script = new Script();
  await script.start();
  const twice = [
    added(configMap('a', '2')),
    added(configMap('a', '2')),
    deleted(configMap('x', '3')),
    deleted(configMap('x', '3')),
  ];
  script.send(...twice, added(configMap('b', '4')));
  await eventually('all events', () => script.names === 'a=2 b=4');
  assert.equal(script.failures, 0);
});

test('a watch that breaks goes on where it was, without a new list', async () => {
  await using script = new Script();
  await script.start();
  script.send(
    added(configMap('a', '5')),
    { type: 'BOOKMARK', object: { metadata: { resourceVersion: '9' } } },
    '{"type":"ADDED","obj',
  );
  await eventually('the event', () => script.names === 'a=5');
  script.watcher.response.destroy();
  await eventually('a second watch', () => script.watchers.length === 2);
  assert.equal(script.watcher.resourceVersion, '9');
  assert.equal(script.lists.length, 1);
  script.send(added(configMap('b', '10')));
  await eventually('the next event', () => script.names === 'a=5 b=10', 1000);
});

test('an expired position means a new list, by status and by event', async () => {
  await using script = new Script();
  script.listAnswer = listOf('1', [configMap('a', '1'), configMap('b', '1')]);
  await script.start();
  script.listAnswer = listOf('50', [configMap('b', '40')]);
  script.send({
    type: 'ERROR',
    object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' },
  });
  await eventually('a second list', () => script.watchers.length === 2);
  assert.equal(script.names, 'b=40', 'what vanished meanwhile is gone');
  let refusals = 1;
  script.watchAnswer = (response) => {
    if (refusals-- <= 0) return true;
    response.writeHead(410).end('{"kind":"Status","reason":"Expired"}');
    return false;
  };
  script.listAnswer = listOf('60', []);
  script.watcher.response.end();
  await eventually('a third list', () => script.watchers.length === 3);
  assert.equal(script.names, '');
  assert.equal(script.watcher.resourceVersion, '60');
});

test('lines that are no events make the informer list again', async () => {
  const garbage = [
    'not json\n',
    '{"type":"ADDED"}\n',
    '[]\n',
    added({ metadata: { name: 'a' } }),
    { type: 'NEWTYPE', object: configMap('a', '1') },
  ];
  for (const line of garbage) {
    await using script = new Script();
    await script.start();
    script.listAnswer = listOf('5', [configMap('real', '5')]);
    script.send(line);
    await eventually(
      `a list after ${JSON.stringify(line)}`,
      () => script.names === 'real=5' && script.watchers.length === 2,
    );
  }
});

test('errors of the server are retried with growing delays until it answers', async () => {
  await using script = new Script();
  let refusals = 3;
  script.listAnswer = (response) => {
    if (refusals-- > 0) response.writeHead(500).end('{"kind":"Status","message":"boom"}');
    else listOf('1', [configMap('a', '1')])(response);
  };
  await script.start();
  await eventually('the list', () => script.names === 'a=1');
  const failures = script.steps.filter((step) => step.kind === 'failure');
  assert.deepEqual(
    failures.map((step) => step.delayMs),
    [50, 100, 200],
  );
  assert.match(String(failures[0]?.error), /GET \/api\/v1\/configmaps: 500 boom/);
});

test('a watch refused again and again falls back to a list', async () => {
  await using script = new Script();
  await script.start();
  let refusals = 3;
  script.watchAnswer = (response) => {
    if (refusals-- <= 0) return true;
    response.writeHead(504).end('{"message":"Too large resource version"}');
    return false;
  };
  script.listAnswer = listOf('2', [configMap('after', '2')]);
  script.watcher.response.destroy();
  await eventually('a new list', () => script.names === 'after=2');
});

test('long lists are read page by page and replace the index at once', async () => {
  await using script = new Script();
  script.listAnswer = (response, url) => {
    const page = Number(url.searchParams.get('continue') ?? '0');
    const metadata = { resourceVersion: '9', ...(page < 2 && { continue: String(page + 1) }) };
    response.end(JSON.stringify({ metadata, items: [configMap(`p${page}`, '1')] }));
  };
  await script.start();
  assert.equal(script.names, 'p0=1 p1=1 p2=1');
  assert.equal(script.index.resets, 1);
});
