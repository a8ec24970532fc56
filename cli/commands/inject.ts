import { TRUST_ROOTS_CONFIG_MAP } from '#config/names.ts';
import { DEFAULT_INBOUND_POLICIES, defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { asObject } from '#k8s/json.ts';
import { proxySettings } from '../../injector/annotations.ts';
import { INJECT_ANNOTATION } from '../../injector/decision.ts';
import { NAMESPACES, Namespaces } from '../../injector/namespaces.ts';
import { injectPod, type PodOutcome } from '../../injector/patch.ts';
import { parsePod } from '../../injector/pod.ts';
import { connect } from '../cluster.ts';
import {
  CLUSTER_FLAGS,
  CommandError,
  optionalText,
  textFlag,
  UsageError,
  type Command,
  type FlagValues,
  type Terminal,
} from '../command.ts';
import { injectYaml, type Injected, type PodOfWorkload } from '../inject-yaml.ts';
import { installedValues } from '../installed-values.ts';
import { publishedAnchorsPem } from '../published-anchors.ts';
import { noObjects, readManifestSources } from '../manifest-files.ts';

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
    'Only the annotation is added; the injector of the cluster adds the proxy when pods are created.\nComments and order of the YAML are kept. What was done is told on standard error.\n\n' +
    '--manual adds the proxy itself, with the values and trust anchors of the installation as they are now. Such pods need no\n' +
    'injector when they start; inject them again after an upgrade, and before the trust anchors end.',
  flags: {
    ...Object.fromEntries(
      Object.entries(ANNOTATION_FLAGS).map(([name, help]) => [
        name,
        {
          type: 'string' as const,
          value: 'VALUE',
          help,
          ...(name === 'default-inbound-policy' && { choices: DEFAULT_INBOUND_POLICIES }),
        },
      ]),
    ),
    ...CLUSTER_FLAGS,
    manual: { type: 'boolean', help: 'add the proxy itself' },
    namespace: {
      type: 'string',
      short: 'n',
      value: 'NS',
      isName: true,
      help: 'with --manual: namespace of objects that name none',
    },
    disable: { type: 'boolean', help: 'write linkerd.io/inject: disabled instead' },
  },
  examples: [
    'tulle inject deployment.yaml | kubectl apply -f -',
    'kubectl get deploy -n shop -o yaml | tulle inject - | kubectl apply -f -',
    'tulle inject --manual -n shop deployment.yaml | kubectl apply -f -',
  ],
  run: async ({ flags, args, terminal }) => {
    const annotations = requestedAnnotations(flags);
    const isManual = flags['manual'] === true;
    if (isManual && flags['disable'] === true) throw new UsageError('--manual and --disable exclude each other');
    if (!isManual && flags['namespace'] !== undefined)
      throw new UsageError(
        '--namespace is for --manual, where the namespace decides what the proxy gets: the annotation is the same everywhere. Leave it out here, and give it to `kubectl apply`',
      );
    const decide = isManual ? await sidecarMaker(flags) : undefined;
    return transform('inject', args, terminal, (name, text) => injectYaml(name, text, annotations, decide));
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

/** What the injector would do about a pod, with what the installation knows now. */
async function sidecarMaker(flags: FlagValues): Promise<(workload: PodOfWorkload) => PodOutcome> {
  const cluster = await connect(flags);
  try {
    const controlNamespace = textFlag(flags, 'tulle-namespace');
    const { values } = await installedValues(cluster, controlNamespace);
    const trustAnchorsPem = await publishedAnchorsPem(cluster, controlNamespace);
    if (trustAnchorsPem === undefined)
      throw new CommandError(
        `there are no trust anchors yet (configmaps/${TRUST_ROOTS_CONFIG_MAP} in ${controlNamespace}): see \`tulle check\``,
      );
    const namespaces = new Namespaces();
    namespaces.reset((await cluster.list('/api/v1/namespaces')).flatMap((object) => NAMESPACES.parse(object) ?? []));
    const fallback = optionalText(flags, 'namespace') ?? cluster.defaultNamespace;
    return ({ kind, name, namespace = fallback, pod }) => {
      const { metadata, ...rest } = asObject(pod);
      const owner = { kind, name, controller: true };
      const owned = kind === 'Pod' ? metadata : { ...asObject(metadata), ownerReferences: [owner] };
      const context = { values, trustAnchorsPem, namespace: namespaces.of(namespace) };
      return injectPod(parsePod({ ...rest, metadata: owned }), namespace, context);
    };
  } finally {
    cluster.close();
  }
}

/** Prints what a function makes of every manifest, and on standard error what it did to each object. */
export async function transform(
  command: string,
  sources: readonly string[],
  terminal: Terminal,
  change: (name: string, text: string) => Injected,
): Promise<number> {
  const results = (await readManifestSources(sources, terminal.readStdin, command)).map(({ name, text }) =>
    change(name, text),
  );
  const reports = results.flatMap(({ report }) => report);
  if (reports.length === 0) throw noObjects(sources);
  // Only now: after an error nothing was printed, so `| kubectl apply -f -` applies nothing.
  terminal.err(reports.map((line) => `${line}\n`).join(''));
  terminal.out(results.map(({ output }) => output).join(''));
  return 0;
}
