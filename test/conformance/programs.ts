import { cpSync, existsSync, globSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeLayer, ociArchive } from '../../control-plane/install/image/oci-archive.ts';
import type { TarEntry } from '../../control-plane/install/image/tar.ts';
import { CertificateAuthority } from '../../sandbox/apiserver/certificates.ts';
import { ARCHITECTURE } from '../cluster/images.ts';
import { compile, compileTests, goProgram, moduleFolder, programCache, sourcesHash } from '../harness/go-program.ts';

const GATEWAY_API = 'sigs.k8s.io/gateway-api';
const SUITE = `${GATEWAY_API}/conformance`;
const ECHO = 'istio.io/istio/pkg/test/echo/cmd';
const LIFETIME_MS = 3650 * 24 * 3_600_000;

/** What a run needs besides a cluster with Tulle. */
export type ConformancePrograms = {
  readonly suite: string; // the program
  readonly definitions: readonly string[]; // files: the CustomResourceDefinitions of the suite's version, standard channel
  readonly echoImage: string; // OCI archive
};

/**
 * Builds the suite and the image of the pods that it starts, unless that was done before: minutes the first time.
 *
 * @param module  folder whose `go.mod` says which version of the suite
 * @param note    told what takes long
 * @throws Error  with the end of what the compiler said
 */
export function buildConformancePrograms(module: string, note: (text: string) => void): ConformancePrograms {
  const echo = join(import.meta.dirname, 'echo');
  const hash = sourcesHash('/', [import.meta.filename, ...[module, echo].flatMap((folder) => sourcesOf(folder))]);
  const folder = join(programCache(), `gateway-api-conformance-${hash}`);
  if (!existsSync(folder)) {
    const go = goProgram();
    if (go === undefined) throw new Error('it needs Go 1.26 or newer, which builds the suite');
    const fresh = `${folder}.${process.pid}`;
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
    note('building the conformance suite of Gateway API from Go modules, once: this takes minutes');
    compileTests(go, module, SUITE, join(fresh, 'suite'), '-s -w');
    cpSync(join(moduleFolder(go, module, GATEWAY_API), 'config/crd/standard'), join(fresh, 'definitions'), {
      recursive: true,
    });
    note('building the programs of its pods');
    for (const name of ['client', 'server']) compile(go, echo, `${ECHO}/${name}`, join(fresh, name), '-s -w');
    writeFileSync(join(fresh, 'echo.tar'), echoImage(imageName(moduleFolder(go, module, SUITE)), fresh));
    renameSync(fresh, folder);
  }
  return {
    suite: join(folder, 'suite'),
    definitions: globSync('definitions/gateway.networking.*.yaml', { cwd: folder }).map((file) => join(folder, file)),
    echoImage: join(folder, 'echo.tar'),
  };
}

function sourcesOf(module: string): readonly string[] {
  return ['go.mod', 'go.sum'].map((file) => join(module, file));
}

/** The one image of the pods of the mesh tests, as their manifests name it. */
function imageName(suite: string): string {
  const texts = globSync('mesh/*.yaml', { cwd: suite }).map((file) => readFileSync(join(suite, file), 'utf8'));
  const names = new Set(
    texts.flatMap((text) => [...text.matchAll(/^\s*image:\s*(\S+)/gm)].map(([, name = '']) => name)),
  );
  const [name, ...more] = names;
  if (name === undefined || more.length > 0)
    throw new Error(`the mesh tests want the images ${[...names].join(', ')}: one is known`);
  return name;
}

/** Laid out as the manifests expect it: `client` by PATH, the server as entry point, a certificate in the root folder. */
function echoImage(reference: string, folder: string): Buffer {
  const { certificate, key } = CertificateAuthority.create('conformance').issue({
    commonName: 'echo',
    names: ['echo'],
    lifetimeMs: LIFETIME_MS,
  });
  const program = (name: string): TarEntry => ({
    kind: 'file',
    path: `usr/local/bin/${name}`,
    mode: 0o755,
    content: readFileSync(join(folder, name)),
  });
  const layer = makeLayer('client and server of echo', [
    program('client'),
    program('server'),
    { kind: 'file', path: 'cert.crt', mode: 0o644, content: Buffer.from(certificate) },
    { kind: 'file', path: 'cert.key', mode: 0o644, content: Buffer.from(key) },
  ]);
  const config = {
    entrypoint: ['/usr/local/bin/server'],
    user: '1338:1338',
    environment: ['PATH=/usr/local/bin'],
    workingFolder: '/',
    labels: {},
  };
  return ociArchive(reference, [{ architecture: ARCHITECTURE, layers: [layer], config }]);
}
