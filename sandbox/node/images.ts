import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

/** What an image stands for on a machine without images. */
export type Image = {
  /** The image's own entry point, given the arguments that will follow it. Absent: none. */
  readonly entrypoint?: (args: readonly string[]) => EntryPoint;
  /** Arguments of the image, used when the container gives neither command nor args. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Working directory, unless the container names one. Absent: the root. */
  readonly directory?: string;
  /** Looked for when the container starts; absent programs make the image unknown. */
  readonly program?: string;
};

/** The start of an argument list; `consumed` leading arguments of the container are part of it already. */
export type EntryPoint = { readonly argv: readonly string[]; readonly consumed: number };

/** Images by name without registry default, tag and digest, such as `tulle.dev/demo` or `nginx`. */
export type ImageMap = ReadonlyMap<string, Image>;

export type ImageLookup =
  | { readonly kind: 'found'; readonly image: Image }
  | { readonly kind: 'unknown'; readonly message: string };

const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Where programs are looked for inside containers: the pinned Node first, then the machine's usual places. */
export const CONTAINER_PATH = `${dirname(process.execPath)}${delimiter}${SYSTEM_PATH}`;

/**
 * The images the sandbox knows.
 *
 * @param dist  folder of the bundled programs, `<name>.cjs`
 */
export function defaultImages(dist: string): Map<string, Image> {
  const bundle = (prefix: string): Image => ({ entrypoint: (args) => bundledProgram(dist, prefix, args) });
  const shell: Image = { args: ['sh'] };
  return new Map<string, Image>([
    ['tulle.dev/tulle', bundle('')],
    ['tulle.dev/demo', bundle('demo-')],
    ['tulle.dev/host', shell],
    ['busybox', shell],
    ['alpine', shell],
    ['debian', shell],
    ['ubuntu', shell],
    ['node', { args: [process.execPath] }],
    ['registry.k8s.io/pause', { entrypoint: () => ({ argv: ['sleep', 'infinity'], consumed: 0 }) }],
    ['curlimages/curl', { ...shell, entrypoint: curlEntryPoint, args: ['curl', '--help'], program: 'curl' }],
    ['curl', { entrypoint: curlEntryPoint, args: ['curl', '--help'], program: 'curl' }],
    ['nginx', { args: ['nginx', '-g', 'daemon off;'], program: 'nginx' }],
    ['redis', { args: ['redis-server'], program: 'redis-server' }],
    ['postgres', { args: ['postgres'], program: 'postgres' }],
  ]);
}

/** @param image  reference as in a pod, such as `docker.io/library/nginx:1.27` */
export function findImage(images: ImageMap, image: string): ImageLookup {
  const found = images.get(imageName(image));
  const known = [...images.keys()].join(', ');
  if (found === undefined) {
    return {
      kind: 'unknown',
      message: `image "${image}" cannot be pulled: the sandbox runs programs of this machine and knows only ${known}`,
    };
  }
  if (found.program !== undefined && !isOnPath(found.program)) {
    return {
      kind: 'unknown',
      message: `image "${image}" stands for the program "${found.program}", which this machine does not have`,
    };
  }
  return { kind: 'found', image: found };
}

/**
 * The whole argument list of a container.
 * Source: Kubernetes "Define a Command and Arguments for a Container".
 */
export function argumentList(image: Image, command: readonly string[], args: readonly string[]): readonly string[] {
  if (command.length > 0) return [...command, ...args];
  const effective = args.length > 0 ? args : (image.args ?? []);
  const entry = image.entrypoint?.(effective) ?? { argv: [], consumed: 0 };
  return [...entry.argv, ...effective.slice(entry.consumed)];
}

/** `docker.io/library/nginx:1.27@sha256:...` -> `nginx`. */
export function imageName(image: string): string {
  const withoutDigest = image.split('@')[0] ?? image;
  const withoutTag = withoutDigest.replace(/:[^/:]*$/, '');
  return withoutTag.replace(/^docker\.io\//, '').replace(/^library\//, '');
}

function bundledProgram(dist: string, prefix: string, args: readonly string[]): EntryPoint {
  const name = args[0] ?? '';
  return { argv: [process.execPath, join(dist, `${prefix}${name}.cjs`)], consumed: 1 };
}

/** The official image runs curl unless the first argument is a program. */
function curlEntryPoint(args: readonly string[]): EntryPoint {
  const isOption = args[0]?.startsWith('-') === true || args[0]?.includes('://') === true;
  return { argv: isOption ? ['curl'] : [], consumed: 0 };
}

function isOnPath(program: string): boolean {
  return CONTAINER_PATH.split(delimiter).some((directory) => existsSync(join(directory, program)));
}
