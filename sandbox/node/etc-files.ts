import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { namespaceOf, type Pod } from './pod.ts';
import type { RootMount } from './container-root.ts';

/** What the pod's resolver and hosts file are made of. */
export type ClusterNames = { readonly dnsIP: string; readonly clusterDomain: string };

const FILES = ['resolv.conf', 'hosts', 'hostname', 'nsswitch.conf'] as const;

/** Writes the pod's own files of /etc into `directory` and says where they are to be seen. */
export function writeEtcFiles(directory: string, pod: Pod, podIP: string, names: ClusterNames): RootMount[] {
  mkdirSync(directory, { recursive: true });
  const contents: Record<(typeof FILES)[number], string> = {
    'resolv.conf': resolvConf(pod, names),
    hosts: hostsFile(pod, podIP, names),
    hostname: `${hostnameOf(pod)}\n`,
    'nsswitch.conf':
      'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nservices: files\nprotocols: files\n',
  };
  return FILES.map((name) => {
    writeFileSync(join(directory, name), contents[name], { mode: 0o644 });
    return { source: join(directory, name), target: `/etc/${name}`, isReadOnly: false };
  });
}

export function hostnameOf(pod: Pod): string {
  // A kernel hostname has at most 64 bytes; the kubelet cuts at 63.
  return (pod.spec.hostname ?? pod.metadata.name).slice(0, 63).replace(/[-.]+$/, '');
}

/** Source: kubelet `getPodDNS`; ndots 5 is what makes `service.namespace` resolve. */
export function resolvConf(pod: Pod, names: ClusterNames): string {
  const policy = pod.spec.dnsPolicy ?? 'ClusterFirst';
  const isHost = policy === 'Default' || (policy === 'ClusterFirst' && pod.spec.hostNetwork === true);
  if (isHost && pod.spec.dnsConfig === undefined) return hostResolvConf();
  const domain = names.clusterDomain;
  const isCluster = policy !== 'None' && !isHost;
  const extra = pod.spec.dnsConfig;
  const servers = [...(isCluster ? [names.dnsIP] : []), ...(extra?.nameservers ?? [])];
  const searches = isCluster ? [`${namespaceOf(pod)}.svc.${domain}`, `svc.${domain}`, domain] : [];
  const options = new Map<string, string | undefined>(isCluster ? [['ndots', '5']] : []);
  for (const option of extra?.options ?? []) if (option.name !== undefined) options.set(option.name, option.value);
  const search = [...new Set([...searches, ...(extra?.searches ?? [])])];
  const lines = [
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.size > 0
      ? [`options ${[...options].map(([name, value]) => (value === undefined ? name : `${name}:${value}`)).join(' ')}`]
      : []),
  ];
  return `${isHost ? hostResolvConf() : ''}${lines.join('\n')}\n`;
}

/** Source: kubelet `managedHostsFileContent`. */
export function hostsFile(pod: Pod, podIP: string, names: ClusterNames): string {
  const hostname = hostnameOf(pod);
  const full = `${hostname}.${pod.spec.subdomain ?? ''}.${namespaceOf(pod)}.svc.${names.clusterDomain}`;
  const own = pod.spec.subdomain === undefined || pod.spec.subdomain === '' ? hostname : `${full}\t${hostname}`;
  const aliases = (pod.spec.hostAliases ?? []).map((alias) => `${alias.ip}\t${(alias.hostnames ?? []).join('\t')}`);
  return [
    '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'fe00::0\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
    `${podIP}\t${own}`,
    ...(aliases.length > 0 ? ['', '# Entries added by HostAliases.', ...aliases] : []),
    '',
  ].join('\n');
}

function hostResolvConf(): string {
  try {
    return readFileSync('/etc/resolv.conf', 'utf8');
  } catch {
    return '';
  }
}
