import { cniNamespace } from '#config/names.ts';
import { VERSION } from '#config/version.ts';
import { renderInstall } from '../../control-plane/install/render.ts';
import { connect, type ApiObject } from '../cluster.ts';
import { CLUSTER_FLAGS, textFlag, type Command } from '../command.ts';
import { installedValues } from '../installed-values.ts';
import { VALIDATOR_CONTAINER } from '../../injector/decision.ts';
import { leftovers, meshedPods } from '../lifecycle/owned-objects.ts';
import { objectName } from '../lifecycle/plan.ts';
import { MANIFEST_FORMAT, manifestText } from '../manifest-output.ts';

const MAX_NAMED = 10;

export const prune: Command = {
  path: ['prune'],
  summary: 'Print the objects that an upgrade left over, for `kubectl delete -f -`.',
  details:
    'These are objects with the label of the installation that its manifest, rendered by this version with the values of the\n' +
    'cluster, does not hold any more. CustomResourceDefinitions are never among them.',
  flags: { ...CLUSTER_FLAGS, output: MANIFEST_FORMAT },
  examples: ['tulle prune', 'tulle prune | kubectl delete -f -'],
  run: async ({ flags, terminal }) => {
    const namespace = textFlag(flags, 'tulle-namespace');
    const cluster = await connect(flags);
    try {
      const { values } = await installedValues(cluster, namespace);
      const left = await leftovers(cluster, renderInstall({ ...values, version: VERSION }), namespace);
      terminal.err(left.length === 0 ? 'nothing is left over\n' : left.map((one) => `${objectName(one)}\n`).join(''));
      if (left.some(({ kind, metadata }) => kind === 'Namespace' && metadata.name === cniNamespace(values))) {
        const waiting = (await meshedPods(cluster, namespace)).filter(isRedirectedByNode);
        const named = waiting.slice(0, MAX_NAMED).map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
        if (waiting.length > 0)
          terminal.err(
            `warning: ${waiting.length} pods are redirected by the agents in ${cniNamespace(values)}: ${named.join(', ')}: restart their workloads first, since such a pod waits for an agent whenever it starts anew\n`,
          );
      }
      if (left.length > 0) terminal.out(manifestText(left, flags));
      return 0;
    } finally {
      cluster.close();
    }
  },
};

function isRedirectedByNode({ spec }: ApiObject): boolean {
  const { initContainers = [] } = (spec ?? {}) as { readonly initContainers?: readonly { readonly name: string }[] };
  return initContainers.some(({ name }) => name === VALIDATOR_CONTAINER);
}
