import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { connect, createServer as createTcpServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Exec, KubeConfig, Log, PortForward, type V1Status } from '@kubernetes/client-node';
import { StreamServer } from './testing/stream-server.ts';

/** The clients people use, against the streams alone. */
const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;
const withKubectl = { skip: hasKubectl ? false : 'SKIPPED: no kubectl on PATH, its streams stay unproven' };

const home = mkdtempSync(path.join(tmpdir(), 'tulle-streams-'));
const web = createServer((request, response) => response.end(`you asked for ${request.url ?? ''}`));
let server: StreamServer;
let webPort = 0;

before(async () => {
  server = await StreamServer.start();
  writeFileSync(path.join(home, 'config'), JSON.stringify(server.kubeconfig));
  await new Promise<void>((resolve) => {
    web.listen(0, '127.0.0.1', resolve);
  });
  webPort = (web.address() as AddressInfo).port;
});

after(async () => {
  await server[Symbol.asyncDispose]();
  web.close();
  web.closeAllConnections();
  rmSync(home, { recursive: true, force: true });
});

const environment = { PATH: process.env['PATH'], HOME: home, KUBECONFIG: path.join(home, 'config') };

type Outcome = { code: number; stdout: string; stderr: string };

/** @param input  piped to stdin when given */
function kubectl(args: readonly string[], input?: string | Buffer, extra: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const child = execFile(
      'kubectl',
      args,
      { env: { ...environment, ...extra }, timeout: 20_000, maxBuffer: 1e8 },
      (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : Number(error !== null), stdout, stderr }),
    );
    if (input !== undefined) child.stdin?.end(input);
  });
}

test('kubectl exec shows both outputs and leaves with the code of the command', withKubectl, async () => {
  const outcome = await kubectl(['exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7']);
  assert.equal(outcome.stdout, 'out\n');
  assert.match(outcome.stderr, /^err\n[\s\S]*command terminated with exit code 7/);
  assert.equal(outcome.code, 7);
});

test('kubectl exec -i pipes a megabyte through and ends the input', withKubectl, async () => {
  const outcome = await kubectl(['exec', '-i', 'web', '--', 'cat'], Buffer.alloc(1_000_000, 'x'));
  assert.equal(outcome.stdout.length, 1_000_000, outcome.stderr);
  assert.equal(outcome.code, 0);
});

test('kubectl cp copies a file in by tar', withKubectl, async () => {
  const source = path.join(home, 'source.txt');
  writeFileSync(source, 'copied');
  const target = mkdtempSync(path.join(home, 'target-'));
  const outcome = await kubectl(['cp', source, `web:${path.join(target, 'copy.txt')}`]);
  assert.equal(outcome.code, 0, outcome.stderr);
  assert.equal((await kubectl(['exec', 'web', '--', 'cat', path.join(target, 'copy.txt')])).stdout, 'copied');
});

test('kubectl exec says what the node says', withKubectl, async () => {
  const outcome = await kubectl(['exec', 'web', '--', 'refused']);
  assert.equal(outcome.code, 1);
  assert.match(outcome.stderr, /container is not running/);
});

test('kubectl attach and logs print the output of the container', withKubectl, async () => {
  assert.equal((await kubectl(['attach', 'web'])).stdout, 'one\ntwo\n');
  assert.equal((await kubectl(['logs', 'web', '--tail=5', '-f'])).stdout, 'one\ntwo\n');
  assert.deepEqual(server.agent.logCalls.at(-1), { follow: true, previous: false, timestamps: false, tailLines: 5 });
  const previous = await kubectl(['logs', 'web', '--previous']);
  assert.match(previous.stderr, /BadRequest.*previous terminated container "main" in pod "web" not found/);
});

const overSpdy = { KUBECTL_REMOTE_COMMAND_WEBSOCKETS: 'false', KUBECTL_PORT_FORWARD_WEBSOCKETS: 'false' };

test('an older kubectl executes commands over SPDY', withKubectl, async () => {
  const outcome = await kubectl(
    ['exec', 'web', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'],
    undefined,
    overSpdy,
  );
  assert.equal(outcome.stdout, 'out\n');
  assert.match(outcome.stderr, /^err\n[\s\S]*command terminated with exit code 7/);
  const piped = await kubectl(['exec', '-i', 'web', '--', 'cat'], Buffer.alloc(1_000_000, 'x'), overSpdy);
  assert.equal(piped.stdout.length, 1_000_000, piped.stderr);
  const refused = await kubectl(['exec', 'web', '--', 'refused'], undefined, overSpdy);
  assert.match(refused.stderr, /container is not running/);
  assert.equal((await kubectl(['attach', 'web'], undefined, overSpdy)).stdout, 'one\ntwo\n');
});

for (const [form, extra] of [
  ['a WebSocket', {}],
  ['SPDY', overSpdy],
] as const) {
  test(`a kubectl that is killed ends its command over ${form}`, withKubectl, async () => {
    const before = server.agent.killed.length;
    const child = spawn('kubectl', ['exec', 'web', '--', 'sh', '-c', 'echo up; exec sleep 60'], {
      env: { ...environment, ...extra },
    });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    const deadline = Date.now() + 5000;
    while (server.agent.killed.length === before) {
      assert.ok(Date.now() < deadline, 'the command is ended with its client');
      await delay(10);
    }
  });
}

function fetchText(port: number, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', path: url, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve(body));
    }).on('error', reject);
  });
}

/** Connections one after another and at once. */
async function forward(extra: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn('kubectl', ['port-forward', 'web', `:${webPort}`], { env: { ...environment, ...extra } });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  try {
    const port = await new Promise<number>((resolve, reject) => {
      child.once('exit', () => reject(new Error(errors)));
      child.stdout.on('data', (chunk: Buffer) => {
        const match = /127\.0\.0\.1:(\d+) ->/.exec(chunk.toString());
        if (match !== null) resolve(Number(match[1]));
      });
    });
    assert.equal(await fetchText(port, '/a'), 'you asked for /a');
    const bodies = await Promise.all(Array.from({ length: 20 }, (_, index) => fetchText(port, `/${index}`)));
    assert.deepEqual(
      bodies,
      Array.from({ length: 20 }, (_, index) => `you asked for /${index}`),
    );
    assert.equal(await fetchText(port, '/z'), 'you asked for /z');
    assert.equal(errors, '');
  } finally {
    child.kill();
  }
}

test('kubectl port-forward carries connections through a tunnel', withKubectl, () => forward({}));

test('an older kubectl forwards ports over SPDY', withKubectl, () => forward(overSpdy));

function clientConfig(): KubeConfig {
  const config = new KubeConfig();
  config.loadFromString(JSON.stringify(server.kubeconfig));
  return config;
}

test('the Node client executes commands with input and learns the exit code', async () => {
  const stdin = new PassThrough();
  const stdout = new PassThrough();
  const status = await new Promise<V1Status>((resolve, reject) => {
    const exec = new Exec(clientConfig());
    const command = ['sh', '-c', 'read line; echo "got $line"; exit 4'];
    exec.exec('default', 'web', 'main', command, stdout, null, stdin, false, resolve).catch(reject);
    stdin.write('hello\n');
  });
  assert.equal(stdout.read()?.toString(), 'got hello\n');
  assert.equal(status.details?.causes?.[0]?.message, '4');
});

test('the Node client forwards a port', async () => {
  const forward = new PortForward(clientConfig());
  const local = createTcpServer((socket) => {
    void forward.portForward('default', 'web', [webPort], socket, null, socket);
  });
  await new Promise<void>((resolve) => {
    local.listen(0, '127.0.0.1', resolve);
  });
  const socket = connect((local.address() as AddressInfo).port, '127.0.0.1');
  socket.write('GET /node HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  let answer = '';
  socket.setEncoding('utf8');
  while (!answer.includes('you asked for /node')) {
    answer += await new Promise<string>((resolve) => socket.once('data', (chunk: string) => resolve(chunk)));
  }
  socket.destroy();
  local.close();
});

test('the Node client reads logs', async () => {
  const output = new PassThrough();
  await new Log(clientConfig()).log('default', 'web', 'main', output, { tailLines: 3 });
  let text = '';
  for await (const chunk of output) text += String(chunk);
  assert.equal(text, 'one\ntwo\n');
});
