import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { systemClock } from '#runtime/clock.ts';
import { createLogger } from '#runtime/log.ts';
import { startApiServer, type ApiServer } from '../../apiserver/server.ts';
import { startControllers } from '../controllers.ts';
import { PretendKubelet } from './pretend-kubelet.ts';

const skip = spawnSync('kubectl', ['version', '--client']).status === 0 ? false : 'kubectl is not on PATH';
const run = promisify(execFile);

/** A cluster that kubectl talks to over HTTPS, in real time; images decide what becomes of pods. */
class Live implements AsyncDisposable {
  readonly #directory = mkdtempSync(join(tmpdir(), 'tulle-controllers-'));
  readonly #api: ApiServer;
  readonly #parts: readonly Disposable[];

  private constructor(api: ApiServer) {
    this.#api = api;
    const kubelet = new PretendKubelet(api.client, systemClock);
    kubelet.outcome = (pod) => {
      const text = JSON.stringify(pod.spec.containers);
      if (text.includes('broken')) return 'Unready';
      return text.includes('finishes') ? 'Succeeded' : text.includes('fails') ? 'Failed' : 'Ready';
    };
    const log = createLogger('test', 'silent');
    this.#parts = [kubelet, startControllers(api.client, { caCertificate: api.caCertificate, log })];
  }

  static async start(): Promise<Live> {
    const api = await startApiServer({ log: createLogger('test', 'silent') });
    const live = new Live(api);
    const { port } = await api.listen({ host: '127.0.0.1', port: 0 });
    api.writeKubeconfig(live.#kubeconfig, `https://127.0.0.1:${port}`);
    await api.client.create('nodes', { metadata: { name: 'node-1' } });
    return live;
  }

  get #kubeconfig(): string {
    return join(this.#directory, 'kubeconfig');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const part of this.#parts) part[Symbol.dispose]();
    await this.#api.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** Standard output of a kubectl command; fails when kubectl does. */
  async kubectl(command: string): Promise<string> {
    const { stdout } = await this.attempt(command);
    return stdout;
  }

  /** Outcome of a kubectl command that may fail; `input` goes to its standard input. */
  async attempt(command: string, input?: string): Promise<{ stdout: string; stderr: string }> {
    const env = { PATH: process.env['PATH'], HOME: this.#directory, KUBECONFIG: this.#kubeconfig };
    const child = run('kubectl', command.split(' '), { env, timeout: 30_000 });
    child.child.stdin?.end(input ?? '');
    return child;
  }
}

test('kubectl rolls a Deployment out, back, and gives up on a broken one', { skip }, async () => {
  await using live = await Live.start();
  const kubectl = (command: string): Promise<string> => live.kubectl(command);
  await kubectl('create deployment web --image=tulle.dev/host:1 --replicas=4 --port=8080');
  assert.match(await kubectl('rollout status deploy/web --timeout=20s'), /successfully rolled out/);
  await kubectl('set image deploy/web *=tulle.dev/host:2');
  await kubectl('rollout status deploy/web --timeout=20s');
  await kubectl('rollout restart deploy/web');
  await kubectl('rollout status deploy/web --timeout=20s');
  assert.match(await kubectl('rollout history deploy/web'), /1 .*\n2 .*\n3 /);
  await kubectl('rollout undo deploy/web --to-revision=1');
  await kubectl('rollout status deploy/web --timeout=20s');
  assert.match(await kubectl('rollout history deploy/web'), /^2 .*\n3 .*\n4 /m);
  assert.equal(
    await kubectl('get deploy web -o jsonpath={.spec.template.spec.containers[0].image}'),
    'tulle.dev/host:1',
  );

  await kubectl('set image deploy/web *=tulle.dev/host:broken');
  await assert.rejects(live.attempt('rollout status deploy/web --timeout=1s'), /timed out waiting for the condition/);
  await kubectl('rollout undo deploy/web');
  await kubectl('rollout status deploy/web --timeout=20s');
  await kubectl('scale deploy/web --replicas=2');
  await kubectl('wait --for=condition=Available deploy/web --timeout=20s');
  await kubectl('wait --for=jsonpath={.status.replicas}=2 deploy/web --timeout=20s');
  const described = await kubectl('describe deploy/web');
  assert.match(described, /Available +True +MinimumReplicasAvailable/);
  assert.match(described, /Scaled up replica set web-\w+ from 0 to 4/);
});

test('kubectl deletes with and without what an object owns', { skip }, async () => {
  await using live = await Live.start();
  await live.kubectl('create deployment web --image=tulle.dev/host:1 --replicas=2');
  await live.kubectl('rollout status deploy/web --timeout=20s');
  await live.kubectl('delete deploy web --cascade=orphan');
  assert.equal((await live.kubectl('get rs,pods -o name')).trim().split('\n').length, 3);
  await live.kubectl('create deployment web --image=tulle.dev/host:1 --replicas=2');
  await live.kubectl('rollout status deploy/web --timeout=20s');
  assert.equal((await live.kubectl('get rs,pods -o name')).trim().split('\n').length, 3);
  await live.kubectl('delete deploy web --cascade=foreground');
  assert.equal(await live.kubectl('get rs,pods -o name'), '');
});

test('kubectl runs Jobs, StatefulSets and DaemonSets and takes their namespace away', { skip }, async () => {
  await using live = await Live.start();
  await live.kubectl('create namespace team');
  const pod = (app: string, image = '1'): object => ({
    metadata: { labels: { app } },
    spec: {
      restartPolicy: image === '1' ? 'Always' : 'Never',
      containers: [{ name: 'main', image: `tulle.dev/host:${image}` }],
    },
  });
  const workload = (kind: string, name: string, more: object = {}): object => ({
    apiVersion: 'apps/v1',
    kind,
    metadata: { name },
    spec: { selector: { matchLabels: { app: name } }, template: pod(name), ...more },
  });
  const job = (name: string, image: string): object => ({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name },
    spec: { completions: 3, parallelism: 2, backoffLimit: 0, template: pod(name, image) },
  });
  const items = [
    workload('StatefulSet', 'db', { serviceName: 'db', replicas: 3 }),
    workload('DaemonSet', 'agent'),
    job('work', 'finishes'),
    job('bad', 'fails'),
  ];
  await live.attempt('apply -n team -f -', items.map((item) => JSON.stringify(item)).join('\n'));
  for (const name of ['sts/db', 'ds/agent']) {
    await live.kubectl(`rollout status -n team ${name} --timeout=20s`);
    await live.kubectl(`rollout restart -n team ${name}`);
    await live.kubectl(`rollout status -n team ${name} --timeout=20s`);
    await live.kubectl(`rollout undo -n team ${name}`);
    assert.match(await live.kubectl(`rollout history -n team ${name}`), /^2 .*\n3 /m);
  }
  await live.kubectl('wait -n team --for=condition=complete job/work --timeout=20s');
  await live.kubectl('wait -n team --for=condition=failed job/bad --timeout=20s');
  assert.match(await live.kubectl('get -n team jobs'), /work +Complete +3\/3/);
  await live.kubectl('delete namespace team --timeout=20s');
  await assert.rejects(live.attempt('get namespace team'), /NotFound/);
});
