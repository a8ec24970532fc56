import assert from 'node:assert/strict';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';

import type { LocalClient } from '../apiserver/local-client.ts';
import { inNamespaces } from './testing/namespaced.ts';
import { shell, TestCluster } from './testing/test-cluster.ts';
import { until } from './testing/until.ts';

const SLEEP = 'trap "exit 0" TERM; sleep 1000 & wait';
const ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

inNamespaces(import.meta.filename, () => {
  test('volumes of every kind have their contents, modes and restrictions', async () => {
    await using cluster = await TestCluster.start();
    await object(cluster, 'configmaps', 'settings', {
      data: { 'app.conf': 'color=teal', extra: 'x' },
      binaryData: { raw: 'AAE=' },
    });
    await object(cluster, 'secrets', 'passwords', { data: { db: Buffer.from('hunter2').toString('base64') } });
    const mount = (name: string, mountPath: string, more: object = {}): { name: string; mountPath: string } => ({
      name,
      mountPath,
      ...more,
    });
    await cluster.create(
      'volumes',
      {
        volumes: [
          {
            name: 'settings',
            configMap: {
              name: 'settings',
              items: [
                { key: 'app.conf', path: 'conf.d/app.conf', mode: 0o600 },
                { key: 'raw', path: 'raw' },
              ],
            },
          },
          { name: 'one', configMap: { name: 'settings' } },
          { name: 'passwords', secret: { secretName: 'passwords', defaultMode: 0o400 } },
          { name: 'optional', secret: { secretName: 'missing', optional: true } },
          {
            name: 'about',
            downwardAPI: {
              items: [
                { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
                { path: 'cpu', resourceFieldRef: { containerName: 'main', resource: 'limits.cpu', divisor: '1m' } },
              ],
            },
          },
          { name: 'scratch', emptyDir: {} },
          { name: 'memory', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
          { name: 'host', hostPath: { path: '/usr/share', type: 'Directory' } },
        ],
        containers: [
          shell('main', SLEEP, {
            resources: { limits: { cpu: '250m' } },
            volumeMounts: [
              mount('settings', '/etc/settings'),
              mount('one', '/etc/one/app.conf', { subPath: 'app.conf' }),
              mount('passwords', '/passwords'),
              mount('optional', '/optional'),
              mount('about', '/about'),
              mount('scratch', '/scratch'),
              mount('scratch', '/part', { subPath: 'deep/part' }),
              mount('scratch', '/frozen', { readOnly: true }),
              mount('memory', '/memory'),
              mount('host', '/host'),
            ],
          }),
        ],
      },
      { labels: { app: 'volumes' } },
    );
    await cluster.ready('volumes');
    const sh = (script: string): Promise<string> => run(cluster, 'volumes', script);
    assert.equal(await sh('cat /etc/settings/conf.d/app.conf; od -An -tx1 /etc/settings/raw'), 'color=teal 00 01\n');
    assert.equal(
      await sh('stat -L -c %a /etc/settings/conf.d/app.conf /passwords/db; ls /etc/settings'),
      '600\n400\nconf.d\nraw\n',
    );
    assert.equal(await sh('cat /etc/one/app.conf; ls /etc/one'), 'color=tealapp.conf\n');
    assert.equal(await sh('cat /passwords/db; ls /optional | wc -l'), 'hunter20\n');
    assert.equal(await sh('cat /about/labels; echo; cat /about/cpu'), 'app="volumes"\n250');
    assert.equal(
      await sh('echo a > /scratch/a; echo b > /part/b; ls /frozen /frozen/deep/part'),
      '/frozen:\na\ndeep\n\n/frozen/deep/part:\nb\n',
    );
    const refused = await sh('for d in frozen passwords host; do (echo no > /$d/c) 2>&1; done');
    assert.match(refused, /^(?:sh: .*Read-only file system\n){3}$/);
    assert.equal(await sh('test -e /frozen/c -o -e /passwords/c -o -e /host/c; echo $?'), '1\n');
    assert.equal(
      await sh('dd if=/dev/zero of=/memory/big bs=1M count=2 2>/dev/null; stat -c %s /memory/big'),
      `${2 ** 20}\n`,
    );
    assert.equal(
      await sh('ls /host | wc -l | grep -q "^0" ; echo $?; test -w /etc/passwd && echo writable; cat /etc/hostname'),
      '1\nvolumes\n',
    );
  });

  test('changed ConfigMaps, Secrets and labels appear at once and as a whole', async () => {
    await using cluster = await TestCluster.start();
    await object(cluster, 'configmaps', 'settings', { data: { a: '1', old: 'x' } });
    await object(cluster, 'secrets', 'late', { stringData: { key: 'before' } });
    await cluster.create(
      'watcher',
      {
        volumes: [
          {
            name: 'all',
            projected: {
              sources: [
                { configMap: { name: 'settings' } },
                { secret: { name: 'late' } },
                { downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
              ],
            },
          },
        ],
        containers: [shell('main', SLEEP, { volumeMounts: [{ name: 'all', mountPath: '/all' }] })],
      },
      { labels: { color: 'red' } },
    );
    await cluster.ready('watcher');
    const show = (): Promise<string> => run(cluster, 'watcher', 'cd /all; for f in *; do echo $f=$(cat $f); done');
    assert.equal(await show(), 'a=1\nkey=before\nlabels=color="red"\nold=x\n');
    await cluster.client.patch('configmaps', 'default', 'settings', 'merge', {
      data: { a: '2', old: null, fresh: 'y' },
    });
    await cluster.client.patch('secrets', 'default', 'late', 'merge', { stringData: { key: 'after' } });
    await cluster.client.patch('pods', 'default', 'watcher', 'merge', { metadata: { labels: { color: 'blue' } } });
    await until(
      'all of it is there',
      async () => (await show()) === 'a=2\nfresh=y\nkey=after\nlabels=color="blue"\n',
      3000,
    );
  });

  test('a volume that refers to something missing keeps the pod waiting until it comes', async () => {
    await using cluster = await TestCluster.start();
    await cluster.create('early', {
      volumes: [
        { name: 'settings', configMap: { name: 'later' } },
        { name: 'claim', emptyDir: {} },
      ],
      containers: [shell('main', SLEEP, { volumeMounts: [{ name: 'settings', mountPath: '/settings' }] })],
    });
    await cluster.create('claimed', {
      volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'data' } }],
      containers: [shell('main', SLEEP)],
    });
    const told = (pod: string, message: string): Promise<unknown> =>
      until(message, () =>
        cluster.events(pod).some((event) => event.startsWith('FailedMount') && event.includes(message)),
      );
    await told('early', 'MountVolume.SetUp failed for volume "settings" : configmap "later" not found');
    await told('claimed', 'volumes of type persistentVolumeClaim do not exist in the sandbox');
    assert.equal(cluster.container('early', 'main')?.state?.waiting?.reason, 'ContainerCreating');
    await object(cluster, 'configmaps', 'later', { data: { a: '1' } });
    await cluster.ready('early', 1500);
  });

  test('a pod has the credentials of its service account, and tokens are renewed before they expire', async () => {
    await using cluster = await TestCluster.start();
    const token = { serviceAccountToken: { audience: 'identity.l5d.io', expirationSeconds: 600, path: 'token' } };
    const lived: number[] = [];
    // A token that dies within seconds, as the API server never issues it: only its times differ from a real one.
    const createToken: LocalClient['createToken'] = async (namespace, account, spec) => {
      const issued = await cluster.client.createToken(namespace, account, spec);
      if (spec.audiences.length === 0) return issued;
      lived.push(Date.now());
      const expirationTimestamp = new Date(Date.now() + 2000).toISOString();
      return { token: `${issued.token}#${lived.length}`, expirationTimestamp };
    };
    const { client } = cluster;
    const short: LocalClient = {
      get: client.get.bind(client),
      list: client.list.bind(client),
      create: client.create.bind(client),
      update: client.update.bind(client),
      patch: client.patch.bind(client),
      delete: client.delete.bind(client),
      watch: client.watch.bind(client),
      event: client.event.bind(client),
      createToken,
    };
    await cluster.restartNode(short);
    await cluster.create('account', {
      volumes: [{ name: 'identity', projected: { sources: [token] } }],
      containers: [
        shell('main', SLEEP, { volumeMounts: [{ name: 'identity', mountPath: '/var/run/secrets/tokens' }] }),
      ],
    });
    await cluster.ready('account');
    const account = await run(
      cluster,
      'account',
      `cat ${ACCOUNT}/namespace; echo; head -1 ${ACCOUNT}/ca.crt; cut -c1-2 ${ACCOUNT}/token`,
    );
    assert.equal(account, 'default\n-----BEGIN CERTIFICATE-----\ney\n');
    const read = (): Promise<string> => run(cluster, 'account', 'cat /var/run/secrets/tokens/token');
    const first = await read();
    assert.match(first, /#1$/);
    const claims = JSON.parse(Buffer.from(first.split('.')[1] ?? '', 'base64url').toString()) as Record<
      string,
      unknown
    >;
    assert.deepEqual(claims['aud'], ['identity.l5d.io']);
    assert.equal((claims['kubernetes.io'] as { pod: { name: string } }).pod.name, 'account');
    await until('a second token', async () => (await read()).endsWith('#2'), 5000);
    assert.ok((lived[1] ?? 0) - (lived[0] ?? 0) < 2000, 'before the first expired');
  });

  test('the environment has values, references, expansions, services and nothing of the machine', async () => {
    await using cluster = await TestCluster.start();
    await object(cluster, 'configmaps', 'colors', { data: { MAIN: 'teal', OTHER: 'grey' } });
    await object(cluster, 'secrets', 'passwords', { stringData: { db: 'hunter2' } });
    await cluster.client.create('services', {
      metadata: { name: 'back-end', namespace: 'default' },
      spec: { selector: { app: 'x' }, ports: [{ name: 'http', port: 80 }], clusterIP: '10.96.7.7' },
    });
    const field = (fieldPath: string): object => ({ valueFrom: { fieldRef: { fieldPath } } });
    await cluster.create(
      'env',
      {
        restartPolicy: 'Never',
        containers: [
          {
            name: 'main',
            image: 'tulle.dev/host',
            command: ['sh', '-c', 'echo "$0 $1"; pwd; env | sort', '$(GREETING)'],
            args: ['$$(GREETING) $(NOBODY)'],
            workingDir: '/usr',
            envFrom: [{ prefix: 'COLOR_', configMapRef: { name: 'colors' } }],
            env: [
              { name: 'GREETING', value: 'hello $(COLOR_MAIN)' },
              { name: 'COLOR_OTHER', value: 'green' },
              { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'passwords', key: 'db' } } },
              { name: 'ABSENT', valueFrom: { secretKeyRef: { name: 'nothing', key: 'x', optional: true } } },
              { name: 'POD_IP', ...field('status.podIP') },
              { name: 'APP', ...field("metadata.labels['app']") },
              { name: 'NODE', ...field('spec.nodeName') },
            ],
          },
        ],
      },
      { labels: { app: 'environment' } },
    );
    await cluster.phase('env', 'Succeeded');
    const [first, directory, ...lines] = (
      await text(cluster.node.logs('default', 'env', 'main', { follow: false, previous: false, timestamps: false }))
    )
      .trim()
      .split('\n');
    assert.equal(first, 'hello teal $(GREETING) $(NOBODY)');
    assert.equal(directory, '/usr');
    const env = new Map(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
    assert.equal(env.get('COLOR_MAIN'), 'teal');
    assert.equal(env.get('COLOR_OTHER'), 'green');
    assert.equal(env.get('PASSWORD'), 'hunter2');
    assert.equal(env.has('ABSENT'), false);
    assert.equal(env.get('POD_IP'), cluster.pod('env')?.status?.podIP);
    assert.equal(env.get('APP'), 'environment');
    assert.equal(env.get('NODE'), 'sandbox');
    assert.equal(env.get('HOSTNAME'), 'env');
    assert.equal(env.get('BACK_END_SERVICE_HOST'), '10.96.7.7');
    assert.equal(env.get('BACK_END_SERVICE_PORT_HTTP'), '80');
    assert.equal(env.get('BACK_END_PORT'), 'tcp://10.96.7.7:80');
    assert.equal(env.has('TULLE_TEST_IN_NAMESPACES'), false);
  });
});

async function object(cluster: TestCluster, resource: string, name: string, content: object): Promise<void> {
  await cluster.client.create(resource, { metadata: { name, namespace: 'default' }, ...content });
}

async function run(cluster: TestCluster, pod: string, script: string): Promise<string> {
  const options = { stdin: false, stdout: true, stderr: false, tty: false };
  const session = cluster.node.exec('default', pod, '', ['sh', '-c', script], options);
  assert.ok(session.stdout !== undefined);
  return text(session.stdout);
}
