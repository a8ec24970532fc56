import { defaultValues, type Values } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { renderCrds, renderGatewayApiCrds } from '../../control-plane/install/render.ts';
import { connect, type Cluster } from '../cluster.ts';
import { CLUSTER_FLAGS, CommandError, textFlag, type Command } from '../command.ts';
import { extensions, installedObjects, meshedPods } from '../lifecycle/owned-objects.ts';
import { MANIFEST_FORMAT, manifestText } from '../manifest-output.ts';

const MAX_NAMED = 10;

export const uninstall: Command = {
  path: ['uninstall'],
  summary: 'Print all that belongs to the installation, for `kubectl delete -f -`.',
  details:
    'It refuses while extensions or pods with a proxy are there, and names them. With --force such pods keep serving: their\n' +
    'proxies go on with what they know until their certificates end (24 h by default), so restart them soon after.\n' +
    'Policies, ServiceProfiles and TrafficSplits go with the definitions of their kinds; how many there are is told.\n' +
    'Definitions of Gateway API stay: they and the routes of their kinds belong to the cluster.',
  flags: {
    ...CLUSTER_FLAGS,
    force: { type: 'boolean', help: 'also while extensions and pods with a proxy are there' },
    output: MANIFEST_FORMAT,
  },
  examples: ['tulle uninstall | kubectl delete -f -', 'tulle uninstall --force | kubectl delete -f -'],
  run: async ({ flags, terminal }) => {
    const namespace = textFlag(flags, 'tulle-namespace');
    const cluster = await connect(flags);
    try {
      if (flags['force'] !== true) await refuseWhileUsed(cluster, namespace);
      const objects = await installedObjects(cluster, { ...defaultValues(VERSION), namespace });
      if (objects.length === 0)
        throw new CommandError(`there is no Tulle in namespace ${namespace}`, 'name its namespace with -L');
      const gateway = new Set(renderGatewayApiCrds().map(({ metadata }) => metadata.name));
      const kept = (await cluster.list('/apis/apiextensions.k8s.io/v1/customresourcedefinitions')).filter(
        ({ metadata }) => gateway.has(metadata.name),
      );
      if (kept.length > 0) terminal.err(`note: these stay: ${kept.map(({ metadata }) => metadata.name).join(', ')}\n`);
      const going = await objectsOfOwnKinds(cluster, { ...defaultValues(VERSION), namespace });
      if (going.length > 0)
        terminal.err(`warning: with their definitions these are deleted too: ${going.join(', ')}\n`);
      terminal.out(manifestText(objects, flags));
      return 0;
    } finally {
      cluster.close();
    }
  },
};

/** What users made of the kinds that are removed: `2 servers.policy.linkerd.io`. */
async function objectsOfOwnKinds(cluster: Cluster, values: Values): Promise<readonly string[]> {
  const counts = await Promise.all(
    renderCrds(values).map(async ({ metadata, spec }) => {
      const { group, names, versions } = spec as {
        readonly group: string;
        readonly names: { readonly plural: string };
        readonly versions: readonly { readonly name: string; readonly storage: boolean }[];
      };
      const version = versions.find(({ storage }) => storage)?.name ?? '';
      if (
        (await cluster.find(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${metadata.name}`)) === undefined
      )
        return '';
      const { length } = await cluster.list(`/apis/${group}/${version}/${names.plural}`);
      return length === 0 ? '' : `${length} ${metadata.name}`;
    }),
  );
  return counts.filter((text) => text !== '');
}

/** @throws CommandError  naming extensions and pods, with what to do about each */
async function refuseWhileUsed(cluster: Cluster, namespace: string): Promise<void> {
  const [installed, pods] = await Promise.all([extensions(cluster), meshedPods(cluster, namespace)]);
  const reasons = installed.map(
    ({ name, namespace: place }) =>
      `extension ${name} is installed in ${place}: \`tulle ${name} install | kubectl delete -f -\``,
  );
  const places = new Set(installed.map(({ namespace: place }) => place));
  const others = pods.filter(({ metadata }) => !places.has(metadata.namespace ?? ''));
  if (others.length > 0) {
    const named = others.slice(0, MAX_NAMED).map(({ metadata }) => `${metadata.namespace}/${metadata.name}`);
    const more = others.length > MAX_NAMED ? ` and ${others.length - MAX_NAMED} more` : '';
    reasons.push(
      `pods have a proxy: ${named.join(', ')}${more}: remove linkerd.io/inject from their namespaces and workloads and restart them`,
    );
  }
  if (reasons.length > 0) throw new CommandError(`${reasons.join('; ')}; or use --force`);
}
