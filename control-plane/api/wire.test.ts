import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GetDestination, ProtocolHint, Update } from '#api/gen/destination.ts';
import { IdentityService } from '#api/gen/identity.ts';
import { InboundServerPoliciesService, PortSpec, Server } from '#api/gen/inbound.ts';
import { IPAddress } from '#api/gen/net.ts';
import { OutboundPoliciesService, TrafficSpec } from '#api/gen/outbound.ts';
import { TapService } from '#api/gen/tap.ts';
import { Header } from '#api/gen/transport.ts';

/** A message of no bytes has its defaults. */
const EMPTY = new Uint8Array();
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

test('messages have the field numbers and wire types of linkerd2-proxy-api', () => {
  assert.equal(
    hex(
      Header.encode({
        ...Header.decode(EMPTY),
        port: 8080,
        sessionProtocol: { kind: { $case: 'http1', value: {} } },
      }).finish(),
    ),
    '08903f1a020a00',
  );
  assert.equal(hex(IPAddress.encode({ ip: { $case: 'ipv4', value: 0x0a4d0014 } }).finish()), '0d14004d0a');
  assert.equal(
    hex(IPAddress.encode({ ip: { $case: 'ipv6', value: { first: 0xfd00n << 48n, last: 1n } } }).finish()),
    '12120900000000000000fd110100000000000000',
  );
  assert.equal(hex(PortSpec.encode({ workload: 'w', port: 80 }).finish()), '0a01771050');
  assert.equal(hex(GetDestination.encode({ scheme: '', path: 'p', contextToken: 'c' }).finish()), '1201701a0163');
  assert.equal(
    hex(TrafficSpec.encode({ sourceWorkload: 'w', target: { $case: 'authority', value: 'a' } }).finish()),
    '0a01771a0161',
  );
  const hint = { protocol: { $case: 'opaque', value: {} }, opaqueTransport: { inboundPort: 4143 } } as const;
  assert.equal(hex(ProtocolHint.encode(hint).finish()), '1a00120308af20');
  assert.equal(hex(Update.encode({ update: { $case: 'noEndpoints', value: { exists: true } } }).finish()), '1a020801');
});

test('the method paths are those the proxy calls', () => {
  assert.equal(IdentityService.certify.path, '/io.linkerd.proxy.identity.Identity/Certify');
  assert.equal(
    InboundServerPoliciesService.watchPort.path,
    '/io.linkerd.proxy.inbound.InboundServerPolicies/WatchPort',
  );
  assert.equal(OutboundPoliciesService.watch.path, '/io.linkerd.proxy.outbound.OutboundPolicies/Watch');
  assert.equal(TapService.observe.path, '/io.linkerd.proxy.tap.Tap/Observe');
});

test('fields of a later version are skipped', () => {
  const later = Buffer.from('f2ff01026869', 'hex'); // field 4094, two bytes
  const known = Server.encode({ ...Server.decode(EMPTY), labels: { name: 'a' } }).finish();
  assert.deepEqual(Server.decode(Buffer.concat([later, known, later])).labels, { name: 'a' });
});
