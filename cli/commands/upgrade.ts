import { isSupported, minorsBehind, SUPPORTED_MINORS } from '#config/version-skew.ts';
import { VERSION } from '#config/version.ts';
import { renderCrds, renderInstall } from '../../control-plane/install/render.ts';
import { connect } from '../cluster.ts';
import { CLUSTER_FLAGS, CommandError, textFlag, UsageError, type Command } from '../command.ts';
import { installedValues } from '../installed-values.ts';
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
    `Proxies keep working with a control plane of up to ${SUPPORTED_MINORS} minor versions later; they are replaced when their pods restart.`,
  flags: {
    ...CLUSTER_FLAGS,
    ...VALUE_FLAGS,
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
      const values = valuesFromFlags(installed.chosen, flags);
      if (values.namespace !== namespace)
        throw new UsageError(`--set: namespace is "${values.namespace}": an installation cannot move, install again`);
      const manifest = isCrds ? renderCrds(values) : renderInstall(values);
      if (isPlan) {
        const plan = await planOf(cluster, manifest, namespace);
        const isJson = textFlag(flags, 'output') === 'json';
        terminal.out(isJson ? `${JSON.stringify(planDocument(plan), null, 2)}\n` : formatPlan(plan));
        return 0;
      }
      const left = isCrds ? [] : await leftovers(cluster, manifest, namespace);
      if (left.length > 0)
        terminal.err(
          `note: ${left.length} objects will not be needed any more; after the upgrade: tulle prune | kubectl delete -f -\n`,
        );
      terminal.out(manifestText(manifest, flags));
      return 0;
    } finally {
      cluster.close();
    }
  },
};

/** @throws CommandError  when proxies of the installed version would not work with the new control plane, or the other way round */
function refuseSkew(installed: string, isForced: boolean): void {
  // Backwards the same distance holds: the old control plane meets proxies that are newer only until they restart.
  if (isForced || isSupported(installed) || isSupported(VERSION, installed)) return;
  throw new CommandError(
    `version ${installed} is installed and this is ${VERSION}, which is more than ${SUPPORTED_MINORS} minor versions away`,
    'go through a version between them, or use --force',
  );
}
