import { CNI_ENABLED, defaultValues } from '#config/values.ts';
import { overlay } from '#config/overlay.ts';
import { VERSION } from '#config/version.ts';
import { renderCni } from '../../control-plane/install/render.ts';
import { optionalText, type Command } from '../command.ts';
import { MANIFEST_FORMAT, manifestText } from '../manifest-output.ts';
import { VALUE_FLAGS, valuesFromFlags } from '../values-flags.ts';

export const installCni: Command = {
  path: ['install-cni'],
  summary: 'Print the part of the manifest that redirects pods from the nodes, for `kubectl apply -f -`.',
  details:
    'A pod needs its connections redirected to its proxy. By default an init container does that, which needs the capability\n' +
    'NET_ADMIN. Namespaces that enforce Pod Security baseline or restricted refuse that. With --linkerd-cni-enabled a DaemonSet does it\n' +
    'for all pods: an agent on each node, privileged, with no rights at the API server. It changes no file of the node and works with any CNI\n' +
    'plug-in. Pods that start before their agent wait for it.\n\n' +
    '`tulle install --linkerd-cni-enabled` prints this part too. This command is for clusters where somebody else may create it:\n' +
    'apply it first.',
  flags: {
    'tulle-namespace': {
      type: 'string',
      short: 'L',
      value: 'NS',
      isName: true,
      help: 'namespace of the control plane (default tulle); the agents are in NS-cni',
    },
    ...VALUE_FLAGS,
    output: MANIFEST_FORMAT,
  },
  examples: [
    'tulle install-cni | kubectl apply -f -',
    'tulle install --linkerd-cni-enabled | kubectl apply -f -',
    'tulle upgrade --linkerd-cni-enabled | kubectl apply -f -',
  ],
  run: async ({ flags, terminal }) => {
    const namespace = optionalText(flags, 'tulle-namespace');
    const base = overlay(defaultValues(VERSION), CNI_ENABLED).values;
    const values = valuesFromFlags({ ...base, ...(namespace === undefined ? {} : { namespace }) }, flags);
    terminal.out(manifestText(renderCni(values), flags));
    return 0;
  },
};
