// What runs inside the network namespaces of redirect.test.ts: `control`, `app` or `get`. Prints one JSON line when ready.
import { createServer as createHttpServer, get } from 'node:http';
import { createServer, connect } from 'node:net';
import { createTestAuthority } from '#pki/testing.ts';
import { TestControlPlane } from './control-plane.ts';
import { identityOf } from './mesh.ts';

const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

async function control(host: string, app: string, app6: string): Promise<void> {
  const plane = new TestControlPlane(createTestAuthority(), host);
  const identity = { kind: 'dns', name: identityOf('web'), serverName: identityOf('web') } as const;
  for (const [port, isOpaque] of [
    [8080, false],
    [7000, true],
  ] as const) {
    for (const [name, service, address] of [
      ['web', '10.96.0.7', app],
      ['web6', '[fd96::7]', app6],
    ] as const) {
      const fullyQualifiedName = `${name}.shop.svc.cluster.local`;
      const endpoint = { address, port, weight: 10_000, labels: {}, identity, opaqueTransportPort: 4143 };
      plane.setEndpoints(`${fullyQualifiedName}:${port}`, [endpoint]);
      plane.setProfile(`${service}:${port}`, { fullyQualifiedName, isOpaque });
    }
  }
  await plane.start();
  say({ anchorsPem: plane.authority.anchorsPem, port: plane.port });
}

function app(host: string): void {
  createHttpServer((request, response) => {
    const client = String(request.headers['l5d-client-id']);
    response.end(
      JSON.stringify({
        client,
        peer: request.socket.remoteAddress?.replace('::ffff:', ''),
        host: request.headers.host,
      }),
    );
  }).listen(8080, host, () => {
    createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)).listen(7000, host, () => say('ready'));
  });
}

/** Prints the answer of an HTTP request, or what a TCP service sends back. */
function ask(host: string, port: string): void {
  if (port === '7000') {
    let text = '';
    const socket = connect({ host, port: 7000, allowHalfOpen: true }, () => socket.end('\0opaque'));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    socket.on('close', () => say(text));
    socket.on('error', (error) => say(error.message));
    return;
  }
  get({ host, port, agent: false }, (response) => {
    let text = '';
    response.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    response.on('end', () => say({ status: response.statusCode, text }));
  }).on('error', (error) => say(error.message));
}

const [role, ...args] = process.argv.slice(2);
if (role === 'control') await control(args[0] ?? '', args[1] ?? '', args[2] ?? '');
else if (role === 'app') app(args[0] ?? '');
else ask(args[0] ?? '', args[1] ?? '');
