import { CommandError, commandHelp, parseFlags, UsageError, type Command, type Terminal } from './command.ts';
import { analyzeCommand } from './commands/analyze.ts';
import { authz } from './commands/authz.ts';
import { check } from './commands/check.ts';
import { config } from './commands/config.ts';
import { completion } from './commands/completion.ts';
import { diagnosticsEndpoints, diagnosticsPolicy, diagnosticsProfile } from './commands/control-plane-answers.ts';
import { decisions } from './commands/decisions.ts';
import { proxyMetrics } from './commands/diagnostics.ts';
import { inject } from './commands/inject.ts';
import { install } from './commands/install.ts';
import { installCni } from './commands/install-cni.ts';
import { prune } from './commands/prune.ts';
import { routesExplain } from './commands/routes-explain.ts';
import { uninject } from './commands/uninject.ts';
import { uninstall } from './commands/uninstall.ts';
import { upgrade } from './commands/upgrade.ts';
import { version } from './commands/version.ts';
import { nearest } from '#runtime/nearest.ts';
import { MULTICLUSTER_COMMANDS } from '../multicluster/cli/commands.ts';
import { VIZ_COMMANDS } from '../viz/cli/commands.ts';

export const COMMANDS: readonly Command[] = [
  install,
  installCni,
  upgrade,
  prune,
  uninstall,
  inject,
  uninject,
  check,
  analyzeCommand,
  authz,
  routesExplain,
  config,
  ...VIZ_COMMANDS,
  ...MULTICLUSTER_COMMANDS,
  proxyMetrics,
  decisions,
  diagnosticsPolicy,
  diagnosticsEndpoints,
  diagnosticsProfile,
  version,
  completion(() => COMMANDS),
];

/** Other names of the first words. Source: Linkerd's command line. */
const ALIASES: Readonly<Record<string, string>> = { dg: 'diagnostics', mc: 'multicluster' };

const EXIT_USAGE = 2;

async function dispatch(argv: readonly string[], terminal: Terminal): Promise<number> {
  const words = argv.map((word, index) => (index === 0 ? (ALIASES[word] ?? word) : word));
  if (words[0] === 'help' && words.length > 1) return dispatch([...words.slice(1), '--help'], terminal);
  const command = COMMANDS.find(({ path, aliases = [] }) =>
    path.every(
      (part, index) => words[index] === part || (index === path.length - 1 && aliases.includes(words[index] ?? '')),
    ),
  );
  if (command === undefined) return overview(words, terminal);
  const { flags, args } = parseFlags(command, words.slice(command.path.length));
  if (flags['help'] === true) {
    terminal.out(commandHelp(command));
    return 0;
  }
  return command.run({ flags, args, terminal });
}

/** `tulle`, `tulle help`, `tulle viz`: the commands below; anything else is a mistake that is named. */
function overview(words: readonly string[], terminal: Terminal): number {
  const wanted = words.filter((word) => word !== '--help' && word !== '-h' && word !== 'help');
  const below = COMMANDS.filter(({ path }) => wanted.every((word, index) => path[index] === word));
  if (below.length === 0) throw new UsageError(unknownCommand(wanted));
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

function unknownCommand(words: readonly string[]): string {
  const [first = ''] = words;
  if (first.startsWith('-')) return `unknown flag ${first}: a command comes first (\`tulle help\` lists them)`;
  const all = COMMANDS.flatMap(({ path }) => path.map((_part, index) => path.slice(0, index + 1).join(' ')));
  const depth = COMMANDS.some(({ path }) => path[0] === first && path.length > 1) ? 2 : 1;
  const typed = words.slice(0, depth).join(' ');
  const guess = nearest(typed, [...new Set(all)]);
  return `unknown command "${typed}"${guess === undefined ? '' : `: did you mean "${guess}"?`} (\`tulle help\` lists the commands)`;
}

/**
 * Runs a command line and tells what went wrong in one line.
 *
 * @returns the exit code: 0, 1 when something outside is not as it should be, 2 for a mistake of the caller
 */
export async function runProgram(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    return await dispatch(argv, terminal);
  } catch (error) {
    terminal.err(`tulle: ${describe(error)}\n`);
    return error instanceof UsageError ? EXIT_USAGE : 1;
  }
}

function describe(error: unknown): string {
  if (error instanceof UsageError) return error.message;
  if (error instanceof CommandError)
    return error.hint === undefined ? error.message : `${error.message}: ${error.hint}`;
  return `unexpected error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}
