import assert from 'node:assert/strict';
import { createServer as createHttp } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { createLogger } from '#runtime/log.ts';
import type { Pod } from './pods.ts';
import { Scraper } from './scraper.ts';
import { createServer, type StatAnswer } from './server.ts';
import { MetricsStore } from './store.ts';

const podAt = (port: number, name = 'web-1'): Pod => ({
  key: `shop/${name}`,
  namespace: 'shop',
  name,
  serviceAccount: 'web',
  status: 'Running',
  isFinished: false,
  isMeshed: true,
  owners: { deployment: 'web' },
  labels: {},
  scrapeTarget: { address: '127.0.0.1', port },
});

test('a scraped proxy shows in the statistics, and one that does not answer is named', async () => {
  let page = 'process_start_time_seconds 0\nresponse_total{direction="inbound",classification="success"} 10\n';
  const proxy = createHttp((_request, response) => response.end(page));
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as AddressInfo;
  const store = new MetricsStore({ retentionMs: 600_000, maxSeriesPerPod: 100, maxSeries: 100 });
  const pods = [podAt(port), podAt(1, 'gone-1')];
  let nowMs = 1_000_000_000;
  const scraper = new Scraper({
    store,
    pods: () => pods,
    intervalMs: 50,
    now: () => (nowMs += 20_000),
    log: createLogger('test', 'silent'),
    onResult: () => undefined,
  });
  scraper.start();
  const api = createServer({
    pods: () => pods,
    services: () => [],
    store,
    failures: () => scraper.failures,
    maxWindowMs: 600_000,
    now: () => nowMs,
    identityOf: (pod) => pod.serviceAccount,
    hostNames: ['metrics-api.viz'],
  });
  try {
    const deadline = Date.now() + 5_000;
    let answer: StatAnswer | undefined;
    while (Date.now() < deadline && answer?.rows[0]?.requestsPerSecond === undefined) {
      page = page.replace(/\d+\n$/, (count) => `${Number(count) + 10}\n`);
      await new Promise((resolve) => setTimeout(resolve, 25));
      answer = (await api.inject({ url: '/api/stat?kind=deployment&namespace=shop' })).json<StatAnswer>();
    }
    assert.equal(answer?.rows[0]?.successRate, 1);
    assert.equal(answer.rows[0].runningPods, 2);
    assert.match(answer.notes[0] ?? '', /1 proxies cannot be scraped, for example shop\/gone-1: .*ECONNREFUSED/);
  } finally {
    scraper[Symbol.dispose]();
    proxy.close();
    await api.close();
  }
});

test('a wrong parameter is named with what would be right', async () => {
  const store = new MetricsStore({ retentionMs: 600_000, maxSeriesPerPod: 1, maxSeries: 1 });
  const api = createServer({
    pods: () => [],
    services: () => [],
    store,
    failures: () => new Map(),
    maxWindowMs: 600_000,
    now: () => 0,
    identityOf: () => '',
    hostNames: ['metrics-api.viz'],
  });
  const cases: readonly (readonly [string, RegExp])[] = [
    ['kind=secret', /kind is "secret": use one of cronjob, .*service/],
    ['to=deployment&from=pod', /to and from exclude each other/],
    ['to=secret/x', /to is "secret\/x": use one of/],
    ['from=service', /from is "service": use one of/],
    ['kind=service&to=deployment', /a service sends nothing itself/],
    ['selector=a%20b', /selector: "a b" is not a requirement/],
    ['windowMs=1', /windowMs is 1: use 15000 \(15s\) to 600000 \(10m\)/],
    ['windowMs=abc', /windowMs is abc/],
    ['kind=pod&kind=pod', /kind must be given once/],
    [`name=${'x'.repeat(300)}`, /name must be given once, with at most 253/],
  ];
  for (const [query, message] of cases) {
    const answer = await api.inject({ url: `/api/stat?${query}` });
    assert.equal(answer.statusCode, 400);
    assert.match(answer.json<{ message: string }>().message, message);
  }
  assert.equal((await api.inject({ url: '/api/nothing' })).statusCode, 404);
  await api.close();
});
