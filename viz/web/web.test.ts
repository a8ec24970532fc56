import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createServer } from '../metrics-api/server.ts';
import { MetricsStore } from '../metrics-api/store.ts';
import { registerDashboard } from './assets.ts';
import { Findings, registerFindings, type FindingsAnswer, type ShownFinding } from './findings.ts';

const FOLDER = join(import.meta.dirname, '../dashboard');

function server(findings: Findings) {
  const api = createServer({
    pods: () => [],
    services: () => [],
    store: new MetricsStore({ retentionMs: 600_000, maxSeriesPerPod: 1, maxSeries: 1 }),
    failures: () => new Map(),
    maxWindowMs: 600_000,
    now: () => 0,
    identityOf: () => '',
    hostNames: ['metrics-api.viz.svc'],
  });
  registerDashboard(api, FOLDER);
  registerFindings(api, findings);
  return api;
}

const none = (): Findings => new Findings(async () => [], Date.now);

test('the page and everything that it asks for come from here, with a policy that allows nothing else', async () => {
  const api = server(none());
  await api.listen({ port: 0, host: '127.0.0.1' });
  const origin = api.listeningOrigin;
  const page = await fetch(origin);
  assert.match(page.headers.get('content-type') ?? '', /^text\/html/);
  assert.match(
    page.headers.get('content-security-policy') ?? '',
    /default-src 'none'; script-src 'self'; style-src 'self'/,
  );
  assert.doesNotMatch(await page.clone().text(), /\sstyle=|<style|<script(?! type="module" src=)|https?:/);
  const wanted = new Set([...(await page.text()).matchAll(/(?:src|href)="(\/[^"#]+)"/g)].map(([, path = '']) => path));
  // And what the modules import, one after the other.
  for (const path of wanted) {
    const answer = await fetch(origin + path);
    assert.equal(answer.status, 200, path);
    assert.match(answer.headers.get('content-type') ?? '', /^(text\/(css|javascript)|image\/svg)/, path);
    if (!path.endsWith('.js')) continue;
    for (const [, file = ''] of (await answer.text()).matchAll(/^import .* from '\.\/([^']+)'/gm))
      wanted.add(`/dashboard/${file}`);
  }
  const files = readdirSync(FOLDER).filter((file) => /\.(js|css|svg)$/.test(file));
  assert.deepEqual([...wanted].sort(), files.map((file) => `/dashboard/${file}`).sort(), 'no file is without use');
  assert.equal((await fetch(`${origin}/dashboard/tsconfig.json`)).status, 404);
  await api.close();
});

test('a page that was seen is not sent again, and foreign host names are refused', async () => {
  const api = server(none());
  const { headers } = await api.inject({ url: '/' });
  const again = await api.inject({ url: '/', headers: { 'if-none-match': String(headers['etag']) } });
  assert.deepEqual([again.statusCode, again.body], [304, '']);
  for (const url of ['/', '/api/stat', '/api/findings', '/dashboard/main.js']) {
    const refused = await api.inject({ url, headers: { host: 'evil.example' } });
    assert.equal(refused.statusCode, 421, url);
    assert.match(
      refused.json<{ message: string }>().message,
      /"evil\.example" are refused, .* use localhost or metrics-api/,
    );
  }
  await api.close();
});

test('findings are read at most every ten seconds, and the last ones stay when they cannot be read', async () => {
  const about = { kind: 'Server', group: 'g', namespace: 'shop', name: 'web', subject: 's', message: 'm' };
  const finding: ShownFinding = { code: 'TL0001', severity: 'error', ...about, meaning: 'It is so.', remedy: 'Act.' };
  let nowMs = 1_000;
  let reads = 0;
  let failure: Error | undefined;
  const findings = new Findings(
    async () => {
      reads += 1;
      if (failure !== undefined) throw failure;
      return [finding];
    },
    () => nowMs,
  );
  const api = server(findings);
  const ask = async (): Promise<FindingsAnswer> => (await api.inject({ url: '/api/findings' })).json<FindingsAnswer>();
  await Promise.all([ask(), ask()]);
  assert.equal(reads, 1);
  nowMs += 11_000;
  failure = new Error('403 servers is forbidden');
  assert.deepEqual(await ask(), { findings: [finding], total: 1, asOfMs: 1_000, problem: '403 servers is forbidden' });
  failure = undefined;
  nowMs += 11_000;
  assert.deepEqual(await ask(), { findings: [finding], total: 1, asOfMs: 23_000 });
  await api.close();
});
