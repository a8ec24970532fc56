import { chmodSync, lstatSync, mkdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { join, posix, sep } from 'node:path';

import { writeAtomically, type VolumeFiles } from './atomic-files.ts';
import type { RootMount } from './container-root.ts';
import { ContainerConfigError, expand } from './environment.ts';
import type { Container, Volume } from './pod.ts';
import { parseQuantity } from './quantity.ts';
import { mountTmpfs, unmount } from './syscalls.ts';
import { isWrittenByNode, VolumeError, volumeContent, type VolumeSources } from './volume-content.ts';

/** Where the volumes of one pod lie. */
export type VolumeDirectories = {
  readonly disk: string; // emptyDir
  readonly memory: string; // on a tmpfs: what the node writes, secrets among it
};

const SHARED_DIRECTORY_MODE = 0o777;

/** The volumes of one pod, from the first container to the last. */
export class PodVolumes {
  readonly #directories: VolumeDirectories;
  readonly #volumes: readonly Volume[];
  readonly #memoryMounts = new Set<string>();
  readonly #isReady = new Set<string>();

  constructor(directories: VolumeDirectories, volumes: readonly Volume[]) {
    this.#directories = directories;
    this.#volumes = volumes;
  }

  /**
   * Makes the volumes and fills those the node writes. May be called again after a failure or a change.
   *
   * @returns when it should be called again because a token gets old; Infinity for never
   * @throws VolumeError  for the first volume that cannot be set up; names the volume
   */
  async setUp(sources: VolumeSources): Promise<number> {
    let refreshAtMs = Infinity;
    for (const volume of this.#volumes) {
      try {
        refreshAtMs = Math.min(refreshAtMs, await this.#setUpOne(volume, sources));
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new VolumeError(`MountVolume.SetUp failed for volume "${volume.name}" : ${reason}`, { cause: error });
      }
    }
    return refreshAtMs;
  }

  /** True when a change of this object can change what containers see. */
  refersTo(kind: 'configMap' | 'secret', name: string): boolean {
    return this.#volumes.some((volume) => {
      const projected = volume.projected?.sources ?? [];
      if (kind === 'configMap') {
        return volume.configMap?.name === name || projected.some((source) => source.configMap?.name === name);
      }
      return volume.secret?.secretName === name || projected.some((source) => source.secret?.name === name);
    });
  }

  /**
   * What a container mounts.
   *
   * @param environment  for subPathExpr
   * @throws ContainerConfigError  for a volume that does not exist and for a sub path that leaves the volume
   */
  mountsOf(container: Container, environment: Readonly<Record<string, string>>): RootMount[] {
    return (container.volumeMounts ?? []).map((mount) => {
      const volume = this.#volumes.find((candidate) => candidate.name === mount.name);
      if (volume === undefined)
        throw new ContainerConfigError(`volumeMount "${mount.name}" names no volume of the pod`);
      const base = this.#pathOf(volume);
      const subPath = mount.subPathExpr === undefined ? mount.subPath : expand(mount.subPathExpr, environment);
      const isReadOnly = mount.readOnly === true || isWrittenByNode(volume) || volume.hostPath !== undefined;
      return {
        source: subPath === undefined || subPath === '' ? base : subPathIn(base, subPath, isReadOnly),
        target: mount.mountPath,
        isReadOnly,
      };
    });
  }

  /** Unmounts and removes everything; the pod's processes must be gone. */
  tearDown(): void {
    this.losePower();
    rmSync(this.#directories.disk, { recursive: true, force: true });
  }

  /** Only what is on the disk stays. */
  losePower(): void {
    for (const mount of this.#memoryMounts) unmount(mount);
    this.#memoryMounts.clear();
    rmSync(this.#directories.memory, { recursive: true, force: true });
  }

  async #setUpOne(volume: Volume, sources: VolumeSources): Promise<number> {
    const path = this.#pathOf(volume);
    if (isWrittenByNode(volume)) {
      const content = await volumeContent(volume, sources);
      writeAtomically(
        path,
        sources.pod.spec.securityContext?.fsGroup === undefined ? content.files : readable(content.files),
      );
      return content.refreshAtMs;
    }
    if (!this.#isReady.has(volume.name)) {
      if (volume.emptyDir !== undefined) this.#makeEmptyDir(volume, path);
      else if (volume.hostPath !== undefined) checkHostPath(path, volume.hostPath.type ?? '');
      else throw new VolumeError(`volumes of type ${typeOf(volume)} do not exist in the sandbox`);
      this.#isReady.add(volume.name);
    }
    return Infinity;
  }

  #makeEmptyDir(volume: Volume, path: string): void {
    mkdirSync(path, { recursive: true });
    if (volume.emptyDir?.medium === 'Memory') {
      const bytes = volume.emptyDir.sizeLimit === undefined ? undefined : parseQuantity(volume.emptyDir.sizeLimit);
      mountTmpfs(path, `mode=0777${bytes === undefined || bytes < 1 ? '' : `,size=${Math.ceil(bytes)}`}`);
      this.#memoryMounts.add(path);
    } else {
      chmodSync(path, SHARED_DIRECTORY_MODE);
    }
  }

  #pathOf(volume: Volume): string {
    if (volume.hostPath !== undefined) return volume.hostPath.path;
    return join(isWrittenByNode(volume) ? this.#directories.memory : this.#directories.disk, volume.name);
  }
}

/**
 * For fsGroup: the group may read. Processes here do not get supplementary groups, so everybody in the pod may; nobody
 * else sees the volume.
 */
function readable(files: VolumeFiles): VolumeFiles {
  return new Map([...files].map(([path, file]) => [path, { ...file, mode: file.mode | 0o444 }]));
}

/** Resolves links inside the volume, as of ConfigMap files, and makes the directory when it is missing. */
function subPathIn(base: string, subPath: string, isReadOnly: boolean): string {
  const normal = posix.normalize(subPath);
  if (normal.startsWith('/') || normal.split('/').includes('..')) {
    throw new ContainerConfigError(`subPath "${subPath}" must be relative and must not contain ".."`);
  }
  const path = join(base, normal);
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) {
    if (isReadOnly) throw new ContainerConfigError(`failed to prepare subPath "${subPath}": no such file or directory`);
    mkdirSync(path, { recursive: true });
    chmodSync(path, SHARED_DIRECTORY_MODE);
  }
  const real = realpathSync(path);
  if (real !== base && !`${real}${sep}`.startsWith(`${realpathSync(base)}${sep}`)) {
    throw new ContainerConfigError(`subPath "${subPath}" leads out of its volume`);
  }
  return real;
}

/** Source: HostPathVolumeSource `type`. */
function checkHostPath(path: string, type: string): void {
  if (type === 'DirectoryOrCreate') mkdirSync(path, { recursive: true });
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) throw new VolumeError(`hostPath type check failed: ${path} does not exist`);
  const isRight =
    type === '' ||
    (type.startsWith('Directory') && found.isDirectory()) ||
    (type.startsWith('File') && found.isFile()) ||
    (type === 'Socket' && found.isSocket()) ||
    (type === 'CharDevice' && found.isCharacterDevice()) ||
    (type === 'BlockDevice' && found.isBlockDevice());
  if (!isRight) throw new VolumeError(`hostPath type check failed: ${path} is not a ${type}`);
}

function typeOf(volume: Volume): string {
  return Object.keys(volume).find((field) => field !== 'name') ?? 'none';
}
