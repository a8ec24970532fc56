import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { validateValues } from './validate.ts';
import { defaultValues, imageOf, type Values } from './values.ts';
import { VERSION } from './version.ts';

const values = defaultValues('1.2.3');
const problems = (change: Partial<Values>): readonly string[] => validateValues({ ...values, ...change });

describe('the values of an installation', () => {
  test('the defaults are valid', () => {
    assert.deepEqual(validateValues(values), []);
    assert.equal(imageOf(values), 'tulle.dev/tulle:1.2.3');
  });

  test('the version is that of package.json', () => {
    const path = join(import.meta.dirname, '..', '..', 'package.json');
    assert.equal(VERSION, (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version);
  });

  test('each finding names the value, what it is and what would be right', () => {
    const identity = (change: Partial<Values['identity']>): Partial<Values> => ({
      identity: { ...values.identity, ...change },
    });
    const proxy = (change: object): Partial<Values> => ({ proxy: { ...values.proxy, ...change } });
    const collector = { endpoint: 'a.b:4317', meshIdentity: { serviceAccountName: 'otel', namespace: 'b' } };
    const tracing = (change: object): Partial<Values> =>
      proxy({ tracing: { enabled: true, traceServiceName: 'x', collector: { ...collector, ...change } } });
    for (const [change, message] of [
      [identity({ issuanceLifetime: '19s' }), /^identity\.issuanceLifetime is "19s": use at least 20s/],
      [identity({ issuanceLifetime: 'soon' }), /^identity\.issuanceLifetime is "soon": use a duration such as/],
      [identity({ clockSkewAllowance: '-1s' }), /^identity\.clockSkewAllowance is "-1s": use a duration/],
      [proxy({ defaultInboundPolicy: 'maybe' }), /^proxy\.defaultInboundPolicy is "maybe": use one of all-unauth/],
      [proxy({ logLevel: 'very loud' }), /^proxy\.logLevel is "very loud"/],
      [tracing({ endpoint: 'otel' }), /^proxy\.tracing\.collector\.endpoint is "otel": use HOST:PORT/],
      [
        tracing({ endpoint: '' }),
        /^proxy\.tracing\.collector\.endpoint is "": with proxy\.tracing\.enabled it must be/,
      ],
      [
        tracing({ meshIdentity: { serviceAccountName: 'otel', namespace: '' } }),
        /^proxy\.tracing\.collector\.meshIdentity\.namespace is ""/,
      ],
      [{ controllerLogLevel: 'loud' as 'info' }, /^controllerLogLevel is "loud": use one of trace, /],
      [{ controllerReplicas: 0 }, /^controllerReplicas is 0: use a whole number from 1 to 9$/],
      [{ controllerReplicas: 1.5 }, /^controllerReplicas is 1\.5/],
      [{ controllerReplicas: Number.NaN }, /^controllerReplicas is NaN/],
      [{ clusterDomain: 'Cluster.Local' }, /^clusterDomain is "Cluster\.Local": use a DNS name in lower case/],
      [{ clusterDomain: '' }, /^clusterDomain is ""/],
      [{ identityTrustDomain: 'a..b' }, /^identityTrustDomain is "a\.\.b"/],
      [{ image: 'tulle:1' }, /^image is "tulle:1": use a name without tag/],
      [{ image: '' }, /^image is ""/],
    ] as const) {
      const [found = '', ...more] = problems(change);
      assert.match(found, message);
      assert.deepEqual(more, []);
    }
  });

  test('all findings are told at once', () => {
    assert.equal(problems({ clusterDomain: 'X', controllerReplicas: 10, image: ' ' }).length, 3);
  });

  test('names of images with a registry, a port and a path are accepted', () => {
    for (const image of ['tulle', 'registry.example:5000/mesh/tulle', 'localhost/tulle_next'])
      assert.deepEqual(problems({ image }), []);
    for (const logLevel of ['info', 'warn,linkerd=debug', 'linkerd2_proxy::app=trace'])
      assert.deepEqual(problems({ proxy: { ...values.proxy, logLevel } }), []);
  });
});
