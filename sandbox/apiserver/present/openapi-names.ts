import { builtinResources } from '../builtin-resources.ts';
import type { FieldType } from '../objects/builtin-schema.ts';
import { knownModel, modelOfKind } from '../objects/builtin-schema.ts';

const META = 'io.k8s.apimachinery.pkg.apis.meta.v1';
const metaRoots = ['V1ObjectMeta', 'V1ListMeta', 'V1LabelSelector', 'V1Condition', 'V1Status', 'V1DeleteOptions'];

/** Models a type leads to, itself included. */
export function modelsIn(type: FieldType, found = new Set<string>()): ReadonlySet<string> {
  if (type.kind === 'list') return modelsIn(type.items, found);
  if (type.kind === 'map') return modelsIn(type.values, found);
  if (type.kind !== 'model' || found.has(type.model)) return found;
  found.add(type.model);
  for (const child of knownModel(type.model).fields.values()) modelsIn(child, found);
  return found;
}

/** `V1PodSpec` -> `PodSpec`, `DiscoveryV1EndpointPort` -> `EndpointPort`. */
function typeName(model: string): string {
  return model.replace(/^(?:[A-Z][a-z]+)?V\d+(?:(?:alpha|beta)\d+)?(?=[A-Z])/, '');
}

function packageOf(group: string, version: string): string {
  if (group === 'apiextensions.k8s.io') return `io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.${version}`;
  return `io.k8s.api.${group === '' ? 'core' : group.split('.')[0]}.${version}`;
}

/**
 * Names of the schemas of built-in models in OpenAPI, such as `io.k8s.api.core.v1.PodSpec`. The classes do not say which
 * package a model comes from, so it belongs to whoever leads to it first: meta, the core group, then the other groups.
 */
export function builtinSchemaNames(): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const claim = (root: string, owner: string): void => {
    for (const model of modelsIn({ kind: 'model', model: root })) {
      if (!names.has(model)) names.set(model, `${owner}.${typeName(model)}`);
    }
  };
  for (const root of metaRoots) claim(root, META);
  for (const { group, version, kind } of builtinResources) {
    const model = modelOfKind(group, version, kind);
    if (model !== undefined) claim(model, packageOf(group, version));
  }
  return names;
}

/** Schema name of a custom kind: the group reversed, as kube-apiserver publishes it. */
export function customSchemaName(group: string, version: string, kind: string): string {
  return [...group.split('.').reverse(), version, kind].join('.');
}
