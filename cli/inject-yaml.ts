import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  parse,
  parseAllDocuments,
  parseDocument,
  Scalar,
  stringify,
  YAMLMap,
  type Document,
} from 'yaml';
import { asObject, asText } from '#k8s/json.ts';
import { ADDED_CONTAINERS } from '../injector/decision.ts';
import type { AddOperation, PodOutcome } from '../injector/patch.ts';
import { CommandError } from './command.ts';
import { KUBECTL_YAML } from './kubectl-yaml.ts';
import { reasonOf } from './reason.ts';

/** Where the pod template's annotations are, by kind. */
const TEMPLATE_PATH: Readonly<Record<string, readonly string[]>> = {
  Pod: ['metadata'],
  Namespace: ['metadata'],
  Service: ['metadata'],
  Deployment: ['spec', 'template', 'metadata'],
  ReplicaSet: ['spec', 'template', 'metadata'],
  ReplicationController: ['spec', 'template', 'metadata'],
  StatefulSet: ['spec', 'template', 'metadata'],
  DaemonSet: ['spec', 'template', 'metadata'],
  Job: ['spec', 'template', 'metadata'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template', 'metadata'],
};

/** Values stay text with this schema, so none is rewritten; only null is known, or an empty value would become "". */
const UNTYPED = { schema: 'failsafe' as const, customTags: ['null' as const] };

const OPAQUE_PORTS = 'config.linkerd.io/opaque-ports';

export type Injected = {
  readonly output: string; // YAML, one `---` before each document
  readonly report: readonly string[]; // a line for each object: `deployment "web" injected`
};

/** A workload with the pod that its template makes, or a pod. */
export type PodOfWorkload = {
  readonly kind: string;
  readonly name: string;
  readonly namespace: string | undefined;
  readonly pod: unknown; // metadata and spec
};

/**
 * Annotates every workload of a YAML or JSON text; other objects pass unchanged, and so does everything else that is
 * written there: comments, order, and the form of each value (`mode: 0644` must not become 644).
 *
 * @param name    of the source, for messages
 * @param decide  what else is added to the pods of a workload, once it is annotated; default: nothing
 * @throws CommandError  naming source and line for broken YAML, or the workload that can never be meshed
 */
export function injectYaml(
  name: string,
  text: string,
  annotations: Readonly<Record<string, string>>,
  decide?: (workload: PodOfWorkload) => PodOutcome,
): Injected {
  return eachObject(name, text, (document, object, typed) => {
    const line = annotate(name, document, object, annotations);
    return decide === undefined ? [line] : addSidecar(name, object, typed(), line, decide);
  });
}

/**
 * Removes from every workload of a YAML or JSON text what injection put there: the annotation that asks for a proxy, and in pods
 * that were read back from a cluster the proxy itself. `linkerd.io/inject: disabled` stays, and so do settings.
 *
 * @throws CommandError  naming source and line for broken YAML
 */
export function uninjectYaml(name: string, text: string): Injected {
  return eachObject(name, text, (document, object) => [uninject(name, document, object)]);
}

/** @param change  is also given how to read the object as kubectl does, with numbers and truth values */
function eachObject(
  name: string,
  text: string,
  change: (document: Document, object: YAMLMap, typed: () => unknown) => readonly string[],
): Injected {
  const documents = parseAllDocuments(text, UNTYPED);
  const report: string[] = [];
  const outputs: string[] = [];
  for (const document of documents) {
    const [problem] = document.errors;
    if (problem !== undefined) throw new CommandError(`${name}: ${reasonOf(problem)}`);
    const root: unknown = document.contents;
    if (root === null || (isScalar(root) && root.value === null)) continue;
    for (const [index, object] of objectsOf(name, root).entries()) {
      const typed = (): unknown => {
        const whole = parse(document.toString(), KUBECTL_YAML) as Readonly<Record<string, unknown>>;
        return object === root ? whole : (whole['items'] as readonly unknown[])[index];
      };
      report.push(...change(document, object, typed));
    }
    if (document.directives !== undefined) document.directives.docStart = true;
    outputs.push(document.toString({ lineWidth: 0, flowCollectionPadding: false }));
  }
  return { output: outputs.join(''), report };
}

/** The object of a document, or the items of a List. */
function objectsOf(name: string, root: unknown): readonly YAMLMap[] {
  if (!isMap(root))
    throw new CommandError(`${name}: a document is not a Kubernetes object (kind and metadata are missing)`);
  if (!/^(.*)List$/.test(scalar(root, ['kind']) ?? '') || !root.has('items')) return [root];
  const items = root.get('items', true);
  if (!isSeq(items)) return [];
  return items.items.map((item) => {
    if (!isMap(item)) throw new CommandError(`${name}: an item of a List is not an object`);
    return item;
  });
}

function labelOf(source: string, object: YAMLMap): { readonly kind: string; readonly label: string } {
  const kind = scalar(object, ['kind']);
  const name = scalar(object, ['metadata', 'name']) ?? scalar(object, ['metadata', 'generateName']);
  if (kind === undefined || name === undefined)
    throw new CommandError(`${source}: an object has no kind or no metadata.name`);
  return { kind, label: `${kind.toLowerCase()} "${name}"` };
}

const SIDECAR_VOLUMES = /^linkerd-/;

function uninject(source: string, document: Document, object: YAMLMap): string {
  const { kind, label } = labelOf(source, object);
  const path = TEMPLATE_PATH[kind];
  if (path === undefined || kind === 'Service') return `${label} skipped`;
  const podSpec = kind === 'Pod' ? ['spec'] : [...path.slice(0, -1), 'spec'];
  const removed = [
    removeKeys(document, object, [...path, 'annotations'], (key, value) => isOurs(key) && value !== 'disabled'),
    removeKeys(document, object, [...path, 'labels'], isOurs),
    ...(kind === 'Namespace'
      ? []
      : [
          removeItems(document, object, [...podSpec, 'initContainers'], (name) => ADDED_CONTAINERS.has(name)),
          removeItems(document, object, [...podSpec, 'containers'], (name) => ADDED_CONTAINERS.has(name)),
          removeItems(document, object, [...podSpec, 'volumes'], (name) => SIDECAR_VOLUMES.test(name)),
        ]),
  ];
  return `${label} ${removed.includes(true) ? 'uninjected' : 'skipped'}`;
}

/** Keys that injection writes. Settings (`config.linkerd.io/*`) are the user's. */
function isOurs(key: string): boolean {
  return key.startsWith('linkerd.io/');
}

/** @returns whether there was something to remove; a map that is empty after that is removed too */
function removeKeys(
  document: Document,
  object: YAMLMap,
  path: readonly string[],
  isRemoved: (key: string, value: unknown) => boolean,
): boolean {
  const map = resolved(document, object, path);
  if (!isMap(map)) return false;
  const keys = map.items.flatMap(({ key, value }) => {
    const name = isScalar(key) ? String(key.value) : String(key);
    return isRemoved(name, isScalar(value) ? value.value : value) ? [key] : [];
  });
  for (const key of keys) map.delete(key);
  if (keys.length > 0 && map.items.length === 0) object.deleteIn(path);
  return keys.length > 0;
}

/** The same for the items of a list, by their names. */
function removeItems(
  document: Document,
  object: YAMLMap,
  path: readonly string[],
  isRemoved: (name: string) => boolean,
): boolean {
  const list = resolved(document, object, path);
  if (!isSeq(list)) return false;
  const kept = list.items.filter((item) => !(isMap(item) && isRemoved(scalar(item, ['name']) ?? '')));
  const isChanged = kept.length < list.items.length;
  list.items = kept;
  if (isChanged && kept.length === 0) object.deleteIn(path);
  return isChanged;
}

/** The node at a path, through anchors. */
function resolved(document: Document, object: YAMLMap, path: readonly string[]): unknown {
  let at: unknown = object;
  for (const part of path) {
    at = isMap(at) ? at.get(part, true) : undefined;
    if (isAlias(at)) at = at.resolve(document);
  }
  return at;
}

function annotate(
  source: string,
  document: Document,
  object: YAMLMap,
  annotations: Readonly<Record<string, string>>,
): string {
  const { kind, label } = labelOf(source, object);
  const path = TEMPLATE_PATH[kind];
  const chosen = Object.entries(annotations).filter(([key]) => kind !== 'Service' || key === OPAQUE_PORTS);
  if (path === undefined || chosen.length === 0) return `${label} skipped`;
  const podSpec = kind === 'Pod' ? ['spec'] : [...path.slice(0, -1), 'spec'];
  if (scalar(object, [...podSpec, 'hostNetwork']) === 'true') {
    throw new CommandError(
      `${source}: ${label}: hostNetwork is enabled, such pods cannot be meshed: remove hostNetwork or leave the workload out`,
    );
  }
  for (const [key, value] of chosen) {
    try {
      set(document, object, [...path, 'annotations', key], value);
    } catch (error) {
      throw new CommandError(`${source}: ${label}: ${reasonOf(error)}`);
    }
  }
  return `${label} ${path.length === 1 && kind !== 'Pod' ? 'annotated' : 'injected'}`;
}

/** Adds to the pods of a workload what is decided about them. @returns lines for the report */
function addSidecar(
  source: string,
  object: YAMLMap,
  typed: unknown,
  line: string,
  decide: (workload: PodOfWorkload) => PodOutcome,
): readonly string[] {
  const { kind, label } = labelOf(source, object);
  const place = TEMPLATE_PATH[kind]?.slice(0, -1);
  if (place === undefined || kind === 'Namespace' || kind === 'Service') return [line];
  const { name, generateName, namespace } = asObject(asObject(typed)['metadata']);
  const pod = place.reduce((at, part) => asObject(at)[part], typed);
  try {
    const outcome = decide({
      kind,
      name: asText(name) ?? asText(generateName) ?? '',
      namespace: asText(namespace),
      pod,
    });
    if (outcome.decision.kind === 'skip') return [`${label} skipped: ${outcome.decision.message}`];
    for (const operation of outcome.patch) add(object, place, operation);
    return [line, ...outcome.problems.map(({ message }) => `warning: ${label}: ${message} (ignored)`)];
  } catch (error) {
    throw new CommandError(`${source}: ${label}: ${reasonOf(error)}`);
  }
}

/** One operation of a JSON patch, on the node at a path. @throws Error  when it would change what is used elsewhere too */
function add(object: YAMLMap, place: readonly string[], { path, value }: AddOperation): void {
  const keys = path
    .split('/')
    .slice(1)
    .map((key) => key.replaceAll('~1', '/').replaceAll('~0', '~'));
  const last = keys.pop() ?? '';
  let parent: unknown = object;
  for (const key of [...place, ...keys]) {
    parent = isMap(parent) ? parent.get(key, true) : undefined;
    if (isAlias(parent)) throw new Error(`${[...place, ...keys].join('.')} is an alias: write out what it stands for`);
  }
  const node = parseDocument(stringify(value, { version: '1.1' }), UNTYPED).contents;
  if (isSeq(parent)) parent.items.splice(last === '-' ? parent.items.length : Number(last), 0, node);
  else if (isMap(parent)) parent.set(last, node);
  else throw new Error(`${[...place, ...keys].join('.')} is missing`);
}

/** Sets one text, making the maps on the way to it. @throws Error  when something else than a map is in the way */
function set(document: Document, object: YAMLMap, path: readonly string[], value: string): void {
  let at = object;
  for (const [depth, part] of path.slice(0, -1).entries()) {
    let next: unknown = at.get(part, true);
    if (isAlias(next)) next = next.resolve(document);
    if (next === undefined || (isScalar(next) && next.value === null)) {
      next = new YAMLMap();
      at.set(part, next);
    }
    if (!isMap(next)) throw new Error(`${path.slice(0, depth + 1).join('.')} is not a map`);
    at = next;
  }
  const node = new Scalar(value);
  // Without quotes only where YAML 1.1, which kubectl reads, sees a text too.
  node.type = stringify(value, { version: '1.1' }).trim() === value ? Scalar.PLAIN : Scalar.QUOTE_DOUBLE;
  at.set(path.at(-1), node);
}

/** The text of a plain or quoted value, or undefined when there is none. */
function scalar(object: YAMLMap, path: readonly string[]): string | undefined {
  const value = object.getIn(path);
  return typeof value === 'string' && value !== '' ? value : undefined;
}
