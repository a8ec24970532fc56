import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until } from '../../test/harness/until.ts';

const DEMO = join(import.meta.dirname, 'main.ts');
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
    for (const moment of [/√ bundle/, /√ start a Kubernetes/]) {
      const demo = start([DEMO, '--once']);
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
    [2, 'tulle: usage: main.ts --state DIRECTORY [--port PORT] [--pods A.B] [--services A.B]\n'],
  );
});
