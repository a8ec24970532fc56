import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { pino } from 'pino';
import { networkMatches, type Client } from '#model/authorization.ts';
import type { InboundProtocol, InboundServer } from '#model/inbound.ts';
import { eventually, exchange, identityOf, TestApp, TestMesh } from '../testing/mesh.ts';
import { AuditLog } from './audit-log.ts';

type Line = {
  readonly client: Client;
  readonly port: number;
  readonly untold?: number;
  readonly message: string;
  readonly level: number;
};

const SERVER = { type: 'resource', group: 'policy.linkerd.io', kind: 'server', name: 'web' } as const;
/** Clients at 127.0.0.1 are always let in; these come from elsewhere. */
const ELSEWHERE = '127.0.0.9';
const FRIEND = '127.0.0.10';

function logged() {
  const lines: Line[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Line);
  const log = pino({ level: 'info', messageKey: 'message' }, { write });
  return { log, audited: () => lines.filter(({ message }) => message.startsWith('audit: ')) };
}

function auditing(protocol: InboundProtocol): InboundServer {
  const unauthenticated = { kind: 'unauthenticated' } as const;
  return {
    ref: SERVER,
    protocol,
    authorizations: [
      {
        ref: { type: 'resource', group: 'policy.linkerd.io', kind: 'authorizationpolicy', name: 'friends' },
        networks: networkMatches([`${FRIEND}/32`]),
        authentication: unauthenticated,
      },
      {
        ref: { type: 'default', name: 'audit' },
        networks: networkMatches(['0.0.0.0/0']),
        authentication: unauthenticated,
      },
    ],
  };
}

test('who is let in for audit alone is in the log, whoever an authorization lets in is not', async () => {
  using app = await TestApp.start(createServer((_request, response) => response.end('ok')));
  for (const [protocol, what] of [
    [{ kind: 'http1', routes: [] }, 'the request'],
    [{ kind: 'opaque' }, 'the connection'],
  ] as const) {
    await using mesh = await TestMesh.start();
    mesh.control.setPolicy(app.port, auditing(protocol));
    const { log, audited } = logged();
    const proxy = await mesh.proxy({
      name: 'web',
      log,
      redirectedTo: { address: '127.0.0.1', port: app.port },
      env: { INBOUND_PORTS: String(app.port) },
    });
    const ask = (localAddress: string): Promise<Buffer> =>
      exchange(proxy.inboundPort, 'GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n', { localAddress });
    await eventually(async () => {
      assert.match((await ask(ELSEWHERE)).toString(), /^HTTP\/1\.1 200 /);
      return audited().length > 0;
    }, 'the policy acts');
    assert.match((await ask(FRIEND)).toString(), /^HTTP\/1\.1 200 /);
    assert.match((await ask(ELSEWHERE)).toString(), /^HTTP\/1\.1 200 /);
    assert.deepEqual(
      audited().map(({ client, port, message }) => [client.address, port, message]),
      [[ELSEWHERE, app.port, `audit: server.policy.linkerd.io web lets in ${what} that no authorization allows`]],
    );
  }
});

test('the log is bounded: each client once a minute, so many clients, and how many were left out', () => {
  const { log, audited } = logged();
  let nowMs = 0;
  const audit = new AuditLog(log, () => nowMs);
  const meshedClient = (nth: number): Client => ({
    address: `10.0.${nth}.1`,
    tls: { kind: 'mesh', identity: identityOf(`c${nth % 100}`) },
  });
  for (let nth = 0; nth < 10_000; nth += 1) audit.add(meshedClient(nth), 80, SERVER, 'the request');
  assert.equal(audited().length, 50);
  nowMs = 59_999;
  audit.add(meshedClient(0), 80, SERVER, 'the request');
  assert.equal(audited().length, 50);
  nowMs = 60_000;
  audit.add(meshedClient(0), 80, SERVER, 'the request');
  audit.add(meshedClient(1), 80, SERVER, 'the request');
  assert.deepEqual(
    audited()
      .slice(50)
      .map(({ untold }) => untold),
    [5_000, undefined],
  );
});
