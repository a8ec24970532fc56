import { toYaml } from '../../control-plane/install/manifest.ts';
import { connect } from '../../cli/cluster.ts';
import { CLUSTER_FLAGS, CommandError, textFlag, type Command } from '../../cli/command.ts';

/** Where the identity process keeps the trust anchor, and finds one that is there before it. */
const ANCHOR_SECRET = 'linkerd-identity-anchor';

export const multiclusterAnchor: Command = {
  path: ['multicluster', 'anchor-gen'],
  summary:
    'Print the trust anchor of this cluster with its private key, for a cluster where Tulle is not installed yet.',
  details:
    'Clusters that are to be linked share a trust anchor. Apply the output in the second cluster, then install Tulle there.\n' +
    'Whoever has the output can make certificates that both clusters trust: pipe it, do not keep it.',
  flags: CLUSTER_FLAGS,
  examples: ['tulle multicluster anchor-gen --context west | kubectl --context east apply -f -'],
  run: async ({ flags, terminal }) => {
    const namespace = textFlag(flags, 'tulle-namespace');
    const cluster = await connect(flags);
    try {
      const secret = await cluster.find(`/api/v1/namespaces/${namespace}/secrets/${ANCHOR_SECRET}`);
      const { 'tls.crt': certificate, 'tls.key': key } = (secret?.['data'] ?? {}) as Record<string, string | undefined>;
      if (certificate === undefined || key === undefined)
        throw new CommandError(
          `there is no trust anchor in this cluster (Secret ${namespace}/${ANCHOR_SECRET})`,
          '`tulle install | kubectl apply -f -` first; the identity process makes it within seconds',
        );
      terminal.out(
        toYaml([
          { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
          {
            apiVersion: 'v1',
            kind: 'Secret',
            type: 'Opaque',
            metadata: { name: ANCHOR_SECRET, namespace },
            data: secret?.['data'],
          },
        ]),
      );
      return 0;
    } finally {
      cluster.close();
    }
  },
};
