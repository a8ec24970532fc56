import { existsSync, readFileSync } from 'node:fs';
import { absentPackages, installPackages, type DebianPackages } from '../harness/debian-packages.ts';
import { goProgram } from '../harness/go-program.ts';

/** This machine cannot run a real Kubernetes. The message says what is missing and how to get it. */
export class Unsupported extends Error {}

/** What each program is needed for, by the Debian package that has it. */
const PACKAGES: DebianPackages = {
  containerd: ['/usr/bin/containerd', '/usr/bin/ctr'],
  runc: ['/usr/sbin/runc'],
  'containernetworking-plugins': ['/usr/lib/cni/bridge', '/usr/lib/cni/host-local', '/usr/lib/cni/portmap'],
  iptables: ['/usr/sbin/iptables'],
  conntrack: ['/usr/sbin/conntrack'],
  socat: ['/usr/bin/socat'],
};
const CAP_NET_ADMIN = 12n;
const CAP_SYS_ADMIN = 21n;

/**
 * Makes sure that a cluster can run here. As root on Debian, packages that are absent are installed.
 *
 * @param note  told what is installed
 * @throws Unsupported  with everything that is missing
 */
export function requireCluster(note: (text: string) => void): void {
  const problems: string[] = [];
  if (process.platform !== 'linux') problems.push('a Linux kernel');
  else if (process.getuid?.() !== 0) problems.push('root');
  else {
    if (!hasCapability(CAP_SYS_ADMIN) || !hasCapability(CAP_NET_ADMIN)) {
      problems.push('the capabilities SYS_ADMIN and NET_ADMIN (this root has fewer rights, as in a container)');
    }
    if (!isWritableCgroup()) problems.push('control groups (v1) that may be written, below /sys/fs/cgroup');
  }
  if (goProgram() === undefined) problems.push('Go 1.24 or newer, which builds Kubernetes');
  if (problems.length > 0) throw new Unsupported(`it needs ${problems.join(', and ')}`);
  const absent = absentPackages(PACKAGES);
  if (absent.length === 0) return;
  note(`installing Debian packages: ${absent.join(' ')}`);
  installPackages(absent);
  const still = absentPackages(PACKAGES);
  if (still.length > 0) throw new Unsupported(`it needs the Debian packages ${still.join(' ')}: install them`);
}

function hasCapability(bit: bigint): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> bit) & 1n) === 1n;
}

function isWritableCgroup(): boolean {
  return ['memory', 'pids'].every((name) => existsSync(`/sys/fs/cgroup/${name}/cgroup.procs`));
}
