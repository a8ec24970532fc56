import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { proxySettings } from '../../injector/annotations.ts';
import { INJECT_ANNOTATION } from '../../injector/decision.ts';
import { injectYaml, type Injected } from '../inject-yaml.ts';
import { noObjects, readManifestSources } from '../manifest-files.ts';
import { optionalText, UsageError, type Command, type FlagValues, type Terminal } from '../command.ts';

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
    const annotations = requestedAnnotations(flags);
    return transform('inject', args, terminal, (name, text) => injectYaml(name, text, annotations));
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
