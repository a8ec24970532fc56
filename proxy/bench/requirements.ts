import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** What each program is needed for, by the Debian package that has it. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  nginx: ['/usr/sbin/nginx'],
  'libnginx-mod-stream': ['/usr/lib/nginx/modules/ngx_stream_module.so'],
  haproxy: ['/usr/sbin/haproxy'],
  'nghttp2-client': ['/usr/bin/h2load'],
  'util-linux': ['/usr/bin/taskset'],
};
const INSTALL_MS = 600_000;

/**
 * Makes sure that the peers and the load generator are here. As root on Debian, packages that are absent are installed; none is
 * started.
 *
 * @param note  told what is installed
 * @throws Error  naming the packages that are missing
 */
export function requirePrograms(note: (text: string) => void): void {
  let absent = absentPackages();
  if (absent.length > 0 && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    note(`installing Debian packages: ${absent.join(' ')}`);
    const command = ['DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1', 'apt-get', '-qq'];
    for (const args of [['update'], ['install', '--yes', '--no-install-recommends', ...absent]])
      spawnSync('env', [...command, ...args], { stdio: ['ignore', 'ignore', 'inherit'], timeout: INSTALL_MS });
    absent = absentPackages();
  }
  if (absent.length > 0) throw new Error(`install the Debian packages ${absent.join(' ')}`);
}

function absentPackages(): readonly string[] {
  return Object.entries(PACKAGES)
    .filter(([, files]) => !files.every((file) => existsSync(file)))
    .map(([name]) => name);
}
