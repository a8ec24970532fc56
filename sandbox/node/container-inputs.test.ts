import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { writeAtomically } from './atomic-files.ts';
import { capabilityMask } from './capabilities.ts';
import { expand } from './environment.ts';
import { hostsFile, resolvConf } from './etc-files.ts';
import { argumentList, defaultImages, findImage, imageName } from './images.ts';
import { asPod, type Pod, type PodSpec } from './pod.ts';
import { Verdict } from './prober.ts';
import { inUnitsOf, parseQuantity } from './quantity.ts';
import { obstacleOf } from './scheduler.ts';

const NAMES = { dnsIP: '10.96.0.10', clusterDomain: 'cluster.local' };

function pod(spec: Partial<PodSpec>): Pod {
  const metadata = { name: 'web-0', namespace: 'demo', uid: 'u', resourceVersion: '1', creationTimestamp: '' };
  return asPod({ apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [], ...spec } });
}

test('references to variables are expanded as Kubernetes does', () => {
  const variables = { A: '1', B: '' };
  assert.equal(expand('$(A)-$(B)-$(C)-$$(A)-$A-$$', variables), '1--$(C)-$(A)-$A-$');
});

test('image references lose registry default, tag and digest', () => {
  assert.equal(imageName('docker.io/library/nginx:1.27@sha256:abc'), 'nginx');
  assert.equal(imageName('registry.local:5000/team/app:1'), 'registry.local:5000/team/app');
  assert.equal(imageName('tulle.dev/tulle'), 'tulle.dev/tulle');
});

test('the first argument of a Tulle image names the bundle, and a command replaces it', () => {
  const images = defaultImages('/checkout/dist');
  const found = findImage(images, 'tulle.dev/tulle:0.1.0');
  assert.ok(found.kind === 'found');
  const node = process.execPath;
  assert.deepEqual(argumentList(found.image, [], ['proxy', '--x']), [node, '/checkout/dist/proxy.cjs', '--x']);
  assert.deepEqual(argumentList(found.image, ['sh'], ['-c', 'true']), ['sh', '-c', 'true']);
  const demo = findImage(images, 'tulle.dev/demo:0.1.0');
  assert.ok(demo.kind === 'found');
  assert.deepEqual(argumentList(demo.image, [], ['web']), [node, '/checkout/dist/demo-web.cjs']);
});

test('arguments replace the ones of the image, and an unknown image names the known ones', () => {
  const images = defaultImages('/dist');
  const busybox = findImage(images, 'busybox:1.36');
  assert.ok(busybox.kind === 'found');
  assert.deepEqual(argumentList(busybox.image, [], []), ['sh']);
  assert.deepEqual(argumentList(busybox.image, [], ['ls']), ['ls']);
  const unknown = findImage(images, 'acme/app:1');
  assert.ok(unknown.kind === 'unknown');
  assert.match(
    unknown.message,
    /"acme\/app:1" cannot be pulled.*tulle\.dev\/tulle, tulle\.dev\/demo, tulle\.dev\/host/,
  );
});

test('quantities are read and divided as resourceFieldRef wants', () => {
  const values: readonly [string, number][] = [
    ['100m', 0.1],
    ['2', 2],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['1e3', 1000],
    ['5k', 5000],
    ['.5', 0.5],
  ];
  for (const [text, value] of values) assert.equal(parseQuantity(text), value, text);
  for (const text of ['', 'x', '1Q', '--1', '1 Gi']) assert.equal(parseQuantity(text), undefined, text);
  assert.equal(inUnitsOf(0.1, '1m'), '100');
  assert.equal(inUnitsOf(0.1, undefined), '1');
  assert.equal(inUnitsOf(64 * 2 ** 20, '1Mi'), '64');
});

test('capabilities are those of a container runtime, changed as asked', () => {
  const NET_ADMIN = 1n << 12n;
  const NET_RAW = 1n << 13n;
  assert.equal(capabilityMask(undefined, 0) & NET_ADMIN, 0n);
  assert.equal(capabilityMask(undefined, 0) & NET_RAW, NET_RAW);
  assert.equal(capabilityMask(undefined, 2102), 0n);
  assert.equal(capabilityMask({ capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } }, 0), NET_ADMIN);
  assert.equal(capabilityMask({ capabilities: { add: ['CAP_NET_ADMIN', 'nonsense'] } }, 65_534), NET_ADMIN);
  assert.equal(capabilityMask({ capabilities: { drop: ['NET_RAW'] } }, 0) & NET_RAW, 0n);
  assert.equal(capabilityMask({ privileged: true }, 0) & NET_ADMIN, NET_ADMIN);
});

test('the resolver file follows the DNS policy', () => {
  const cluster =
    'search demo.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n';
  assert.equal(resolvConf(pod({}), NAMES), cluster);
  assert.equal(resolvConf(pod({ hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }), NAMES), cluster);
  const dnsConfig = {
    nameservers: ['1.1.1.1'],
    searches: ['x.test'],
    options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
  };
  assert.equal(
    resolvConf(pod({ dnsPolicy: 'None', dnsConfig }), NAMES),
    'search x.test\nnameserver 1.1.1.1\noptions ndots:2 edns0\n',
  );
  assert.match(
    resolvConf(pod({ dnsConfig }), NAMES),
    /nameserver 10\.96\.0\.10\nnameserver 1\.1\.1\.1\noptions ndots:2 edns0\n$/,
  );
});

test('the hosts file has the pod, its name in its Service, and aliases', () => {
  assert.match(hostsFile(pod({}), '10.42.0.9', NAMES), /\n10\.42\.0\.9\tweb-0\n/);
  const hosts = hostsFile(
    pod({ subdomain: 'web', hostAliases: [{ ip: '1.2.3.4', hostnames: ['a', 'b'] }] }),
    '10.42.0.9',
    NAMES,
  );
  assert.match(hosts, /\n10\.42\.0\.9\tweb-0\.web\.demo\.svc\.cluster\.local\tweb-0\n/);
  assert.match(hosts, /\n1\.2\.3\.4\ta\tb\n/);
});

test('files of a volume are replaced at once, and nothing happens without a change', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tulle-atomic-'));
  const file = (text: string): { bytes: Buffer; mode: number } => ({ bytes: Buffer.from(text), mode: 0o640 });
  const one = new Map([
    ['a', file('1')],
    ['deep/b', file('2')],
  ]);
  assert.equal(writeAtomically(directory, one), true);
  assert.equal(writeAtomically(directory, one), false);
  assert.equal(readFileSync(join(directory, 'deep/b'), 'utf8'), '2');
  assert.equal(writeAtomically(directory, new Map([['a', file('3')]])), true);
  assert.deepEqual(
    readdirSync(directory).filter((name) => !name.startsWith('..')),
    ['a'],
  );
  assert.equal(readdirSync(directory).length, 3); // a, ..data and the hidden directory
  assert.equal(readFileSync(join(directory, 'a'), 'utf8'), '3');
  rmSync(directory, { recursive: true });
});

test('a probe changes its mind only after as many equal results in a row as its thresholds say', () => {
  const verdict = new Verdict(2, 3);
  const results = [true, true, false, false, true, false, false, false];
  assert.deepEqual(
    results.map((result) => verdict.add(result)),
    [undefined, true, undefined, undefined, undefined, undefined, undefined, false],
  );
  assert.equal(verdict.hasPassed, true);
});

test('the scheduler honours selectors, affinity, gates and cordons', () => {
  const metadata = {
    name: 'sandbox',
    uid: 'n',
    resourceVersion: '1',
    creationTimestamp: '',
    labels: { disk: 'fast', cores: '4' },
  };
  const node = { apiVersion: 'v1', kind: 'Node', metadata, spec: {} };
  const reason = (spec: Partial<PodSpec>, unschedulable = false): string | undefined =>
    obstacleOf(pod(spec), { ...node, spec: { unschedulable } })?.reason;
  assert.equal(reason({}), undefined);
  assert.equal(reason({ nodeSelector: { disk: 'slow' } }), 'Unschedulable');
  assert.equal(reason({ schedulingGates: [{ name: 'x' }] }), 'SchedulingGated');
  assert.equal(reason({}, true), 'Unschedulable');
  assert.equal(
    reason({ tolerations: [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists' }] }, true),
    undefined,
  );
  const affinity = (
    key: string,
    operator: string,
    values?: string[],
    field = 'matchExpressions',
  ): Partial<PodSpec> => ({
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ [field]: [{ key, operator, ...(values === undefined ? {} : { values }) }] }],
        },
      },
    },
  });
  assert.equal(reason(affinity('disk', 'In', ['fast'])), undefined);
  assert.equal(reason(affinity('disk', 'NotIn', ['fast'])), 'Unschedulable');
  assert.equal(reason(affinity('zone', 'DoesNotExist')), undefined);
  assert.equal(reason(affinity('cores', 'Gt', ['3'])), undefined);
  assert.equal(reason(affinity('metadata.name', 'In', ['sandbox'], 'matchFields')), undefined);
  assert.equal(reason(affinity('metadata.name', 'In', ['other'], 'matchFields')), 'Unschedulable');
});
