import type { Command } from '../command.ts';
import { uninjectYaml } from '../inject-yaml.ts';
import { transform } from './inject.ts';

export const uninject: Command = {
  path: ['uninject'],
  args: 'FILE|FOLDER|- ...',
  summary: 'Remove from manifests what meshes a workload, and print them.',
  details:
    'Annotations and labels of injection go, and from pods that were read out of a cluster the proxy too. linkerd.io/inject:\n' +
    'disabled and config.linkerd.io settings stay. What was done is told on standard error. A namespace that is annotated\n' +
    'still gives new pods a proxy: remove its annotation, or use `tulle inject --disable` for single workloads.',
  flags: {},
  examples: [
    'tulle uninject deployment.yaml | kubectl apply -f -',
    'kubectl get deploy -n shop -o yaml | tulle uninject - | kubectl apply -f -',
  ],
  run: ({ args, terminal }) => transform('uninject', args, terminal, uninjectYaml),
};
