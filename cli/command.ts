import { parseArgs } from 'node:util';
import { nearest } from '#runtime/nearest.ts';

/** One flag of a command. `value` names what a text flag takes, as shown in the help. */
export type Flag =
  | { readonly type: 'boolean'; readonly short?: string; readonly help: string }
  | {
      readonly type: 'string';
      readonly short?: string;
      readonly help: string;
      readonly value: string;
      readonly default?: string;
      readonly choices?: readonly string[];
      readonly words?: readonly string[]; // offered by a completion, beside which there are others
      readonly isName?: boolean; // the value is the name of a Kubernetes object: a DNS label
      readonly isRepeated?: boolean; // may be given several times
    };

export type Flags = Readonly<Record<string, Flag>>;
export type FlagValues = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** What a command reads and writes, so that it runs in a test as on a terminal. */
export type Terminal = {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly isColoured: boolean;
  readonly readStdin: () => Promise<string>;
};

export type Invocation = {
  readonly flags: FlagValues;
  readonly args: readonly string[];
  readonly terminal: Terminal;
};

export type Command = {
  readonly path: readonly string[]; // ['viz', 'stat']
  readonly aliases?: readonly string[]; // other names of the last part
  readonly args?: string; // shown in the usage line: `TYPE[/NAME]`
  readonly words?: readonly string[]; // what an argument can be or, ending in /, begin with
  readonly summary: string;
  readonly details?: string;
  readonly flags: Flags;
  readonly examples: readonly string[];
  /** @returns the exit code */
  readonly run: (invocation: Invocation) => Promise<number>;
};

/** A mistake of the caller: printed as one line, without a stack, with exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Something outside that is not as it should be: printed as one line with exit code 1. Message or hint say what to do. */
export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly hint: string | undefined; // what to do, where the message does not say it already
  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** Source: RFC 1123 label, which names of namespaces are. */
const OBJECT_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Flags of every command that talks to a cluster. */
export const CLUSTER_FLAGS = {
  kubeconfig: { type: 'string', value: 'FILE', help: 'kubeconfig to use (default: $KUBECONFIG, then ~/.kube/config)' },
  context: { type: 'string', value: 'NAME', help: 'context of the kubeconfig' },
  'tulle-namespace': {
    type: 'string',
    short: 'L',
    value: 'NS',
    isName: true,
    default: 'tulle',
    help: 'namespace of the control plane',
  },
} as const satisfies Flags;

/**
 * Reads the command line of one command.
 *
 * @throws UsageError  naming the flag that is unknown, has no value or has a wrong one
 */
export function parseFlags(
  command: Command,
  argv: readonly string[],
): { readonly flags: FlagValues; readonly args: readonly string[] } {
  const options = Object.fromEntries(
    Object.entries({ ...command.flags, help: HELP_FLAG }).map(([name, flag]) => [
      name,
      {
        type: flag.type,
        ...(flag.short === undefined ? {} : { short: flag.short }),
        ...('default' in flag ? { default: flag.default } : {}),
        ...('isRepeated' in flag ? { multiple: flag.isRepeated } : {}),
      },
    ]),
  );
  let parsed;
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(`${flagProblem(error, Object.keys(options))} (${helpHint(command)} lists the flags)`);
  }
  for (const [name, flag] of Object.entries(command.flags)) {
    const value = parsed.values[name];
    if (flag.type === 'string' && typeof value === 'string') checkValue(name, flag, value);
  }
  if (command.args === undefined && parsed.positionals.length > 0 && parsed.values['help'] !== true) {
    throw new UsageError(`unexpected argument "${parsed.positionals[0]}" (${helpHint(command)})`);
  }
  return { flags: parsed.values as FlagValues, args: parsed.positionals };
}

function checkValue(name: string, flag: Extract<Flag, { type: 'string' }>, value: string): void {
  if (flag.choices !== undefined && !flag.choices.includes(value))
    throw new UsageError(`--${name} is "${value}": use one of ${flag.choices.join(', ')}`);
  if (flag.isName === true && !OBJECT_NAME.test(value))
    throw new UsageError(`--${name} is "${value}", which cannot be a name: use a-z, 0-9 and dashes`);
}

function helpHint(command: Command): string {
  return `\`tulle ${command.path.join(' ')} --help\``;
}

/** What `parseArgs` found, in one line in our words. */
function flagProblem(error: unknown, known: readonly string[]): string {
  if (!(error instanceof Error)) return String(error);
  const [flag = ''] = /(?<=')-[^' ]+/.exec(error.message) ?? [];
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ERR_PARSE_ARGS_UNKNOWN_OPTION': {
      const guess = nearest(flag.replace(/^--?/, ''), known);
      return `unknown flag ${flag}${guess === undefined || !flag.startsWith('--') ? '' : `: did you mean --${guess}?`}`;
    }
    case 'ERR_PARSE_ARGS_INVALID_OPTION_VALUE': {
      const long = /--[a-z-]+/.exec(error.message)?.[0] ?? flag;
      return error.message.includes('does not take an argument') ? `${long} takes no value` : `${long} needs a value`;
    }
    default:
      return error.message.split('\n')[0] ?? '';
  }
}

const HELP_FLAG: Flag = { type: 'boolean', short: 'h', help: 'show this help' };

const HELP_COLUMNS = 110;

/** The text of `--help`. */
export function commandHelp(command: Command): string {
  const flags = Object.entries({ ...command.flags, help: HELP_FLAG });
  const left = flags.map(([name, flag]) => {
    const short = flag.short === undefined ? '    ' : `-${flag.short}, `;
    return `  ${short}--${name}${flag.type === 'string' ? ` ${flag.value}` : ''}`;
  });
  const width = Math.max(...left.map((text) => text.length)) + 2;
  const lines = flags.map(([, flag], index) => {
    const choices = flag.type === 'string' && flag.choices !== undefined ? `(one of ${flag.choices.join(', ')})` : '';
    const fallback =
      flag.type === 'string' && flag.default !== undefined && flag.default !== '' ? `(default ${flag.default})` : '';
    const line = [`${(left[index] ?? '').padEnd(width)}${flag.help}`, choices, fallback].filter((part) => part !== '');
    const isLong = line.join(' ').length > HELP_COLUMNS;
    return isLong ? line.join(`\n${' '.repeat(width)}`) : line.join(' ');
  });
  return [
    command.summary,
    ...(command.details === undefined ? [] : ['', command.details]),
    '',
    `Usage: tulle ${command.path.join(' ')}${command.args === undefined ? '' : ` ${command.args}`} [flags]`,
    '',
    'Examples:',
    ...command.examples.map((example) => `  ${example}`),
    '',
    'Flags:',
    ...lines,
    '',
  ].join('\n');
}

/** Text value of a flag that has a default or was given. */
export function textFlag(flags: FlagValues, name: string): string {
  const value = flags[name];
  if (typeof value !== 'string') throw new UsageError(`--${name} is missing`);
  return value;
}

/** All values of a flag that may be given several times, in their order. */
export function textList(flags: FlagValues, name: string): readonly string[] {
  const value = flags[name];
  return Array.isArray(value) ? value : [];
}

export function optionalText(flags: FlagValues, name: string): string | undefined {
  const value = flags[name];
  return typeof value === 'string' ? value : undefined;
}
