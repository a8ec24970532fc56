import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultValues } from '#config/values.ts';
import { proxySettings } from './annotations.ts';

const { proxy } = defaultValues('0.0.0-test');
const key = (name: string) => `config.linkerd.io/${name}`;

test('without annotations the values of the installation hold', () => {
  const { settings, problems } = proxySettings(proxy, {}, {});
  assert.deepEqual(problems, []);
  assert.equal(settings.uid, 2102);
  assert.equal(settings.skipInboundPorts, '4567,4568');
  assert.equal(settings.memoryRequest, proxy.resources.memoryRequest);
});

test('an annotation of the pod wins over the namespace, and both over the values', () => {
  const { settings, problems } = proxySettings(
    proxy,
    { [key('skip-outbound-ports')]: '25', [key('proxy-log-level')]: 'debug' },
    { [key('skip-outbound-ports')]: ' 3306 , 5000-5010', [key('opaque-ports')]: '9000,my-db' },
  );
  assert.deepEqual(problems, []);
  assert.equal(settings.skipOutboundPorts, '3306,5000-5010');
  assert.equal(settings.logLevel, 'debug');
  assert.equal(settings.opaquePorts, '9000,my-db');
});

test('an annotation that cannot be parsed is named, explained and ignored', () => {
  const bad: readonly (readonly [string, string])[] = [
    ['skip-inbound-ports', '80,abc'],
    ['skip-inbound-ports', '0'],
    ['skip-inbound-ports', '70000'],
    ['skip-inbound-ports', '90-80'],
    ['opaque-ports', 'UPPER'],
    ['proxy-cpu-request', 'lots'],
    ['proxy-memory-limit', '-1Gi'],
    ['skip-subnets', '10.0.0.0'],
    ['skip-subnets', '10.0.0.300/24'],
    ['skip-subnets', '10.0.0.0/33'],
    ['default-inbound-policy', 'allow'],
    ['shutdown-grace-period', 'soon'],
    ['admin-port', '4191x'],
    ['proxy-uid', '-5'],
    ['proxy-log-format', 'xml'],
    ['proxy-image', 'two words'],
  ];
  for (const [name, value] of bad) {
    const { settings, problems } = proxySettings(proxy, {}, { [key(name)]: value });
    assert.equal(problems.length, 1, `${name}=${value}`);
    assert.equal(problems[0]?.annotation, key(name));
    assert.ok(problems[0]?.message.includes(name), problems[0]?.message);
    assert.deepEqual(settings, proxySettings(proxy, {}, {}).settings);
  }
});

test('an annotation that nothing reads is named with the one that was probably meant, of the namespace as of the pod', () => {
  const { problems } = proxySettings(
    proxy,
    { [key('skip-outbound-port')]: '25', [key('proxy-await')]: 'enabled', 'other.io/skip-outbound-port': '25' },
    { [key('proxy-loglevel')]: 'debug', [key('frobnicate')]: 'x', [key('opaque-ports')]: '9000' },
  );
  assert.deepEqual(
    problems.map(({ message }) => message),
    [
      'config.linkerd.io/frobnicate is no known annotation',
      'config.linkerd.io/proxy-await has no effect in this version',
      'config.linkerd.io/proxy-loglevel is no known annotation: did you mean config.linkerd.io/proxy-log-level?',
      'config.linkerd.io/skip-outbound-port is no known annotation: did you mean config.linkerd.io/skip-outbound-ports?',
    ],
  );
});
