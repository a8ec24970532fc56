import { isJsonObject, type JsonObject } from '../object.ts';
import type { Standard } from './policy.ts';

/** A pod, or the template of one. */
export type PodShape = { readonly annotations: Readonly<Record<string, string>>; readonly spec: JsonObject };

/** Why a control refuses a pod: briefly, and which fields do what. */
export type Violation = { readonly reason: string; readonly detail: string };

type Check = (pod: PodShape) => Violation | undefined;

/** A control of the Pod Security Standards, in the form that each version gave it. */
type Control = {
  readonly id: string;
  readonly level: 'baseline' | 'restricted';
  readonly versions: readonly { readonly since: number; readonly check: Check }[]; // minor versions, rising
  readonly replaces?: string; // a control of the baseline that asks for less
};

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
      { since: 0, check: seLinuxOptions(['', 'container_t', 'container_init_t', 'container_kvm_t']) },
      {
        since: 31,
        check: seLinuxOptions(['', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t']),
      },
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
  { id: 'sysctls', level: 'baseline', versions: sysctlVersions() },
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

const APP_ARMOR_ANNOTATION = 'container.apparmor.security.beta.kubernetes.io/';
const SECCOMP_ANNOTATION = 'seccomp.security.alpha.kubernetes.io/pod';
const SECCOMP_CONTAINER_ANNOTATION = 'container.seccomp.security.alpha.kubernetes.io/';
const PROFILES: ReadonlySet<unknown> = new Set(['RuntimeDefault', 'Localhost']);
const DEFAULT_CAPABILITIES: ReadonlySet<unknown> = new Set([
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'MKNOD',
  'NET_BIND_SERVICE',
  'SETFCAP',
  'SETGID',
  'SETPCAP',
  'SETUID',
  'SYS_CHROOT',
]);
const UNRESTRICTED_VOLUMES: ReadonlySet<string> = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'image',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);

function appArmorProfile({ annotations, spec }: PodShape): Violation | undefined {
  const { setters, values } = badValues(spec, 'appArmorProfile', ({ type }) => (PROFILES.has(type) ? [] : [type]));
  const forbidden = Object.entries(annotations)
    .filter(([key, value]) => key.startsWith(APP_ARMOR_ANNOTATION) && !/^$|^runtime\/default$|^localhost\//.test(value))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .sort();
  if (forbidden.length > 0) setters.push(plural('annotation', forbidden));
  if (setters.length === 0) return undefined;
  const all = [...values, ...forbidden];
  return {
    reason: plural('forbidden AppArmor profile', all),
    detail: `${setters.join(' and ')} must not set AppArmor profile type to ${quoted(all)}`,
  };
}

function addedCapabilities({ spec }: PodShape): Violation | undefined {
  const added = capabilitiesNotIn(spec, DEFAULT_CAPABILITIES);
  return added === undefined ? undefined : { reason: 'non-default capabilities', detail: added };
}

function droppedCapabilities({ spec }: PodShape): Violation | undefined {
  const keeping = containersWhere(spec, (container) => !capabilities(container, 'drop').includes('ALL'));
  const added = capabilitiesNotIn(spec, new Set(['NET_BIND_SERVICE']));
  const details = [
    ...(keeping.length === 0 ? [] : [`${containers(keeping)} must set securityContext.capabilities.drop=["ALL"]`]),
    ...(added === undefined ? [] : [added]),
  ];
  return details.length === 0 ? undefined : { reason: 'unrestricted capabilities', detail: details.join('; ') };
}

function capabilitiesNotIn(spec: JsonObject, allowed: ReadonlySet<unknown>): string | undefined {
  const found = new Set<unknown>();
  const bad = containersWhere(spec, (container) => {
    const forbidden = capabilities(container, 'add').filter((capability) => !allowed.has(capability));
    for (const capability of forbidden) found.add(capability);
    return forbidden.length > 0;
  });
  if (bad.length === 0) return undefined;
  return `${containers(bad)} must not include ${quoted(sorted(found))} in securityContext.capabilities.add`;
}

function hostNamespaces({ spec }: PodShape): Violation | undefined {
  const shared = ['hostNetwork', 'hostPID', 'hostIPC'].filter((field) => spec[field] === true);
  if (shared.length === 0) return undefined;
  return { reason: 'host namespaces', detail: shared.map((field) => `${field}=true`).join(', ') };
}

function hostPathVolumes({ spec }: PodShape): Violation | undefined {
  const names = objects(spec['volumes']).flatMap(({ name, hostPath }) => (isJsonObject(hostPath) ? [name] : []));
  if (names.length === 0) return undefined;
  return { reason: 'hostPath volumes', detail: `${plural('volume', names)} ${quoted(names)}` };
}

function restrictedVolumes({ spec }: PodShape): Violation | undefined {
  const types = new Set<string>();
  const names = objects(spec['volumes']).flatMap(({ name, ...sources }) => {
    const [type = 'unknown'] = Object.keys(sources);
    if (UNRESTRICTED_VOLUMES.has(type)) return [];
    types.add(type);
    return [name];
  });
  if (names.length === 0) return undefined;
  const listed = sorted(types);
  return {
    reason: 'restricted volume types',
    detail: `${plural('volume', names)} ${quoted(names)} ${verb('use', names)} ${plural('restricted volume type', listed)} ${quoted(listed)}`,
  };
}

function hostPorts({ spec }: PodShape): Violation | undefined {
  const used = new Set<unknown>();
  const bad = containersWhere(spec, (container) => {
    const ports = objects(container['ports']).flatMap(({ hostPort = 0 }) => (hostPort === 0 ? [] : [hostPort]));
    for (const port of ports) used.add(port);
    return ports.length > 0;
  });
  if (bad.length === 0) return undefined;
  const listed = sorted(used);
  return {
    reason: 'hostPort',
    detail: `${containers(bad)} ${verb('use', bad)} ${plural('hostPort', listed)} ${listed.join(', ')}`,
  };
}

function privileged({ spec }: PodShape): Violation | undefined {
  const bad = containersWhere(spec, (container) => securityOf(container)['privileged'] === true);
  if (bad.length === 0) return undefined;
  return { reason: 'privileged', detail: `${containers(bad)} must not set securityContext.privileged=true` };
}

function procMount({ spec }: PodShape): Violation | undefined {
  const found = new Set<unknown>();
  const bad = containersWhere(spec, (container) => {
    const mount = securityOf(container)['procMount'] ?? 'Default';
    if (mount !== 'Default') found.add(mount);
    return mount !== 'Default';
  });
  if (bad.length === 0) return undefined;
  return {
    reason: 'procMount',
    detail: `${containers(bad)} must not set securityContext.procMount to ${quoted(sorted(found))}`,
  };
}

function seLinuxOptions(types: readonly string[]): Check {
  return ({ spec }) => {
    const badTypes = new Set<unknown>();
    const { setters, values } = badValues(spec, 'seLinuxOptions', ({ type = '', user = '', role = '' }) => {
      const isTypeBad = !types.some((allowed) => allowed === type);
      if (isTypeBad) badTypes.add(type);
      return [
        ...(isTypeBad ? ['type'] : []),
        ...(user === '' ? [] : ['user may not be set']),
        ...(role === '' ? [] : ['role may not be set']),
      ];
    });
    if (setters.length === 0) return undefined;
    const listed = sorted(badTypes);
    const data = [
      ...(listed.length === 0 ? [] : [`${plural('type', listed)} ${quoted(listed)}`]),
      ...['user may not be set', 'role may not be set'].filter((text) => values.includes(text)),
    ];
    return {
      reason: 'seLinuxOptions',
      detail: `${setters.join(' and ')} set forbidden securityContext.seLinuxOptions: ${data.join('; ')}`,
    };
  };
}

/** Profiles as they were before fields for them existed. */
function seccompAnnotations({ annotations, spec }: PodShape): Violation | undefined {
  const names = containersWhere(spec, () => true).map((name) => SECCOMP_CONTAINER_ANNOTATION + String(name));
  const forbidden = sorted(
    [SECCOMP_ANNOTATION, ...names].flatMap((key) => {
      const value = annotations[key];
      const isFine = value === undefined || /^(runtime\/default|docker\/default)$|^localhost\//.test(value);
      return isFine ? [] : [`${key}=${JSON.stringify(value)}`];
    }),
  );
  if (forbidden.length === 0) return undefined;
  return {
    reason: 'seccompProfile',
    detail: `forbidden ${plural('annotation', forbidden)} ${forbidden.join(', ')}`,
  };
}

/** @param isRequired  whether every container must have a profile, its own or the pod's */
function seccompProfile({ spec }: PodShape, isRequired: boolean): Violation | undefined {
  const { setters, values } = badValues(spec, 'seccompProfile', ({ type }) => (PROFILES.has(type) ? [] : [type]));
  if (setters.length > 0)
    return {
      reason: 'seccompProfile',
      detail: `${setters.join(' and ')} must not set securityContext.seccompProfile.type to ${quoted(values)}`,
    };
  if (!isRequired || isJsonObject(securityOf(spec)['seccompProfile'])) return undefined;
  const without = containersWhere(spec, (container) => !isJsonObject(securityOf(container)['seccompProfile']));
  if (without.length === 0) return undefined;
  return {
    reason: 'seccompProfile',
    detail: `pod or ${containers(without)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"`,
  };
}

function sysctlVersions(): Control['versions'] {
  const allowed: unknown[] = [];
  const since = (minor: number, ...names: readonly string[]): Control['versions'][number] => {
    allowed.push(...names);
    const known = new Set(allowed);
    return { since: minor, check: ({ spec }) => sysctls(spec, known) };
  };
  return [
    since(
      0,
      'kernel.shm_rmid_forced',
      'net.ipv4.ip_local_port_range',
      'net.ipv4.tcp_syncookies',
      'net.ipv4.ping_group_range',
      'net.ipv4.ip_unprivileged_port_start',
    ),
    since(27, 'net.ipv4.ip_local_reserved_ports'),
    since(
      29,
      'net.ipv4.tcp_keepalive_time',
      'net.ipv4.tcp_fin_timeout',
      'net.ipv4.tcp_keepalive_intvl',
      'net.ipv4.tcp_keepalive_probes',
    ),
    since(32, 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_wmem'),
  ];
}

function sysctls(spec: JsonObject, allowed: ReadonlySet<unknown>): Violation | undefined {
  const names = objects(securityOf(spec)['sysctls']).flatMap(({ name }) => (allowed.has(name) ? [] : [String(name)]));
  return names.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: names.join(', ') };
}

function windowsHostProcess({ spec }: PodShape): Violation | undefined {
  const { setters } = badValues(spec, 'windowsOptions', ({ hostProcess }) => (hostProcess === true ? [true] : []));
  if (setters.length === 0) return undefined;
  return {
    reason: 'hostProcess',
    detail: `${setters.join(' and ')} must not set securityContext.windowsOptions.hostProcess=true`,
  };
}

function allowPrivilegeEscalation({ spec }: PodShape): Violation | undefined {
  const bad = containersWhere(spec, (container) => securityOf(container)['allowPrivilegeEscalation'] !== false);
  if (bad.length === 0) return undefined;
  return {
    reason: 'allowPrivilegeEscalation != false',
    detail: `${containers(bad)} must set securityContext.allowPrivilegeEscalation=false`,
  };
}

function runAsNonRoot({ spec }: PodShape): Violation | undefined {
  const ofPod = securityOf(spec)['runAsNonRoot'];
  const explicit = containersWhere(spec, (container) => securityOf(container)['runAsNonRoot'] === false);
  const setters = [...(ofPod === false ? ['pod'] : []), ...(explicit.length === 0 ? [] : [containers(explicit)])];
  const reason = 'runAsNonRoot != true';
  if (setters.length > 0)
    return { reason, detail: `${setters.join(' and ')} must not set securityContext.runAsNonRoot=false` };
  if (ofPod === true) return undefined;
  const silent = containersWhere(spec, (container) => securityOf(container)['runAsNonRoot'] !== true);
  if (silent.length === 0) return undefined;
  return { reason, detail: `pod or ${containers(silent)} must set securityContext.runAsNonRoot=true` };
}

function runAsUser({ spec }: PodShape): Violation | undefined {
  const bad = containersWhere(spec, (container) => securityOf(container)['runAsUser'] === 0);
  const setters = [
    ...(securityOf(spec)['runAsUser'] === 0 ? ['pod'] : []),
    ...(bad.length === 0 ? [] : [containers(bad)]),
  ];
  if (setters.length === 0) return undefined;
  return { reason: 'runAsUser=0', detail: `${setters.join(' and ')} must not set runAsUser=0` };
}

/** What Linux alone has is not asked of pods that say they are for Windows. */
function unlessWindows(check: Check): Check {
  return (pod) => (isJsonObject(pod.spec['os']) && pod.spec['os']['name'] === 'windows' ? undefined : check(pod));
}

/**
 * Who sets a field of a security context that pod and containers have to something forbidden, and to what.
 *
 * @param badIn  the forbidden values in the field
 */
function badValues(
  spec: JsonObject,
  field: string,
  badIn: (value: JsonObject) => readonly unknown[],
): { readonly setters: string[]; readonly values: readonly string[] } {
  const found = new Set<unknown>();
  const isBad = (owner: JsonObject): boolean => {
    const value = securityOf(owner)[field];
    const bad = isJsonObject(value) ? badIn(value) : [];
    for (const one of bad) found.add(one);
    return bad.length > 0;
  };
  const isPodBad = isBad(spec);
  const bad = containersWhere(spec, isBad);
  const setters = [...(isPodBad ? ['pod'] : []), ...(bad.length === 0 ? [] : [containers(bad)])];
  return { setters, values: sorted(found) };
}

/** Names of containers of every sort, in the order in which Kubernetes looks at them. */
function containersWhere(spec: JsonObject, isWanted: (container: JsonObject) => boolean): readonly unknown[] {
  const all = ['initContainers', 'containers', 'ephemeralContainers'].flatMap((field) => objects(spec[field]));
  return all.filter(isWanted).map(({ name }) => name);
}

function securityOf({ securityContext }: JsonObject): JsonObject {
  return isJsonObject(securityContext) ? securityContext : {};
}

function capabilities(container: JsonObject, field: 'add' | 'drop'): readonly unknown[] {
  const { capabilities: all } = securityOf(container);
  const list = isJsonObject(all) ? all[field] : undefined;
  return Array.isArray(list) ? (list as readonly unknown[]) : [];
}

function objects(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

/** `container "a"` or `containers "a", "b"` */
function containers(names: readonly unknown[]): string {
  return `${plural('container', names)} ${quoted(names)}`;
}

function plural(noun: string, { length }: readonly unknown[]): string {
  return length === 1 ? noun : `${noun}s`;
}

function verb(infinitive: string, { length }: readonly unknown[]): string {
  return length === 1 ? `${infinitive}s` : infinitive;
}

function quoted(items: readonly unknown[]): string {
  return items.map((item) => `"${String(item)}"`).join(', ');
}

function sorted(items: Iterable<unknown>): readonly string[] {
  return [...new Set([...items].map(String))].sort();
}
