import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Values } from '#config/values.ts';
import { createdBy, objectLabels, type Manifest } from './manifest.ts';
import { cniManifests } from './manifests/cni.ts';
import { destinationComponent } from './manifests/destination.ts';
import { identityComponent } from './manifests/identity.ts';
import { injectorComponent, webhookManifests } from './manifests/injector.ts';
import { configManifest, namespaceManifest } from './manifests/namespace.ts';
import { componentManifests, singleProcessManifests } from './manifests/workload.ts';

const CRD_FOLDER = join(import.meta.dirname, 'crds');

/** The CustomResourceDefinitions, in the order of their file names, labelled as the installation's like its other objects. */
export function renderCrds(values: Values): readonly Manifest[] {
  return readFolder(CRD_FOLDER).map((crd) => ({
    ...crd,
    metadata: { ...crd.metadata, labels: objectLabels(values), annotations: createdBy(values) },
  }));
}

/** The Gateway API kinds that take effect. Only on request: a cluster has them but once, and they belong to nobody. */
export function renderGatewayApiCrds(): readonly Manifest[] {
  return readFolder(join(CRD_FOLDER, 'gateway-api'));
}

/** What was read before: the files never change while a process runs, and parsing them takes longer than all the rest. */
const FOLDERS = new Map<string, readonly Manifest[]>();

function readFolder(folder: string): readonly Manifest[] {
  let objects = FOLDERS.get(folder);
  if (objects === undefined) {
    objects = readdirSync(folder)
      .filter((file) => file.endsWith('.yaml'))
      .sort()
      .map((file) => parse(readFileSync(join(folder, file), 'utf8')) as Manifest);
    FOLDERS.set(folder, objects);
  }
  return objects;
}

/** The part of the installation that redirects pods which may not do it themselves. */
export function renderCni(values: Values): readonly Manifest[] {
  return cniManifests(values);
}

/** The whole installation: everything that `kubectl apply -f -` needs, in an order in which it can be created. */
export function renderInstall(values: Values): readonly Manifest[] {
  const destination = destinationComponent(values);
  const components = [identityComponent(values), destination, injectorComponent(values)];
  return [
    namespaceManifest(values),
    ...renderCrds(values),
    configManifest(values),
    ...(values.singleProcess
      ? singleProcessManifests(values, destination, components)
      : components.flatMap((component) => componentManifests(values, component))),
    ...(values.cni.enabled ? renderCni(values) : []),
    ...webhookManifests(values),
  ];
}
