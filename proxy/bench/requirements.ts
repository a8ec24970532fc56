import { existsSync } from 'node:fs';
import { absentPackages, installPackages, type DebianPackages } from '../../test/harness/debian-packages.ts';

/** What each program is needed for, by the Debian package that has it. */
const PACKAGES: DebianPackages = {
  nginx: ['/usr/sbin/nginx'],
  'libnginx-mod-stream': ['/usr/lib/nginx/modules/ngx_stream_module.so'],
  haproxy: ['/usr/sbin/haproxy'],
  'nghttp2-client': ['/usr/bin/h2load'],
  'util-linux': ['/usr/bin/taskset'],
};
/**
 * Makes sure that the peers and the load generator are here. As root on Debian, packages that are absent are installed; none is
 * started.
 *
 * @param note  told what is installed
 * @throws Error  naming the packages that are missing
 */
export function requirePrograms(note: (text: string) => void): void {
  let absent = absentPackages(PACKAGES);
  if (absent.length > 0 && process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    note(`installing Debian packages: ${absent.join(' ')}`);
    installPackages(absent);
    absent = absentPackages(PACKAGES);
  }
  if (absent.length > 0) throw new Error(`install the Debian packages ${absent.join(' ')}`);
}
