import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { checkAddon, preflight, PreflightError, type Machine, type RunResult } from './network/preflight.ts';

const LAUNCH = join(import.meta.dirname, 'launch.ts');
const problem = await preflight().then(
  () => undefined,
  (error: unknown) => String(error),
);
const options = { skip: problem ?? false, timeout: 60_000 };
const state = mkdtempSync(join(tmpdir(), 'tulle-launch-test-'));
after(() => rmSync(state, { recursive: true, force: true }));

/** Starts `launch` in a process of its own, which runs `inner` (statements of a module) inside. */
function start(
  inner: string,
  port = 0,
): ChildProcess & { stdout: NodeJS.ReadableStream; stderr: NodeJS.ReadableStream } {
  const innerModule = `
    import { readLaunch } from ${JSON.stringify(LAUNCH)};
    const launched = readLaunch(process.env);
    ${inner}`;
  const outer = `
    import { launch } from ${JSON.stringify(LAUNCH)};
    try {
      process.exitCode = await launch({
        command: [process.execPath, '--input-type=module', '-e', ${JSON.stringify(innerModule)}, 'marker-${state}'],
        stateDirectory: ${JSON.stringify(state)},
        listeners: [{ name: 'api', address: '127.0.0.1', port: ${port} }],
        environment: process.env,
      });
    } catch (error) {
      console.error(error.message);
      process.exitCode = 1;
    }`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', outer], { stdio: ['ignore', 'pipe', 'pipe'] });
  assert.ok(child.stdout !== null && child.stderr !== null);
  return Object.assign(child, { stdout: child.stdout, stderr: child.stderr });
}

async function firstLine(stream: NodeJS.ReadableStream): Promise<string> {
  let all = '';
  for await (const part of stream) {
    all += String(part);
    if (all.includes('\n')) break;
  }
  return all.split('\n')[0] ?? '';
}

/** Process ids of everything inside, as the machine sees them. */
function insiders(): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      const [program, ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return program?.startsWith(process.execPath) === true && args.includes(`marker-${state}`);
    } catch {
      return false;
    }
  });
}

async function eventually(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!isTrue()) {
    assert.ok(Date.now() < deadline, `not within 10 s: ${what}`);
    await delay(20);
  }
}

test('the command has namespaces of its own, a private directory and its exit code is passed on', options, async () => {
  const child = start(`
    const { readdirSync, writeFileSync, readlinkSync } = await import('node:fs');
    writeFileSync(launched.runDirectory + '/private', '');
    writeFileSync(launched.stateDirectory + '/shared', '');
    console.log(JSON.stringify({
      pid: process.pid, uid: process.getuid(), hasOwnProc: launched.hasOwnProc, proc: readlinkSync('/proc/self'),
      net: readdirSync('/sys/class/net').length, links: Object.keys((await import('node:os')).networkInterfaces()),
    }));
    process.exitCode = 7;`);
  const [said, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  assert.equal(child.exitCode, 7, errors);
  const seen = JSON.parse(said) as Record<string, unknown>;
  assert.equal(seen['pid'], 1);
  assert.equal(seen['uid'], 0);
  assert.deepEqual(seen['links'], []);
  if (seen['hasOwnProc'] === true) assert.equal(seen['proc'], '1');
  assert.deepEqual(readdirSync(state).sort(), ['run', 'shared']);
  assert.deepEqual(readdirSync(join(state, 'run')), [], 'what was private has gone');
});

test('a port opened outside is served by the command inside', options, async () => {
  const child = start(`
    const { createServer } = await import('node:net');
    const server = createServer((socket) => { socket.end('from inside'); server.close(); });
    server.listen({ fd: launched.listeners.get('api') }, () => console.log(server.address().port));`);
  const port = Number(await firstLine(child.stdout));
  assert.equal(await text(connect(port, '127.0.0.1')), 'from inside');
  await once(child, 'exit');
  assert.equal(child.exitCode, 0);
});

test('a port that is taken is named, and nothing is started', options, async () => {
  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as AddressInfo;
  const child = start(`console.log('started')`, port);
  const [said, errors] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  holder.close();
  assert.equal(said, '');
  assert.equal(child.exitCode, 1);
  assert.equal(
    errors,
    `port ${port} on 127.0.0.1 (api) is already in use: stop the program that listens there, or choose another port\n`,
  );
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`${signal} reaches the command, which ends in its own way`, options, async () => {
    const child = start(`
      process.on('${signal}', () => { setTimeout(() => process.exit(9), 100); });
      setInterval(() => {}, 1000);
      console.log('ready');`);
    await firstLine(child.stdout);
    child.kill(signal);
    await once(child, 'exit');
    assert.equal(child.exitCode, 9);
  });
}

test('when the launching process is killed, everything inside ends', options, async () => {
  const child = start(`
    const { spawn } = await import('node:child_process');
    const args = ['-e', 'setInterval(() => {}, 1000)', process.argv.at(-1)];
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
    spawn(process.execPath, args, { detached: true }).on('spawn', () => console.log('ready'));
    setInterval(() => {}, 1000);`);
  await firstLine(child.stdout);
  await eventually('two processes run inside', () => insiders().length === 2);
  child.kill('SIGKILL');
  await eventually('nothing is left', () => insiders().length === 0);
});

const fine: RunResult = { status: 0, stderr: '', isMissing: false };
function machine(setting: { name?: string; value?: string; probe?: Partial<RunResult>; missing?: string }): Machine {
  return {
    isRoot: false,
    sysctl: (name) => (name === setting.name ? setting.value : undefined),
    run: ([program, argument]) => {
      if (program === setting.missing) return { status: null, stderr: '', isMissing: true };
      return argument === '--version' ? fine : { ...fine, ...setting.probe };
    },
  };
}
const refused = { status: 1, stderr: 'unshare: unshare failed: Operation not permitted\n' };
const cases: readonly (readonly [what: string, setting: Parameters<typeof machine>[0], message: RegExp])[] = [
  ['unshare is missing', { missing: 'unshare' }, /^unshare is not installed: install util-linux/],
  [
    'an unshare that is not good enough',
    { probe: { status: 1, stderr: "unshare: unrecognized option '--kill-child'" } },
    /too old or not util-linux's/,
  ],
  [
    'user namespaces switched off',
    { name: 'kernel.unprivileged_userns_clone', value: '0', probe: refused },
    /\(kernel.unprivileged_userns_clone=0\): run `sudo sysctl -w kernel.unprivileged_userns_clone=1`, or start this as root$/,
  ],
  [
    'no user namespaces left',
    {
      name: 'user.max_user_namespaces',
      value: '0',
      probe: { status: 1, stderr: 'unshare: unshare failed: No space left on device' },
    },
    /\(user.max_user_namespaces=0\): run `sudo sysctl -w user.max_user_namespaces=15000`/,
  ],
  [
    'the limit of namespaces is reached',
    { probe: { status: 1, stderr: 'unshare: unshare failed: No space left on device' } },
    /^no more namespaces may be made here .*user.max_net_namespaces=15000/,
  ],
  [
    'AppArmor restricts user namespaces',
    {
      name: 'kernel.apparmor_restrict_unprivileged_userns',
      value: '1',
      probe: { status: 1, stderr: 'unshare: write failed /proc/self/uid_map: Operation not permitted' },
    },
    /\(kernel.apparmor_restrict_unprivileged_userns=1\): run `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`/,
  ],
  [
    'a container that forbids namespaces',
    { probe: refused },
    /^cannot make namespaces \(unshare: .*\): in a container start it with --privileged/,
  ],
  [
    'no nftables',
    { probe: { status: 1, stderr: 'the kernel cannot do NAT with nftables (x): load it\n' } },
    /^the kernel cannot do NAT with nftables/,
  ],
];
for (const [what, setting, message] of cases) {
  test(`preflight words in one line: ${what}`, async () => {
    await assert.rejects(preflight(machine(setting)), (error: unknown) => {
      assert.ok(error instanceof PreflightError);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /\n/);
      return true;
    });
  });
}

test('preflight words in one line: the native addon does not load', async () => {
  const load = (): Promise<unknown> => Promise.reject(new Error('cannot open shared object\nstack'));
  await assert.rejects(checkAddon(load), {
    name: 'PreflightError',
    message: /^the native addon koffi does not load \(cannot open shared object\): .*`npm ci`/,
  });
});

test('this machine can or cannot run a sandbox, and says why', (t) => t.diagnostic(problem ?? 'it can'));
