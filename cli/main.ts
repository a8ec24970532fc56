import { CommandError, commandHelp, parseFlags, UsageError, type Command, type Terminal } from './command.ts';
import { check } from './commands/check.ts';
import { completion } from './commands/completion.ts';
import { proxyMetrics } from './commands/diagnostics.ts';
import { inject } from './commands/inject.ts';
import { install } from './commands/install.ts';
import { version } from './commands/version.ts';
import { VIZ_COMMANDS } from '../viz/cli/commands.ts';

const COMMANDS: readonly Command[] = [
  install,
  inject,
  check,
  ...VIZ_COMMANDS,
  proxyMetrics,
  version,
  completion(() => COMMANDS),
];

/** Other names of the first words. Source: Linkerd's command line. */
const ALIASES: Readonly<Record<string, string>> = { dg: 'diagnostics' };

const EXIT_USAGE = 2;

const terminal: Terminal = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
  isColoured: process.stdout.isTTY && process.env['NO_COLOR'] === undefined,
  readStdin: async () => {
    const chunks: Buffer[] = [];
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString();
  },
};

async function run(argv: readonly string[]): Promise<number> {
  const words = argv.map((word, index) => (index === 0 ? (ALIASES[word] ?? word) : word));
  const command = COMMANDS.find(({ path, aliases = [] }) =>
    path.every(
      (part, index) => words[index] === part || (index === path.length - 1 && aliases.includes(words[index] ?? '')),
    ),
  );
  if (command === undefined) return overview(words);
  const { flags, args } = parseFlags(command, words.slice(command.path.length));
  if (flags['help'] === true) {
    terminal.out(commandHelp(command));
    return 0;
  }
  return command.run({ flags, args, terminal });
}

/** `tulle`, `tulle help`, `tulle viz`: the commands below; anything else is a mistake that is named. */
function overview(words: readonly string[]): number {
  const wanted = words.filter((word) => word !== '--help' && word !== '-h' && word !== 'help');
  const below = COMMANDS.filter(({ path }) => wanted.every((word, index) => path[index] === word));
  if (below.length === 0) {
    const known = [...new Set(COMMANDS.map(({ path }) => path[0]))].join(', ');
    throw new UsageError(`unknown command "${wanted.join(' ')}": the commands are ${known} (\`tulle help\`)`);
  }
  const width = Math.max(...below.map(({ path }) => path.join(' ').length)) + 2;
  terminal.out(
    [
      'Tulle: a service mesh for small Kubernetes clusters.',
      '',
      'Usage: tulle COMMAND [flags]',
      '',
      'Commands:',
      ...below.map(({ path, summary }) => `  ${path.join(' ').padEnd(width)}${summary}`),
      '',
      'Start here:',
      '  tulle install | kubectl apply -f -',
      '  kubectl annotate namespace default linkerd.io/inject=enabled',
      '  tulle check',
      '',
      '`tulle COMMAND --help` explains a command with examples.',
      '',
    ].join('\n'),
  );
  return wanted.length === 0 || words.length > wanted.length ? 0 : EXIT_USAGE;
}

// A reader that goes away (`tulle install | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

run(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (error: unknown) => {
    if (error instanceof UsageError || error instanceof CommandError) terminal.err(`tulle: ${error.message}\n`);
    else
      terminal.err(
        `tulle: unexpected error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
      );
    process.exitCode = error instanceof UsageError ? EXIT_USAGE : 1;
  },
);
