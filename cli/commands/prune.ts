import { VERSION } from '#config/version.ts';
import { renderInstall } from '../../control-plane/install/render.ts';
import { connect } from '../cluster.ts';
import { CLUSTER_FLAGS, textFlag, type Command } from '../command.ts';
import { installedValues } from '../installed-values.ts';
import { leftovers } from '../lifecycle/owned-objects.ts';
import { objectName } from '../lifecycle/plan.ts';
import { MANIFEST_FORMAT, manifestText } from '../manifest-output.ts';

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
      if (left.length > 0) terminal.out(manifestText(left, flags));
      return 0;
    } finally {
      cluster.close();
    }
  },
};
