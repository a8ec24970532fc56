import assert from 'node:assert/strict';
import { test } from 'node:test';
import { customKind } from '#k8s/resources/custom-object.ts';
import { EXTERNAL_WORKLOADS, readExternalWorkload } from '../dialects/external-workload.ts';
import { externalSlices } from './external-slices.ts';
import { parsed, serviceObject } from './testing.ts';

const KIND = customKind(EXTERNAL_WORKLOADS, 'v1beta1');

function workload(name: string, ips: readonly string[], ports: readonly object[], more: object = {}) {
  const object = KIND.parse({
    metadata: { namespace: 'shop', name, uid: `uid-${name}`, labels: { app: 'legacy' } },
    spec: { workloadIPs: ips.map((ip) => ({ ip })), ports, ...more },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  });
  assert.ok(object);
  return readExternalWorkload(object);
}

const PORTS = [{ name: 'http', port: 80, targetPort: 'web' }];
const service = (more: object = {}) =>
  parsed.service(serviceObject('legacy', '10.96.0.9', PORTS, { selector: { app: 'legacy' }, ...more }));

test('slices hold one family and one set of ports each, and at most 100 endpoints', () => {
  const many = Array.from({ length: 150 }, (_, nth) =>
    workload(`vm-${1000 + nth}`, [`10.0.0.${nth}`], [{ name: 'web', port: 8080 }]),
  );
  const other = workload('a', ['10.0.1.1', 'fd00::1'], [{ name: 'web', port: 9090 }]);
  const slices = externalSlices(service(), [...many, other]);
  assert.deepEqual(
    slices.map(({ metadata, addressType, ports, endpoints }) => [
      metadata.name,
      addressType,
      ports.map(({ port }) => port),
      endpoints.length,
    ]),
    [
      ['legacy-external-ipv4-0', 'IPv4', [9090], 1],
      ['legacy-external-ipv4-1', 'IPv4', [8080], 100],
      ['legacy-external-ipv4-2', 'IPv4', [8080], 50],
      ['legacy-external-ipv6-0', 'IPv6', [9090], 1],
    ],
  );
  assert.deepEqual(externalSlices(service(), [other, ...many.toReversed()]), slices, 'in whatever order they came');
});

test('a workload needs every port of the Service, by name and protocol or by number', () => {
  const names = (targetPort: unknown, ports: readonly object[]): number =>
    externalSlices(service({ ports: [{ ...PORTS[0], targetPort }] }), [workload('vm', ['10.0.0.1'], ports)]).length;
  assert.equal(names('web', [{ name: 'web', port: 1 }]), 1);
  assert.equal(names('web', [{ name: 'web', port: 1, protocol: 'UDP' }]), 0);
  assert.equal(names(8080, [{ name: 'web', port: 8080 }]), 1);
  assert.equal(names(8080, [{ name: 'web', port: 8081 }]), 0, 'numbers must be declared too');
  const two = service({ ports: [...PORTS, { name: 'admin', port: 81, targetPort: 'admin' }] });
  assert.deepEqual(externalSlices(two, [workload('vm', ['10.0.0.1'], [{ name: 'web', port: 1 }])]), []);
});

test('who belongs to a Service, and which families it has', () => {
  const vm = workload('vm', ['10.0.0.1', 'fd00::1'], [{ name: 'web', port: 8080 }]);
  assert.deepEqual(externalSlices(service({ selector: {} }), [vm]), [], 'no selector');
  assert.deepEqual(externalSlices(service({ selector: { app: 'legacy', tier: 'x' } }), [vm]), [], 'another label');
  assert.deepEqual(externalSlices(service({ type: 'ExternalName' }), [vm]), []);
  assert.deepEqual(externalSlices(service(), [{ ...vm, namespace: 'other' }]), []);
  const families = (ipFamilies: readonly string[]) =>
    externalSlices(service({ ipFamilies }), [vm]).map(({ addressType }) => addressType);
  assert.deepEqual(families(['IPv6']), ['IPv6']);
  assert.deepEqual(families(['IPv6', 'IPv4']), ['IPv4', 'IPv6']);
});

test('what an object says that cannot be used is left out', () => {
  const read = (spec: object) => workload('vm', [], [], spec);
  assert.deepEqual(read({ workloadIPs: [{ ip: 'here' }, { ip: 'FD00::1' }, { ip: '10.0.0.9' }] }).ips, ['fd00::1']);
  assert.deepEqual(read({ ports: [{ name: 'x', port: 0 }, { name: 'y' }, { port: 5 }] }).ports, [
    { name: '', port: 5, protocol: 'TCP' },
  ]);
  assert.equal(read({ meshTLS: { identity: 'spiffe://a/b' } }).meshTls, undefined, 'no server name');
  const old = read({ meshTls: { identity: 'spiffe://a/b', serverName: 'b' } });
  assert.deepEqual(old.meshTls, { identity: 'spiffe://a/b', serverName: 'b' }, 'the spelling of v1alpha1');
});
