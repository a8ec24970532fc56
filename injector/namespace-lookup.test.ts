import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KubeClient } from '#k8s/client.ts';
import { eventually, startFaultyServer } from '#k8s/testing.ts';
import { NamespaceLookup } from './namespace-lookup.ts';
import { Namespaces } from './namespaces.ts';

const SHOP = { metadata: { name: 'shop', uid: 'u', annotations: { 'linkerd.io/inject': 'enabled' } } };

type Lookup = AsyncDisposable & {
  readonly lookup: NamespaceLookup;
  readonly seen: Namespaces;
  readonly asked: string[];
  readonly failures: string[];
  /** Answers what was asked so far, and everything from now on. */
  readonly answer: () => void;
};

/** A lookup whose API server says nothing until it is told to. */
async function startLookup(answerMsMax?: number): Promise<Lookup> {
  const asked: string[] = [];
  const failures: string[] = [];
  let waiting: (() => void)[] | undefined = [];
  const server = await startFaultyServer((_request, url, response) => {
    asked.push(url.pathname);
    const answer = (): void => {
      const isThere = url.pathname.endsWith('/shop');
      response.writeHead(isThere ? 200 : 404).end(JSON.stringify(isThere ? SHOP : { message: 'not found' }));
    };
    if (waiting === undefined) answer();
    else waiting.push(answer);
  });
  const client = new KubeClient(server.connection);
  const seen = new Namespaces();
  const onFailure = (name: string, error: unknown): void => void failures.push(`${name}: ${String(error)}`);
  const bound = answerMsMax === undefined ? {} : { answerMsMax };
  return {
    lookup: new NamespaceLookup({ client, seen, onFailure, ...bound }),
    seen,
    asked,
    failures,
    answer() {
      for (const one of waiting ?? []) one();
      waiting = undefined;
    },
    [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      server.close();
      return Promise.resolve();
    },
  };
}

test('a namespace that the watch has not shown is asked for, once for all pods that wait; one that it has shown is not', async () => {
  await using running = await startLookup(60_000);
  const { lookup, seen, asked, answer } = running;
  const both = [lookup.find('shop'), lookup.find('shop')];
  await eventually('the question arrives', () => asked.length > 0);
  answer();
  for (const { annotations } of await Promise.all(both)) assert.equal(annotations['linkerd.io/inject'], 'enabled');
  assert.deepEqual(asked, ['/api/v1/namespaces/shop']);
  await lookup.find('shop');
  assert.equal(asked.length, 2, 'the watch has still not shown it');
  seen.apply({ namespace: '', name: 'shop', uid: 'u', labels: {}, annotations: { seen: 'yes' }, injectSinceMs: 0 });
  assert.deepEqual((await lookup.find('shop')).annotations, { seen: 'yes' });
  assert.equal(asked.length, 2);
});

test('a namespace that is not there, or not answered for in time, says nothing', async () => {
  await using silent = await startLookup(50);
  assert.deepEqual((await silent.lookup.find('shop')).annotations, {});
  assert.match(silent.failures[0] ?? '', /^shop: KubeError: GET \/api\/v1\/namespaces\/shop: .*timeout/);
  await using running = await startLookup(60_000);
  running.answer();
  assert.deepEqual((await running.lookup.find('ghost')).annotations, {});
  assert.match(running.failures[0] ?? '', /^ghost: .*404 not found/);
  assert.deepEqual((await running.lookup.find('')).annotations, {}, 'a request without a namespace');
  assert.equal(running.asked.length, 1);
});

test('so many namespaces are asked for at the same time and no more', async () => {
  await using running = await startLookup(60_000);
  const { lookup, asked, failures, answer } = running;
  const all = Array.from({ length: 100 }, (_, index) => lookup.find(`n-${index}`));
  assert.equal(failures.length, 68);
  assert.match(failures[0] ?? '', /^n-32: Error: 32 other namespaces are being asked for already/);
  answer();
  await Promise.all(all);
  assert.equal(asked.length, 32);
});
