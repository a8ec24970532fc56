import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync, chmodSync } from 'node:fs';
import { basename, join } from 'node:path';
import { build, type BuildResult, type OutputFile, type Plugin } from 'esbuild';

const ROOT = join(import.meta.dirname, '..', '..');

/** An entry file, and the name of its bundle. */
export type Program = { readonly in: string; readonly out: string };

/** Where the bundles are. */
export const BUNDLE_FOLDER = join(ROOT, 'dist');

/** The processes of the image, by the name that is their container's first argument. */
export const PROCESSES: Readonly<Record<string, string>> = {
  identity: 'control-plane/identity/main.ts',
  destination: 'control-plane/destination/main.ts',
  injector: 'injector/main.ts',
  'control-plane': 'control-plane/main.ts',
  proxy: 'proxy/main.ts',
  'proxy-init': 'proxy/redirect/main.ts',
  'await-redirect': 'proxy/redirect/await/main.ts',
  'redirect-agent': 'proxy/redirect/agent/main.ts',
  'metrics-api': 'viz/main.ts',
  'service-mirror': 'multicluster/main.ts',
  pause: 'multicluster/pause/main.ts',
};

export type BundleFile = Pick<OutputFile, 'path' | 'contents'>;

/**
 * Bundles every process, and the applications of the demo and the tests, each into one CommonJS file. A file that did not change is not
 * written, so running processes and the compile cache stay valid; a changed one is replaced at once.
 *
 * @throws esbuild's error with file and line
 */
export async function bundleAll(): Promise<string> {
  const { outputFiles } = await bundle([
    ...Object.entries(PROCESSES).map(([out, path]) => ({ in: path, out })),
    ...programsOf('sandbox/demo/apps', 'demo'),
    ...programsOf('test/apps', 'test'),
  ]);
  try {
    writeChanged([...outputFiles, ...dashboardFiles()]);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') throw error;
    throw new Error(`cannot write to ${BUNDLE_FOLDER} (${code}): run this as the owner of the checkout`, {
      cause: error,
    });
  }
  return BUNDLE_FOLDER;
}

/**
 * Bundles programs, and the entry that loads them by name, each into one file.
 *
 * @param programs  entry files and the names of their bundles, without `.cjs`
 * @throws esbuild's error with file and line
 */
export function bundle(programs: readonly Program[]): Promise<BuildResult<{ write: false; metafile: true }>> {
  return build({
    absWorkingDir: ROOT,
    entryPoints: [
      { in: 'control-plane/install/entry.ts', out: 'tulle' },
      { in: 're2js', out: 'patterns' },
      ...programs,
    ],
    bundle: true,
    platform: 'node',
    target: 'node26',
    format: 'cjs',
    outExtension: { '.js': '.cjs' },
    outdir: BUNDLE_FOLDER,
    // Half the size, which is memory of every process. Names and lines stay, for stack traces.
    minifySyntax: true,
    minifyWhitespace: true,
    lineLimit: 120,
    plugins: [OPTIONAL_GRPC, RARELY_NEEDED],
    // koffi finds its native library beside its own files. The client library is for kubeconfigs, which no pod has.
    external: ['koffi', '@kubernetes/client-node'],
    logLevel: 'silent',
    write: false,
    metafile: true,
  });
}

/** Generated files make a client of grpc-js for each service: a program that uses none of them does without the package. */
const OPTIONAL_GRPC: Plugin = {
  name: 'optional-grpc',
  setup(esbuild) {
    esbuild.onLoad({ filter: /\/control-plane\/api\/gen\/\w+\.ts$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replaceAll('= makeGeneric', '= /* @__PURE__ */ makeGeneric'),
      loader: 'ts',
    }));
    esbuild.onResolve({ filter: /^@grpc\/grpc-js$/ }, async ({ path, pluginData, ...options }) =>
      pluginData === OPTIONAL_GRPC
        ? undefined
        : { ...(await esbuild.resolve(path, { ...options, pluginData: OPTIONAL_GRPC })), sideEffects: false },
    );
  },
};

/**
 * What most proxies never need is not in their memory: regular expressions, with their Unicode tables, are a file of their own that is read when
 * the first pattern is compiled, and pino's transports, which are worker threads, are left out, since all logs go to standard error.
 */
const RARELY_NEEDED: Plugin = {
  name: 'rarely-needed',
  setup(esbuild) {
    esbuild.onResolve({ filter: /^re2js$/ }, ({ kind }) =>
      kind === 'entry-point' ? undefined : { path: 'patterns', namespace: 'on-first-use' },
    );
    esbuild.onResolve({ filter: /^\.\/patterns\.cjs$/ }, ({ path }) => ({ path, external: true }));
    esbuild.onLoad({ filter: /.*/, namespace: 'on-first-use' }, () => ({
      contents: `Object.defineProperty(exports, 'RE2JS', { enumerable: true, get: () => require('./patterns.cjs').RE2JS });`,
    }));
    esbuild.onLoad({ filter: /\/pino\/lib\/transport\.js$/ }, () => ({
      contents: "module.exports = () => { throw new Error('transports are not in the bundle'); };",
    }));
  },
};

/** The page that metrics-api serves: as it is, beside the bundle. */
export function dashboardFiles(): readonly BundleFile[] {
  const folder = join(ROOT, 'viz', 'dashboard');
  return readdirSync(folder)
    .filter((file) => /\.(html|css|js|svg)$/.test(file))
    .map((file) => ({ path: join(BUNDLE_FOLDER, 'dashboard', file), contents: readFileSync(join(folder, file)) }));
}

function writeChanged(files: readonly BundleFile[]): void {
  mkdirSync(join(BUNDLE_FOLDER, 'dashboard'), { recursive: true });
  const cache = join(BUNDLE_FOLDER, '.compile-cache');
  if (!existsSync(cache)) {
    mkdirSync(cache, { recursive: true });
    chmodSync(cache, 0o1777); // processes run as different users
  }
  for (const file of files) {
    if (existsSync(file.path) && readFileSync(file.path).equals(file.contents)) continue;
    const fresh = `${file.path}.${process.pid}`;
    writeFileSync(fresh, file.contents);
    renameSync(fresh, file.path);
  }
}

/** The programs of a folder, for the images `tulle.dev/<image>`. */
export function programsOf(folder: string, image: string): readonly Program[] {
  return readdirSync(join(ROOT, folder))
    .filter((file) => !/^(serve|store-client)\.ts$|\.test\.ts$/.test(file))
    .map((file) => ({ in: `${folder}/${file}`, out: `${image}-${basename(file, '.ts')}` }));
}

if (import.meta.main) {
  bundleAll().then(
    (folder) => process.stdout.write(`bundles are in ${folder}\n`),
    (error: unknown) => {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 1;
    },
  );
}
