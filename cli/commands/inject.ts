import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { isMap, isScalar, parseAllDocuments, type Document, type YAMLMap } from 'yaml';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { proxySettings } from '../../injector/annotations.ts';
import { INJECT_ANNOTATION } from '../../injector/decision.ts';
import { CommandError, optionalText, UsageError, type Command, type FlagValues } from '../command.ts';

/** Where the pod template's annotations are, by kind. */
const TEMPLATE_PATH: Readonly<Record<string, readonly string[]>> = {
  Pod: ['metadata'],
  Namespace: ['metadata'],
  Deployment: ['spec', 'template', 'metadata'],
  ReplicaSet: ['spec', 'template', 'metadata'],
  ReplicationController: ['spec', 'template', 'metadata'],
  StatefulSet: ['spec', 'template', 'metadata'],
  DaemonSet: ['spec', 'template', 'metadata'],
  Job: ['spec', 'template', 'metadata'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'template', 'metadata'],
};

/** Flags that become `config.linkerd.io/<name>` annotations. */
const ANNOTATION_FLAGS: Readonly<Record<string, string>> = {
  'opaque-ports': 'ports that carry no HTTP',
  'skip-inbound-ports': 'inbound ports that bypass the proxy',
  'skip-outbound-ports': 'outbound ports that bypass the proxy',
  'skip-subnets': 'subnets whose traffic bypasses the proxy',
  'default-inbound-policy': 'what a port without policy accepts',
  'proxy-log-level': 'log level of the proxy',
  'proxy-cpu-request': 'CPU request of the proxy',
  'proxy-cpu-limit': 'CPU limit of the proxy',
  'proxy-memory-request': 'memory request of the proxy',
  'proxy-memory-limit': 'memory limit of the proxy',
};

export const inject: Command = {
  path: ['inject'],
  args: 'FILE|FOLDER|- ...',
  summary: 'Add the annotation that meshes a workload to manifests, and print them.',
  details:
    'Only the annotation is added; the injector of the cluster adds the proxy when pods are created.\nComments and order of the YAML are kept. What was done is told on standard error.',
  flags: {
    ...Object.fromEntries(
      Object.entries(ANNOTATION_FLAGS).map(([name, help]) => [name, { type: 'string' as const, value: 'VALUE', help }]),
    ),
    disable: { type: 'boolean', help: 'write linkerd.io/inject: disabled instead' },
  },
  examples: [
    'tulle inject deployment.yaml | kubectl apply -f -',
    'kubectl get deploy -n shop -o yaml | tulle inject - | kubectl apply -f -',
  ],
  run: async ({ flags, args, terminal }) => {
    if (args.length === 0)
      throw new UsageError('name a file, a folder or - for standard input (`tulle inject --help`)');
    const annotations = requestedAnnotations(flags);
    const outputs: string[] = [];
    for (const source of args) {
      for (const { name, text } of await readSource(source, terminal.readStdin)) {
        const { output, report } = injectYaml(name, text, annotations);
        outputs.push(output);
        for (const line of report) terminal.err(`${line}\n`);
      }
    }
    terminal.out(outputs.join(''));
    return 0;
  },
};

function requestedAnnotations(flags: FlagValues): Readonly<Record<string, string>> {
  const annotations: Record<string, string> = {
    [INJECT_ANNOTATION]: flags['disable'] === true ? 'disabled' : 'enabled',
  };
  for (const name of Object.keys(ANNOTATION_FLAGS)) {
    const value = optionalText(flags, name);
    if (value !== undefined) annotations[`config.linkerd.io/${name}`] = value;
  }
  const { problems } = proxySettings(defaultValues(VERSION).proxy, {}, annotations);
  if (problems.length > 0)
    throw new UsageError(problems.map(({ message }) => message.replace('config.linkerd.io/', '--')).join('; '));
  return annotations;
}

async function readSource(
  source: string,
  readStdin: () => Promise<string>,
): Promise<readonly { name: string; text: string }[]> {
  if (source === '-') return [{ name: 'standard input', text: await readStdin() }];
  try {
    if (!statSync(source).isDirectory()) return [{ name: source, text: readFileSync(source, 'utf8') }];
    return readdirSync(source)
      .filter((file) => /\.(ya?ml|json)$/.test(file))
      .sort()
      .map((file) => ({ name: join(source, file), text: readFileSync(join(source, file), 'utf8') }));
  } catch (error) {
    throw new CommandError(
      `${source}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file or folder' : String(error)}`,
    );
  }
}

/**
 * Annotates every workload of a YAML stream; other objects pass unchanged.
 *
 * @param name  of the source, for messages
 * @returns the YAML and a line for each object: `deployment "web" injected`
 * @throws CommandError  naming source and line for broken YAML, or the workload that can never be meshed
 */
export function injectYaml(
  name: string,
  text: string,
  annotations: Readonly<Record<string, string>>,
): { readonly output: string; readonly report: readonly string[] } {
  const documents = parseAllDocuments(text);
  const report: string[] = [];
  for (const document of documents) {
    const [problem] = document.errors;
    if (problem !== undefined) throw new CommandError(`${name}: ${problem.message.split('\n')[0]}`);
    const root: unknown = document.contents;
    if (root === null) continue;
    if (!isMap(root))
      throw new CommandError(`${name}: a document is not a Kubernetes object (kind and metadata are missing)`);
    const items = root.get('items');
    const objects =
      root.get('kind') === 'List' && typeof items === 'object' && items !== null
        ? (items as { items: unknown[] }).items
        : [root];
    for (const object of objects) {
      if (!isMap(object)) throw new CommandError(`${name}: an item of a List is not an object`);
      report.push(annotate(name, document, object, annotations));
    }
  }
  const texts = documents.filter((document) => document.contents !== null).map(String);
  return { output: texts.map((yaml) => (yaml.startsWith('---') ? yaml : `---\n${yaml}`)).join(''), report };
}

function annotate(
  source: string,
  document: Document,
  object: YAMLMap,
  annotations: Readonly<Record<string, string>>,
): string {
  const kind = scalar(object, ['kind']);
  const name = scalar(object, ['metadata', 'name']) ?? scalar(object, ['metadata', 'generateName']);
  if (kind === undefined || name === undefined)
    throw new CommandError(`${source}: an object has no kind or no metadata.name`);
  const label = `${kind.toLowerCase()} "${name}"`;
  const path = TEMPLATE_PATH[kind];
  if (path === undefined) return `${label} skipped`;
  const podSpec = kind === 'Pod' ? ['spec'] : [...path.slice(0, -1), 'spec'];
  if (kind !== 'Namespace' && object.getIn([...podSpec, 'hostNetwork']) === true) {
    throw new CommandError(
      `${source}: ${label}: hostNetwork is enabled, such pods cannot be meshed: remove hostNetwork or leave the workload out`,
    );
  }
  for (const [key, value] of Object.entries(annotations)) {
    const at = [...path, 'annotations', key];
    // Documents and items of a List share the way of setting; only the starting point differs.
    const root: unknown = document.contents;
    if (object === root) document.setIn(at, value);
    else setIn(document, object, at, value);
  }
  return `${label} ${kind === 'Namespace' ? 'annotated' : 'injected'}`;
}

function setIn(document: Document, object: YAMLMap, path: readonly string[], value: string): void {
  let at = object;
  for (const part of path.slice(0, -1)) {
    let next = at.get(part, true);
    if (!isMap(next)) {
      next = document.createNode({}) as unknown as typeof next;
      at.set(part, next);
    }
    at = next as unknown as YAMLMap;
  }
  at.set(path.at(-1), value);
}

function scalar(object: YAMLMap, path: readonly string[]): string | undefined {
  const value = object.getIn(path);
  if (typeof value === 'string') return value;
  return isScalar(value) && typeof value.value === 'string' ? value.value : undefined;
}
