import { UsageError, type Command } from '../command.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** `tulle completion SHELL`: a script that knows every command and flag. The commands are given to keep this file free of cycles. */
export function completion(commands: () => readonly Command[]): Command {
  return {
    path: ['completion'],
    args: 'bash|zsh|fish',
    summary: 'Print the completion script of a shell.',
    flags: {},
    examples: [
      'source <(tulle completion bash)',
      'tulle completion zsh > "${fpath[1]}/_tulle"',
      'tulle completion fish | source',
    ],
    run: async ({ args, terminal }) => {
      const shell = SHELLS.find((name) => name === args[0]);
      if (shell === undefined) throw new UsageError(`name a shell: ${SHELLS.join(', ')}`);
      terminal.out(SCRIPTS[shell](words(commands())));
      return 0;
    },
  };
}

/** What can follow each beginning of a command line: `'' -> install viz ...`, `viz -> stat edges`, `viz stat -> --namespace ...`. */
function words(commands: readonly Command[]): ReadonlyMap<string, readonly string[]> {
  const next = new Map<string, Set<string>>();
  const put = (prefix: string, word: string): void => void next.set(prefix, (next.get(prefix) ?? new Set()).add(word));
  for (const { path, flags } of commands) {
    path.forEach((part, index) => put(path.slice(0, index).join(' '), part));
    for (const flag of [...Object.keys(flags), 'help']) put(path.join(' '), `--${flag}`);
  }
  return new Map([...next].map(([prefix, set]) => [prefix, [...set].sort()]));
}

const SCRIPTS: Readonly<Record<(typeof SHELLS)[number], (next: ReadonlyMap<string, readonly string[]>) => string>> = {
  bash: (next) => `# bash completion of tulle
_tulle() {
  local current="\${COMP_WORDS[COMP_CWORD]}" prefix="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] || prefix="\${prefix:+$prefix }$word"
  done
  case "$prefix" in
${[...next]
  .map(
    ([prefix, list]) =>
      `    "${prefix}"${prefix === '' ? '' : `|"${prefix} "*`}) COMPREPLY=($(compgen -W "${list.join(' ')}" -- "$current")) ;;`,
  )
  .sort(longestFirst)
  .join('\n')}
  esac
}
complete -o default -F _tulle tulle
`,
  zsh: (next) => `#compdef tulle
_tulle() {
  local prefix="\${(j: :)\${(@)words[2,CURRENT-1]:#-*}}"
  case "$prefix" in
${[...next]
  .map(([prefix, list]) => `    "${prefix}"${prefix === '' ? '' : `|"${prefix} "*`}) compadd -- ${list.join(' ')} ;;`)
  .sort(longestFirst)
  .join('\n')}
  esac
}
compdef _tulle tulle
`,
  fish: (next) =>
    `# fish completion of tulle\n${[...next]
      .flatMap(([prefix, list]) =>
        list.map((word) => `complete -c tulle -f -n '${fishCondition(prefix)}' -a '${word}'`),
      )
      .join('\n')}\n`,
};

/** A case with a longer beginning must stand before the ones that match it too. */
function longestFirst(a: string, b: string): number {
  return b.indexOf(')') - a.indexOf(')');
}

function fishCondition(prefix: string): string {
  return prefix === ''
    ? '__fish_use_subcommand'
    : prefix
        .split(' ')
        .map((word) => `__fish_seen_subcommand_from ${word}`)
        .join('; and ');
}
