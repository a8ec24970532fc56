// `npm run image`: the container image as one archive, from the checkout and from packages of npm and Debian alone.
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { bundle, BUNDLE_FOLDER, dashboardFiles, PROCESSES, programsOf } from '../bundle.ts';
import { buildImage } from './build.ts';
import { ImageError } from './image-error.ts';
import type { Architecture } from './oci-archive.ts';

const EXIT_USAGE = 2;
const ARCHITECTURES: readonly Architecture[] = ['amd64', 'arm64'];
/** Images of the demo and the tests: the same, with other programs. */
const PROGRAMS = {
  tulle: () => Object.entries(PROCESSES).map(([out, path]) => ({ in: path, out })),
  test: () => programsOf('test/apps', 'test'),
  demo: () => programsOf('sandbox/demo/apps', 'demo'),
} as const;

const HELP = `Builds the container image as an OCI archive, from packages of npm and Debian. Needs apt-get and dpkg-deb, no Docker.

Usage: npm run image -- [flags]

Flags:
  --arch LIST    architectures, separated by commas (default: amd64,arm64)
  --output FILE  where to put the archive (default: dist/tulle-${VERSION}.tar)
  --programs P   tulle, or test or demo for the images of the tests and the demo (default: tulle)
  --name NAME    name without tag (default: ${defaultValues(VERSION).image})
  -h, --help     show this help

Load it:
  ctr -n k8s.io images import dist/tulle-${VERSION}.tar
  k3s ctr images import dist/tulle-${VERSION}.tar
  kind load image-archive dist/tulle-${VERSION}.tar
  docker load -i dist/tulle-${VERSION}.tar
`;

function readOptions() {
  const { values } = parseArgs({
    options: {
      arch: { type: 'string', default: ARCHITECTURES.join(',') },
      output: { type: 'string' },
      programs: { type: 'string', default: 'tulle' },
      name: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const architectures = values.arch.split(',').map((text) => {
    const found = ARCHITECTURES.find((one) => one === text);
    if (found === undefined) throw new UsageFault(`--arch names "${text}": use ${ARCHITECTURES.join(' or ')}`);
    return found;
  });
  const kind = (Object.keys(PROGRAMS) as (keyof typeof PROGRAMS)[]).find((one) => one === values.programs);
  if (kind === undefined) throw new UsageFault(`--programs is "${values.programs}": use tulle, test or demo`);
  return { ...values, architectures, kind };
}

class UsageFault extends Error {}

async function main(): Promise<void> {
  const { architectures, kind, output, name, help } = readOptions();
  if (help === true) {
    process.stdout.write(HELP);
    return;
  }
  const image = name ?? (kind === 'tulle' ? defaultValues(VERSION).image : `tulle.dev/${kind}`);
  const file = resolve(output ?? join(BUNDLE_FOLDER, `${kind}-${VERSION}.tar`));
  const { archive, bill, sizes } = buildImage({
    reference: `${image}:${VERSION}`,
    // The programs of an image are named without its name: `image: tulle.dev/test`, `args: [server]`.
    // Programs of tests do not end by themselves, so nothing can be compiled ahead.
    compiles: kind === 'tulle',
    files: kind === 'tulle' ? dashboardFiles() : [],
    bundles: await bundle(PROGRAMS[kind]().map((one) => ({ ...one, out: one.out.replace(/^(test|demo)-/, '') }))),
    architectures,
    note: (text) => process.stderr.write(`image: ${text}\n`),
  });
  mkdirSync(join(file, '..'), { recursive: true });
  for (const [path, content] of [
    [file, archive],
    [file.replace(/(\.tar)?$/, '.cdx.json'), Buffer.from(`${JSON.stringify(bill, undefined, 2)}\n`)],
  ] as const) {
    writeFileSync(`${path}.new`, content);
    renameSync(`${path}.new`, path);
  }
  for (const { architecture, packedBytes, bytes } of sizes) {
    const [packed, whole] = [packedBytes, bytes].map((count) => (count / 1e6).toFixed(1));
    process.stdout.write(`${image}:${VERSION} ${architecture}: ${packed} MB compressed, ${whole} MB unpacked\n`);
  }
  process.stdout.write(`${file}\n`);
}

main().catch((error: unknown) => {
  const isUsage =
    error instanceof UsageFault || String((error as NodeJS.ErrnoException).code).startsWith('ERR_PARSE_ARGS');
  if (!isUsage && !(error instanceof ImageError)) throw error;
  process.stderr.write(`image: ${(error as Error).message}${isUsage ? ' (`npm run image -- --help`)' : ''}\n`);
  process.exitCode = isUsage ? EXIT_USAGE : 1;
});
