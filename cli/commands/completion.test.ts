import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { describe, test } from 'node:test';
import { Folder, tulle } from '../testing.ts';

function has(program: string): boolean {
  return spawnSync(program, ['--version']).status === 0;
}
function skipUnless(program: string): { readonly skip: string | false } {
  return { skip: has(program) ? false : `${program} is not installed here, so its script is not tried` };
}
const script = async (shell: string): Promise<string> => (await tulle(['completion', shell])).out;

describe('the bash completion', skipUnless('bash'), () => {
  /** What bash offers for the last word. */
  const offers = (...words: readonly string[]): Promise<readonly string[]> => offersWith('$PATH', ...words);

  /** @param path  where programs are */
  async function offersWith(path: string, ...words: readonly string[]): Promise<readonly string[]> {
    const quoted = ['tulle', ...words].map((word) => `'${word}'`).join(' ');
    const program = `PATH="${path}"; COMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _tulle; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { status, stdout, stderr } = spawnSync(
      'bash',
      ['--norc', '-eu', '-c', `${await script('bash')}\n${program}`],
      {
        encoding: 'utf8',
      },
    );
    assert.equal(status, 0, stderr);
    assert.equal(stderr, '');
    return stdout.split('\n').filter((word) => word !== '');
  }

  test('is a valid script', async () => {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: await script('bash'), encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  });

  test('offers the commands, then those of a group, then its flags', async () => {
    assert.deepEqual(await offers(''), [
      'analyze',
      'authz',
      'check',
      'completion',
      'config',
      'diagnostics',
      'inject',
      'install',
      'install-cni',
      'multicluster',
      'prune',
      'routes',
      'uninject',
      'uninstall',
      'upgrade',
      'version',
      'viz',
    ]);
    assert.deepEqual(await offers('in'), ['inject', 'install', 'install-cni']);
    assert.deepEqual(await offers('viz', ''), ['dashboard', 'edges', 'install', 'routes', 'stat', 'tap', 'top']);
    assert.deepEqual(await offers('viz', 'stat', '--name'), ['--namespace']);
    assert.deepEqual(await offers('viz', 'stat', 'deploy', '--all'), ['--all-namespaces']);
    assert.deepEqual(await offers('install', '--cr'), ['--crds']);
    assert.deepEqual(await offers('frobnicate', ''), []);
  });

  test('offers the values of a flag that has choices, and of the shells', async () => {
    assert.deepEqual(await offers('check', '--output', ''), ['json', 'short', 'table']);
    assert.deepEqual(await offers('check', '-o', 's'), ['short']);
    assert.deepEqual(await offers('completion', ''), ['--help', 'bash', 'fish', 'zsh']);
    assert.deepEqual(await offers('inject', '--default-inbound-policy', 'de'), ['deny']);
    assert.deepEqual(await offers('authz', '--as', ''), ['unmeshed']);
    assert.deepEqual(await offers('viz', 'tap', 'deploy/web', '--method', 'P'), ['PATCH', 'POST', 'PUT']);
    assert.deepEqual(await offers('diagnostics', 'decisions', '--code', 'unauth'), ['unauthorized']);
    assert.deepEqual(await offers('viz', '--namespace', 'shop', 'st'), ['stat']);
  });

  test('offers kinds of resources: with a slash where a name must follow', async () => {
    assert.deepEqual(await offers('viz', 'stat', 'd'), ['daemonset', 'deployment']);
    assert.deepEqual(await offers('viz', 'stat', 's'), ['service', 'statefulset']);
    assert.deepEqual(await offers('authz', 'd'), ['daemonset/', 'deployment/']);
    assert.deepEqual(await offers('viz', 'stat', 'deployment', '--to', 'se'), ['service']);
    assert.deepEqual(await offers('routes', 'explain', 's'), ['svc/']);
  });

  test('offers the namespaces of the cluster, and none where kubectl does not know them', async () => {
    using folder = new Folder();
    chmodSync(folder.write('kubectl', '#!/bin/sh\necho namespace/shop\necho namespace/bank\n'), 0o755);
    assert.deepEqual(await offersWith(`${folder.path}:$PATH`, 'viz', 'stat', '-n', ''), ['shop', 'bank']);
    assert.deepEqual(await offersWith(`${folder.path}:$PATH`, 'authz', '--namespace', 's'), ['shop']);
    assert.deepEqual(await offersWith(`${folder.path}:$PATH`, 'authz', 'deploy/web', '-n', 's'), ['shop']);
    assert.deepEqual(await offersWith('', 'viz', 'stat', '-n', ''), []);
  });
});

test('the zsh completion is a valid script', skipUnless('zsh'), async () => {
  const { status, stderr } = spawnSync('zsh', ['-n'], { input: await script('zsh'), encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});

test('the fish completion is a valid script', skipUnless('fish'), async () => {
  const { status, stderr } = spawnSync('fish', ['--no-execute'], { input: await script('fish'), encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});
