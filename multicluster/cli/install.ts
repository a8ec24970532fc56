import { defaultValues } from '#config/values.ts';
import { validateValues } from '#config/validate.ts';
import { VERSION } from '#config/version.ts';
import { textFlag, UsageError, type Command } from '../../cli/command.ts';
import { MANIFEST_FORMAT, manifestText } from '../../cli/manifest-output.ts';
import { inFlags } from '../../cli/values-flags.ts';
import { multiclusterManifests, type GatewayOptions } from '../install/manifest.ts';

const defaults = defaultValues(VERSION);

export const multiclusterInstall: Command = {
  path: ['multicluster', 'install'],
  summary: 'Print the manifest of the multicluster extension, for `kubectl apply -f -`.',
  details: 'Both clusters need it, and both need the same trust anchor: see `tulle multicluster anchor-gen --help`.',
  flags: {
    image: { type: 'string', value: 'NAME', default: defaults.image, help: 'image of every process, without tag' },
    'gateway-service-type': {
      type: 'string',
      value: 'TYPE',
      default: 'LoadBalancer',
      choices: ['LoadBalancer', 'NodePort', 'ClusterIP'],
      help: 'type of the Service that other clusters come in by',
    },
    'gateway-probe-seconds': {
      type: 'string',
      value: 'N',
      default: '3',
      help: 'how often other clusters probe the gateway',
    },
    'cluster-domain': {
      type: 'string',
      value: 'DOMAIN',
      default: defaults.clusterDomain,
      help: 'DNS domain of the cluster',
    },
    'identity-trust-domain': {
      type: 'string',
      value: 'DOMAIN',
      default: defaults.identityTrustDomain,
      help: 'trust domain of the identities',
    },
    output: MANIFEST_FORMAT,
  },
  examples: ['tulle multicluster install | kubectl apply -f -', 'tulle mc install --gateway-service-type NodePort'],
  run: async ({ flags, terminal }) => {
    const values = {
      ...defaults,
      image: textFlag(flags, 'image'),
      clusterDomain: textFlag(flags, 'cluster-domain'),
      identityTrustDomain: textFlag(flags, 'identity-trust-domain'),
    };
    const problems = validateValues(values);
    if (problems.length > 0) throw new UsageError(problems.map(inFlags).join('; '));
    const seconds = textFlag(flags, 'gateway-probe-seconds');
    if (!/^[1-9]\d{0,3}$/.test(seconds))
      throw new UsageError(`--gateway-probe-seconds is "${seconds}": use a whole number from 1`);
    const objects = multiclusterManifests(values, {
      serviceType: textFlag(flags, 'gateway-service-type') as GatewayOptions['serviceType'],
      probeSeconds: Number(seconds),
    });
    terminal.out(manifestText(objects, flags));
    return 0;
  },
};
