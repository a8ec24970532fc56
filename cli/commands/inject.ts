import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { proxySettings } from '../../injector/annotations.ts';
import { INJECT_ANNOTATION } from '../../injector/decision.ts';
import { injectYaml } from '../inject-yaml.ts';
import { reasonOf } from '../reason.ts';
import { CommandError, optionalText, UsageError, type Command, type FlagValues } from '../command.ts';

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
    const reports: string[] = [];
    for (const source of args) {
      for (const { name, text } of await readSource(source, terminal.readStdin)) {
        const { output, report } = injectYaml(name, text, annotations);
        outputs.push(output);
        reports.push(...report);
      }
    }
    if (reports.length === 0)
      throw new CommandError(
        `${args.map((source) => (source === '-' ? 'standard input' : source)).join(', ')}: there is no Kubernetes object in it`,
      );
    // Only now: after an error nothing was printed, so `| kubectl apply -f -` applies nothing.
    terminal.err(reports.map((line) => `${line}\n`).join(''));
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
      `${source}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file or folder' : reasonOf(error)}`,
    );
  }
}
