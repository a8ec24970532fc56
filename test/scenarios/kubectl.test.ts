import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { get } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { Mesh, namespaceYaml } from '../harness/mesh.ts';
import { until } from '../harness/until.ts';

const hasKubectl = spawnSync('kubectl', ['version', '--client']).status === 0;

/** Two containers, so that `-c` has a choice: one talks, the other serves. */
const CLOCK = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: clock, namespace: town, labels: {app: clock}}
spec:
  replicas: 2
  selector: {matchLabels: {app: clock}}
  template:
    metadata: {labels: {app: clock}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: tick
          image: tulle.dev/host:1
          command: [sh, -c, 'i=0; while true; do i=$((i+1)); echo tick $i; sleep 0.1; done']
        - name: web
          image: tulle.dev/test:0.1.0
          args: [server]
          ports: [{containerPort: 8080, name: http}]
          readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: clock, namespace: town}
spec: {selector: {app: clock}, ports: [{port: 80, targetPort: http}]}
`;

/** A kubectl that goes on until it is ended. */
class Running implements AsyncDisposable {
  output = '';
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;

  constructor(kubeconfig: string, args: readonly string[]) {
    this.#child = spawn('kubectl', args, {
      env: { ...process.env, KUBECONFIG: kubeconfig },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.#ended = new Promise((resolve) => this.#child.once('close', resolve));
  }

  /** Waits until it has printed what is looked for. */
  async prints(pattern: RegExp): Promise<RegExpMatchArray> {
    return until(`kubectl to print ${String(pattern)}`, 20_000, () => {
      const match = pattern.exec(this.output);
      if (match === null) throw new Error(`so far: ${this.output.slice(-500)}`);
      return match;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#ended;
  }
}

const options = { skip: hasKubectl ? false : 'kubectl is not on PATH: nothing here was tried' };
describe('kubectl and the sandbox', options, () => {
  let mesh: Mesh;
  before(async () => {
    mesh = await Mesh.start();
  });
  after(async () => mesh?.[Symbol.asyncDispose]());

  /** Runs kubectl, which must succeed. @returns its standard output */
  function kubectl(...args: readonly string[]): string {
    return kubectlWith('', ...args);
  }
  function kubectlWith(input: string, ...args: readonly string[]): string {
    const { status, stdout, stderr } = mesh.kubectl(args, input);
    assert.equal(status, 0, `kubectl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }
  const inTown = (...args: readonly string[]): string => kubectl('-n', 'town', ...args);
  const running = (...args: readonly string[]): Running => new Running(mesh.bed.kubeconfig, args);
  const lines = (text: string): readonly string[] => text.trimEnd().split('\n');

  for (const install of [['install'], ['viz', 'install'], ['install', '-o', 'json']]) {
    test(`\`tulle ${install.join(' ')} | kubectl apply -f -\` twice: the second says unchanged for every object`, () => {
      const { stdout: manifest } = mesh.tulle(install);
      const first = lines(kubectlWith(manifest, 'apply', '-f', '-'));
      const second = lines(kubectlWith(manifest, 'apply', '-f', '-'));
      assert.ok(first.length >= 6);
      assert.deepEqual(
        second.filter((line) => !line.endsWith(' unchanged')),
        [],
      );
      assert.deepEqual(
        second.map((line) => line.split(' ')[0]),
        first.map((line) => line.split(' ')[0]),
      );
      // Its own view of the difference agrees: the controllers' writes do not count.
      const { status, stdout } = mesh.kubectl(['diff', '-f', '-'], manifest);
      assert.deepEqual([status, stdout], [0, '']);
      // And ours, which reads what kubectl noted.
      if (install[0] === 'install') assert.match(mesh.tulle(['upgrade', '--plan']).stdout, /^Nothing would change/);
    });
  }

  test('server-side apply of the manifest conflicts with nobody and changes nothing the second time', () => {
    const { stdout: manifest } = mesh.tulle(['install']);
    const apply = ['apply', '--server-side', '--force-conflicts', '-f', '-'];
    kubectlWith(manifest, ...apply);
    const version = (): string =>
      kubectl(
        'get',
        'deploy,cm,sa,svc,role,rolebinding',
        '-n',
        'tulle',
        '-o',
        'jsonpath={.items[*].metadata.generation}',
      );
    const before = version();
    const second = lines(kubectlWith(manifest, ...apply));
    assert.ok(second.every((line) => line.endsWith('serverside-applied')));
    assert.equal(version(), before);
  });

  test('what inject prints is accepted', () => {
    const { stdout } = mesh.tulle(['inject', '-'], `${namespaceYaml('town', false)}\n---${CLOCK}`);
    kubectlWith(stdout, 'apply', '--dry-run=client', '-f', '-');
    const list = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [JSON.parse(namespaceYaml('town', false))] });
    const injected = mesh.tulle(['inject', '-'], list).stdout;
    assert.match(kubectlWith(injected, 'apply', '--dry-run=server', '-f', '-'), /^namespace\/town created/);
  });

  test('apply, rollout status and get show a Deployment in every form', () => {
    kubectl('create', 'namespace', 'town');
    assert.deepEqual(lines(kubectlWith(CLOCK, 'apply', '-f', '-')), [
      'deployment.apps/clock created',
      'service/clock created',
    ]);
    assert.match(
      inTown('rollout', 'status', 'deploy/clock', '--timeout=60s'),
      /deployment "clock" successfully rolled out/,
    );
    const [head = '', row = ''] = lines(inTown('get', 'deploy', 'clock'));
    assert.match(head, /^NAME +READY +UP-TO-DATE +AVAILABLE +AGE$/);
    assert.match(row, /^clock +2\/2 +2 +2 +\d+s$/);
    assert.match(
      inTown('get', 'deploy', '-o', 'wide'),
      /CONTAINERS +IMAGES +SELECTOR\nclock .* tick,web +tulle\.dev\/host:1,tulle\.dev\/test:0\.1\.0 +app=clock/,
    );
    const yaml = parse(inTown('get', 'deploy', 'clock', '-o', 'yaml')) as Record<string, unknown>;
    const json = JSON.parse(inTown('get', 'deploy', 'clock', '-o', 'json')) as Record<string, unknown>;
    assert.deepEqual(yaml['spec'], json['spec']);
    assert.deepEqual([json['apiVersion'], json['kind']], ['apps/v1', 'Deployment']);
    assert.deepEqual(lines(inTown('get', 'pods', '-o', 'name')).length, 2);
    assert.match(
      inTown('get', 'pods', '-l', 'app=clock', '-o', 'wide'),
      /IP +NODE.*\nclock-\w+-\w+ +2\/2 +Running +0 +\d+s +10\.42\.\d+\.\d+ +sandbox/,
    );
    assert.match(inTown('get', 'svc,endpointslices'), /service\/clock +ClusterIP +10\.96\.\d+\.\d+ +<none> +80\/TCP/);
    const missing = mesh.kubectl(['-n', 'town', 'get', 'deploy', 'nothing']);
    assert.deepEqual(
      [missing.status, missing.stderr],
      [1, 'Error from server (NotFound): deployments.apps "nothing" not found\n'],
    );
  });

  test('get -w tells of changes as they come', async () => {
    await using list = running('-n', 'town', 'get', 'cm', '-w', '--output-watch-events');
    await list.prints(/kube-root-ca\.crt/);
    inTown('create', 'cm', 'watched', '--from-literal=a=1');
    inTown('delete', 'cm', 'watched');
    await list.prints(/ADDED +watched +1 [^]*DELETED +watched +1 /);
    assert.doesNotMatch(list.output, /error/i);
  });

  test('describe shows the parts of an object and its events', () => {
    assert.match(
      inTown('describe', 'deploy', 'clock'),
      /^Name: +clock\n[^]*Replicas: +2 desired \| 2 updated \| 2 total \| 2 available/,
    );
    const pod = inTown('describe', 'pod', '-l', 'app=clock');
    assert.match(
      pod,
      /Containers:\n {2}tick:\n[^]* {2}web:\n[^]*Conditions:\n[^]*Ready +True[^]*Events:\n[^]*Scheduled/,
    );
    assert.match(
      inTown('describe', 'svc', 'clock'),
      /Selector: +app=clock\n[^]*Endpoints: +10\.42\.\d+\.\d+:8080,10\.42\.\d+\.\d+:8080/,
    );
    assert.match(kubectl('describe', 'node', 'sandbox'), /^Name: +sandbox\n/);
  });

  test('annotate, label and patch change an object', () => {
    assert.match(inTown('annotate', 'deploy/clock', 'note=tick tock'), /^deployment\.apps\/clock annotated$/m);
    assert.match(inTown('label', 'deploy/clock', 'tier=front'), /^deployment\.apps\/clock labeled$/m);
    assert.match(
      mesh.kubectl(['-n', 'town', 'label', 'deploy/clock', 'tier=back']).stderr,
      /already has a value \(front\)/,
    );
    inTown('label', 'deploy/clock', 'tier=back', '--overwrite');
    const patches = [
      ['strategic', '{"metadata":{"labels":{"a":"1"}}}'],
      ['merge', '{"metadata":{"labels":{"tier":null}}}'],
      ['json', '[{"op":"add","path":"/metadata/labels/b","value":"2"}]'],
    ] as const;
    for (const [type, patch] of patches)
      assert.match(
        inTown('patch', 'deploy', 'clock', '--type', type, '-p', patch),
        /^deployment\.apps\/clock patched$/m,
      );
    const metadata = JSON.parse(inTown('get', 'deploy', 'clock', '-o', 'jsonpath={.metadata}')) as {
      labels: unknown;
      annotations: Record<string, string>;
    };
    assert.deepEqual(metadata.labels, { app: 'clock', a: '1', b: '2' });
    assert.equal(metadata.annotations['note'], 'tick tock');
  });

  test('scale and wait', () => {
    assert.match(inTown('scale', 'deploy/clock', '--replicas=3'), /^deployment\.apps\/clock scaled$/m);
    inTown('wait', '--for=jsonpath={.status.readyReplicas}=3', 'deploy/clock', '--timeout=60s');
    inTown('scale', 'deploy/clock', '--replicas=1');
    inTown('wait', '--for=jsonpath={.status.replicas}=1', 'deploy/clock', '--timeout=60s');
    assert.match(inTown('wait', '--for=condition=Available', 'deploy/clock', '--timeout=60s'), /condition met/);
    const late = mesh.kubectl(['-n', 'town', 'wait', '--for=condition=Nothing', 'deploy/clock', '--timeout=1s']);
    assert.equal(late.status, 1);
    assert.match(late.stderr, /timed out waiting for the condition/);
  });

  test('rollout restart replaces the pods, and undo goes back', () => {
    const names = (): string =>
      inTown('get', 'pods', '-l', 'app=clock', '-o', 'name', '--field-selector=status.phase=Running');
    const before = names();
    assert.match(inTown('rollout', 'restart', 'deploy/clock'), /deployment\.apps\/clock restarted/);
    inTown('rollout', 'status', 'deploy/clock', '--timeout=60s');
    assert.notEqual(names(), before);
    assert.match(inTown('rollout', 'history', 'deploy/clock'), /REVISION +CHANGE-CAUSE\n1 +<none>\n2 +<none>/);
    assert.match(inTown('rollout', 'undo', 'deploy/clock'), /rolled back/);
    inTown('rollout', 'status', 'deploy/clock', '--timeout=60s');
    assert.doesNotMatch(inTown('get', 'deploy', 'clock', '-o', 'jsonpath={.spec.template.metadata}'), /restartedAt/);
  });

  test('logs take a container, an end, and follow', async () => {
    assert.match(inTown('logs', 'deploy/clock', '-c', 'tick', '--tail=2'), /^tick \d+\ntick \d+\n$/);
    assert.match(
      inTown('logs', 'deploy/clock', '-c', 'tick', '--tail=1', '--timestamps'),
      /^\d{4}-\d\d-\d\dT[\d:.]+Z tick \d+\n$/,
    );
    assert.match(
      inTown('logs', '-l', 'app=clock', '--all-containers', '--prefix', '--tail=1'),
      /^\[pod\/clock-[^/]+\/tick\] tick \d+/m,
    );
    await using follow = running('-n', 'town', 'logs', '-f', '--tail=1', 'deploy/clock', '-c', 'tick');
    await follow.prints(/tick \d+\ntick \d+\ntick \d+\n/);
    const wrong = mesh.kubectl(['-n', 'town', 'logs', 'deploy/clock', '-c', 'nothing']);
    assert.equal(wrong.status, 1);
    assert.match(wrong.stderr, /container nothing is not valid for pod clock/);
  });

  test('exec runs a program in a container, with input and exit code', () => {
    assert.match(inTown('exec', 'deploy/clock', '-c', 'web', '--', 'hostname'), /^clock-/);
    assert.equal(kubectlWith('a\nb\n', '-n', 'town', 'exec', '-i', 'deploy/clock', '-c', 'web', '--', 'cat'), 'a\nb\n');
    const failed = mesh.kubectl([
      '-n',
      'town',
      'exec',
      'deploy/clock',
      '-c',
      'web',
      '--',
      'sh',
      '-c',
      'echo no >&2; exit 7',
    ]);
    assert.equal(failed.status, 7);
    assert.match(failed.stderr, /^no\ncommand terminated with exit code 7/);
  });

  test('port-forward reaches a pod and a Service, several times', async () => {
    for (const target of ['deploy/clock', 'svc/clock']) {
      await using forward = running('-n', 'town', 'port-forward', target, target.startsWith('svc') ? ':80' : ':8080');
      const [, port] = await forward.prints(/Forwarding from 127\.0\.0\.1:(\d+) -> 8080/);
      for (let round = 0; round < 3; round += 1) assert.equal(await statusOf(`http://127.0.0.1:${port}/`), 200, target);
    }
  });

  test('auth can-i answers by the rules of RBAC', () => {
    assert.equal(kubectl('auth', 'can-i', 'create', 'pods'), 'yes\n');
    const as = ['--as', 'system:serviceaccount:tulle:tulle-identity'];
    assert.equal(kubectl('auth', 'can-i', 'create', 'tokenreviews', ...as), 'yes\n');
    const refused = mesh.kubectl(['auth', 'can-i', 'list', 'secrets', '-n', 'tulle', ...as]);
    assert.deepEqual([refused.status, refused.stdout], [1, 'no\n']);
    const forbidden = mesh.kubectl(['get', 'secrets', '-n', 'tulle', ...as]);
    assert.equal(forbidden.status, 1);
    assert.match(
      forbidden.stderr,
      /^Error from server \(Forbidden\): secrets is forbidden: User "system:serviceaccount:tulle:tulle-identity" cannot list/,
    );
  });

  test('api-resources and explain know the kinds, those of Tulle too', () => {
    const resources = kubectl('api-resources', '--no-headers');
    for (const row of [
      /^deployments +deploy +apps\/v1 +true +Deployment$/m,
      /^servers +srv +policy\.linkerd\.io\/v1beta3 +true +Server$/m,
    ])
      assert.match(resources, row);
    assert.match(
      kubectl('explain', 'deployment.spec.strategy'),
      /KIND: +Deployment[^]*FIELD: strategy <DeploymentStrategy>[^]*rollingUpdate/,
    );
    assert.match(kubectl('explain', 'server.spec.port'), /KIND: +Server/);
  });

  test('delete ends the pods, and the namespace takes everything along', () => {
    assert.match(inTown('delete', 'deploy', 'clock'), /^deployment\.apps "clock" deleted/);
    inTown('wait', '--for=delete', 'pod', '-l', 'app=clock', '--timeout=30s');
    kubectl('delete', 'namespace', 'town', '--timeout=30s');
    assert.equal(mesh.kubectl(['get', 'namespace', 'town']).status, 1);
  });
});

/** Status of a GET over a connection of its own. */
function statusOf(url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false, timeout: 10_000 }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
    }).once('error', reject);
  });
}
