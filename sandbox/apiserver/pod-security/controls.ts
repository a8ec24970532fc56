import {
  addedCapabilities,
  allowPrivilegeEscalation,
  appArmorProfile,
  droppedCapabilities,
  hostNamespaces,
  hostPathVolumes,
  hostPorts,
  privileged,
  procMount,
  restrictedVolumes,
  runAsNonRoot,
  runAsUser,
  seccompAnnotations,
  seccompProfile,
  seLinuxOptions,
  sysctls,
  unlessWindows,
  windowsHostProcess,
  type Check,
  type Violation,
} from './checks.ts';
import type { PodShape } from './pod-shape.ts';
import type { Standard } from './policy.ts';

/** A control of the Pod Security Standards, in the form that each version gave it. */
type Control = {
  readonly id: string;
  readonly level: 'baseline' | 'restricted';
  readonly versions: readonly { readonly since: number; readonly check: Check }[]; // minor versions, rising
  readonly replaces?: string; // a control of the baseline that asks for less
};

const SELINUX_TYPES = ['', 'container_t', 'container_init_t', 'container_kvm_t'];
const SYSCTLS = [
  'kernel.shm_rmid_forced',
  'net.ipv4.ip_local_port_range',
  'net.ipv4.tcp_syncookies',
  'net.ipv4.ping_group_range',
  'net.ipv4.ip_unprivileged_port_start',
];
const SYSCTLS_27 = [...SYSCTLS, 'net.ipv4.ip_local_reserved_ports'];
const SYSCTLS_29 = [
  ...SYSCTLS_27,
  'net.ipv4.tcp_keepalive_time',
  'net.ipv4.tcp_fin_timeout',
  'net.ipv4.tcp_keepalive_intvl',
  'net.ipv4.tcp_keepalive_probes',
];
const SYSCTLS_32 = [...SYSCTLS_29, 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem'];

/**
 * The Pod Security Standards, in the order in which violations are told.
 * Source: k8s.io/pod-security-admission v0.33 `policy`, the wording included.
 */
const CONTROLS: readonly Control[] = [
  { id: 'appArmorProfile', level: 'baseline', versions: [{ since: 0, check: appArmorProfile }] },
  { id: 'capabilities_baseline', level: 'baseline', versions: [{ since: 0, check: addedCapabilities }] },
  { id: 'hostNamespaces', level: 'baseline', versions: [{ since: 0, check: hostNamespaces }] },
  { id: 'hostPathVolumes', level: 'baseline', versions: [{ since: 0, check: hostPathVolumes }] },
  { id: 'hostPorts', level: 'baseline', versions: [{ since: 0, check: hostPorts }] },
  { id: 'privileged', level: 'baseline', versions: [{ since: 0, check: privileged }] },
  { id: 'procMount', level: 'baseline', versions: [{ since: 0, check: procMount }] },
  {
    id: 'seLinuxOptions',
    level: 'baseline',
    versions: [
      { since: 0, check: seLinuxOptions(SELINUX_TYPES) },
      { since: 31, check: seLinuxOptions([...SELINUX_TYPES, 'container_engine_t']) },
    ],
  },
  {
    id: 'seccompProfile_baseline',
    level: 'baseline',
    versions: [
      { since: 0, check: seccompAnnotations },
      { since: 19, check: (pod) => seccompProfile(pod, false) },
    ],
  },
  {
    id: 'sysctls',
    level: 'baseline',
    versions: [
      { since: 0, check: sysctls(SYSCTLS) },
      { since: 27, check: sysctls(SYSCTLS_27) },
      { since: 29, check: sysctls(SYSCTLS_29) },
      { since: 32, check: sysctls(SYSCTLS_32) },
    ],
  },
  { id: 'windowsHostProcess', level: 'baseline', versions: [{ since: 0, check: windowsHostProcess }] },
  {
    id: 'allowPrivilegeEscalation',
    level: 'restricted',
    versions: [
      { since: 8, check: allowPrivilegeEscalation },
      { since: 25, check: unlessWindows(allowPrivilegeEscalation) },
    ],
  },
  {
    id: 'capabilities_restricted',
    level: 'restricted',
    replaces: 'capabilities_baseline',
    versions: [
      { since: 22, check: droppedCapabilities },
      { since: 25, check: unlessWindows(droppedCapabilities) },
    ],
  },
  {
    id: 'restrictedVolumes',
    level: 'restricted',
    replaces: 'hostPathVolumes',
    versions: [{ since: 0, check: restrictedVolumes }],
  },
  { id: 'runAsNonRoot', level: 'restricted', versions: [{ since: 0, check: runAsNonRoot }] },
  { id: 'runAsUser', level: 'restricted', versions: [{ since: 23, check: runAsUser }] },
  {
    id: 'seccompProfile_restricted',
    level: 'restricted',
    replaces: 'seccompProfile_baseline',
    versions: [
      { since: 19, check: (pod) => seccompProfile(pod, true) },
      { since: 25, check: unlessWindows((pod) => seccompProfile(pod, true)) },
    ],
  },
];

/** What a pod does that a standard does not allow; nothing when it may pass. */
export function violationsOf(pod: PodShape, { level, minor }: Standard): readonly Violation[] {
  if (level === 'privileged') return [];
  const asked = CONTROLS.filter((control) => control.level === 'baseline' || level === 'restricted').flatMap(
    ({ id, replaces, versions }) => {
      const check = versions.findLast(({ since }) => since <= minor)?.check;
      return check === undefined ? [] : [{ id, replaces, check }];
    },
  );
  const replaced = new Set(asked.map(({ replaces }) => replaces));
  return asked.flatMap(({ id, check }) => (replaced.has(id) ? [] : (check(pod) ?? [])));
}

/** `privileged (container "a" must not set ...), hostPort (...)` */
export function describeViolations(violations: readonly Violation[]): string {
  return violations.map(({ reason, detail }) => (detail === '' ? reason : `${reason} (${detail})`)).join(', ');
}
