import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { loadKubeconfig } from '../../cli/kubeconfig.ts';
import { until } from '../../test/harness/until.ts';
import { mergedKubeconfig } from './contexts.ts';

const DEMO = join(import.meta.dirname, 'main.ts');
const ASK = join(import.meta.dirname, 'apps/ask.ts');
const SANDBOX = join(import.meta.dirname, '..', 'main.ts');

type Ended = { readonly code: number | null; readonly out: string; readonly err: string };

describe('a demo that cannot run', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-demo-test-'));
  const temporary = join(folder, 'tmp'); // where sandboxes keep their state
  before(() => mkdirSync(temporary));
  after(() => rmSync(folder, { recursive: true, force: true }));

  function start(
    args: readonly string[],
    path = process.env['PATH'] ?? '',
  ): { said: () => string; signal: (name: NodeJS.Signals) => void; ended: Promise<Ended> } {
    const child = spawn(process.execPath, args, { env: { ...process.env, PATH: path, TMPDIR: temporary } });
    let out = '';
    let err = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
    const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, out, err })));
    return { said: () => out + err, signal: (name) => void child.kill(name), ended };
  }

  /** The one line that is no progress. */
  function complaint({ out, err }: Ended): string {
    assert.equal(out, '');
    const lines = err.trimEnd().split('\n');
    const complaints = lines.filter((line) => !/^[√×…] /.test(line));
    assert.equal(complaints.length, 1, err);
    assert.match(complaints[0] ?? '', /^tulle: /);
    return complaints[0] ?? '';
  }
  const nothingLeft = (): void => assert.deepEqual(readdirSync(temporary), []);

  test('names a wrong flag', async () => {
    for (const [args, message] of [
      [['--bogus'], /Unknown option '--bogus' \(`npm run demo -- --help`\)/],
      [['--port', '80x'], /--port is "80x": use a number from 1 to 65535/],
      [['--port', '65536'], /--port is "65536"/],
      [['--port'], /--port <value>' argument missing/],
      [['please'], /Unexpected argument 'please'/],
    ] as const) {
      const ended = await start([DEMO, ...args]).ended;
      assert.equal(ended.code, 2);
      assert.match(complaint(ended), message);
    }
    nothingLeft();
  });

  test('names a port that is in use, and leaves nothing behind', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const ended = await start([DEMO, '--once', '--port', String(port)]).ended;
      assert.equal(ended.code, 1);
      assert.match(
        complaint(ended),
        new RegExp(`port ${port} on 127\\.0\\.0\\.1 .* is already in use: .*another port$`),
      );
      nothingLeft();
    } finally {
      server.close();
    }
  });

  test('names what the machine lacks, and leaves nothing behind', async () => {
    const programs = join(folder, 'bin');
    mkdirSync(programs);
    for (const [says, message] of [
      ['unshare: unshare failed: Operation not permitted', /namespaces .*(--privileged|sysctl|as root)/],
      ['this kernel has no nftables: load nf_tables', /: this kernel has no nftables: load nf_tables$/],
    ] as const) {
      const fake = join(programs, 'unshare');
      writeFileSync(fake, `#!/bin/sh\necho '${says}' >&2\nexit 1\n`);
      chmodSync(fake, 0o755);
      const ended = await start([DEMO, '--once'], `${programs}:${process.env['PATH'] ?? ''}`).ended;
      assert.equal(ended.code, 1);
      assert.match(complaint(ended), message);
      nothingLeft();
    }
  });

  test('an interruption at any moment of the start leaves nothing behind', async () => {
    for (const [moment, flags] of [
      [/√ bundle/, []],
      [/√ start a Kubernetes/, []],
      [/√ bundle/, ['--multicluster']],
      [/√ start two Kubernetes/, ['--multicluster']],
    ] as const) {
      const demo = start([DEMO, '--once', ...flags]);
      await until(`the demo to print ${String(moment)}`, 60_000, () => moment.test(demo.said()));
      demo.signal('SIGINT');
      assert.equal((await demo.ended).code, 130);
      nothingLeft();
    }
  });

  test('a demo that is killed takes its cluster and its files along, also one that is just starting', async () => {
    for (const moment of [/√ start a Kubernetes/, /√ bundle/]) {
      const demo = start([DEMO, '--once']);
      await until(`the demo to print ${String(moment)}`, 60_000, () => moment.test(demo.said()));
      await until('a state directory', 10_000, () => readdirSync(temporary).length > 0);
      demo.signal('SIGKILL');
      await until('the files to be gone', 60_000, () => readdirSync(temporary).length === 0);
    }
  });
});

test('the sandbox as a program says how it is called', async () => {
  const child = spawn(process.execPath, [SANDBOX], { stdio: ['ignore', 'pipe', 'pipe'] });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const code = await new Promise((resolve) => child.once('close', resolve));
  assert.deepEqual(
    [code, err],
    [2, 'tulle: usage: main.ts --state DIRECTORY [--port PORT] [--pods A.B] [--services A.B] [--image NAME=FOLDER]\n'],
  );
});

test('one kubeconfig leads to both clusters', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tulle-demo-test-'));
  try {
    const file = (name: string, server: string): string => {
      const path = join(folder, name);
      const clusters = [{ name: 'same', cluster: { server } }];
      writeFileSync(path, JSON.stringify({ clusters, users: [{ name: 'same', user: { token: `of ${name}` } }] }));
      return path;
    };
    const both = join(folder, 'both');
    const text = mergedKubeconfig({ west: file('a', 'https://a:1'), east: file('b', 'https://b:2') });
    writeFileSync(both, text);
    const seen = await Promise.all(
      [undefined, 'west', 'east'].map(async (context) => {
        const config = await loadKubeconfig({ file: both, context, environment: {} });
        return [config.getCurrentCluster()?.server, config.getCurrentUser()?.token];
      }),
    );
    const west = ['https://a:1', 'of a'];
    assert.deepEqual(seen, [west, west, ['https://b:2', 'of b']]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('ask counts answers by status, reason and workload, and shows a single one whole', async () => {
  let asked = 0;
  const server = createHttpServer((request, response) => {
    asked += 1;
    const isDenied = request.method === 'POST';
    response.writeHead(isDenied ? 403 : 200, isDenied ? { 'l5d-proxy-error': 'unauthorized: because' } : {});
    const from = asked % 4 === 0 ? 'catalog-v2-5944c77cc4-4z5kx' : 'catalog-6b9897cf99-b8npt';
    response.end(isDenied ? undefined : JSON.stringify({ from, items: ['tulle', 'muslin'] }));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const ask = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)(process.execPath, [ASK, ...args, url])).stdout;
  try {
    assert.equal(await ask('8'), '8 requests: 8 × 200, answered by 6 × catalog, 2 × catalog-v2\n');
    assert.equal(await ask('2', 'POST'), '2 requests: 2 × 403 l5d-proxy-error: unauthorized: because\n');
    assert.equal(await ask('1', 'POST'), '403 l5d-proxy-error: unauthorized: because\n');
    assert.match(await ask('1'), /^200\n  from: catalog-\S+\n  items: tulle,muslin\n$/);
  } finally {
    server.close();
  }
  assert.match(await ask('1'), /ECONNREFUSED/);
});
