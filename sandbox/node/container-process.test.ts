import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
  existsSync,
  chmodSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { text } from 'node:stream/consumers';

import { ContainerProcess, type ContainerConfig, type ContainerHost } from './container-process.ts';
import { startExec } from './exec-session.ts';
import { LogFile } from './log-file.ts';
import { readLog } from './log-reader.ts';
import { listProcesses } from './process-group.ts';
import { inNamespaces } from './testing/namespaced.ts';
import { until } from './testing/until.ts';
import { ThreadHome } from './thread-home.ts';

const ALL_LOGS = { follow: false, previous: false, timestamps: false };

type Run = { readonly container: ContainerProcess; readonly log: LogFile };

inNamespaces(import.meta.filename, () => {
  const state = mkdtempSync('/tmp/tulle-container-');
  mkdirSync(join(state, 'stage'));
  after(() => rmSync(state, { recursive: true, force: true }));
  const home = new ThreadHome();
  const host: ContainerHost = { home, stage: join(state, 'stage'), hidden: [state], visible: [] };
  let count = 0;

  async function start(script: string, changes: Partial<ContainerConfig> = {}): Promise<Run> {
    count += 1;
    const log = new LogFile(join(state, `${count}.log`));
    const config = {
      argv: ['sh', '-c', script],
      env: { PATH: '/usr/bin:/bin' },
      directory: '/',
      hostname: `pod-${count}`,
      uid: 0,
      gid: 0,
      capabilities: 0n,
      mounts: [],
      ...changes,
    };
    return { container: await ContainerProcess.start(host, config, log), log };
  }

  async function outputOf(script: string, changes: Partial<ContainerConfig> = {}): Promise<string> {
    const { container, log } = await start(script, changes);
    await container.exited;
    return (await text(readLog(log, ALL_LOGS))).trim();
  }

  test('a container has its own hostname, /tmp, /run and process, and the node keeps its own', async () => {
    const before = readFileSync('/proc/sys/kernel/hostname', 'utf8');
    assert.equal(
      await outputOf('hostname; touch /tmp/mine /run/mine; ls /tmp; pwd', { hostname: 'web-0' }),
      'web-0\nmine\n/',
    );
    assert.equal(readFileSync('/proc/sys/kernel/hostname', 'utf8'), before);
    assert.equal(existsSync('/tmp/mine'), false);
    assert.equal(process.cwd(), process.env['PWD']);
  });

  test('the directories of the machine are read-only', async () => {
    const { container, log } = await start('touch /usr/tulle-was-here');
    assert.notEqual((await container.exited).exitCode, 0);
    assert.match(await text(readLog(log, ALL_LOGS)), /Read-only file system|Permission denied/);
  });

  test('the state directory of the node is hidden', async () => {
    assert.equal(await outputOf(`ls -A ${state} 2>/dev/null | wc -l`), '0');
  });

  test('mount points that the machine lacks appear beside its own files', async () => {
    mkdirSync(join(state, 'volume'));
    writeFileSync(join(state, 'volume/file'), 'content');
    writeFileSync(join(state, 'one'), 'hosts of the pod');
    const volume = { source: join(state, 'volume'), isReadOnly: true };
    const mounts = [
      { ...volume, target: '/etc/tulle/deep/config' },
      { ...volume, target: '/var/run/secrets/kubernetes.io/serviceaccount' },
      { ...volume, target: '/srv' },
      { ...volume, target: '/usr/share/tulle-html/' },
      { source: join(state, 'one'), target: '/etc/hosts', isReadOnly: false },
      { source: join(state, 'one'), target: '/dev/termination-log', isReadOnly: false },
    ];
    const script = [
      'cat /etc/tulle/deep/config/file /var/run/secrets/kubernetes.io/serviceaccount/file /srv/file',
      'cat /usr/share/tulle-html/file; echo; cat /etc/hosts; echo',
      'test -e /etc/passwd && test -d /usr/share/zoneinfo -o -d /usr/share/doc && echo others are there',
      'echo no > /srv/file || true; echo bye > /dev/termination-log',
    ].join('\n');
    const output = await outputOf(script, { mounts });
    assert.match(output, /^contentcontentcontentcontent\nhosts of the pod\nothers are there\n.*Read-only file system$/);
    assert.equal(readFileSync(join(state, 'one'), 'utf8'), 'bye\n');
    assert.equal(existsSync('/etc/tulle'), false);
  });

  test('a mount over a file where a directory is needed is refused with the path', async () => {
    const mounts = [{ source: state, target: '/etc/passwd/inside', isReadOnly: true }];
    await assert.rejects(
      start('true', { mounts }),
      /mount path \/etc\/passwd\/inside: \/etc\/passwd is not a directory/,
    );
    assert.equal(process.cwd(), process.env['PWD']);
  });

  test('a program that does not exist, cannot run says so', async () => {
    await assert.rejects(
      start('', { argv: ['no-such-program'] }),
      /exec: "no-such-program": executable file not found in \$PATH/,
    );
    await assert.rejects(start('', { argv: ['/etc/passwd'] }), /exec: "\/etc\/passwd": permission denied/);
  });

  test('a working directory that the machine lacks is made, and one that is a file is refused', async () => {
    assert.equal(
      await outputOf('pwd; touch here; ls', { directory: '/usr/lib/tulle-app' }),
      '/usr/lib/tulle-app\nhere',
    );
    await assert.rejects(start('true', { directory: '/etc/passwd' }), /a directory cannot be mounted on it/);
  });

  test('the exit code is kept, and a signal is 128 and its number', async () => {
    assert.equal((await (await start('exit 7')).container.exited).exitCode, 7);
    const { container } = await start('echo up; sleep 100');
    container.signal('SIGTERM');
    assert.deepEqual((await container.exited).exitCode, 143);
  });

  test('no process outlives its container, not even one in a session of its own', async (t) => {
    if (readlinkSync('/proc/self') !== String(process.pid)) return t.skip('/proc counts differently here');
    const marker = 3_000_000 + process.pid;
    const { container } = await start(
      `setsid sh -c 'setsid sleep ${marker} & setsid sleep ${marker}' & sleep ${marker}`,
    );
    const sleepers = (): number =>
      listProcesses().filter((facts) => !facts.isZombie && commandOf(facts.pid).includes(String(marker))).length;
    await until('all are up', () => sleepers() >= 4);
    container.signal('SIGTERM');
    await container.exited;
    await until('none is left', () => sleepers() === 0);
  });

  test('a container has the default capabilities unless it says otherwise', async () => {
    const bits = async (capabilities: bigint): Promise<string> =>
      (await outputOf('grep CapEff /proc/self/status', { capabilities })).split(/\s+/)[1] ?? '';
    assert.equal(await bits(0n), '0000000000000000');
    assert.equal(await bits(1n << 12n), '0000000000001000');
    assert.notEqual(readFileSync('/proc/self/status', 'utf8').match(/CapEff:\s+(\w+)/)?.[1], '0000000000000000');
  });

  test('another user is real where it is mapped', async (t) => {
    if (!/ 0 +0 +4294967295/.test(` ${readFileSync('/proc/self/uid_map', 'utf8')}`))
      return t.skip('one mapped user only');
    chmodSync(state, 0o755);
    const output = await outputOf('id -u; id -g; grep CapEff /proc/self/status', {
      uid: 2102,
      gid: 7,
      capabilities: 1n << 12n,
    });
    assert.equal(output, '2102\n7\nCapEff:\t0000000000001000');
  });

  test('exec runs in the namespaces of the container with its environment and gives the exit code', async () => {
    const { container } = await start('touch /tmp/seen; sleep 100', {
      hostname: 'target',
      env: { PATH: '/usr/bin:/bin', GREETING: 'hi' },
    });
    const all = { stdin: true, stdout: true, stderr: true, tty: false };
    const probe = { stdin: false, stdout: false, stderr: false, tty: false };
    await until('it runs', async () => (await startExec(container, ['test', '-e', '/tmp/seen'], probe).exit) === 0);
    const session = startExec(
      container,
      ['sh', '-c', 'cat; hostname; echo $GREETING; ls /tmp; echo bad >&2; exit 3'],
      all,
    );
    session.stdin?.end('from outside\n');
    assert.ok(session.stdout !== undefined && session.stderr !== undefined);
    const [out, bad, code] = await Promise.all([text(session.stdout), text(session.stderr), session.exit]);
    assert.equal(out, 'from outside\ntarget\nhi\nseen\n');
    assert.equal(bad, 'bad\n');
    assert.equal(code, 3);
    const missing = startExec(container, ['no-such-program'], all);
    assert.ok(missing.stderr !== undefined);
    assert.match(await text(missing.stderr), /executable file not found/);
    assert.equal(await missing.exit, 127);
    container.kill();
    assert.equal((await container.exited).exitCode, 137);
    assert.throws(() => startExec(container, ['true'], all), /not running/);
  });

  test('exec with a terminal gives one, merged output and the exit code', async (t) => {
    if (!existsSync('/usr/bin/script')) return t.skip('SKIPPED: no script(1) on this machine');
    const { container } = await start('sleep 100');
    const session = startExec(container, ['sh', '-c', "tty -s && echo 'a terminal' && echo err >&2; exit 4"], {
      stdin: true,
      stdout: true,
      stderr: true,
      tty: true,
    });
    assert.ok(session.stdout !== undefined);
    assert.equal((await text(session.stdout)).replaceAll('\r', ''), 'a terminal\nerr\n');
    assert.equal(await session.exit, 4);
    container.kill();
    await container.exited;
  });

  test('standard output can be reopened by name, and thirty containers start within seconds', async () => {
    assert.equal(await outputOf('echo by name > /dev/stdout'), 'by name');
    const began = performance.now();
    const runs = await Promise.all(Array.from({ length: 30 }, () => start('sleep 100')));
    const tookMs = performance.now() - began;
    for (const { container } of runs) container.kill();
    await Promise.all(runs.map((run) => run.container.exited));
    assert.ok(tookMs < 3000, `30 containers took ${tookMs} ms`);
    say(`30 containers started in ${Math.round(tookMs)} ms`);
  });
});

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

function say(message: string): void {
  process.stdout.write(`# ${message}\n`);
}
