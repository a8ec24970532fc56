import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandHelp, parseFlags, UsageError, type Command } from './command.ts';

const command: Command = {
  path: ['viz', 'paint'],
  args: 'TYPE',
  summary: 'Paint something.',
  details: 'It dries soon.',
  flags: {
    colour: {
      type: 'string',
      short: 'c',
      value: 'COLOUR',
      default: 'red',
      choices: ['red', 'blue'],
      help: 'what paint',
    },
    namespace: { type: 'string', short: 'n', value: 'NS', isName: true, help: 'where' },
    wet: { type: 'boolean', help: 'do not wait' },
  },
  examples: ['tulle viz paint deploy'],
  run: async () => 0,
};
const without: Command = { ...command, path: ['paint'] };
const { args: _args, ...noArguments } = without;

function problem(argv: readonly string[], of: Command = command): string {
  try {
    parseFlags(of, argv);
  } catch (error) {
    assert.ok(error instanceof UsageError, String(error));
    assert.doesNotMatch(error.message, /\n/);
    return error.message;
  }
  throw new assert.AssertionError({ message: `${argv.join(' ')} was accepted` });
}

test('flags are read in every form, defaults are filled in, and the rest are arguments', () => {
  const { flags, args } = parseFlags(command, ['deploy', '--colour=blue', '-n', 'shop', '--wet']);
  assert.deepEqual({ ...flags }, { colour: 'blue', namespace: 'shop', wet: true });
  assert.deepEqual(args, ['deploy']);
  assert.deepEqual({ ...parseFlags(command, ['-nshop', '--', '--wet']).flags }, { colour: 'red', namespace: 'shop' });
});

test('an unknown flag is named, with the one that was probably meant', () => {
  assert.equal(
    problem(['--color', 'red']),
    'unknown flag --color: did you mean --colour? (`tulle viz paint --help` lists the flags)',
  );
  assert.equal(problem(['--frobnicate']), 'unknown flag --frobnicate (`tulle viz paint --help` lists the flags)');
  assert.equal(problem(['-x']), 'unknown flag -x (`tulle viz paint --help` lists the flags)');
});

test('a missing value, a value too many and a flag in place of a value are told apart in one line', () => {
  const hint = ' (`tulle viz paint --help` lists the flags)';
  assert.equal(problem(['--namespace']), `--namespace needs a value${hint}`);
  assert.equal(problem(['-n', '--wet']), `--namespace needs a value${hint}`);
  assert.equal(problem(['--wet=yes']), `--wet takes no value${hint}`);
});

test('a wrong choice lists the right ones', () => {
  assert.equal(problem(['-c', 'green']), '--colour is "green": use one of red, blue');
});

test('a value that becomes part of a request path must be a name', () => {
  for (const value of ['', 'a/b', '../x', 'Shop', '-a', 'x'.repeat(64)]) {
    assert.match(problem([`--namespace=${value}`]), /^--namespace is ".*", which cannot be a name/);
  }
});

test('an argument that the command does not take is named, except when help is asked for', () => {
  assert.equal(problem(['blue'], noArguments), 'unexpected argument "blue" (`tulle paint --help`)');
  assert.equal(parseFlags(noArguments, ['blue', '--help']).flags['help'], true);
});

test('the help holds summary, usage, examples and every flag', () => {
  assert.equal(
    commandHelp(command),
    `Paint something.

It dries soon.

Usage: tulle viz paint TYPE [flags]

Examples:
  tulle viz paint deploy

Flags:
  -c, --colour COLOUR  what paint (one of red, blue) (default red)
  -n, --namespace NS   where
      --wet            do not wait
  -h, --help           show this help
`,
  );
});
