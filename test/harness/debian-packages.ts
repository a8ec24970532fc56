import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

const INSTALL_MS = 600_000;

/** Files that tell that a Debian package is installed, by its name. */
export type DebianPackages = Readonly<Record<string, readonly string[]>>;

/** Names of those of which a file is absent. */
export function absentPackages(packages: DebianPackages): readonly string[] {
  return Object.entries(packages)
    .filter(([, files]) => !files.every((file) => existsSync(file)))
    .map(([name]) => name);
}

/** Installs packages by apt-get, as far as that works here; none of them is started. */
export function installPackages(names: readonly string[]): void {
  const command = ['DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1', 'apt-get', '-qq'];
  for (const args of [['update'], ['install', '--yes', '--no-install-recommends', ...names]])
    spawnSync('env', [...command, ...args], { stdio: ['ignore', 'ignore', 'inherit'], timeout: INSTALL_MS });
}
