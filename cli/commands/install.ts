import { renderCrds, renderGatewayApiCrds, renderInstall } from '../../control-plane/install/render.ts';
import { givenIdentityManifests } from '../../control-plane/install/manifests/given-identity.ts';
import { toJson, toYaml } from '../../control-plane/install/manifest.ts';
import {
  DEFAULT_INBOUND_POLICIES,
  defaultValues,
  validateValues,
  type DefaultInboundPolicy,
  type Values,
} from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { LOG_LEVELS, type LogLevel } from '#runtime/log.ts';
import { optionalText, textFlag, UsageError, type Command, type FlagValues } from '../command.ts';
import { IDENTITY_FLAGS, isIssuerExternal, readIdentityFiles } from '../identity-files.ts';

const defaults = defaultValues(VERSION);

export const install: Command = {
  path: ['install'],
  summary: 'Print the manifest that installs Tulle, for `kubectl apply -f -`.',
  details:
    'The manifest is complete, deterministic (the same flags give the same bytes) and holds no secret:\n' +
    'keys and certificates are made in the cluster. Applying it again changes nothing. With an issuer of your own\n' +
    'from files the manifest holds its private key: keep it as you keep the key. The files are not read again later.',
  flags: {
    crds: { type: 'boolean', help: 'print only the CustomResourceDefinitions' },
    'gateway-api': {
      type: 'boolean',
      help: 'with --crds: also HTTPRoute, GRPCRoute and ReferenceGrant of Gateway API, for a cluster without them',
    },
    'identity-issuance-lifetime': {
      type: 'string',
      value: 'DURATION',
      default: defaults.identity.issuanceLifetime,
      help: 'how long the certificate of a proxy is valid',
    },
    'default-inbound-policy': {
      type: 'string',
      value: 'POLICY',
      default: defaults.proxy.defaultInboundPolicy,
      choices: DEFAULT_INBOUND_POLICIES,
      help: 'what a port without policy accepts',
    },
    'controller-replicas': {
      type: 'string',
      value: 'N',
      default: String(defaults.controllerReplicas),
      help: 'replicas of each control-plane process',
    },
    'controller-log-level': {
      type: 'string',
      value: 'LEVEL',
      default: defaults.controllerLogLevel,
      choices: LOG_LEVELS,
      help: 'log level of the control plane',
    },
    'proxy-log-level': {
      type: 'string',
      value: 'LEVEL',
      default: defaults.proxy.logLevel,
      help: 'log level of the proxies',
    },
    image: { type: 'string', value: 'NAME', default: defaults.image, help: 'image of every process, without tag' },
    'cluster-domain': {
      type: 'string',
      value: 'DOMAIN',
      default: defaults.clusterDomain,
      help: 'DNS domain of the cluster',
    },
    'identity-trust-domain': {
      type: 'string',
      value: 'DOMAIN',
      help: 'trust domain of the identities (default: the cluster domain)',
    },
    ...IDENTITY_FLAGS,
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      default: 'yaml',
      choices: ['yaml', 'json'],
      help: 'format of the manifest',
    },
  },
  examples: [
    'tulle install | kubectl apply -f -',
    'tulle install --crds | kubectl apply -f -',
    'tulle install --crds --gateway-api | kubectl create -f -',
    'tulle install --identity-external-issuer | kubectl apply -f -',
    'tulle install --default-inbound-policy all-authenticated > tulle.yaml',
  ],
  run: async ({ flags, terminal }) => {
    const values = valuesFromFlags(flags);
    const problems = validateValues(values);
    if (problems.length > 0) throw new UsageError(problems.map(inFlags).join('; '));
    const hasGatewayApi = flags['gateway-api'] === true;
    if (hasGatewayApi && flags['crds'] !== true) throw new UsageError('--gateway-api needs --crds');
    const given = readIdentityFiles(flags, Date.now());
    const crds = hasGatewayApi ? [...renderCrds(), ...renderGatewayApiCrds()] : renderCrds();
    const objects =
      flags['crds'] === true ? crds : [...renderInstall(values), ...givenIdentityManifests(values, given)];
    if (objects.some(({ kind }) => kind === 'Secret'))
      terminal.err('warning: the manifest holds the private key of your issuer: keep it as you keep that key\n');
    terminal.out(textFlag(flags, 'output') === 'json' ? toJson(objects) : toYaml(objects));
    return 0;
  },
};

function valuesFromFlags(flags: FlagValues): Values {
  const clusterDomain = textFlag(flags, 'cluster-domain');
  const replicas = textFlag(flags, 'controller-replicas');
  if (!/^\d+$/.test(replicas) || Number(replicas) === 0)
    throw new UsageError(`--controller-replicas is "${replicas}": use a whole number from 1`);
  return {
    ...defaults,
    image: textFlag(flags, 'image'),
    clusterDomain,
    identityTrustDomain: optionalText(flags, 'identity-trust-domain') ?? clusterDomain,
    controllerReplicas: Number(replicas),
    controllerLogLevel: textFlag(flags, 'controller-log-level') as LogLevel,
    identity: {
      ...defaults.identity,
      issuanceLifetime: textFlag(flags, 'identity-issuance-lifetime'),
      issuer: isIssuerExternal(flags) ? 'external' : 'own',
    },
    proxy: {
      ...defaults.proxy,
      logLevel: textFlag(flags, 'proxy-log-level'),
      defaultInboundPolicy: textFlag(flags, 'default-inbound-policy') as DefaultInboundPolicy,
    },
  };
}

/** Values that have a flag of another name. */
const FLAG_OF: Readonly<Record<string, string>> = {
  'identity.issuanceLifetime': 'identity-issuance-lifetime',
  'proxy.logLevel': 'proxy-log-level',
  controllerReplicas: 'controller-replicas',
  clusterDomain: 'cluster-domain',
  identityTrustDomain: 'identity-trust-domain',
  image: 'image',
};

/** A problem of the values in the words of the command line. */
export function inFlags(problem: string): string {
  return problem.replace(/^[\w.]+/, (value) => (FLAG_OF[value] === undefined ? value : `--${FLAG_OF[value]}`));
}
