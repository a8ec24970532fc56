import { UsageError, type Command, type Flag } from '../command.ts';

const SHELLS = ['bash', 'fish', 'zsh'] as const;

/** `tulle completion SHELL`: a script that knows every command and flag. The commands are given to keep this file free of cycles. */
export function completion(commands: () => readonly Command[]): Command {
  return {
    path: ['completion'],
    args: 'bash|zsh|fish',
    words: SHELLS,
    summary: 'Print the completion script of a shell.',
    flags: {},
    examples: [
      'source <(tulle completion bash)',
      'tulle completion zsh > "${fpath[1]}/_tulle"',
      'tulle completion fish | source',
    ],
    run: async ({ args, terminal }) => {
      const shell = SHELLS.find((name) => name === args[0]);
      if (shell === undefined) throw new UsageError('name a shell: bash, zsh, fish');
      terminal.out(SCRIPTS[shell](vocabularyOf(commands())));
      return 0;
    },
  };
}

type Vocabulary = {
  /** What can follow each beginning of a command line: `'' -> install viz ...`, `viz -> stat edges`, `viz stat -> --namespace ...`. */
  readonly next: ReadonlyMap<string, readonly string[]>;
  /** Flags that take the next word, with the values it can have: `--output -> json table`. */
  readonly values: ReadonlyMap<string, readonly string[]>;
};

function vocabularyOf(commands: readonly Command[]): Vocabulary {
  const next = new Map<string, Set<string>>();
  const values = new Map<string, Set<string>>();
  const put = (map: Map<string, Set<string>>, key: string, words: readonly string[]): void => {
    const set = map.get(key) ?? new Set();
    for (const word of words) set.add(word);
    map.set(key, set);
  };
  for (const { path, flags, words = [] } of commands) {
    path.forEach((part, index) => put(next, path.slice(0, index).join(' '), [part]));
    put(next, path.join(' '), ['--help', ...Object.keys(flags).map((flag) => `--${flag}`), ...words]);
    for (const [name, flag] of Object.entries(flags)) {
      if (flag.type !== 'string') continue;
      const spellings = [`--${name}`, ...(flag.short === undefined ? [] : [`-${flag.short}`])];
      for (const spelling of spellings) put(values, `${path.join(' ')} ${spelling}`, wordsOf(flag));
    }
  }
  const sorted = (map: Map<string, Set<string>>): ReadonlyMap<string, readonly string[]> =>
    new Map([...map].map(([key, set]) => [key, [...set].sort()]));
  return { next: sorted(next), values: sorted(values) };
}

/** Stands among words for the namespaces of the cluster, which the scripts ask kubectl for. */
const NAMESPACES = '$(_tulle_namespaces)';

function wordsOf(flag: Extract<Flag, { readonly type: 'string' }>): readonly string[] {
  return flag.value === 'NS' ? [NAMESPACES] : (flag.choices ?? flag.words ?? []);
}

const ASK_NAMESPACES = 'command kubectl get namespaces --output name --request-timeout 2s 2> /dev/null';

/** A function of bash and zsh. */
const NAMESPACES_FUNCTION = `_tulle_namespaces() {
  local name
  ${ASK_NAMESPACES} | while read -r name; do echo "\${name#namespace/}"; done
}
`;

/** Beginnings, the longest first: a case with a longer beginning must stand before the ones that match it too. */
function byLength(map: ReadonlyMap<string, readonly string[]>): readonly (readonly [string, readonly string[]])[] {
  return [...map].sort(([a], [b]) => b.length - a.length);
}

/** Flags that take the next word, in any command: that word is no part of the command then. */
function valueFlags({ values }: Vocabulary): string {
  return [...new Set([...values.keys()].map((key) => key.split(' ').at(-1) ?? ''))].sort().join('|');
}

/** The flag right behind its command, or behind arguments of it. */
function valuePattern(key: string): string {
  const at = key.lastIndexOf(' ');
  return `"${key}"|"${key.slice(0, at)} "*"${key.slice(at)}"`;
}

/** Lines of a `case` over the words before the cursor. */
function cases({ next, values }: Vocabulary, offer: (words: readonly string[]) => string): string {
  return [
    ...byLength(values).map(([key, words]) => `    ${valuePattern(key)}) ${offer(words)} ;;`),
    ...byLength(next).map(([key, words]) => `    "${key}"${key === '' ? '' : `|"${key} "*`}) ${offer(words)} ;;`),
  ].join('\n');
}

const SCRIPTS: Readonly<Record<(typeof SHELLS)[number], (vocabulary: Vocabulary) => string>> = {
  bash: (vocabulary) => `# bash completion of tulle
${NAMESPACES_FUNCTION}_tulle() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="" expected="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ -n $expected ]]; then expected=""; continue; fi
    case "$word" in
      ${valueFlags(vocabulary)}) expected="$word" ;;
      -*) ;;
      *) before="\${before:+$before }$word" ;;
    esac
  done
  COMPREPLY=()
  case "$before\${expected:+ $expected}" in
${cases(vocabulary, (words) => `COMPREPLY=($(compgen -W "${words.join(' ')}" -- "$current" || true))`)}
  esac
  # A name follows what ends in a slash.
  if [[ \${COMPREPLY[0]-} == */ ]]; then compopt -o nospace 2> /dev/null || true; fi
}
complete -o default -F _tulle tulle
`,
  zsh: (vocabulary) => `#compdef tulle
${NAMESPACES_FUNCTION}_tulle() {
  local before="" expected="" word
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ -n $expected ]]; then expected=""; continue; fi
    case "$word" in
      ${valueFlags(vocabulary)}) expected="$word" ;;
      -*) ;;
      *) before="\${before:+$before }$word" ;;
    esac
  done
  case "$before\${expected:+ $expected}" in
${cases(vocabulary, zshOffer)}
  esac
}
compdef _tulle tulle
`,
  fish: ({ next, values }) =>
    [
      '# fish completion of tulle',
      `function _tulle_namespaces; ${ASK_NAMESPACES} | string replace namespace/ ''; end`,
      ...[...next].map(([key, words]) => {
        const following = key === '' ? '__fish_use_subcommand' : seen(key.split(' '), words);
        return `complete -c tulle -f -n '${following}' -a '${words.join(' ')}'`;
      }),
      ...[...values].map(([key, words]) => {
        const parts = key.split(' ');
        const flag = parts.pop() ?? '';
        const option = flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`;
        return `complete -c tulle -n '${seen(parts, [])}' ${option} -r${words.length === 0 ? '' : ` -f -a '${words.join(' ').replace(NAMESPACES, '(_tulle_namespaces)')}'`}`;
      }),
      '',
    ].join('\n'),
};

/** A name follows what ends in a slash. */
function zshOffer(words: readonly string[]): string {
  if (words.length === 0) return '_default';
  const { whole = [], begun = [] } = Object.groupBy(words, (word) => (word.endsWith('/') ? 'begun' : 'whole'));
  return [
    ...(whole.length === 0 ? [] : [`compadd -- ${whole.join(' ')}`]),
    ...(begun.length === 0 ? [] : [`compadd -S '' -- ${begun.join(' ')}`]),
  ].join('; ');
}

/** A condition of fish: these words are there, and none of the commands that could follow. */
function seen(path: readonly string[], following: readonly string[]): string {
  const commands = following.filter((word) => !word.startsWith('-'));
  return [
    ...path.map((word) => `__fish_seen_subcommand_from ${word}`),
    ...(commands.length === 0 ? [] : [`not __fish_seen_subcommand_from ${commands.join(' ')}`]),
  ].join('; and ');
}
