import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The sandbox cannot start here. The message is one line: what is wrong and what to do. */
export class PreflightError extends Error {
  override readonly name = 'PreflightError';
}

/** What the checks look at; tests replace it. */
export type Machine = {
  readonly isRoot: boolean;
  readonly sysctl: (name: string) => string | undefined; // "kernel.unprivileged_userns_clone"; absent if unknown
  readonly run: (command: readonly string[]) => RunResult;
};
export type RunResult = { readonly status: number | null; readonly stderr: string; readonly isMissing: boolean };

const PROBE_MS_MAX = 30_000;
const PROBE = join(import.meta.dirname, 'probe.ts');

/** Settings that keep ordinary users from making user namespaces, and how to change them. */
const USER_NAMESPACE_SETTINGS: readonly (readonly [name: string, blocking: string, remedy: string])[] = [
  ['kernel.unprivileged_userns_clone', '0', 'sudo sysctl -w kernel.unprivileged_userns_clone=1'],
  ['user.max_user_namespaces', '0', 'sudo sysctl -w user.max_user_namespaces=15000'],
  [
    'kernel.apparmor_restrict_unprivileged_userns',
    '1',
    'sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
  ],
];

/**
 * Arguments of `unshare` for the namespaces of a sandbox. An ordinary user gets them inside a user namespace of his
 * own, in which he is root.
 */
export function namespaceArguments(isRoot: boolean): string[] {
  const user = isRoot ? [] : ['--user', '--map-root-user'];
  return [...user, '--net', '--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child'];
}

/**
 * Finds out beforehand whether a sandbox can run on this machine.
 *
 * @throws PreflightError  on the first thing that is missing
 */
export async function preflight(machine: Machine = thisMachine()): Promise<void> {
  await checkAddon();
  for (const tool of ['unshare', 'setpriv', 'mount']) {
    if (machine.run([tool, '--version']).isMissing) {
      throw new PreflightError(
        `${tool} is not installed: install util-linux (for example \`apt-get install util-linux\`)`,
      );
    }
  }
  checkNamespaces(machine);
}

export async function checkAddon(load: () => Promise<unknown> = () => import('koffi')): Promise<void> {
  try {
    await load();
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    throw new PreflightError(
      `the native addon koffi does not load (${reason}): delete node_modules and run \`npm ci\` on this machine`,
      { cause: error },
    );
  }
}

/** Makes the namespaces once and tries nftables in them: what a setting says is less than what the kernel does. */
function checkNamespaces(machine: Machine): void {
  const node = [process.execPath, '--disable-warning=ExperimentalWarning'];
  const result = machine.run(['unshare', ...namespaceArguments(machine.isRoot), ...node, PROBE]);
  if (result.status === 0) return;
  const said = result.stderr.trim().split('\n').at(-1) ?? '';
  if (!said.startsWith('unshare:')) {
    throw new PreflightError(said === '' ? `the probe of nftables ended with status ${result.status}` : said);
  }
  if (/unrecognized option|invalid option/.test(said)) {
    throw new PreflightError(`this unshare is too old or not util-linux's (${said}): install util-linux 2.32 or newer`);
  }
  if (!machine.isRoot) {
    for (const [name, blocking, remedy] of USER_NAMESPACE_SETTINGS) {
      if (machine.sysctl(name) !== blocking) continue;
      throw new PreflightError(
        `ordinary users may not make user namespaces here (${name}=${blocking}): run \`${remedy}\`, or start this as root`,
      );
    }
  }
  if (said.includes('No space left on device')) {
    throw new PreflightError(
      `no more namespaces may be made here (${said}): end other sandboxes and containers, or run ` +
        '`sudo sysctl -w user.max_user_namespaces=15000 user.max_net_namespaces=15000 user.max_mnt_namespaces=15000`',
    );
  }
  throw new PreflightError(
    `cannot make namespaces (${said}): in a container start it with --privileged, otherwise use a machine or VM that allows them`,
  );
}

function thisMachine(): Machine {
  return { isRoot: process.geteuid?.() === 0, sysctl: readSysctl, run };
}

function readSysctl(name: string): string | undefined {
  try {
    return readFileSync(join('/proc/sys', ...name.split('.')), 'utf8').trim();
  } catch {
    return undefined; // this kernel does not have the setting
  }
}

function run(command: readonly string[]): RunResult {
  const [program = '', ...args] = command;
  const result = spawnSync(program, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: PROBE_MS_MAX,
    killSignal: 'SIGKILL',
  });
  const isMissing = result.error !== undefined && 'code' in result.error && result.error.code === 'ENOENT';
  return { status: result.status, stderr: result.stderr ?? '', isMissing };
}
