import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { tarArchive, type TarEntry } from './tar.ts';

export type Architecture = 'amd64' | 'arm64';

/** A layer of an image: its content unpacked and packed. */
export type Layer = {
  readonly what: string;
  readonly diffId: string;
  readonly bytes: number; // unpacked
  readonly packed: Buffer;
};

export type ImageOfOneArchitecture = {
  readonly architecture: Architecture;
  readonly layers: readonly Layer[];
  readonly config: {
    readonly entrypoint: readonly string[];
    readonly user: string; // uid:gid
    readonly environment: readonly string[];
    readonly workingFolder: string;
    readonly labels: Readonly<Record<string, string>>;
  };
};

type Descriptor = { readonly mediaType: string; readonly digest: string; readonly size: number };

const OCI = 'application/vnd.oci.image';
/** All times are this one: the same inputs make the same bytes. */
const CREATED = '1970-01-01T00:00:00Z';

/** @param what  shown in the history of the image */
export function makeLayer(what: string, entries: readonly TarEntry[], pack: (tar: Buffer) => Buffer = gzipSync): Layer {
  const tar = tarArchive(entries);
  return { what, diffId: digestOf(tar), bytes: tar.length, packed: pack(tar) };
}

/**
 * One archive with an image for each architecture: an OCI image layout, and beside it the index of `docker save` for
 * programs that read only that (it can name one architecture, the first).
 *
 * Source: OCI image specification 1.1, image layout and image index; containerd's `io.containerd.image.name`.
 * @param reference  name and tag, such as `tulle.dev/tulle:0.1.0`
 */
export function ociArchive(reference: string, images: readonly ImageOfOneArchitecture[]): Buffer {
  const blobs = new Map<string, Buffer>();
  const add = (mediaType: string, content: Buffer): Descriptor => {
    const digest = digestOf(content);
    blobs.set(digest, content);
    return { mediaType, digest, size: content.length };
  };
  const addJson = (mediaType: string, value: object): Descriptor => add(mediaType, Buffer.from(JSON.stringify(value)));
  const described = images.map((image) => {
    const layers = image.layers.map(({ packed }) => add(`${OCI}.layer.v1.tar+gzip`, packed));
    const config = addJson(`${OCI}.config.v1+json`, configOf(image));
    const manifest = addJson(`${OCI}.manifest.v1+json`, {
      schemaVersion: 2,
      mediaType: `${OCI}.manifest.v1+json`,
      config,
      layers,
    });
    return { manifest: { ...manifest, platform: { os: 'linux', architecture: image.architecture } }, config, layers };
  });
  const index = addJson(`${OCI}.index.v1+json`, {
    schemaVersion: 2,
    mediaType: `${OCI}.index.v1+json`,
    manifests: described.map(({ manifest }) => manifest),
  });
  const annotations = {
    'io.containerd.image.name': reference,
    'org.opencontainers.image.ref.name': reference.slice(reference.lastIndexOf(':') + 1),
  };
  const [first] = described;
  const docker = {
    Config: pathOf(first?.config.digest ?? ''),
    RepoTags: [reference],
    Layers: (first?.layers ?? []).map(({ digest }) => pathOf(digest)),
  };
  return tarArchive([
    json('oci-layout', { imageLayoutVersion: '1.0.0' }),
    json('index.json', {
      schemaVersion: 2,
      mediaType: `${OCI}.index.v1+json`,
      manifests: [{ ...index, annotations }],
    }),
    json('manifest.json', [docker]),
    ...[...blobs].map(([digest, content]): TarEntry => ({ kind: 'file', path: pathOf(digest), content })),
  ]);
}

function configOf({ architecture, layers, config }: ImageOfOneArchitecture): object {
  return {
    created: CREATED,
    architecture,
    os: 'linux',
    config: {
      User: config.user,
      Env: config.environment,
      Entrypoint: config.entrypoint,
      WorkingDir: config.workingFolder,
      Labels: config.labels,
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(({ what }) => ({ created: CREATED, created_by: what })),
  };
}

function json(path: string, value: unknown): TarEntry {
  return { kind: 'file', path, content: Buffer.from(JSON.stringify(value)) };
}

function pathOf(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function digestOf(content: Uint8Array): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}
