import { IDENTITY_ISSUER_SECRET, TRUST_ROOTS_CONFIG_MAP } from '#config/names.ts';
import { isSupported, minorsBehind, SUPPORTED_MINORS } from '#config/version-skew.ts';
import { VERSION } from '#config/version.ts';
import type { Certificate } from '#pki/certificate.ts';
import { readTrustAnchors } from '#pki/trust-anchors.ts';
import { givenIdentityManifests, type GivenIdentity } from '../../control-plane/install/manifests/given-identity.ts';
import { renderCrds, renderInstall } from '../../control-plane/install/render.ts';
import { connect, type Cluster } from '../cluster.ts';
import { CLUSTER_FLAGS, CommandError, textFlag, UsageError, type Command, type FlagValues } from '../command.ts';
import { hasIdentityFiles, IDENTITY_FLAGS, readIdentityFiles, warnOfKeys, withIssuer } from '../identity-files.ts';
import { installedValues } from '../installed-values.ts';
import { publishedAnchorsPem } from '../published-anchors.ts';
import { reasonOf } from '../reason.ts';
import { addedEvictions } from '../lifecycle/evictions.ts';
import { leftovers } from '../lifecycle/owned-objects.ts';
import { formatPlan, planDocument, planOf } from '../lifecycle/plan.ts';
import { VALUE_FLAGS, valuesFromFlags } from '../values-flags.ts';
import { MANIFEST_FORMAT, manifestText } from '../manifest-output.ts';

export const upgrade: Command = {
  path: ['upgrade'],
  summary: 'Print the manifest that brings the installation to this version and to changed values.',
  details:
    'It starts from the values that were chosen at the installation (ConfigMap linkerd-config) and lays the flags over them.\n' +
    'What nobody chose takes the defaults of this version. --plan shows what would change, object by object, and prints no\n' +
    'manifest. Objects that are not needed any more stay until `tulle prune`. Definitions of Gateway API are never touched.\n' +
    'A new issuer of your own, from files, may be under an anchor that is published already. A file of anchors adds to these; an\n' +
    'issuer under a new one is used as soon as all proxies know it.\n' +
    `Proxies keep working with a control plane of up to ${SUPPORTED_MINORS} minor versions later; they are replaced when their pods restart.`,
  flags: {
    ...CLUSTER_FLAGS,
    ...VALUE_FLAGS,
    ...IDENTITY_FLAGS,
    plan: { type: 'boolean', help: 'show what would change instead' },
    crds: { type: 'boolean', help: 'print only the CustomResourceDefinitions' },
    force: { type: 'boolean', help: 'also from a version that is too far away' },
    output: MANIFEST_FORMAT,
  },
  examples: [
    'tulle upgrade --plan',
    'tulle upgrade | kubectl apply -f -',
    'tulle upgrade --set proxy.logLevel=debug --plan',
    'tulle upgrade --ha | kubectl apply -f -',
    'tulle upgrade --identity-issuer-certificate-file issuer.crt --identity-issuer-key-file issuer.key | kubectl apply -f -',
    'tulle prune | kubectl delete -f -',
  ],
  run: async ({ flags, terminal }) => {
    const [isPlan, isCrds] = [flags['plan'] === true, flags['crds'] === true];
    const namespace = textFlag(flags, 'tulle-namespace');
    const cluster = await connect(flags);
    try {
      const installed = await installedValues(cluster, namespace);
      const { version } = installed.values;
      refuseSkew(version, flags['force'] === true);
      for (const message of installed.unknown)
        terminal.err(`warning: chosen before, and left out from now on: ${message}\n`);
      if ((minorsBehind(version) ?? 0) < 0) terminal.err(`warning: this goes back from ${version} to ${VERSION}\n`);
      const values = valuesFromFlags(withIssuer(installed.chosen, flags), flags);
      if (values.namespace !== namespace)
        throw new UsageError(`--set: namespace is "${values.namespace}": an installation cannot move, install again`);
      const given = await givenIdentity(cluster, namespace, flags);
      const manifest = isCrds
        ? renderCrds(values)
        : [...renderInstall(values), ...givenIdentityManifests(values, given)];
      if (isPlan) {
        const plan = await planOf(cluster, manifest, namespace);
        const evicted = isCrds ? [] : await addedEvictions(cluster, installed.values, values);
        const isJson = textFlag(flags, 'output') === 'json';
        terminal.out(isJson ? `${JSON.stringify(planDocument(plan, evicted), null, 2)}\n` : formatPlan(plan, evicted));
        return 0;
      }
      const left = isCrds ? [] : await leftovers(cluster, manifest, namespace);
      if (left.length > 0)
        terminal.err(
          `note: ${left.length} objects will not be needed any more; after the upgrade: tulle prune | kubectl delete -f -\n`,
        );
      warnOfKeys(manifest, terminal);
      terminal.out(manifestText(manifest, flags));
      return 0;
    } finally {
      cluster.close();
    }
  },
};

/** @throws UsageError, CommandError  when what the files hold cannot be used in this installation */
async function givenIdentity(cluster: Cluster, namespace: string, flags: FlagValues): Promise<GivenIdentity> {
  if (!hasIdentityFiles(flags)) return readIdentityFiles(flags, Date.now());
  const pem = await publishedAnchorsPem(cluster, namespace);
  const given = readIdentityFiles(flags, Date.now(), pem === undefined ? [] : publishedAnchors(pem, namespace));
  if (given.issuer === undefined) return given;
  const secret = await cluster.find(`/api/v1/namespaces/${namespace}/secrets/${IDENTITY_ISSUER_SECRET}`);
  if (secret?.['type'] !== 'kubernetes.io/tls') return given;
  throw new CommandError(
    `Secret ${namespace}/${IDENTITY_ISSUER_SECRET} is somebody else's (type kubernetes.io/tls, as cert-manager makes it), and a type cannot change`,
    `let its maker put the next issuer there; or stop that, and \`kubectl -n ${namespace} delete secret ${IDENTITY_ISSUER_SECRET}\``,
  );
}

/** @throws CommandError  when they cannot be read */
function publishedAnchors(pem: string, namespace: string): readonly Certificate[] {
  try {
    return readTrustAnchors(pem, `ConfigMap ${namespace}/${TRUST_ROOTS_CONFIG_MAP}`);
  } catch (error) {
    throw new CommandError(reasonOf(error), 'delete what is no certificate there: the identity process keeps the rest');
  }
}

/** @throws CommandError  when proxies of the installed version would not work with the new control plane, or the other way round */
function refuseSkew(installed: string, isForced: boolean): void {
  // Backwards the same distance holds: the old control plane meets proxies that are newer only until they restart.
  if (isForced || isSupported(installed) || isSupported(VERSION, installed)) return;
  throw new CommandError(
    `version ${installed} is installed and this is ${VERSION}, which is more than ${SUPPORTED_MINORS} minor versions away`,
    'go through a version between them, or use --force',
  );
}
