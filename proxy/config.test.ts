import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTestAuthority } from '#pki/testing.ts';
import { ConfigError, readConfig } from './config.ts';

const GOOD: Readonly<Record<string, string>> = {
  DESTINATION_SVC_ADDR: 'dst.tulle.svc.cluster.local.:8086',
  DESTINATION_SVC_NAME: 'dst.tulle.serviceaccount.identity.tulle.cluster.local',
  POLICY_SVC_ADDR: 'localhost.:8090',
  POLICY_WORKLOAD: '{"ns":"a","pod":"b"}\n',
  IDENTITY_SVC_ADDR: '[fd00::1]:8080',
  IDENTITY_SVC_NAME: 'id.tulle.serviceaccount.identity.tulle.cluster.local',
  IDENTITY_LOCAL_NAME: 'web.shop.serviceaccount.identity.tulle.cluster.local',
  IDENTITY_TRUST_ANCHORS: createTestAuthority().anchorsPem,
  IDENTITY_TOKEN_FILE: '/token',
};

const read = (changes: Readonly<Record<string, string | undefined>> = {}): ReturnType<typeof readConfig> =>
  readConfig(
    Object.fromEntries(Object.entries({ ...GOOD, ...changes }).map(([key, value]) => [`LINKERD2_PROXY_${key}`, value])),
  );

test("the mandatory keys are enough, and the defaults are linkerd2-proxy's", () => {
  const config = read();
  assert.deepEqual(config.outboundListen, [{ host: '127.0.0.1', port: 4140 }]);
  assert.deepEqual(config.inboundListen, { host: '0.0.0.0', port: 4143 });
  assert.equal(config.policy.identity, undefined); // loopback is plain text
  assert.deepEqual(config.identityService, { host: 'fd00::1', port: 8080, identity: GOOD['IDENTITY_SVC_NAME'] });
  assert.equal(config.shutdownGraceMs, 120_000);
  assert.equal(config.policyWorkload, GOOD['POLICY_WORKLOAD']);
});

test('the outbound side may listen on an address of each family', () => {
  const both = read({ OUTBOUND_LISTEN_ADDR: '127.0.0.1:1', OUTBOUND_LISTEN_ADDRS: '127.0.0.1:4140,[::1]:4140' });
  assert.deepEqual(both.outboundListen, [
    { host: '127.0.0.1', port: 4140 },
    { host: '::1', port: 4140 },
  ]);
  for (const wrong of ['', '127.0.0.1:1,', '127.0.0.1:1,[::1]:1,127.0.0.2:1', 'localhost:4140'])
    assert.throws(() => read({ OUTBOUND_LISTEN_ADDRS: wrong }), /OUTBOUND_LISTEN_ADDRS: ".*" is not IP:PORT or two/);
});

test('each mandatory key that is missing is named', () => {
  for (const key of Object.keys(GOOD)) {
    assert.throws(
      () => read({ [key]: undefined }),
      (error: unknown) => error instanceof ConfigError && error.message === `LINKERD2_PROXY_${key}: is missing`,
      key,
    );
  }
});

test('every wrong key is reported at once, with its value and the form it should have', () => {
  const wrong: Readonly<Record<string, string>> = {
    INBOUND_LISTEN_ADDR: '4143',
    DESTINATION_SVC_ADDR: 'nowhere',
    OUTBOUND_CONNECT_TIMEOUT: '1 second',
    INBOUND_DEFAULT_POLICY: 'open',
    INBOUND_PORTS: '80,99999,5-1',
    INBOUND_IPS: '10.0.0.300',
    POLICY_CLUSTER_NETWORKS: '10.0.0.0/40',
    IDENTITY_LOCAL_NAME: 'Not A Name',
    IDENTITY_TRUST_ANCHORS: 'no pem',
    OUTBOUND_MAX_IN_FLIGHT: '0',
    LOG: 'loud',
  };
  assert.throws(
    () => read(wrong),
    (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      for (const key of Object.keys(wrong)) assert.match(error.message, new RegExp(`^LINKERD2_PROXY_${key}: .+`, 'm'));
      assert.match(error.message, /INBOUND_PORTS: "99999"/);
      assert.match(error.message, /INBOUND_PORTS: "5-1"/);
      return true;
    },
  );
});

test('a cluster policy needs to know the cluster networks', () => {
  assert.throws(() => read({ INBOUND_DEFAULT_POLICY: 'cluster-authenticated' }), /POLICY_CLUSTER_NETWORKS/);
  assert.equal(
    read({ INBOUND_DEFAULT_POLICY: 'cluster-authenticated', POLICY_CLUSTER_NETWORKS: '10.0.0.0/8' }).defaultPolicy,
    'cluster-authenticated',
  );
});

test('the level is what a linkerd2-proxy filter says for the proxy', () => {
  assert.equal(read({ LOG: 'warn,linkerd=info,hickory=error,[{headers}]=off,[{request}]=off' }).logLevel, 'info');
  assert.equal(read({ LOG: 'debug' }).logLevel, 'debug');
  assert.equal(read({ LOG: 'off' }).logLevel, 'silent');
});

test('a time that no timer can take becomes the longest that one can', () => {
  assert.equal(read({ INBOUND_DETECT_TIMEOUT: '365d' }).inboundDetectMs, 2 ** 31 - 1);
});

test('formats of logs are words of a list, and the access log is off unless it is asked for', () => {
  assert.equal(read().accessLog, undefined);
  assert.equal(read().logFormat, 'json');
  assert.equal(read({ ACCESS_LOG: 'apache', LOG_FORMAT: 'plain' }).accessLog, 'apache');
  assert.throws(() => read({ ACCESS_LOG: 'xml' }), /LINKERD2_PROXY_ACCESS_LOG: "xml" is none of apache, json/);
});

test('nothing is traced without a collector, which needs an identity', () => {
  assert.equal(read().tracing, undefined);
  assert.equal(read({ TRACE_COLLECTOR_SVC_ADDR: '', TRACE_SERVICE_NAME: 'x' }).tracing, undefined);
  const address = 'collector.tracing:4317';
  assert.throws(() => read({ TRACE_COLLECTOR_SVC_ADDR: address }), /TRACE_COLLECTOR_SVC_NAME: is missing/);
  assert.throws(() => read({ TRACE_COLLECTOR_SVC_ADDR: 'collector' }), /TRACE_COLLECTOR_SVC_ADDR: .* not HOST:PORT/);
  const identity = 'collector.tracing.serviceaccount.identity.tulle.cluster.local';
  const { tracing } = read({ TRACE_COLLECTOR_SVC_ADDR: address, TRACE_COLLECTOR_SVC_NAME: identity });
  assert.deepEqual(tracing?.collector, { host: 'collector.tracing', port: 4317, identity });
  assert.deepEqual([tracing.serviceName, tracing.attributesPath], ['linkerd-proxy', undefined]);
});
