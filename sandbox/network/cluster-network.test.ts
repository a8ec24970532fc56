import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';

import { preflight } from './preflight.ts';

const here = (file: string): string => JSON.stringify(join(import.meta.dirname, file));
const state = mkdtempSync(join(tmpdir(), 'tulle-network-test-'));
after(() => rmSync(state, { recursive: true, force: true }));
const problem = await preflight().then(
  () => undefined,
  (error: unknown) => String(error),
);

/** A program in a pod asks with the C library's resolver, as most programs do. */
const INNER = `
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { createLogger } from '#runtime/log.ts';
import { inNetns } from '#netlink/namespace.ts';
import { readLaunch } from '../launch.ts';
import { DNS_IP } from './addresses.ts';
import { startClusterNetwork } from './cluster-network.ts';
import { FakeApi } from './fake-api.ts';
import { PodNetworks } from './pod-network.ts';

const { runDirectory } = readLaunch(process.env);
using networks = new PodNetworks([DNS_IP]);
const api = new FakeApi();
await using network = await startClusterNetwork(api, { log: createLogger('test', 'warn') });
const pod = networks.create('client');
const served = networks.create('server');
const server = inNetns(served.netns, () => spawn(process.execPath, ['-e',
  "require('node:http').createServer((q, r) => r.end('hello ' + q.headers.host)).listen(80, () => console.log('up'))"], { stdio: ['ignore', 'pipe', 'inherit'] }));
await new Promise((resolve) => server.stdout.once('data', resolve));
api.service('shop', 'web', { clusterIP: '10.96.1.1', ports: [{ name: 'http', port: 8000, protocol: 'TCP' }] });
api.slice('shop', 'web', [served.ip], [{ name: 'http', port: 80, protocol: 'TCP' }]);
writeFileSync(runDirectory + '/resolv.conf', 'search shop.svc.cluster.local svc.cluster.local cluster.local\\nnameserver 10.96.0.10\\noptions ndots:5\\n');
writeFileSync(runDirectory + '/nsswitch.conf', 'hosts: files dns\\n');
const program = \`
  const get = async (url) => { try { return await (await fetch(url)).text() } catch (e) { return e.cause?.code ?? String(e) } };
  (async () => { for (const url of ['http://web:8000', 'http://web.shop:8000', 'http://web.shop.svc.cluster.local:8000', 'http://10.96.1.1:8000', 'http://web:81', 'http://nosuch.example.org'])
    console.log(await get(url)); })()\`;
const script = 'for f in resolv.conf nsswitch.conf; do mount --bind "$1/$f" /etc/$f || exit 9; done; shift; exec "$@"';
const client = inNetns(pod.netns, () => spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', runDirectory, process.execPath, '-e', program], { stdio: ['ignore', 'pipe', 'inherit'] }));
process.stdout.write(await text(client.stdout));
server.kill('SIGKILL');
`;

test(
  'a pod finds Services by name, reaches them, and is told at once what does not exist',
  { skip: problem ?? false, timeout: 60_000 },
  async () => {
    const inner = `import { launch } from ${here('../launch.ts')};
    process.exitCode = await launch({
      command: [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module-typescript', '-e', ${JSON.stringify(INNER)}],
      stateDirectory: ${JSON.stringify(state)}, listeners: [], environment: process.env });`;
    const run = spawn(process.execPath, ['--input-type=module', '-e', inner], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [said, errors] = await Promise.all([text(run.stdout), text(run.stderr), once(run, 'exit')]);
    assert.equal(run.exitCode, 0, errors);
    assert.deepEqual(said.trim().split('\n'), [
      'hello web:8000',
      'hello web.shop:8000',
      'hello web.shop.svc.cluster.local:8000',
      'hello 10.96.1.1:8000',
      'ECONNREFUSED',
      'ENOTFOUND',
    ]);
  },
);
