import assert from 'node:assert/strict';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { createServer, isIPv6, type AddressInfo, type Server, type Socket } from 'node:net';
import { after, test } from 'node:test';

import { exemption, openExemptSocket } from './exemption.ts';
import { inNetns } from './namespace.ts';
import { applyTables, removeTables } from './nftables.ts';
import { originalDestination } from './original-destination.ts';
import { parsePortRanges } from './port-ranges.ts';
import { redirectTables, type RedirectOptions } from './redirect.ts';
import { Netlink } from './socket.ts';
import { parseSubnets } from './subnet.ts';
import { openTcpSocket } from './tcp-socket.ts';
import { connectedHosts, describeWithNamespaces } from './testing.ts';
import { verifyTables } from './verify.ts';

/** A uid that no process of these tests has, but that may be mapped; `exemption` decides by it as in production. */
const PROXY_UID = 2102;
const OPTIONS: RedirectOptions = {
  inboundPort: 4143,
  outboundPort: 4140,
  exemption: exemption(PROXY_UID),
  inboundSkip: parsePortRanges('4190-4191,9000'),
  outboundSkip: parsePortRanges('9000,10000-10002'),
  subnetSkip: [],
  isSynOnly: false,
};

describeWithNamespaces(import.meta.filename, () => {
  // The pod has a proxy (two ports) and applications; the other host is the rest of the world.
  const [pod, world] = connectedHosts();
  const servers: Server[] = [];
  const serve = (netns: number, port: number, reply: (socket: Socket) => string): void => {
    const server = createServer((socket) => socket.on('error', () => {}).end(reply(socket)));
    servers.push(inNetns(netns, () => server.listen(port)));
  };
  const isSix = (socket: Socket): boolean =>
    isIPv6(socket.localAddress ?? '') && !socket.localAddress?.startsWith('::ffff:');
  const destinationOf = (socket: Socket): string => {
    const original = originalDestination(fdOf(socket), isSix(socket));
    return original === undefined ? 'none' : `${original.address} ${original.port}`;
  };
  serve(pod.netns, OPTIONS.inboundPort, (socket) => `inbound ${destinationOf(socket)}`);
  serve(pod.netns, OPTIONS.outboundPort, (socket) => `outbound ${destinationOf(socket)}`);
  for (const port of [80, 9000, 4191]) serve(pod.netns, port, () => `app ${port}`);
  for (const port of [80, 9000, 10001]) serve(world.netns, port, () => `world ${port}`);
  const netfilter = new Netlink('netfilter', pod.netns);
  after(() => {
    for (const server of servers) server.close();
    netfilter[Symbol.dispose]();
    for (const host of [pod, world]) closeSync(host.netns);
  });
  const fresh = (options: Partial<RedirectOptions> = {}): void =>
    applyTables(netfilter, redirectTables({ ...OPTIONS, ...options }));

  const ask = async (netns: number, host: string, port: number): Promise<string> =>
    readAll(inNetns(netns, () => openTcpSocket(isIPv6(host))).connect({ host, port }));

  for (const families of ['inet', 'split'] as const) {
    for (const host of [world.ipv4, world.ipv6]) {
      test(`an application's connection to ${host} reaches the proxy with its destination (${families})`, async () => {
        applyTables(netfilter, redirectTables(OPTIONS, families));
        assert.equal(await ask(pod.netns, host, 80), `outbound ${host} 80`);
        assert.equal(await ask(pod.netns, host, 9000), 'world 9000');
        assert.equal(await ask(pod.netns, host, 10001), 'world 10001');
        removeTables(netfilter, redirectTables(OPTIONS, families));
      });
    }
    for (const host of [pod.ipv4, pod.ipv6]) {
      test(`a connection from outside to ${host} reaches the proxy with its destination (${families})`, async () => {
        applyTables(netfilter, redirectTables(OPTIONS, families));
        assert.equal(await ask(world.netns, host, 80), `inbound ${host} 80`);
        assert.equal(await ask(world.netns, host, 4143), `inbound ${host} 4143`, 'direct');
        assert.equal(await ask(world.netns, host, 9000), 'app 9000');
        assert.equal(await ask(world.netns, host, 4191), 'app 4191');
        removeTables(netfilter, redirectTables(OPTIONS, families));
      });
    }
  }

  test('connections within the pod are left alone, also those to its own address', async () => {
    fresh();
    for (const host of ['127.0.0.1', '::1', pod.ipv4, pod.ipv6]) assert.equal(await ask(pod.netns, host, 80), 'app 80');
  });

  test('a skipped subnet reaches the application without the proxy', async () => {
    fresh({ subnetSkip: parseSubnets('10.9.9.2/31,fd09::/16') });
    assert.equal(await ask(world.netns, pod.ipv4, 80), 'app 80');
    assert.equal(await ask(world.netns, pod.ipv6, 80), 'app 80');
    fresh({ subnetSkip: parseSubnets('10.9.9.0/31') });
    assert.equal(await ask(world.netns, pod.ipv4, 80), `inbound ${pod.ipv4} 80`);
  });

  const asProxy = exemption(PROXY_UID);
  test(`the proxy's own connections leave the pod (told apart by ${asProxy.kind})`, async () => {
    fresh();
    for (const host of [world.ipv4, world.ipv6]) {
      const socket = inNetns(pod.netns, () => exemptSocket(host));
      assert.equal(await readAll(socket.connect({ host, port: 80 })), 'world 80');
    }
  });
  test('the priority alone tells connections apart, in both families', async () => {
    fresh({ exemption: { kind: 'priority', priority: 5 } });
    for (const host of [world.ipv4, world.ipv6]) {
      for (const [priority, answer] of [
        [5, 'world 80'],
        [4, `outbound ${host} 80`],
      ] as const) {
        const socket = inNetns(pod.netns, () => openTcpSocket(isIPv6(host), { priority }));
        assert.equal(await readAll(socket.connect({ host, port: 80 })), answer);
      }
    }
  });

  test('applying again keeps redirected connections and catches every new one', async () => {
    fresh();
    const held = inNetns(pod.netns, () => openTcpSocket(false, { allowHalfOpen: true }));
    const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket));
    inNetns(pod.netns, () => echo.listen(0));
    const { port } = echo.address() as AddressInfo;
    applyTables(netfilter, redirectTables({ ...OPTIONS, outboundPort: port }));
    held.connect({ host: world.ipv4, port: 80 });
    await once(held, 'connect');
    for (let round = 0; round < 100; round += 1) {
      fresh();
      held.write('x');
      assert.equal(String((await once(held, 'data'))[0]), 'x');
      assert.equal(await ask(pod.netns, world.ipv4, 80), `outbound ${world.ipv4} 80`);
    }
    held.destroy();
    echo.close();
  });

  test('verification names what is not as programmed', () => {
    fresh();
    const wanted = redirectTables(OPTIONS);
    assert.deepEqual(verifyTables(netfilter, wanted), []);
    fresh({ outboundPort: 4141 });
    assert.deepEqual(verifyTables(netfilter, wanted), ['table tulle: rule tulle/outbound of output differs']);
    fresh({ inboundSkip: parsePortRanges('4190-4191') });
    assert.deepEqual(verifyTables(netfilter, wanted), ['table tulle: elements of set skip-inbound differ']);
    fresh({ exemption: { kind: 'uid', uid: 77 } });
    assert.deepEqual(verifyTables(netfilter, wanted), ['table tulle: rule tulle/proxy of output differs']);
    fresh({ subnetSkip: parseSubnets('10.0.0.0/8') });
    assert.equal(verifyTables(netfilter, wanted)[0], 'table tulle: 3 rules in prerouting instead of 2');
    removeTables(netfilter, wanted);
    assert.equal(verifyTables(netfilter, wanted)[0], 'table tulle: 0 chains instead of 2');
    removeTables(netfilter, wanted);
  });
});

/** As the proxy: where ids tell it apart, the kernel socket must be made under the proxy's id. */
function exemptSocket(host: string): Socket {
  if (OPTIONS.exemption.kind === 'priority') return openExemptSocket(OPTIONS.exemption, isIPv6(host));
  process.seteuid?.(PROXY_UID);
  try {
    return openTcpSocket(isIPv6(host));
  } finally {
    process.seteuid?.(0);
  }
}

function fdOf(socket: Socket): number {
  const { _handle: handle } = socket as Socket & { readonly _handle: { readonly fd: number } };
  return handle.fd;
}

async function readAll(socket: Socket): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of socket) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}
