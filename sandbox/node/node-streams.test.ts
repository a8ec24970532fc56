import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { buffer, text } from 'node:stream/consumers';
import { test } from 'node:test';

import { StatusError } from '../apiserver/status-error.ts';
import type { LogOptions } from './node-agent.ts';
import { inNamespaces } from './testing/namespaced.ts';
import { shell, TestCluster } from './testing/test-cluster.ts';
import { until } from './testing/until.ts';

const SLEEP = 'trap "exit 0" TERM; sleep 1000 & wait';
const LOGS = { follow: false, previous: false, timestamps: false };
const STREAMS = { stdin: true, stdout: true, stderr: true, tty: false };
/** Answers with the SHA-256 of all it got, after the other side has ended its half. */
const DIGEST_SERVER = `require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
  const hash = require('node:crypto').createHash('sha256');
  socket.on('data', (chunk) => hash.update(chunk)).on('end', () => socket.end(hash.digest('hex')));
}).listen(9000, '127.0.0.1', () => console.log('listening'));`;

function refuses(code: number, message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof StatusError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    return true;
  };
}

inNamespaces(import.meta.filename, () => {
  test('logs are cut, dated and followed as asked, and both streams are in them', async () => {
    await using cluster = await TestCluster.start();
    const script = `echo one; echo two >&2; printf 'no newline'; sleep 0.3; echo; echo last; ${SLEEP}`;
    await cluster.create('talker', { containers: [shell('main', script)] });
    await cluster.ready('talker');
    const logs = (options: Partial<LogOptions>): Promise<string> =>
      text(cluster.node.logs('default', 'talker', '', { ...LOGS, ...options }));
    const followed = logs({ follow: true });
    await until('the last line', async () => (await logs({})).endsWith('last\n'));
    const all = await logs({});
    assert.deepEqual(all.trim().split('\n').sort(), ['last', 'no newline', 'one', 'two']);
    assert.equal(await logs({ tailLines: 2 }), 'no newline\nlast\n');
    assert.equal(await logs({ tailLines: 0 }), '');
    assert.equal(await logs({ tailLines: 100, limitBytes: 5 }), all.slice(0, 5));
    assert.match(await logs({ tailLines: 1, timestamps: true }), /^\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z last\n$/);
    assert.equal(await logs({ sinceSeconds: 3600 }), all);
    await cluster.client.delete('pods', 'default', 'talker');
    assert.equal(await followed, all);
  });

  test('questions about logs that cannot be answered say why', async () => {
    await using cluster = await TestCluster.start();
    await cluster.create('two', { containers: [shell('a', SLEEP), { name: 'b', image: 'unknown' }] });
    await until('a runs', () => cluster.container('two', 'a')?.state?.running !== undefined);
    const logs = (pod: string, container: string, options: Partial<LogOptions> = {}): unknown =>
      cluster.node.logs('default', pod, container, { ...LOGS, ...options });
    assert.throws(() => logs('none', 'a'), refuses(404, /pods "none" not found/));
    assert.throws(() => logs('two', 'c'), refuses(400, /container c is not valid for pod two/));
    assert.throws(
      () => logs('two', ''),
      refuses(400, /a container name must be specified for pod two, choose one of: \[a b\]/),
    );
    assert.throws(
      () => logs('two', 'a', { previous: true }),
      refuses(400, /previous terminated container "a" in pod "two" not found/),
    );
    await until('b waits', () => cluster.container('two', 'b')?.state?.waiting?.reason === 'ImagePullBackOff');
    assert.throws(
      () => logs('two', 'b'),
      refuses(400, /container "b" in pod "two" is waiting to start: ImagePullBackOff/),
    );
    assert.throws(
      () => cluster.node.exec('default', 'two', 'b', ['true'], STREAMS),
      refuses(404, /container not found \("b"\)/),
    );
  });

  test('exec gives output, exit codes and input, and its children end with it', async () => {
    await using cluster = await TestCluster.start();
    await cluster.create('target', { containers: [shell('main', SLEEP, { env: [{ name: 'COLOR', value: 'teal' }] })] });
    const pod = await cluster.ready('target');
    const exec = (...command: string[]) => cluster.node.exec('default', 'target', 'main', command, STREAMS);
    const plain = exec('sh', '-c', 'echo $COLOR $(hostname); cat /etc/hosts; exit 42');
    assert.ok(plain.stdout !== undefined);
    assert.match(await text(plain.stdout), new RegExp(`^teal target\\n[^]*${pod.status?.podIP}\\ttarget\\n$`));
    assert.equal(await plain.exit, 42);
    const big = randomBytes(4 * 2 ** 20);
    const digest = exec('sha256sum');
    digest.stdin?.end(big);
    assert.ok(digest.stdout !== undefined);
    assert.equal((await text(digest.stdout)).split(' ')[0], createHash('sha256').update(big).digest('hex'));
    const endless = exec('sh', '-c', 'sleep 1000 & sleep 1000');
    endless.kill();
    assert.equal(await endless.exit, 137);
    assert.equal(await exec('no-such-program').exit, 127);
    assert.equal(await exec('/etc/passwd').exit, 126);
    if (existsSync('/usr/bin/script')) {
      const terminal = cluster.node.exec('default', 'target', '', ['tty'], { ...STREAMS, tty: true });
      assert.ok(terminal.stdout !== undefined);
      assert.match(await text(terminal.stdout), /^\/dev\/pts\/\d+\r\n$/);
    }
  });

  test('port-forward carries data to a loopback listener unharmed, half-close included', async () => {
    await using cluster = await TestCluster.start();
    const command = ['node', '-e', DIGEST_SERVER];
    await cluster.create('server', { containers: [{ name: 'main', image: 'tulle.dev/host', command }] });
    await cluster.ready('server');
    await until('it listens', async () =>
      (await text(cluster.node.logs('default', 'server', '', LOGS))).includes('listening'),
    );
    const sent = randomBytes(3 * 2 ** 20);
    const connections = Array.from({ length: 4 }, () => cluster.node.portForward('default', 'server', 9000));
    for (const connection of await Promise.all(connections)) {
      connection.end(sent);
      const answer = (await buffer(connection)).toString();
      assert.equal(answer, createHash('sha256').update(sent).digest('hex'));
      if (!connection.closed) await once(connection, 'close');
    }
    await assert.rejects(
      cluster.node.portForward('default', 'server', 9001),
      refuses(500, /failed to connect to localhost:9001 .*connection refused/),
    );
    await assert.rejects(cluster.node.portForward('default', 'server', 70_000), refuses(400, /not a TCP port/));
    await assert.rejects(cluster.node.portForward('default', 'none', 80), refuses(404, /pods "none" not found/));
  });
});
