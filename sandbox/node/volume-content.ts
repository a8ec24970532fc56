import type { V1KeyToPath, V1VolumeProjection } from '@kubernetes/client-node';
import { posix } from 'node:path';

import type { VolumeFile } from './atomic-files.ts';
import { fieldRefValue, resourceValue, type PodFacts } from './downward.ts';
import { objectData, type NamespaceReader } from './environment.ts';
import type { Pod, Volume } from './pod.ts';

/** A volume cannot be filled now; it may work later. The message is the one of a kubelet. */
export class VolumeError extends Error {
  override readonly name = 'VolumeError';
}

/** A service account token that a volume asks for. */
export type TokenRequest = { readonly audience: string; readonly expirationSeconds: number };

/** A token with the time from which a newer one should be there. Milliseconds of wall time. */
export type IssuedToken = { readonly token: string; readonly refreshAtMs: number };

/** Everything that the files of volumes are made from. */
export type VolumeSources = {
  readonly pod: Pod;
  readonly facts: PodFacts;
  readonly reader: NamespaceReader;
  token(request: TokenRequest): Promise<IssuedToken>;
};

export type VolumeContent = {
  readonly files: Map<string, VolumeFile>;
  readonly refreshAtMs: number; // Infinity unless there is a token in it
};

const DEFAULT_MODE = 0o644;
const DEFAULT_TOKEN_SECONDS = 3600;

/** True for the kinds whose files the node writes; containers see them read-only. */
export function isWrittenByNode(volume: Volume): boolean {
  return [volume.configMap, volume.secret, volume.downwardAPI, volume.projected].some((source) => source !== undefined);
}

/**
 * Files of a configMap, secret, downwardAPI or projected volume.
 *
 * @throws VolumeError  when a reference that is not optional is missing
 */
export async function volumeContent(volume: Volume, sources: VolumeSources): Promise<VolumeContent> {
  if (volume.projected !== undefined) return projectedContent(volume, sources);
  const files = new Map<string, VolumeFile>();
  if (volume.configMap !== undefined) {
    const { name, optional, items, defaultMode } = volume.configMap;
    addObject(files, sources, { kind: 'configMap', name, optional, items, mode: defaultMode ?? DEFAULT_MODE });
  } else if (volume.secret !== undefined) {
    const { secretName, optional, items, defaultMode } = volume.secret;
    addObject(files, sources, { kind: 'secret', name: secretName, optional, items, mode: defaultMode ?? DEFAULT_MODE });
  } else if (volume.downwardAPI !== undefined) {
    addDownward(files, sources, volume.downwardAPI, volume.downwardAPI.defaultMode ?? DEFAULT_MODE);
  }
  return { files, refreshAtMs: Infinity };
}

async function projectedContent(volume: Volume, sources: VolumeSources): Promise<VolumeContent> {
  const files = new Map<string, VolumeFile>();
  const mode = volume.projected?.defaultMode ?? DEFAULT_MODE;
  let refreshAtMs = Infinity;
  for (const source of volume.projected?.sources ?? []) {
    addProjection(files, sources, source, mode);
    const asked = source.serviceAccountToken;
    if (asked === undefined) continue;
    const issued = await sources.token({
      audience: asked.audience ?? '',
      expirationSeconds: asked.expirationSeconds ?? DEFAULT_TOKEN_SECONDS,
    });
    files.set(safePath(asked.path), { bytes: Buffer.from(issued.token), mode });
    refreshAtMs = Math.min(refreshAtMs, issued.refreshAtMs);
  }
  return { files, refreshAtMs };
}

function addProjection(
  files: Map<string, VolumeFile>,
  sources: VolumeSources,
  source: V1VolumeProjection,
  mode: number,
): void {
  if (source.configMap !== undefined) addObject(files, sources, { kind: 'configMap', ...pick(source.configMap), mode });
  if (source.secret !== undefined) addObject(files, sources, { kind: 'secret', ...pick(source.secret), mode });
  if (source.downwardAPI !== undefined) addDownward(files, sources, source.downwardAPI, mode);
}

type ObjectSource = {
  readonly kind: 'configMap' | 'secret';
  readonly name: string | undefined;
  readonly optional: boolean | undefined;
  readonly items: readonly V1KeyToPath[] | undefined;
  readonly mode: number;
};

function pick(source: {
  name?: string;
  optional?: boolean;
  items?: V1KeyToPath[];
}): Omit<ObjectSource, 'kind' | 'mode'> {
  return { name: source.name, optional: source.optional, items: source.items };
}

function addObject(files: Map<string, VolumeFile>, sources: VolumeSources, source: ObjectSource): void {
  const name = source.name ?? '';
  const object = source.kind === 'configMap' ? sources.reader.configMap(name) : sources.reader.secret(name);
  if (object === undefined) {
    if (source.optional === true) return;
    throw new VolumeError(`${source.kind.toLowerCase()} "${name}" not found`);
  }
  const data = objectData(object, source.kind);
  const items = source.items ?? [...data.keys()].map((key): V1KeyToPath => ({ key, path: key }));
  for (const item of items) {
    const bytes = data.get(item.key);
    if (bytes !== undefined) files.set(safePath(item.path), { bytes, mode: item.mode ?? source.mode });
    else if (source.optional !== true) {
      throw new VolumeError(
        `references non-existent ${source.kind === 'secret' ? 'secret' : 'config'} key: ${item.key}`,
      );
    }
  }
}

function addDownward(
  files: Map<string, VolumeFile>,
  sources: VolumeSources,
  source: NonNullable<V1VolumeProjection['downwardAPI']>,
  mode: number,
): void {
  const { pod, facts } = sources;
  for (const item of source.items ?? []) {
    const { fieldRef, resourceFieldRef } = item;
    const name = resourceFieldRef?.containerName;
    const container = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find((one) => one.name === name);
    const value =
      fieldRef !== undefined
        ? fieldRefValue(pod, facts, fieldRef)
        : resourceFieldRef !== undefined && container !== undefined
          ? resourceValue(container, facts, resourceFieldRef)
          : undefined;
    if (value === undefined) throw new VolumeError(`downward API item "${item.path}": unknown field or container`);
    files.set(safePath(item.path), { bytes: Buffer.from(value), mode: item.mode ?? mode });
  }
}

/** Paths inside a volume are relative and stay inside. */
function safePath(path: string): string {
  const normal = posix.normalize(path);
  if (normal.startsWith('/') || normal.split('/')[0]?.startsWith('..') === true || normal === '.') {
    throw new VolumeError(`path "${path}" must be relative and must not begin with ".."`);
  }
  return normal;
}
