import type { V1SecurityContext } from '@kubernetes/client-node';

/** Names by number. Source: linux/capability.h. */
const NAMES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'DAC_READ_SEARCH',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'LINUX_IMMUTABLE',
  'NET_BIND_SERVICE',
  'NET_BROADCAST',
  'NET_ADMIN',
  'NET_RAW',
  'IPC_LOCK',
  'IPC_OWNER',
  'SYS_MODULE',
  'SYS_RAWIO',
  'SYS_CHROOT',
  'SYS_PTRACE',
  'SYS_PACCT',
  'SYS_ADMIN',
  'SYS_BOOT',
  'SYS_NICE',
  'SYS_RESOURCE',
  'SYS_TIME',
  'SYS_TTY_CONFIG',
  'MKNOD',
  'LEASE',
  'AUDIT_WRITE',
  'AUDIT_CONTROL',
  'SETFCAP',
  'MAC_OVERRIDE',
  'MAC_ADMIN',
  'SYSLOG',
  'WAKE_ALARM',
  'BLOCK_SUSPEND',
  'AUDIT_READ',
  'PERFMON',
  'BPF',
  'CHECKPOINT_RESTORE',
];

/** What a container's root has without asking. Source: containerd `oci.defaultUnixCaps`. */
const DEFAULT_NAMES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FSETID',
  'FOWNER',
  'MKNOD',
  'NET_RAW',
  'SETGID',
  'SETUID',
  'SETFCAP',
  'SETPCAP',
  'NET_BIND_SERVICE',
  'SYS_CHROOT',
  'KILL',
  'AUDIT_WRITE',
];

const ALL = (1n << BigInt(NAMES.length)) - 1n;

/**
 * Capabilities of a container's processes, one bit per capability number. A user other than root has only those that
 * the container adds: images here have no file capabilities that would give it the others.
 *
 * @param uid  0 for root
 */
export function capabilityMask(context: V1SecurityContext | undefined, uid: number): bigint {
  if (context?.privileged === true) return ALL;
  const added = context?.capabilities?.add ?? [];
  const dropped = context?.capabilities?.drop ?? [];
  const base = uid === 0 && !dropped.some(isAll) ? bitsOf(DEFAULT_NAMES) & ~bitsOf(dropped) : 0n;
  return base | (added.some(isAll) ? ALL & ~bitsOf(dropped.filter((name) => !isAll(name))) : bitsOf(added));
}

function isAll(name: string): boolean {
  return name.toUpperCase() === 'ALL';
}

/** Unknown names have no bit. `CAP_` in front is allowed, as container runtimes do. */
function bitsOf(names: readonly string[]): bigint {
  return names.reduce((mask, name) => {
    const number = NAMES.indexOf(name.toUpperCase().replace(/^CAP_/, ''));
    return number < 0 ? mask : mask | (1n << BigInt(number));
  }, 0n);
}
