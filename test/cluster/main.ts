// `npm run test:cluster`: the scenarios on a real one-node Kubernetes, with the container image as it is shipped.
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildImage } from './images.ts';
import { startKubernetes } from './kubernetes.ts';
import { buildPrograms } from './programs.ts';
import { requireCluster, Unsupported } from './requirements.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const EXIT_USAGE = 2;
/** This machine cannot run the tests: neither passed nor failed. */
const EXIT_UNSUPPORTED = 77;

const HELP = `Runs the scenarios on a real Kubernetes that is built from Go modules, in namespaces of its own. Needs root and Go.

Usage: npm run test:cluster -- [FILTER...] [flags]

  FILTER      only the files whose path contains it
  --up        start a cluster with the images and keep it until Ctrl-C
  --footprint measure memory and processor time of idle installations
  -h, --help  show this help

Ends with status ${EXIT_UNSUPPORTED} where the machine cannot run it.
`;

/** Scenarios about the sandbox itself, or with programs that no image has. */
const ONLY_SANDBOX: Readonly<Record<string, string>> = {
  'test/scenarios/kubectl.test.ts': 'it is about the API server of the sandbox',
  'test/scenarios/linked-sandboxes.test.ts': 'it is about the network of the sandbox',
  'test/scenarios/protocols.test.ts': 'its databases are programs of the machine, of which there are no images',
};

function note(text: string): void {
  process.stderr.write(`test:cluster: ${text}\n`);
}

async function keepUp(images: readonly string[]): Promise<void> {
  const cluster = await startKubernetes(buildPrograms(note), images);
  process.stdout.write(`export KUBECONFIG=${cluster.kubeconfig}\n`);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => resolve());
  });
  await cluster.stop();
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { up: { type: 'boolean' }, footprint: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
    allowPositionals: true,
  });
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  const files = globSync(['test/scenarios/*.test.ts', 'test/cluster/*.test.ts'], { cwd: ROOT })
    .filter((file) => positionals.length === 0 || positionals.some((filter) => file.includes(filter)))
    .sort();
  if (files.length === 0) {
    note(`no test file matches ${positionals.join(' ')}`);
    return EXIT_USAGE;
  }
  try {
    requireCluster(note);
  } catch (error) {
    if (!(error instanceof Unsupported)) throw error;
    note(`NOT RUN: a real Kubernetes cannot be started here: ${error.message}`);
    return EXIT_UNSUPPORTED;
  }
  const folder = mkdtempSync(join(tmpdir(), 'tulle-images-'));
  try {
    let images: readonly string[];
    try {
      buildPrograms(note);
      images = [buildImage('tulle', folder), buildImage('test', folder)];
    } catch (error) {
      // Most often a registry that cannot be reached. What can be wrong with our own part of it has tests of its own.
      note(`NOT RUN: what it needs cannot be built here: ${error instanceof Error ? error.message : String(error)}`);
      return EXIT_UNSUPPORTED;
    }
    if (values.up === true) {
      await keepUp(images);
      return 0;
    }
    const environment = { ...process.env, TULLE_TEST_IMAGES: images.join(':') };
    if (values.footprint === true) {
      for (const flags of ['', '--tiny']) {
        const args = [join(import.meta.dirname, 'footprint.ts'), `--flags=${flags}`];
        const { status } = spawnSync(process.execPath, args, { stdio: 'inherit', env: environment });
        if (status !== 0) return 1;
      }
      return 0;
    }
    for (const [file, reason] of Object.entries(ONLY_SANDBOX)) {
      if (files.includes(file)) note(`left out: ${file}: ${reason}`);
    }
    const { status } = spawnSync(
      process.execPath,
      [
        '--disable-warning=ExperimentalWarning',
        '--test',
        '--test-concurrency=1',
        '--test-reporter=spec',
        ...files.filter((file) => ONLY_SANDBOX[file] === undefined),
      ],
      { cwd: ROOT, stdio: 'inherit', env: environment },
    );
    return status ?? 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

process.exitCode = await main();
