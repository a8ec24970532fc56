import { isJsonObject, type JsonObject } from '../object.ts';
import { capabilities, containersWhere, objects, securityOf, type PodShape } from './pod-shape.ts';

/** Why a control refuses a pod: briefly, and which fields do what. */
export type Violation = { readonly reason: string; readonly detail: string };

/** One form of a control. */
export type Check = (pod: PodShape) => Violation | undefined;

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

/** No profile of AppArmor but the one of the runtime or a local one, as a field or as an annotation. */
export function appArmorProfile({ annotations, spec }: PodShape): Violation | undefined {
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

/** No capability is added that the runtime would not give anyway. */
export function addedCapabilities({ spec }: PodShape): Violation | undefined {
  const added = capabilitiesNotIn(spec, DEFAULT_CAPABILITIES);
  return added === undefined ? undefined : { reason: 'non-default capabilities', detail: added };
}

/** All capabilities are dropped, and none is added but the one for ports below 1024. */
export function droppedCapabilities({ spec }: PodShape): Violation | undefined {
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

/** No namespace of the node is shared. */
export function hostNamespaces({ spec }: PodShape): Violation | undefined {
  const shared = ['hostNetwork', 'hostPID', 'hostIPC'].filter((field) => spec[field] === true);
  if (shared.length === 0) return undefined;
  return { reason: 'host namespaces', detail: shared.map((field) => `${field}=true`).join(', ') };
}

/** No volume is a path of the node. */
export function hostPathVolumes({ spec }: PodShape): Violation | undefined {
  const names = objects(spec['volumes']).flatMap(({ name, hostPath }) => (isJsonObject(hostPath) ? [name] : []));
  if (names.length === 0) return undefined;
  return { reason: 'hostPath volumes', detail: `${plural('volume', names)} ${quoted(names)}` };
}

/** Volumes hold what the cluster or the pod itself put there. */
export function restrictedVolumes({ spec }: PodShape): Violation | undefined {
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

/** No port of the node is taken. */
export function hostPorts({ spec }: PodShape): Violation | undefined {
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

/** No container may do everything. */
export function privileged({ spec }: PodShape): Violation | undefined {
  const bad = containersWhere(spec, (container) => securityOf(container)['privileged'] === true);
  if (bad.length === 0) return undefined;
  return { reason: 'privileged', detail: `${containers(bad)} must not set securityContext.privileged=true` };
}

/** `/proc` is masked as by default. */
export function procMount({ spec }: PodShape): Violation | undefined {
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

/** No SELinux type but these, and neither user nor role. */
export function seLinuxOptions(types: readonly string[]): Check {
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

/** No profile of seccomp but the ones of the runtime or a local one: as annotations, before fields for them existed. */
export function seccompAnnotations({ annotations, spec }: PodShape): Violation | undefined {
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

/**
 * No profile of seccomp but the one of the runtime or a local one.
 *
 * @param isRequired  whether every container must have one, its own or the pod's
 */
export function seccompProfile({ spec }: PodShape, isRequired: boolean): Violation | undefined {
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

/** No kernel parameter but these. */
export function sysctls(allowed: readonly string[]): Check {
  return ({ spec }) => {
    const names = objects(securityOf(spec)['sysctls']).map(({ name }) => String(name));
    const forbidden = names.filter((name) => !allowed.includes(name));
    return forbidden.length === 0 ? undefined : { reason: 'forbidden sysctls', detail: forbidden.join(', ') };
  };
}

/** No container is a process of a Windows node. */
export function windowsHostProcess({ spec }: PodShape): Violation | undefined {
  const { setters } = badValues(spec, 'windowsOptions', ({ hostProcess }) => (hostProcess === true ? [true] : []));
  if (setters.length === 0) return undefined;
  return {
    reason: 'hostProcess',
    detail: `${setters.join(' and ')} must not set securityContext.windowsOptions.hostProcess=true`,
  };
}

/** No process can get more rights than the one that started it. */
export function allowPrivilegeEscalation({ spec }: PodShape): Violation | undefined {
  const bad = containersWhere(spec, (container) => securityOf(container)['allowPrivilegeEscalation'] !== false);
  if (bad.length === 0) return undefined;
  return {
    reason: 'allowPrivilegeEscalation != false',
    detail: `${containers(bad)} must set securityContext.allowPrivilegeEscalation=false`,
  };
}

/** The runtime is told to refuse root. */
export function runAsNonRoot({ spec }: PodShape): Violation | undefined {
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

/** Nobody asks for root. */
export function runAsUser({ spec }: PodShape): Violation | undefined {
  const bad = containersWhere(spec, (container) => securityOf(container)['runAsUser'] === 0);
  const setters = [
    ...(securityOf(spec)['runAsUser'] === 0 ? ['pod'] : []),
    ...(bad.length === 0 ? [] : [containers(bad)]),
  ];
  if (setters.length === 0) return undefined;
  return { reason: 'runAsUser=0', detail: `${setters.join(' and ')} must not set runAsUser=0` };
}

/** What Linux alone has is not asked of pods that say they are for Windows. */
export function unlessWindows(check: Check): Check {
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
