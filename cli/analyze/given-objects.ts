import { isMap, isSeq, LineCounter, parseAllDocuments, type Document, type YAMLMap } from 'yaml';
import { asObject, isObject, type JsonObject } from '#k8s/json.ts';
import { itemsOf } from '../../control-plane/findings/inventory.ts';
import { CommandError } from '../command.ts';
import { KUBECTL_YAML } from '../kubectl-yaml.ts';
import type { ManifestSource } from '../manifest-files.ts';

const OBJECTS_MAX = 100_000;
const ALIASES_MAX = 100;

/** Where an object or one of its fields is written. */
export type Location = { readonly file: string; readonly line: number };

export type LocatedObject = { readonly object: JsonObject; readonly locate: (field: string) => Location };

/** An object that the API server refuses for its name, under a name to show; nothing else can be said about it. */
export type UnnamedObject = { readonly object: JsonObject; readonly message: string; readonly location: Location };

export type GivenObjects = { readonly objects: readonly LocatedObject[]; readonly unnamed: readonly UnnamedObject[] };

/** What is not a Kubernetes object, such as a `kustomization.yaml`. */
class NoObject extends CommandError {}

/**
 * The Kubernetes objects of manifests, with their lines.
 *
 * @param onLeftOut  told of what is no object, in a file of a folder
 * @throws CommandError  naming source and line for broken YAML, or what is no object in a file that was named
 */
export function readObjects(sources: readonly ManifestSource[], onLeftOut: (why: string) => void): GivenObjects {
  const found = sources.flatMap(({ name, text, isFound }) => {
    const counter = new LineCounter();
    const documents = parseAllDocuments(text, { ...KUBECTL_YAML, lineCounter: counter, logLevel: 'error' });
    return documents.flatMap((document) => {
      try {
        return objectsOf(name, document, counter);
      } catch (error) {
        if (!isFound || !(error instanceof NoObject)) throw error;
        onLeftOut(error.message);
        return [];
      }
    });
  });
  if (found.length > OBJECTS_MAX)
    throw new CommandError(`there are ${found.length} objects: name fewer files, ${OBJECTS_MAX} are the most`);
  return {
    objects: found.flatMap((one) => ('locate' in one ? one : [])),
    unnamed: found.flatMap((one) => ('locate' in one ? [] : one)),
  };
}

function objectsOf(
  file: string,
  document: Document.Parsed,
  counter: LineCounter,
): readonly (LocatedObject | UnnamedObject)[] {
  const [problem] = document.errors;
  if (problem !== undefined) throw new CommandError(`${file}: ${problem.message.split('\n', 1)[0]}`);
  const value = valueOf(file, document);
  if (value === null || value === undefined) return [];
  const root: unknown = document.contents;
  if (!isObject(value) || !isMap(root))
    throw new NoObject(`${file}: a document is not a Kubernetes object (kind and metadata are missing)`);
  const items = root.get('items', true);
  const objects = itemsOf(value);
  const isList = !(objects.length === 1 && objects[0] === value);
  return objects.map((object, index) => {
    const item: unknown = isList && isSeq(items) ? items.items[index] : root;
    const node = isMap(item) ? item : root;
    const metadata = asObject(object['metadata']);
    const { name, generateName } = metadata;
    if (typeof object['kind'] !== 'string' || typeof object['apiVersion'] !== 'string') {
      throw new NoObject(
        `${file}:${lineOf(node, counter)}: not a Kubernetes object (apiVersion and kind are missing, or no text)`,
      );
    }
    if (object['metadata'] === undefined)
      throw new NoObject(
        `${file}:${lineOf(node, counter)}: not a Kubernetes object (${object['kind']} without metadata)`,
      );
    const given = name ?? generateName ?? '';
    if (typeof given === 'string' && given !== '')
      return { object, locate: (field) => ({ file, line: fieldLine(node, field, counter) }) };
    // In YAML 1.1, which Kubernetes reads, `n`, `y`, `on` and `off` are truth values.
    const text = JSON.stringify(given);
    return {
      object: { ...object, metadata: { ...metadata, name: given === '' ? '(no name)' : text } },
      message: given === '' ? 'is missing' : `is ${text}, which is no text: put it in quotes`,
      location: { file, line: fieldLine(node, 'metadata.name', counter) },
    };
  });
}

/** @throws CommandError  when aliases name nothing, or one another so often that the value could be of any size */
function valueOf(file: string, document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: ALIASES_MAX });
  } catch (error) {
    if (error instanceof ReferenceError) throw new CommandError(`${file}: aliases of YAML (*name): ${error.message}`);
    throw error;
  }
}

function lineOf(node: { readonly range?: readonly number[] | null | undefined }, counter: LineCounter): number {
  return counter.linePos(node.range?.[0] ?? 0).line;
}

/** Line of a field, or of the nearest part around it that is there. */
function fieldLine(root: YAMLMap, field: string, counter: LineCounter): number {
  let node: unknown = root;
  let line = lineOf(root, counter);
  for (const part of pathOf(field)) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(key) === part);
      if (pair === undefined) break;
      const { range } = pair.key as { readonly range?: readonly number[] };
      if (range !== undefined) line = lineOf({ range }, counter);
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      if (!isMap(node) && !isSeq(node)) break;
      line = lineOf(node, counter);
    } else break;
  }
  return line;
}

/** Parts of `spec.rules[0].matches`, `metadata.annotations[a.b/c]`. */
function pathOf(field: string): readonly string[] {
  return [...field.matchAll(/\[([^\]]*)\]|[^.[\]]+/g)].map(([part, inBrackets]) => inBrackets ?? part);
}
