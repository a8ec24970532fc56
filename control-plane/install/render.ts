import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Values } from '#config/values.ts';
import type { Manifest } from './manifest.ts';
import { destinationManifests } from './manifests/destination.ts';
import { identityManifests } from './manifests/identity.ts';
import { injectorManifests } from './manifests/injector.ts';
import { configManifest, namespaceManifest } from './manifests/namespace.ts';

const CRD_FOLDER = join(import.meta.dirname, 'crds');

/** The CustomResourceDefinitions, in the order of their file names. */
export function renderCrds(): readonly Manifest[] {
  return readdirSync(CRD_FOLDER)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => parse(readFileSync(join(CRD_FOLDER, file), 'utf8')) as Manifest);
}

/** The whole installation: everything that `kubectl apply -f -` needs, in an order in which it can be created. */
export function renderInstall(values: Values): readonly Manifest[] {
  return [
    namespaceManifest(values),
    ...renderCrds(),
    configManifest(values),
    ...identityManifests(values),
    ...destinationManifests(values),
    ...injectorManifests(values),
  ];
}
