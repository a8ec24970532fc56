import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeLayer, ociArchive } from '../../control-plane/install/image/oci-archive.ts';
import type { TarEntry } from '../../control-plane/install/image/tar.ts';
import { compile, goProgram, programCache, sourcesHash } from '../harness/go-program.ts';
import { ARCHITECTURE } from './images.ts';

const KUBERNETES = 'v1.33.13';
/** Names under which the one binary runs. */
const NAMES = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-proxy',
  'kube-scheduler',
  'kubectl',
  'kubelet',
] as const;
export const PAUSE_IMAGE = 'tulle.dev/pause:1';
export const DNS_IMAGE = 'tulle.dev/coredns:1';

/** What a cluster is made of. Built once for each version of the sources, and kept outside of the checkout. */
export type Programs = { readonly folder: string; readonly images: readonly string[] };

/**
 * Builds Kubernetes, etcd, CoreDNS and the images that a node starts with, unless that was done before: minutes the first
 * time, nothing afterwards.
 *
 * @throws Error  with the end of what the compiler said
 */
export function buildPrograms(note: (text: string) => void): Programs {
  const sources = import.meta.dirname;
  const hash = sourcesHash(sources, [
    'programs/go.mod',
    'programs/go.sum',
    'programs/main.go',
    'programs/pause/main.go',
    'dns/go.mod',
    'dns/go.sum',
    'dns/main.go',
  ]);
  const folder = join(programCache(), `kubernetes-${KUBERNETES}-${hash}`);
  const images = [join(folder, 'pause.tar'), join(folder, 'coredns.tar')];
  if (existsSync(join(folder, 'complete'))) return { folder, images };
  note(`building Kubernetes ${KUBERNETES} from Go modules, once: this takes minutes`);
  const fresh = `${folder}.${process.pid}`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  const go = goProgram() ?? 'go';
  compile(go, join(sources, 'programs'), '.', join(fresh, 'kubernetes'), versionFlags());
  compile(go, join(sources, 'programs'), './pause', join(fresh, 'pause'), '-s -w');
  note('building CoreDNS');
  compile(go, join(sources, 'dns'), '.', join(fresh, 'coredns'), '-s -w');
  for (const name of NAMES) symlinkSync('kubernetes', join(fresh, name));
  for (const [name, reference] of [
    ['pause', PAUSE_IMAGE],
    ['coredns', DNS_IMAGE],
  ] as const) {
    writeFileSync(join(fresh, `${name}.tar`), programImage(reference, readFileSync(join(fresh, name))));
  }
  writeFileSync(join(fresh, 'complete'), '');
  rmSync(folder, { recursive: true, force: true });
  renameSync(fresh, folder);
  return { folder, images };
}

/** An image of one static program. */
function programImage(reference: string, content: Uint8Array): Buffer {
  const file: TarEntry = { kind: 'file', path: 'program', mode: 0o755, content };
  const config = { entrypoint: ['/program'], user: '0:0', environment: [], workingFolder: '/', labels: {} };
  return ociArchive(reference, [{ architecture: ARCHITECTURE, layers: [makeLayer('program', [file])], config }]);
}

/** Without them the programs report a version that clients do not understand. */
function versionFlags(): string {
  const [, major, minor] = /^v(\d+)\.(\d+)/.exec(KUBERNETES) ?? [];
  const facts = {
    gitVersion: KUBERNETES,
    gitMajor: major,
    gitMinor: minor,
    gitTreeState: 'clean',
    gitCommit: '0'.repeat(40),
    buildDate: '2026-01-01T00:00:00Z',
  };
  const packages = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'];
  return [
    '-s -w',
    ...packages.flatMap((name) => Object.entries(facts).map(([key, value]) => `-X ${name}.${key}=${value}`)),
  ].join(' ');
}
