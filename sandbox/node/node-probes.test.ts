import assert from 'node:assert/strict';
import { test } from 'node:test';

import { CONTAINER_PATH } from './images.ts';
import { inNamespaces } from './testing/namespaced.ts';
import { shell, TestCluster } from './testing/test-cluster.ts';
import { until } from './testing/until.ts';

/** Answers 200 while the file /shared/ok exists and 503 otherwise; `--tls` is left out on purpose. */
const HTTP_SERVER = `require('node:http').createServer((request, response) => {
  require('node:fs').appendFileSync('/shared/requests', request.headers['user-agent'] + ' ' + request.headers['x-probe'] + ' ' + request.socket.remoteAddress + '\\n');
  response.writeHead(require('node:fs').existsSync('/shared/ok') ? 200 : 503).end();
}).listen(8080);`;
const SLEEP = 'trap "exit 0" TERM; sleep 1000 & wait';
const volumes = [{ name: 'shared', emptyDir: {} }];
const volumeMounts = [{ name: 'shared', mountPath: '/shared' }];

inNamespaces(import.meta.filename, () => {
  test('programs are found with the pinned Node first', () => {
    assert.ok(CONTAINER_PATH.startsWith(process.execPath.slice(0, process.execPath.lastIndexOf('/'))));
  });

  test('readiness follows an HTTP probe by port name, from the address of the node, both ways', async () => {
    await using cluster = await TestCluster.start();
    await cluster.create('web', {
      volumes,
      containers: [
        {
          name: 'main',
          image: 'tulle.dev/host',
          command: ['node', '-e', HTTP_SERVER],
          volumeMounts,
          ports: [{ name: 'http', containerPort: 8080 }],
          readinessProbe: {
            httpGet: { path: '/ready', port: 'http', httpHeaders: [{ name: 'X-Probe', value: 'yes' }] },
            periodSeconds: 1,
            failureThreshold: 1,
          },
        },
      ],
    });
    await until('it runs', () => cluster.container('web', 'main')?.started === true);
    await until('an event tells why', () =>
      cluster.events('web').includes('Unhealthy: Readiness probe failed: HTTP probe failed with statuscode: 503'),
    );
    assert.equal(cluster.container('web', 'main')?.ready, false);
    assert.equal(cluster.condition('web', 'ContainersReady'), 'False');
    await run(cluster, 'web', 'touch /shared/ok');
    await cluster.ready('web', 3000);
    assert.match(await run(cluster, 'web', 'cat /shared/requests'), /^kube-probe\/1\.\d+ yes (::ffff:)?10\.42\.0\.1$/m);
    await run(cluster, 'web', 'rm /shared/ok');
    await until('it is not ready', () => cluster.condition('web', 'Ready') === 'False', 3000);
    assert.equal(cluster.container('web', 'main')?.restartCount, 0);
  });

  test('a failing liveness probe restarts the container, a passing one does not', async () => {
    await using cluster = await TestCluster.start();
    const script = `test -e /shared/once && touch /tmp/alive; touch /shared/once; ${SLEEP}`;
    await cluster.create('sick', {
      volumes,
      containers: [
        shell('main', script, {
          volumeMounts,
          livenessProbe: { exec: { command: ['ls', '/tmp/alive'] }, periodSeconds: 1, failureThreshold: 2 },
        }),
      ],
    });
    await until('it is restarted', () => cluster.container('sick', 'main')?.restartCount === 1);
    const events = cluster.events('sick');
    assert.ok(events.includes('Killing: Container main failed liveness probe, will be restarted'));
    assert.ok(events.some((event) => event.startsWith('Unhealthy: Liveness probe failed: ls: cannot access')));
    await new Promise((resolve) => setTimeout(resolve, 2500));
    assert.equal(cluster.container('sick', 'main')?.restartCount, 1);
    assert.ok(cluster.container('sick', 'main')?.state?.running !== undefined);
  });

  test('a startup probe holds back the other probes, and its failure restarts the container', async () => {
    await using cluster = await TestCluster.start();
    await cluster.create('slow', {
      containers: [
        shell('main', `sleep 1; touch /tmp/up; ${SLEEP}`, {
          startupProbe: { exec: { command: ['test', '-e', '/tmp/up'] }, periodSeconds: 1, failureThreshold: 10 },
          livenessProbe: { exec: { command: ['test', '-e', '/tmp/up'] }, periodSeconds: 1, failureThreshold: 1 },
        }),
      ],
    });
    await cluster.create('never', {
      containers: [
        shell('main', SLEEP, {
          startupProbe: { tcpSocket: { port: 9 }, periodSeconds: 1, failureThreshold: 1 },
        }),
      ],
    });
    await until('it runs', () => cluster.container('slow', 'main')?.state?.running !== undefined);
    assert.equal(cluster.container('slow', 'main')?.started, false);
    assert.equal(cluster.container('slow', 'main')?.ready, false);
    await cluster.ready('slow');
    assert.equal(cluster.container('slow', 'main')?.restartCount, 0);
    await until('the other is restarted', () => (cluster.container('never', 'main')?.restartCount ?? 0) > 0);
    assert.ok(
      cluster
        .events('never')
        .some((event) =>
          /^Unhealthy: Startup probe failed: dial tcp 10\.42\.0\.\d+:9: connect: connection refused$/.test(event),
        ),
    );
  });

  test('tcp, gRPC and timed out commands are told apart', async () => {
    await using cluster = await TestCluster.start();
    const server = `require('node:net').createServer((socket) => socket.on('error', () => {})).listen(7000)`;
    const probe = { periodSeconds: 1, failureThreshold: 1 };
    const image = 'tulle.dev/host';
    const command = ['node', '-e', server];
    await cluster.create('kinds', {
      containers: [
        { name: 'tcp', image, command, readinessProbe: { tcpSocket: { port: 7000 }, ...probe } },
        shell('grpc', SLEEP, { readinessProbe: { grpc: { port: 7001, service: '' }, ...probe } }),
        shell('exec', SLEEP, { readinessProbe: { exec: { command: ['sleep', '20'] }, timeoutSeconds: 1, ...probe } }),
      ],
    });
    await until('tcp is ready', () => cluster.container('kinds', 'tcp')?.ready === true);
    const unhealthy = (part: RegExp): Promise<unknown> =>
      until(`an event with ${part.source}`, () => cluster.events('kinds').some((event) => part.test(event)));
    await unhealthy(/^Unhealthy: Readiness probe failed: command timed out: "sleep 20" timed out after 1s$/);
    await unhealthy(/^Unhealthy: Readiness probe failed: (error: health rpc probe failed|timeout: failed to connect)/);
    const pod = await until('not ready', () => cluster.pod('kinds'));
    const condition = pod.status?.conditions?.find((one) => one.type === 'ContainersReady');
    assert.equal(condition?.message, 'containers with unready status: [grpc exec]');
  });
});

async function run(cluster: TestCluster, pod: string, script: string): Promise<string> {
  const options = { stdin: false, stdout: true, stderr: false, tty: false };
  const session = cluster.node.exec('default', pod, '', ['sh', '-c', script], options);
  let output = '';
  session.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  assert.equal(await session.exit, 0);
  await new Promise(setImmediate);
  return output;
}
