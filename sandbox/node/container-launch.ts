import { chmodSync, closeSync, fstatSync, mkdirSync, openSync, readSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';

import { capabilityMask } from './capabilities.ts';
import { ContainerProcess, type ContainerConfig } from './container-process.ts';
import type { RootMount } from './container-root.ts';
import type { Instance, Terminated } from './container-slot.ts';
import type { PodFacts } from './downward.ts';
import { ContainerConfigError, containerEnvironment, expand, type NamespaceReader } from './environment.ts';
import { hostnameOf } from './etc-files.ts';
import { argumentList, CONTAINER_PATH, type Image } from './images.ts';
import { LogFile } from './log-file.ts';
import { tailText } from './log-reader.ts';
import type { NodeContext } from './node-context.ts';
import type { Container, Pod } from './pod.ts';
import type { PodVolumes } from './volumes.ts';

/** Source: kubelet `MaxPodTerminationMessageLogLength` and `...Lines`. */
const MESSAGE_BYTES_MAX = 4096;
const LOG_MESSAGE_BYTES_MAX = 2048;
const LOG_MESSAGE_LINES_MAX = 80;
const DEFAULT_MESSAGE_PATH = '/dev/termination-log';

/** What a container needs of its pod. */
export type PodParts = {
  readonly pod: Pod;
  readonly facts: PodFacts;
  readonly reader: NamespaceReader;
  readonly volumes: PodVolumes;
  readonly etcMounts: readonly RootMount[];
  readonly netns: number | undefined; // absent: the node's network
};

/**
 * Resolves all references of a container.
 *
 * @throws ContainerConfigError  what the pod refers to is missing or contradictory
 */
export function containerConfig(
  context: NodeContext,
  parts: PodParts,
  container: Container,
  image: Image,
): Omit<ContainerConfig, 'mounts'> & { readonly volumeMounts: readonly RootMount[] } {
  const { pod } = parts;
  const { uid, gid } = userOf(context, pod, container);
  const base = {
    PATH: CONTAINER_PATH,
    HOME: '/tmp', // the one place every user may write to
    HOSTNAME: hostnameOf(pod),
    ...image.env,
  };
  const env = containerEnvironment(pod, container, parts.facts, parts.reader, base);
  const words = (list: readonly string[] | undefined): string[] => (list ?? []).map((word) => expand(word, env));
  const argv = argumentList(image, words(container.command), words(container.args));
  if (argv.length === 0) throw new ContainerConfigError(`no command specified for container "${container.name}"`);
  return {
    argv,
    env,
    directory: container.workingDir ?? image.directory ?? '/',
    ...(parts.netns === undefined ? {} : { netns: parts.netns, hostname: hostnameOf(pod) }),
    uid,
    gid,
    capabilities: capabilityMask(container.securityContext, uid),
    volumeMounts: parts.volumes.mountsOf(container, env),
  };
}

/** Starts one instance. Its log exists from now on, whether it starts or not. */
export async function launch(
  context: NodeContext,
  parts: PodParts,
  container: Container,
  config: ReturnType<typeof containerConfig>,
  log: LogFile,
  id: string,
): Promise<Instance> {
  const { volumeMounts, ...rest } = config;
  const own = join(context.directories.pods, parts.pod.metadata.uid, 'messages', container.name);
  mkdirSync(own, { recursive: true });
  const terminationFile = join(own, 'termination-log');
  writeFileSync(terminationFile, '');
  chmodSync(terminationFile, 0o666);
  const messageMount = {
    source: terminationFile,
    target: container.terminationMessagePath ?? DEFAULT_MESSAGE_PATH,
    isReadOnly: false,
  };
  const isTaken = (mount: RootMount): boolean => volumeMounts.some((used) => used.target === mount.target);
  const mounts = [...[...parts.etcMounts, messageMount].filter((mount) => !isTaken(mount)), ...volumeMounts];
  const process = await ContainerProcess.start(context.host, { ...rest, mounts }, log);
  return { id, process, log, terminationFile, prober: undefined, isHookDone: false, killAtMs: undefined };
}

export function openLog(context: NodeContext, pod: Pod, container: Container, restart: number): LogFile {
  const path = join(context.directories.logs, pod.metadata.uid, container.name, `${restart}.log`);
  mkdirSync(dirname(path), { recursive: true });
  return new LogFile(path);
}

export function newContainerId(): string {
  return `tulle://${randomBytes(32).toString('hex')}`;
}

/** What the container wrote as its last words, or the end of its log where that is wanted. */
export function terminationMessage(container: Container, instance: Instance, exitCode: number): Terminated['message'] {
  const written = readStart(instance.terminationFile);
  if (written !== '') return written;
  if (container.terminationMessagePolicy !== 'FallbackToLogsOnError' || exitCode === 0) return undefined;
  return tailText(instance.log, LOG_MESSAGE_LINES_MAX, LOG_MESSAGE_BYTES_MAX) || undefined;
}

function readStart(path: string): string {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(Math.min(fstatSync(fd).size, MESSAGE_BYTES_MAX));
    return bytes.toString('utf8', 0, readSync(fd, bytes, 0, bytes.length, 0));
  } finally {
    closeSync(fd);
  }
}

/** The user a container runs as; where only one user is mapped everything runs as that one. */
function userOf(context: NodeContext, pod: Pod, container: Container): { uid: number; gid: number } {
  const own = container.securityContext;
  const shared = pod.spec.securityContext;
  const uid = own?.runAsUser ?? shared?.runAsUser;
  const isNonRoot = own?.runAsNonRoot ?? shared?.runAsNonRoot ?? false;
  if (isNonRoot && uid === 0) {
    throw new ContainerConfigError(`container's runAsUser breaks non-root policy (container: ${container.name})`);
  }
  const gid = own?.runAsGroup ?? shared?.runAsGroup ?? 0;
  if (context.isUserMapped(uid ?? 0) && context.isUserMapped(gid)) return { uid: uid ?? 0, gid };
  context.log.debug({ container: container.name, uid, gid }, 'only one user is mapped: runAsUser is ignored');
  return { uid: 0, gid: 0 };
}
