import { toYaml } from '../../control-plane/install/manifest.ts';
import { connect } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, CommandError, textFlag, type Command } from '../../cli/command.ts';
import { credentialsSecret, LINKS_PATH, NAMESPACE } from '../names.ts';
import { mirroredServices } from './links.ts';

export const multiclusterUnlink: Command = {
  path: ['multicluster', 'unlink'],
  summary: 'Print what a link to another cluster consists of, for `kubectl delete -f -`.',
  details:
    'The service mirror removes the mirrored Services when the Link is gone; they are printed too, should it not run.',
  flags: {
    ...CLUSTER_FLAGS,
    'cluster-name': { type: 'string', value: 'NAME', isName: true, help: 'name of the linked cluster' },
  },
  examples: ['tulle multicluster unlink --cluster-name west | kubectl delete --ignore-not-found -f -'],
  run: async ({ flags, terminal }) => {
    const name = textFlag(flags, 'cluster-name');
    const cluster = await connect(flags);
    try {
      if ((await cluster.find(`${LINKS_PATH}/namespaces/${NAMESPACE}/links/${name}`)) === undefined)
        throw new CommandError(`there is no Link ${NAMESPACE}/${name}: see \`tulle multicluster gateways\``);
      const services = await mirroredServices(cluster, name);
      terminal.out(
        toYaml([
          { apiVersion: 'multicluster.linkerd.io/v1alpha2', kind: 'Link', metadata: { name, namespace: NAMESPACE } },
          { apiVersion: 'v1', kind: 'Secret', metadata: { name: credentialsSecret(name), namespace: NAMESPACE } },
          ...services.map(({ metadata }) => ({
            apiVersion: 'v1',
            kind: 'Service',
            metadata: { name: metadata.name, namespace: metadata.namespace ?? '' },
          })),
        ]),
      );
      return 0;
    } finally {
      cluster.close();
    }
  },
};
