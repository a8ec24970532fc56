import assert from 'node:assert/strict';
import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { standardTerminal } from './terminal.ts';
import { Folder, kubeconfig } from './testing.ts';

const ROOT = join(import.meta.dirname, '..');
const MAIN = join(import.meta.dirname, 'main.ts');
const POD = 'kind: Pod\nmetadata: {name: p}\n';

describe('tulle as a program', () => {
  const folder = new Folder();
  after(() => folder[Symbol.dispose]());

  /** What npm sets is taken away: this test may itself be run by npm. */
  const environment = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_|^INIT_CWD$|^KUBECONFIG$/i.test(name)),
  );
  function run(
    command: readonly string[],
    options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
  ): SpawnSyncReturns<string> {
    const [program = '', ...args] = command;
    return spawnSync(program, args, {
      encoding: 'utf8',
      cwd: folder.path,
      env: environment,
      timeout: 60_000,
      ...options,
    });
  }

  test('a reader that goes away is no failure', () => {
    const { status, stdout, stderr } = run([
      'bash',
      '-c',
      `set -o pipefail; "$0" "$1" install | head -n 1; echo "\${PIPESTATUS[0]}"`,
      process.execPath,
      MAIN,
    ]);
    assert.deepEqual([status, stdout, stderr], [0, '---\n0\n', '']);
  });

  test('a command that needs no cluster does not load the Kubernetes client', () => {
    const watch = `import { registerHooks } from 'node:module';
      registerHooks({ resolve(name, context, next) {
        const found = next(name, context);
        if (found.url.includes('@kubernetes')) process.stderr.write('loaded ' + found.url);
        return found;
      } });
      process.argv = [process.argv[0], 'tulle', ...process.argv.slice(1)];
      await import(${JSON.stringify(pathToFileURL(MAIN).href)});`;
    const with_ = (...args: string[]): string =>
      run([process.execPath, '--input-type=module', '-e', watch, ...args]).stderr;
    assert.equal(with_('version', '--client'), '');
    assert.equal(with_('install'), '');
    const unreachable = folder.write('kubeconfig', kubeconfig({ server: 'https://127.0.0.1:1' }));
    assert.match(with_('version', '--kubeconfig', unreachable), /loaded/, 'the probe sees what is loaded');
  });

  test('it works without HOME, and says where it looked for a kubeconfig', () => {
    const { HOME: _home, ...homeless } = environment;
    assert.equal(run([process.execPath, MAIN, 'version', '--client'], { env: homeless }).status, 0);
    const { status, stderr } = run([process.execPath, MAIN, 'check'], { env: { ...homeless, HOME: folder.path } });
    assert.equal(status, 1);
    assert.equal(
      stderr,
      `tulle: there is no kubeconfig: set KUBECONFIG, use --kubeconfig, or create ${folder.path}/.kube/config\n`,
    );
  });

  test('a link to the launcher is the command line, from any folder', () => {
    symlinkSync(join(ROOT, 'bootstrap.mjs'), join(folder.path, 'tulle'));
    folder.write('pod.yaml', POD);
    const { status, stdout, stderr } = run(['./tulle', 'inject', 'pod.yaml']);
    assert.deepEqual([status, stderr], [0, 'pod "p" injected\n']);
    assert.match(stdout, /linkerd\.io\/inject: enabled/);
    assert.equal(run(['./tulle', 'frobnicate']).status, 2);
  });

  const hasNpm = spawnSync('npm', ['--version']).status === 0;
  test(
    '`npm run tulle` finds files where the caller is, and gives the exit code on',
    { skip: hasNpm ? false : 'npm is not installed here' },
    () => {
      folder.write('pod.yaml', POD);
      const npm = ['npm', 'run', '-s', '--prefix', ROOT, 'tulle', '--'];
      const { status, stderr } = run([...npm, 'inject', 'pod.yaml']);
      assert.deepEqual([status, stderr], [0, 'pod "p" injected\n']);
      const missing = run([...npm, 'check', '--kubeconfig', 'nothing']);
      assert.deepEqual([missing.status, missing.stderr], [2, 'tulle: --kubeconfig nothing: there is no such file\n']);
    },
  );
});

test('colours are for terminals whose user did not refuse them', () => {
  const stream = (isTTY: boolean): NodeJS.WriteStream =>
    Object.assign(new EventEmitter(), { isTTY, write: () => true }) as unknown as NodeJS.WriteStream;
  const isColoured = (isTTY: boolean, env: NodeJS.ProcessEnv): boolean =>
    standardTerminal({ stdout: stream(isTTY), stderr: stream(isTTY), env } as NodeJS.Process).isColoured;
  assert.equal(isColoured(true, { TERM: 'xterm' }), true);
  assert.equal(isColoured(true, { NO_COLOR: '' }), true);
  assert.equal(isColoured(true, { NO_COLOR: '1' }), false);
  assert.equal(isColoured(true, { TERM: 'dumb' }), false);
  assert.equal(isColoured(false, { TERM: 'xterm' }), false);
});
