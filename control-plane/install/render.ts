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
  return readFolder(CRD_FOLDER);
}

/** The Gateway API kinds that take effect. Only on request: a cluster has them but once, and they belong to nobody. */
export function renderGatewayApiCrds(): readonly Manifest[] {
  return readFolder(join(CRD_FOLDER, 'gateway-api'));
}

function readFolder(folder: string): readonly Manifest[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .sort()
    .map((file) => parse(readFileSync(join(folder, file), 'utf8')) as Manifest);
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
