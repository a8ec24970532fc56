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
  assert.equal(settings.memory.request, proxy.resources.memoryRequest);
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
    ['proxy-version', 'a/b'],
    ['image-pull-policy', 'Sometimes'],
    ['proxy-log-level', 'loud'],
    ['access-log', 'xml'],
    ['proxy-await', 'true'],
    ['proxy-gid', '0'],
    ['proxy-ephemeral-storage-limit', '1XB'],
    ['proxy-outbound-connect-timeout', 'soon'],
    ['proxy-disable-inbound-protocol-detect-timeout', 'yes'],
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
    { [key('skip-outbound-port')]: '25', [key('enable-debug-sidecar')]: 'true', 'other.io/skip-outbound-port': '25' },
    { [key('proxy-loglevel')]: 'debug', [key('frobnicate')]: 'x', [key('opaque-ports')]: '9000' },
  );
  assert.deepEqual(
    problems.map(({ message }) => message),
    [
      'config.linkerd.io/enable-debug-sidecar has no effect in this version: there is no debug sidecar: use `kubectl debug`',
      'config.linkerd.io/frobnicate is no known annotation',
      'config.linkerd.io/proxy-loglevel is no known annotation: did you mean config.linkerd.io/proxy-log-level?',
      'config.linkerd.io/skip-outbound-port is no known annotation: did you mean config.linkerd.io/skip-outbound-ports?',
    ],
  );
});

test('an annotation without effect that asks for what happens anyway is no problem', () => {
  const asked = {
    [key('proxy-admin-shutdown')]: 'disabled',
    [key('enable-external-profiles')]: 'false',
    [key('proxy-log-http-headers')]: 'off',
  };
  assert.deepEqual(proxySettings(proxy, {}, asked).problems, []);
});

test('however many annotations are unknown, few are looked at and the rest is counted', () => {
  const many = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [key(`x-${index}`), 'x']));
  const { problems } = proxySettings(proxy, {}, many);
  assert.equal(problems.length, 17);
  assert.match(problems.at(-1)?.message ?? '', /4983 more/);
});

test('a request above its limit cannot keep a pod from being created', () => {
  const resources = (annotations: Record<string, string>) => {
    const { settings, problems } = proxySettings(proxy, {}, annotations);
    return { memory: settings.memory, problems: problems.map(({ annotation }) => annotation) };
  };
  // The default request is 64Mi: a lower limit lowers it.
  assert.deepEqual(resources({ [key('proxy-memory-limit')]: '32Mi' }), {
    memory: { request: '32Mi', limit: '32Mi' },
    problems: [],
  });
  assert.deepEqual(resources({ [key('proxy-memory-limit')]: '100M', [key('proxy-memory-request')]: '1Gi' }), {
    memory: { request: '64Mi', limit: '100M' },
    problems: [key('proxy-memory-request')],
  });
});

test('two ports of the proxy with one number are refused together', () => {
  const { settings, problems } = proxySettings(proxy, {}, { [key('admin-port')]: '4143' });
  assert.equal(settings.adminPort, 4191);
  assert.equal(problems.length, 1);
  assert.match(problems[0]?.message ?? '', /admin-port: 4143 would be used twice/);
});

test('further variables of namespace and pod are merged by name, and wrong ones are named', () => {
  const read = (ns: string, own: string) =>
    proxySettings(proxy, { [key('proxy-additional-env')]: ns }, { [key('proxy-additional-env')]: own });
  const { settings, problems } = read(
    '[{"name":"A","value":"1"},{"name":"B","value":"2"}]',
    '[{"name":"B","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}]',
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(settings.additionalEnv, [
    { name: 'A', value: '1' },
    { name: 'B', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } },
  ]);
  for (const bad of [
    '{',
    '{}',
    '[{"name":"a=b","value":"1"}]',
    '[{"name":"A"}]',
    '[{"name":"A","value":7}]',
    '[{"name":"A","value":"1","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}]',
    '[{"name":"A","valueFrom":{"fieldRef":{"fieldPath":"spec.secrets"}}}]',
    '[{"name":"A","valueFrom":{"secretKeyRef":{"name":"S","key":"k"}}}]',
    '[{"name":"A","valueFrom":{"secretKeyRef":{"name":"s"}}}]',
  ]) {
    const outcome = read('[]', bad);
    assert.equal(outcome.problems.length, 1, bad);
    assert.deepEqual(outcome.settings.additionalEnv, []);
  }
});

test('the placement of the proxy has three names, of which the oldest prefix counts least', () => {
  const name = 'proxy-enable-native-sidecar';
  const alpha = `config.alpha.linkerd.io/${name}`;
  const beta = `config.beta.linkerd.io/${name}`;
  const isNative = (annotations: Record<string, string>) =>
    proxySettings(proxy, {}, annotations).settings.isNativeSidecar;
  assert.equal(isNative({}), true);
  assert.equal(isNative({ [alpha]: 'false' }), false);
  assert.equal(isNative({ [alpha]: 'false', [beta]: 'true' }), true);
  assert.equal(isNative({ [alpha]: 'true', [beta]: 'true', [key(name)]: 'false' }), false);
});

test('a collector of traces needs an identity, from the values or from annotations', () => {
  const collector = key('trace-collector');
  const account = 'config.alpha.linkerd.io/trace-collector-service-account';
  const installed = {
    enabled: true,
    traceServiceName: 'proxies',
    collector: { endpoint: 'otel.tracing:4317', meshIdentity: { serviceAccountName: 'otel', namespace: 'tracing' } },
  };
  const read = (values: typeof proxy, annotations: Readonly<Record<string, string>>) =>
    proxySettings(values, {}, annotations);
  assert.equal(read(proxy, {}).settings.tracing, undefined);
  assert.deepEqual(read({ ...proxy, tracing: installed }, {}).settings.tracing, {
    collector: 'otel.tracing:4317',
    serviceAccount: 'otel',
    namespace: 'tracing',
    serviceName: 'proxies',
  });
  const own = read(proxy, { [collector]: 'jaeger.elsewhere.svc.cluster.local:4317', [account]: 'jaeger' });
  assert.deepEqual(own.problems, []);
  assert.deepEqual(own.settings.tracing, {
    collector: 'jaeger.elsewhere.svc.cluster.local:4317',
    serviceAccount: 'jaeger',
    namespace: 'elsewhere',
    serviceName: 'linkerd-proxy',
  });
  for (const annotations of [
    { [collector]: 'jaeger:4317', [account]: 'jaeger' },
    { [collector]: 'jaeger.elsewhere:4317' },
    { [collector]: 'jaeger.elsewhere' },
    { [collector]: 'jaeger.elsewhere:0', [account]: 'jaeger' },
  ]) {
    const { settings, problems } = read(proxy, annotations);
    assert.deepEqual([settings.tracing, problems.length, problems[0]?.annotation], [undefined, 1, collector]);
  }
});

test('attributes of spans are one line each, and nothing that Kubernetes would expand', () => {
  const attribute = (name: string): string => `resource.opentelemetry.io/${name}`;
  const { settings, problems } = proxySettings(
    proxy,
    {},
    {
      [attribute('team')]: 'a=b $(_pod_sa)',
      [attribute('two')]: 'x\ny=z',
      [attribute('deployment.environment')]: 'lab',
      [attribute('long')]: 'x'.repeat(257),
    },
  );
  assert.deepEqual(problems, []);
  assert.deepEqual(settings.traceAttributes, ['team=a=b $$(_pod_sa)', 'deployment.environment=lab']);
});
