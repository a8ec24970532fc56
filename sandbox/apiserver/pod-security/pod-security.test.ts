import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { findConnection, type Connection } from '#k8s/connection.ts';
import { asList, asObject, asText } from '#k8s/json.ts';
import { TestServer } from '../test-server.ts';

/** What kube-apiserver v1.33.13 answers. `RECORD=KUBECONFIG` asks the API server of that file and writes it anew. */
const ANSWERS = join(import.meta.dirname, 'testdata', 'answers.json');
const STRICTER = join(import.meta.dirname, 'testdata', 'stricter.json');
const RECORD = process.env['RECORD'];

/** Namespaces in which every pod is tried, by the labels that matter. */
const NAMESPACES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  baseline: { enforce: 'baseline' },
  restricted: { enforce: 'restricted' },
  'restricted-24': { enforce: 'restricted', 'enforce-version': 'v1.24' },
  'restricted-7': { enforce: 'restricted', 'enforce-version': 'v1.7' },
  'baseline-18': { enforce: 'baseline', 'enforce-version': 'v1.18' },
  open: {},
  warned: { enforce: 'baseline', warn: 'restricted', audit: 'restricted' },
};

type Container = Readonly<Record<string, unknown>>;
const container = (securityContext?: object, name = 'a', rest: object = {}): Container => ({
  name,
  image: 'registry.invalid/none',
  ...(securityContext === undefined ? {} : { securityContext }),
  ...rest,
});
const GOOD = {
  allowPrivilegeEscalation: false,
  capabilities: { drop: ['ALL'] },
  runAsNonRoot: true,
  seccompProfile: { type: 'RuntimeDefault' },
};
const good = (change: object = {}, name = 'a'): Container => container({ ...GOOD, ...change }, name);
const containers = (...list: readonly Container[]): object => ({ spec: { containers: list } });
const ofPod = (securityContext: object, ...list: readonly Container[]): object => ({
  spec: { securityContext, containers: list.length === 0 ? [good()] : list },
});
const volumes = (...list: readonly object[]): object => ({ spec: { containers: [good()], volumes: list } });
const annotated = (annotations: object): object => ({ metadata: { annotations }, ...containers(good()) });
/** An annotation with the same meaning as the field: kube-apiserver adds one where there is only the other. */
const APP_ARMOR = 'container.apparmor.security.beta.kubernetes.io/';
const without = (field: keyof typeof GOOD): Container => {
  const { [field]: _left, ...rest } = GOOD;
  return container(rest);
};

const PODS: Readonly<Record<string, object>> = {
  good: containers(good()),
  plain: containers(container()),
  'two-plain': containers(container(), container(undefined, 'b')),
  'plain-init': { spec: { initContainers: [container(undefined, 'i')], containers: [good()] } },
  privileged: containers(container({ privileged: true })),
  'two-privileged': containers(container({ privileged: true }), container({ privileged: true }, 'b')),
  'host-network': { spec: { hostNetwork: true, containers: [good()] } },
  'host-network-port': {
    spec: { hostNetwork: true, containers: [{ ...good(), ports: [{ containerPort: 80 }] }] },
  },
  'host-all': { spec: { hostNetwork: true, hostPID: true, hostIPC: true, containers: [good()] } },
  'host-path': volumes({ name: 'v', hostPath: { path: '/' } }),
  'host-paths': volumes({ name: 'v', hostPath: { path: '/' } }, { name: 'w', hostPath: { path: '/tmp' } }),
  volumes: volumes(
    { name: 'v', nfs: { server: 'x', path: '/' } },
    { name: 'w', iscsi: { targetPortal: '1.2.3.4', iqn: 'iqn.2001-04.com.example:storage', lun: 0 } },
  ),
  'volumes-fine': volumes(
    { name: 'a', emptyDir: {} },
    { name: 'b', secret: { secretName: 'x' } },
    { name: 'c', configMap: { name: 'x' } },
    { name: 'd', projected: { sources: [{ configMap: { name: 'x' } }] } },
    { name: 'e' },
  ),
  'host-port': containers({ ...good(), ports: [{ containerPort: 80, hostPort: 8080 }] }),
  'host-ports': containers(
    {
      ...good(),
      ports: [
        { containerPort: 80, hostPort: 8080 },
        { containerPort: 81, hostPort: 90 },
      ],
    },
    { ...good({}, 'b'), ports: [{ containerPort: 82, hostPort: 700 }] },
  ),
  'net-admin': containers(good({ capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] } })),
  'many-capabilities': containers(
    good({ capabilities: { add: ['SYS_TIME', 'NET_ADMIN', 'CHOWN'] } }),
    good({ capabilities: { add: ['NET_RAW'] } }, 'b'),
  ),
  'default-capability': containers(good({ capabilities: { add: ['CHOWN'], drop: ['ALL'] } })),
  'bind-service': containers(good({ capabilities: { add: ['NET_BIND_SERVICE'], drop: ['ALL'] } })),
  'drops-some': containers(good({ capabilities: { drop: ['NET_RAW'] } })),
  'no-capabilities': containers(without('capabilities')),
  'no-escalation': containers(without('allowPrivilegeEscalation')),
  'may-escalate': containers(good({ allowPrivilegeEscalation: true })),
  'no-non-root': containers(without('runAsNonRoot')),
  'non-root-of-pod': ofPod({ runAsNonRoot: true }, without('runAsNonRoot')),
  'root-of-pod': ofPod({ runAsNonRoot: false }),
  'root-of-container': ofPod({ runAsNonRoot: true }, good({ runAsNonRoot: false })),
  'root-of-both': ofPod({ runAsNonRoot: false }, good({ runAsNonRoot: false }), good({ runAsNonRoot: false }, 'b')),
  'user-0': containers(good({ runAsUser: 0 })),
  'user-0-of-pod': ofPod({ runAsUser: 0 }),
  'user-0-of-both': ofPod({ runAsUser: 0 }, good({ runAsUser: 0 }), good({ runAsUser: 1 }, 'b')),
  'no-seccomp': containers(without('seccompProfile')),
  'seccomp-of-pod': ofPod({ seccompProfile: { type: 'RuntimeDefault' } }, without('seccompProfile')),
  'seccomp-localhost': containers(good({ seccompProfile: { type: 'Localhost', localhostProfile: 'x' } })),
  'seccomp-unconfined': containers(good({ seccompProfile: { type: 'Unconfined' } })),
  'seccomp-unconfined-pod': ofPod({ seccompProfile: { type: 'Unconfined' } }, without('seccompProfile')),
  'seccomp-unconfined-both': ofPod(
    { seccompProfile: { type: 'Unconfined' } },
    good({ seccompProfile: { type: 'Unconfined' } }),
  ),
  'proc-mount': { spec: { hostUsers: false, containers: [good({ procMount: 'Unmasked' })] } },
  'se-linux': containers(good({ seLinuxOptions: { type: 'spc_t' } })),
  'se-linux-fine': containers(good({ seLinuxOptions: { type: 'container_t', level: 's0' } })),
  'se-linux-engine': containers(good({ seLinuxOptions: { type: 'container_engine_t' } })),
  'se-linux-all': ofPod(
    { seLinuxOptions: { type: 'a_t', user: 'u' } },
    good({ seLinuxOptions: { type: 'b_t', role: 'r' } }),
  ),
  'se-linux-user': ofPod({ seLinuxOptions: { user: 'u' } }),
  sysctl: ofPod({
    sysctls: [
      { name: 'kernel.msgmax', value: '1' },
      { name: 'kernel.sem', value: '1' },
    ],
  }),
  'sysctl-fine': ofPod({ sysctls: [{ name: 'net.ipv4.tcp_syncookies', value: '1' }] }),
  'sysctl-new': ofPod({
    sysctls: [
      { name: 'net.ipv4.tcp_rmem', value: '1' },
      { name: 'net.ipv4.tcp_fin_timeout', value: '1' },
    ],
  }),
  'app-armor': {
    ...annotated({ [`${APP_ARMOR}a`]: 'unconfined' }),
    ...containers(good({ appArmorProfile: { type: 'Unconfined' } })),
  },
  'app-armor-pod': {
    ...annotated({ [`${APP_ARMOR}a`]: 'unconfined' }),
    ...ofPod({ appArmorProfile: { type: 'Unconfined' } }),
  },
  'app-armor-fine': containers(good({ appArmorProfile: { type: 'RuntimeDefault' } })),
  'seccomp-annotation': annotated({ 'seccomp.security.alpha.kubernetes.io/pod': 'unconfined' }),
  windows: { spec: { os: { name: 'windows' }, containers: [container()], securityContext: { runAsNonRoot: true } } },
  'host-process': {
    spec: {
      hostNetwork: true,
      securityContext: { windowsOptions: { hostProcess: true } },
      containers: [container(), container({ windowsOptions: { hostProcess: true } }, 'b')],
    },
  },
  everything: {
    spec: {
      hostPID: true,
      securityContext: { runAsUser: 0, sysctls: [{ name: 'kernel.sem', value: '1' }] },
      initContainers: [container({ privileged: true }, 'i')],
      containers: [container({ capabilities: { add: ['ALL'] } })],
      volumes: [{ name: 'v', hostPath: { path: '/' } }],
    },
  },
};

const template = (...list: readonly Container[]): object => ({
  metadata: { labels: { app: 'x' } },
  ...containers(...list),
});
const selector = { matchLabels: { app: 'x' } };
const jobTemplate = { metadata: { labels: { app: 'x' } }, spec: { restartPolicy: 'Never', containers: [container()] } };
/** Kinds that make pods, which are let pass with a warning. */
const WORKLOADS: Readonly<Record<string, readonly [path: string, object: object]>> = {
  deployment: ['/apis/apps/v1/NAMESPACE/deployments', { spec: { selector, template: template(container()) } }],
  'deployment-fine': ['/apis/apps/v1/NAMESPACE/deployments', { spec: { selector, template: template(good()) } }],
  'deployment-privileged': [
    '/apis/apps/v1/NAMESPACE/deployments',
    { spec: { selector, template: template(container({ privileged: true })) } },
  ],
  replicaset: ['/apis/apps/v1/NAMESPACE/replicasets', { spec: { selector, template: template(container()) } }],
  statefulset: [
    '/apis/apps/v1/NAMESPACE/statefulsets',
    { spec: { selector, serviceName: 'x', template: template(container()) } },
  ],
  daemonset: ['/apis/apps/v1/NAMESPACE/daemonsets', { spec: { selector, template: template(container()) } }],
  job: ['/apis/batch/v1/NAMESPACE/jobs', { spec: { template: jobTemplate } }],
  cronjob: [
    '/apis/batch/v1/NAMESPACE/cronjobs',
    { spec: { schedule: '1 * * * *', jobTemplate: { spec: { template: jobTemplate } } } },
  ],
};

const BAD_LABELS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  level: { enforce: 'strict' },
  all: {
    enforce: 'x',
    'enforce-version': '1.2',
    audit: 'y',
    'audit-version': 'v2.0',
    warn: 'z',
    'warn-version': 'v1.x',
  },
  fine: { enforce: 'baseline', 'enforce-version': 'v1.99', warn: 'restricted' },
};

type Answer = { readonly status: number; readonly message?: string; readonly warnings: readonly string[] };

/** One request to an API server, with the warnings that come along. */
async function ask(connection: Connection, method: string, path: string, body?: object): Promise<Answer> {
  const { headers, tls } = await connection.credentials();
  return new Promise((resolve, reject) => {
    const sent = httpsRequest(
      new URL(path, connection.server),
      {
        method,
        headers: {
          'content-type': method === 'PATCH' ? 'application/strategic-merge-patch+json' : 'application/json',
          ...headers,
        },
        ...tls,
      },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => {
          const status = response.statusCode ?? 0;
          const message = status < 300 ? undefined : asText(asObject(JSON.parse(text))['message']);
          // Advice about deprecated annotations is another matter.
          const warnings = asList(response.headersDistinct['warning'])
            .map(warningText)
            .filter((warning) => !warning.startsWith('metadata.'));
          resolve({ status, ...(message === undefined ? {} : { message }), warnings });
        });
      },
    );
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** The quoted text of a `Warning` header. */
function warningText(header: unknown): string {
  return /^299 - "(.*)"$/s.exec(asText(header) ?? '')?.[1]?.replaceAll(/\\(.)/g, '$1') ?? '';
}

const prefixed = (labels: Readonly<Record<string, string>>): object =>
  Object.fromEntries(Object.entries(labels).map(([key, value]) => [`pod-security.kubernetes.io/${key}`, value]));

describe('Pod Security', () => {
  let server: TestServer;
  let connection: Connection;
  before(async () => {
    if (RECORD === undefined) server = await TestServer.start();
    connection = await findConnection({ kubeconfig: RECORD ?? server.kubeconfigPath });
    for (const [name, labels] of Object.entries(NAMESPACES)) {
      const made = await ask(connection, 'POST', '/api/v1/namespaces', {
        metadata: { name: `pss-${name}`, labels: prefixed(labels) },
      });
      assert.equal(made.status, 201, made.message ?? '');
      await ask(connection, 'POST', `/api/v1/namespaces/pss-${name}/serviceaccounts`, {
        metadata: { name: 'default' },
      });
    }
  });
  after(async () => {
    for (const name of Object.keys(NAMESPACES)) await ask(connection, 'DELETE', `/api/v1/namespaces/pss-${name}`);
    await server?.[Symbol.asyncDispose]();
  });

  test(`answers about ${Object.keys(PODS).length} pods are those of kube-apiserver, word by word`, async () => {
    const answers: Record<string, Answer> = {};
    for (const namespace of Object.keys(NAMESPACES).filter((one) => one !== 'open')) {
      for (const [name, pod] of Object.entries(PODS)) {
        const { metadata } = pod as { readonly metadata?: object };
        const body = { ...pod, metadata: { ...metadata, name } };
        const path = `/api/v1/namespaces/pss-${namespace}/pods?dryRun=All`;
        answers[`${namespace} ${name}`] = await ask(connection, 'POST', path, body);
      }
    }
    for (const [name, [kind, object]] of Object.entries(WORKLOADS)) {
      const body = { ...object, metadata: { name } };
      const path = kind.replace('NAMESPACE', 'namespaces/pss-warned');
      answers[`warned ${name}`] = await ask(connection, 'POST', `${path}?dryRun=All`, body);
    }
    for (const [name, labels] of Object.entries(BAD_LABELS)) {
      const body = { metadata: { name, labels: prefixed(labels) } };
      answers[`labels ${name}`] = await ask(connection, 'POST', '/api/v1/namespaces?dryRun=All', body);
    }
    if (RECORD !== undefined) writeFileSync(ANSWERS, `${JSON.stringify(answers, null, 2)}\n`);
    assert.deepEqual(answers, JSON.parse(readFileSync(ANSWERS, 'utf8')));
  });

  test('a namespace that becomes stricter names the pods that would not pass', async () => {
    const answers: Record<string, Answer> = {};
    const path = '/api/v1/namespaces/pss-open';
    for (const name of ['b', 'a', 'c'])
      await ask(connection, 'POST', `${path}/pods`, { metadata: { name }, ...PODS['plain'] });
    await ask(connection, 'POST', `${path}/pods`, { metadata: { name: 'd' }, ...PODS['host-path'] });
    for (const level of ['restricted', 'baseline', 'privileged', 'strict']) {
      const labels = prefixed({ enforce: level });
      answers[level] = await ask(connection, 'PATCH', `${path}?dryRun=All`, { metadata: { labels } });
    }
    if (RECORD !== undefined) writeFileSync(STRICTER, `${JSON.stringify(answers, null, 2)}\n`);
    assert.deepEqual(answers, JSON.parse(readFileSync(STRICTER, 'utf8')));
  });

  test('a pod of a ReplicaSet is refused with its generated name', async () => {
    const body = { metadata: { generateName: 'web-' }, ...PODS['privileged'] };
    const { status, message } = await ask(connection, 'POST', '/api/v1/namespaces/pss-baseline/pods', body);
    assert.equal(status, 403);
    assert.match(
      message ?? '',
      /^pods "web-\w{5}" is forbidden: violates PodSecurity "baseline:latest": privileged \(/,
    );
  });

  test('what changes in a running pod counts only where it is an image', async () => {
    const path = '/api/v1/namespaces/pss-open/pods/d';
    await ask(connection, 'PATCH', '/api/v1/namespaces/pss-open', {
      metadata: { labels: prefixed({ enforce: 'baseline' }) },
    });
    assert.equal((await ask(connection, 'PATCH', path, { metadata: { labels: { a: 'b' } } })).status, 200);
    const image = { spec: { containers: [{ name: 'a', image: 'registry.invalid/other' }] } };
    const refused = await ask(connection, 'PATCH', path, image);
    assert.match(
      refused.message ?? '',
      /^pods "d" is forbidden: violates PodSecurity "baseline:latest": hostPath volumes/,
    );
  });
});
