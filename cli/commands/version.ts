import { VERSION } from '#config/version.ts';
import { CONFIG_MAP } from '#config/names.ts';
import { connect } from '../cluster.ts';
import { installedVersion } from '../installed-version.ts';
import { reasonOf } from '../reason.ts';
import { CLUSTER_FLAGS, textFlag, UsageError, type Command, type FlagValues } from '../command.ts';

export const version: Command = {
  path: ['version'],
  summary: 'Print the versions of this command line, of the control plane and of the proxies.',
  flags: {
    ...CLUSTER_FLAGS,
    client: { type: 'boolean', help: 'only the version of the command line; needs no cluster' },
    short: { type: 'boolean', help: 'print the bare version numbers' },
    proxy: { type: 'boolean', help: 'also the versions of the running proxies' },
  },
  examples: ['tulle version', 'tulle version --client --short', 'tulle version --proxy'],
  run: async ({ flags, terminal }) => {
    const isShort = flags['short'] === true;
    terminal.out(isShort ? `${VERSION}\n` : `Client version: ${VERSION}\n`);
    if (flags['client'] === true) return 0;
    const server = await serverVersion(flags);
    terminal.out(isShort ? `${server}\n` : `Server version: ${server}\n`);
    if (flags['proxy'] === true) {
      terminal.out('Proxy versions:\n');
      for (const [proxyVersion, count] of await proxyVersions(flags))
        terminal.out(`\t${proxyVersion} (${count} pods)\n`);
    }
    return 0;
  },
};

/** The version in the installation's values, or `unavailable` as in Linkerd when there is none to be had. */
async function serverVersion(flags: FlagValues): Promise<string> {
  try {
    const cluster = await connect(flags);
    const config = await cluster.find(
      `/api/v1/namespaces/${textFlag(flags, 'tulle-namespace')}/configmaps/${CONFIG_MAP}`,
    );
    cluster.close();
    if (config === undefined) return 'unavailable (the control plane is not installed)';
    return installedVersion(config) ?? `unavailable (config map ${CONFIG_MAP} cannot be read)`;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    return `unavailable (${reasonOf(error)})`;
  }
}

async function proxyVersions(flags: FlagValues): Promise<readonly (readonly [string, number])[]> {
  const cluster = await connect(flags);
  const selector = encodeURIComponent(`linkerd.io/control-plane-ns=${textFlag(flags, 'tulle-namespace')}`);
  const pods = await cluster.list(`/api/v1/pods?labelSelector=${selector}`);
  cluster.close();
  const counts = new Map<string, number>();
  for (const pod of pods) {
    const proxyVersion = pod.metadata.annotations?.['linkerd.io/proxy-version'];
    if (proxyVersion !== undefined) counts.set(proxyVersion, (counts.get(proxyVersion) ?? 0) + 1);
  }
  return [...counts].sort(([a], [b]) => a.localeCompare(b));
}
