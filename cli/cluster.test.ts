import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { WebSocketServer } from 'ws';
import { TestServer } from '../sandbox/apiserver/test-server.ts';
import { connect } from './cluster.ts';
import { Folder, kubeconfig, tulle, type Outcome } from './testing.ts';

describe('commands that talk to a cluster', () => {
  const folder = new Folder();
  let server: TestServer;
  before(async () => {
    server = await TestServer.start();
  });
  after(async () => {
    folder[Symbol.dispose]();
    await server?.[Symbol.asyncDispose]();
  });

  /** One line on standard error, without a stack. */
  function oneLine({ err }: Outcome): string {
    assert.match(err, /^tulle: [^\n]+\n$/);
    return err;
  }
  const metrics = (...flags: string[]): Promise<Outcome> =>
    tulle(['diagnostics', 'proxy-metrics', 'deploy/web', ...flags]);

  test('an API server that cannot be reached is named with what to look at', async () => {
    const file = folder.write('unreachable', kubeconfig({ server: 'https://127.0.0.1:1' }));
    const outcome = await metrics('--kubeconfig', file);
    assert.equal(outcome.code, 1);
    assert.match(
      oneLine(outcome),
      /cannot reach the Kubernetes API at https:\/\/127\.0\.0\.1:1 \(connect ECONNREFUSED/,
    );
    const version = await tulle(['version', '--kubeconfig', file]);
    assert.equal(version.code, 0);
    assert.match(version.out, /^Client version: .*\nServer version: unavailable \(cannot reach [^\n]*\)\n$/);
  });

  test('a refusal says who may not do what, and what to do', async () => {
    const ca = Buffer.from(server.server.caCertificate).toString('base64');
    const cluster = { server: server.url, 'certificate-authority-data': ca };
    const anonymous = folder.write('anonymous', kubeconfig(cluster));
    const outcome = await metrics('--kubeconfig', anonymous);
    assert.equal(outcome.code, 1);
    assert.match(oneLine(outcome), /User "system:anonymous" cannot get .*deployments.*: use a kubeconfig or --context/);
    const stale = folder.write('stale', kubeconfig(cluster, { token: 'no-longer-valid' }));
    const refused = await metrics('--kubeconfig', stale);
    assert.equal(refused.code, 1);
    assert.match(oneLine(refused), /Unauthorized.*log in again/);
    assert.doesNotMatch(refused.err, /no-longer-valid/);
  });

  test('certificates that do not match are named', async () => {
    const outcome = await metrics('--kubeconfig', folder.write('no-ca', kubeconfig({ server: server.url })));
    assert.equal(outcome.code, 1);
    assert.match(oneLine(outcome), /self-signed certificate/);
  });

  test('a credential plugin that does not exist is named', async () => {
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: 'no-such-plugin', interactiveMode: 'Never' };
    const outcome = await metrics('--kubeconfig', folder.write('plugin', kubeconfig({ server: server.url }, { exec })));
    assert.equal(outcome.code, 1);
    assert.match(oneLine(outcome), /credentials of the kubeconfig cannot be used: .*no-such-plugin/);
  });

  test('what does not exist, and what is no workload, are told apart', async () => {
    const good = ['--kubeconfig', server.kubeconfigPath];
    const missing = await metrics(...good);
    assert.deepEqual(
      [missing.code, missing.err],
      [
        1,
        'tulle: there is no deployment "web" in namespace default: name its namespace with -n, or see `kubectl get deployments -A`\n',
      ],
    );
    for (const target of ['deploy', 'deploy/', 'deploy/a/b', 'deploy/..', 'secret/web', 'deploy/A']) {
      const outcome = await tulle(['dg', 'proxy-metrics', target, ...good]);
      assert.ok(outcome.code === 2 || target === 'deploy', target);
      oneLine(outcome);
    }
    const stat = await tulle(['viz', 'stat', 'deploy', ...good]);
    assert.equal(stat.code, 1);
    assert.match(oneLine(stat), /viz extension is not installed: `tulle viz install/);
  });

  test('a server that is no Kubernetes is named, and one without TLS is sent no secret', async () => {
    let authorization: string | undefined = 'none seen';
    const answer: RequestListener = (request, response) => {
      ({ authorization } = request.headers);
      response.end('<html>welcome</html>');
    };
    const web = createServer(answer).listen(0, '127.0.0.1');
    try {
      await new Promise((resolve) => web.once('listening', resolve));
      const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
      const outcome = await metrics(
        '--kubeconfig',
        folder.write('web', kubeconfig({ server: url }, { token: 'secret' })),
      );
      assert.equal(outcome.code, 1);
      assert.match(oneLine(outcome), /did not answer with JSON: is that a Kubernetes API\?/);
      assert.equal(authorization, undefined);
    } finally {
      web.close();
      web.closeAllConnections();
    }
    const odd = await metrics('--kubeconfig', folder.write('odd', kubeconfig({ server: 'nonsense' })));
    assert.match(oneLine(odd), /names "nonsense" as the server, which is not a URL/);
  });
});

test('a port-forward whose failure comes together with the answer to the upgrade tells it', async () => {
  const sockets = new WebSocketServer({ noServer: true });
  const server = createServer().on('upgrade', (request, socket, head) => {
    socket.cork(); // one segment for all, as the API server may write it
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      // Each channel, 0 of data and 1 of errors, begins with the number of the port.
      for (const channel of [0, 1]) webSocket.send(Buffer.of(channel, 99, 0));
      webSocket.send(Buffer.of(1, ...Buffer.from('connection refused')));
      socket.uncork();
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  using folder = new Folder();
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cluster = await connect({
    kubeconfig: folder.write('early', kubeconfig({ server: url, 'insecure-skip-tls-verify': true })),
  });
  try {
    const stream = await cluster.portForward('shop', 'web', 99);
    const [error] = (await once(stream, 'error')) as [Error];
    assert.equal(error.message, 'port-forward to shop/web:99: connection refused');
  } finally {
    cluster.close();
    for (const webSocket of sockets.clients) webSocket.terminate();
    server.close();
  }
});
