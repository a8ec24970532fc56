import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { CommandError, UsageError } from './command.ts';
import { loadKubeconfig, type KubeconfigChoice } from './kubeconfig.ts';
import { Folder, kubeconfig } from './testing.ts';

const GOOD = kubeconfig({ server: 'https://127.0.0.1:1' });

describe('the kubeconfig', () => {
  const folder = new Folder();
  after(() => folder[Symbol.dispose]());

  async function problem(choice: Partial<KubeconfigChoice>): Promise<string> {
    try {
      await loadKubeconfig({ file: undefined, context: undefined, environment: {}, ...choice });
    } catch (error) {
      assert.ok(error instanceof CommandError || error instanceof UsageError, String(error));
      assert.doesNotMatch(error.message, /\n/);
      return error.message;
    }
    throw new assert.AssertionError({ message: 'it was accepted' });
  }

  test('KUBECONFIG may list several files, of which some do not exist', async () => {
    const other = GOOD.replaceAll('here', 'there');
    const paths = [`${folder.path}/nothing`, folder.write('one', GOOD), folder.write('two', other)];
    const choice = { file: undefined, context: 'there', environment: { KUBECONFIG: `:${paths.join(':')}:` } };
    const config = await loadKubeconfig(choice);
    assert.deepEqual(
      config.getContexts().map(({ name }) => name),
      ['here', 'there'],
    );
    assert.equal(config.getCurrentContext(), 'there');
  });

  test('a file that is not there is named, whoever named it', async () => {
    const file = `${folder.path}/nothing`;
    assert.equal(await problem({ file }), `--kubeconfig ${file}: there is no such file`);
    assert.match(await problem({ environment: { KUBECONFIG: file } }), /^KUBECONFIG names .*nothing, which does not/);
  });

  test('broken files are named with the reason', async () => {
    for (const [name, text] of [
      ['broken', 'clusters: [a'],
      ['empty', ''],
      ['key', '{"clusters": [{}]}'],
    ] as const) {
      const file = folder.write(name, text);
      assert.match(await problem({ file }), new RegExp(`^the kubeconfig ${file} cannot be read: .`));
    }
    assert.match(await problem({ file: folder.path }), /cannot be read: EISDIR/);
  });

  test('a context that is missing, unknown or without cluster lists the ones there are', async () => {
    const at = (name: string, text: string): string => folder.write(name, text);
    assert.match(await problem({ file: at('a', '{}') }), /a has no current context: .* \(it has none\)$/);
    assert.match(
      await problem({ file: at('b', GOOD.replace('"current-context":"here"', '"current-context":"gone"')) }),
      /b has no context "gone", which it calls current: use --context \(it has here\)$/,
    );
    assert.match(
      await problem({ file: at('c', GOOD.replace('"cluster":"small"', '"cluster":"gone"')) }),
      /c has no cluster for its context "here"/,
    );
    assert.equal(
      await problem({ file: at('d', GOOD), context: 'gone' }),
      '--context gone: the kubeconfig has no such context, it has here',
    );
  });
});
