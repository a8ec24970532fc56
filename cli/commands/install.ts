import { givenIdentityManifests } from '../../control-plane/install/manifests/given-identity.ts';
import { renderCrds, renderGatewayApiCrds, renderInstall } from '../../control-plane/install/render.ts';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { optionalText, type Command } from '../command.ts';
import { IDENTITY_FLAGS, readIdentityFiles, warnOfKeys, withIssuer } from '../identity-files.ts';
import { MANIFEST_FORMAT, manifestText } from '../manifest-output.ts';
import { VALUE_FLAGS, valuesFromFlags } from '../values-flags.ts';

export const install: Command = {
  path: ['install'],
  summary: 'Print the manifest that installs Tulle, for `kubectl apply -f -`.',
  details:
    'The manifest is complete, deterministic (the same flags give the same bytes) and holds no secret:\n' +
    'keys and certificates are made in the cluster. Applying it again changes nothing. With an issuer of your own\n' +
    'from files the manifest holds its private key: keep it as you keep the key. The files are not read again later.\n\n' +
    'The manifest holds the CustomResourceDefinitions too, so one step is enough; --crds prints them alone, for clusters where\n' +
    'somebody else may create them.\n\n' +
    'Values come, later ones winning, from the defaults, --ha or --tiny, each -f file, single flags, --set.\n' +
    'A value that does not exist or cannot be right is an error; none is ignored.\n\n' +
    '--ha keeps the webhook at Ignore: with Fail, pods cannot start anywhere while no injector answers.\n' +
    'Who prefers that to a pod without a proxy adds --set webhookFailurePolicy=Fail.\n' +
    '--tiny gives the account of its one process the rights of all three, the keys of the issuer among them.',
  flags: {
    crds: { type: 'boolean', help: 'print only the CustomResourceDefinitions' },
    'gateway-api': {
      type: 'boolean',
      help: 'also the routes and ReferenceGrant of Gateway API, for a cluster without them',
    },
    'tulle-namespace': {
      type: 'string',
      short: 'L',
      value: 'NS',
      isName: true,
      help: 'namespace of the control plane (default tulle)',
    },
    ...VALUE_FLAGS,
    ...IDENTITY_FLAGS,
    output: MANIFEST_FORMAT,
  },
  examples: [
    'tulle install | kubectl apply -f -',
    'tulle install --crds | kubectl apply -f -',
    'tulle install --gateway-api | kubectl apply -f -',
    'tulle install --crds --gateway-api | kubectl create -f -',
    'tulle install --ha -f values.yaml --set proxy.logLevel=debug > tulle.yaml',
    'tulle install --tiny | kubectl apply -f -',
    'tulle install --linkerd-cni-enabled | kubectl apply -f -',
    'tulle install --identity-external-issuer | kubectl apply -f -',
    'tulle install --default-inbound-policy all-authenticated | kubectl apply -f -',
  ],
  run: async ({ flags, terminal }) => {
    const namespace = optionalText(flags, 'tulle-namespace');
    const base = { ...defaultValues(VERSION), ...(namespace === undefined ? {} : { namespace }) };
    const values = valuesFromFlags(withIssuer(base, flags), flags);
    const gatewayApi = flags['gateway-api'] === true ? renderGatewayApiCrds() : [];
    const given = readIdentityFiles(flags, Date.now());
    const objects = [
      ...gatewayApi,
      ...(flags['crds'] === true
        ? renderCrds(values)
        : [...renderInstall(values), ...givenIdentityManifests(values, given)]),
    ];
    if (gatewayApi.length > 0)
      terminal.err(
        'note: definitions of Gateway API are in the manifest: where some exist, `kubectl apply` replaces them and `kubectl create` refuses\n',
      );
    warnOfKeys(objects, terminal);
    terminal.out(manifestText(objects, flags));
    return 0;
  },
};
