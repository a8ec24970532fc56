import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { CertificateAuthority, type Credentials } from '../../sandbox/apiserver/certificates.ts';
import type { ClusterAddresses } from './addresses.ts';
import { DNS_IMAGE, PAUSE_IMAGE } from './programs.ts';

const LIFETIME_MS = 3650 * 24 * 3_600_000;

/**
 * Writes everything that the programs of a node read: certificates, kubeconfigs and configuration files.
 *
 * @param folder  state of the cluster
 * @returns the manifests of what must be in the cluster for it to work: its DNS
 */
export function writeConfiguration(folder: string, addresses: ClusterAddresses): readonly object[] {
  for (const each of ['pki', 'cni', 'containerd', 'kubelet', 'pods', 'etcd', 'log']) {
    mkdirSync(join(folder, each), { recursive: true, mode: each === 'pki' ? 0o700 : 0o755 });
  }
  writeCertificates(folder, addresses);
  const write = (file: string, value: object): void => writeFileSync(join(folder, file), stringify(value));
  writeFileSync(join(folder, 'resolv.conf'), '');
  writeFileSync(join(folder, 'cni', '10-bridge.conflist'), JSON.stringify(bridge(folder, addresses)));
  writeFileSync(join(folder, 'containerd.toml'), containerd(folder));
  write('kubelet.yaml', kubelet(folder, addresses));
  write('kube-proxy.yaml', kubeProxy(folder, addresses));
  return dnsManifests(addresses);
}

function writeCertificates(folder: string, addresses: ClusterAddresses): void {
  const { name, nodeIP, apiServerIP } = addresses;
  const pki = join(folder, 'pki');
  const authority = CertificateAuthority.create('kubernetes');
  const frontProxy = CertificateAuthority.create('front-proxy');
  const write = (file: string, { certificate, key }: Credentials): void => {
    writeFileSync(join(pki, `${file}.crt`), certificate);
    writeFileSync(join(pki, `${file}.key`), key, { mode: 0o600 });
  };
  const client = (commonName: string, ...organizations: string[]): Credentials =>
    authority.issue({ commonName, organizations, lifetimeMs: LIFETIME_MS });
  const server = (commonName: string, names: readonly string[]): Credentials =>
    authority.issue({ commonName, names, lifetimeMs: LIFETIME_MS });
  writeFileSync(join(pki, 'ca.crt'), authority.certificate);
  writeFileSync(join(pki, 'front-proxy-ca.crt'), frontProxy.certificate);
  const inside = ['kubernetes', 'kubernetes.default', 'kubernetes.default.svc', 'kubernetes.default.svc.cluster.local'];
  write('apiserver', server('kube-apiserver', [...inside, 'localhost', '127.0.0.1', nodeIP, apiServerIP]));
  write('apiserver-kubelet', client('kube-apiserver-kubelet', 'system:masters'));
  write('front-proxy', frontProxy.issue({ commonName: 'front-proxy-client', lifetimeMs: LIFETIME_MS }));
  write('kubelet-server', server(`system:node:${name}`, [name, nodeIP]));
  execFileSync('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', join(pki, 'tokens.key')]);
  execFileSync('openssl', ['ec', '-in', join(pki, 'tokens.key'), '-pubout', '-out', join(pki, 'tokens.pub')], {
    stdio: 'ignore',
  });
  const users: Readonly<Record<string, Credentials>> = {
    admin: client('admin', 'system:masters'),
    kubelet: client(`system:node:${name}`, 'system:nodes'),
    'controller-manager': client('system:kube-controller-manager'),
    scheduler: client('system:kube-scheduler'),
    'kube-proxy': client('system:kube-proxy'),
  };
  for (const [user, { certificate, key }] of Object.entries(users)) {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const cluster = {
      server: `https://${nodeIP}:6443`,
      'certificate-authority-data': base64(authority.certificate),
    };
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': name,
      contexts: [{ name, context: { cluster: name, user } }],
      clusters: [{ name, cluster }],
      users: [{ name: user, user: { 'client-certificate-data': base64(certificate), 'client-key-data': base64(key) } }],
    };
    writeFileSync(join(folder, user === 'admin' ? 'kubeconfig' : `${user}.conf`), stringify(config), { mode: 0o600 });
  }
}

function bridge(folder: string, { podNetworkOfNode }: ClusterAddresses): object {
  const ipam = {
    type: 'host-local',
    dataDir: join(folder, 'cni-data'),
    ranges: [[{ subnet: podNetworkOfNode }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  return {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      { type: 'bridge', bridge: 'cni0', isGateway: true, ipMasq: false, hairpinMode: true, ipam },
      { type: 'portmap', capabilities: { portMappings: true }, snat: true },
    ],
  };
}

function containerd(folder: string): string {
  const cri = 'plugins."io.containerd.grpc.v1.cri"';
  return `version = 2
root = "${folder}/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "${folder}/containerd.sock"
[${cri}]
  sandbox_image = "${PAUSE_IMAGE}"
  # Root may lack CAP_SYS_RESOURCE, without which an OOM score cannot be lowered.
  restrict_oom_score_adj = true
  [${cri}.cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${folder}/cni"
  [${cri}.containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
  [${cri}.containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [${cri}.containerd.runtimes.runc.options]
      BinaryName = "/usr/sbin/runc"
      SystemdCgroup = false
`;
}

function kubelet(folder: string, { name, dnsIP }: ClusterAddresses): object {
  const pki = join(folder, 'pki');
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: join(pki, 'ca.crt') },
    },
    authorization: { mode: 'Webhook' },
    tlsCertFile: join(pki, 'kubelet-server.crt'),
    tlsPrivateKeyFile: join(pki, 'kubelet-server.key'),
    cgroupDriver: 'cgroupfs',
    cgroupRoot: `/${name}`,
    cgroupsPerQOS: true,
    enforceNodeAllocatable: ['pods'],
    failSwapOn: false,
    clusterDNS: [dnsIP],
    clusterDomain: 'cluster.local',
    containerRuntimeEndpoint: `unix://${folder}/containerd.sock`,
    podLogsDir: join(folder, 'pods'),
    resolvConf: join(folder, 'resolv.conf'),
    maxPods: 200,
    readOnlyPort: 0,
    serializeImagePulls: false,
    // Images cannot be pulled again, and a full disk is not what is tested.
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
    evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
    nodeStatusUpdateFrequency: '5s',
    syncFrequency: '10s',
    kubeAPIQPS: 100,
    kubeAPIBurst: 200,
  };
}

function kubeProxy(folder: string, { name, podNetwork }: ClusterAddresses): object {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    clusterCIDR: podNetwork,
    hostnameOverride: name,
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
    clientConnection: { kubeconfig: join(folder, 'kube-proxy.conf') },
    // Limits of connection tracking cannot be written outside the first network namespace.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
    iptables: { minSyncPeriod: '0s', syncPeriod: '30s' },
  };
}

/** Two server blocks: in one, `template` would answer before `kubernetes`. */
const COREFILE = `cluster.local:53 in-addr.arpa:53 ip6.arpa:53 {
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    pods insecure
    ttl 5
  }
  cache 5
}
.:53 {
  errors
  health {
    lameduck 1s
  }
  ready
  template ANY ANY . {
    rcode NXDOMAIN
  }
}
`;

function dnsManifests({ dnsIP }: ClusterAddresses): readonly object[] {
  const metadata = { name: 'coredns', namespace: 'kube-system' };
  const labels = { 'k8s-app': 'kube-dns' };
  const rbac = 'rbac.authorization.k8s.io';
  const role = 'system:coredns';
  const verbs = ['list', 'watch'];
  const container = {
    name: 'coredns',
    image: DNS_IMAGE,
    imagePullPolicy: 'IfNotPresent',
    args: ['-conf', '/etc/coredns/Corefile'],
    volumeMounts: [{ name: 'config', mountPath: '/etc/coredns', readOnly: true }],
    readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 1 },
  };
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRole',
      metadata: { name: role },
      rules: [
        { apiGroups: [''], resources: ['endpoints', 'services', 'pods', 'namespaces'], verbs },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs },
      ],
    },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: { name: role },
      roleRef: { apiGroup: rbac, kind: 'ClusterRole', name: role },
      subjects: [{ kind: 'ServiceAccount', ...metadata }],
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata, data: { Corefile: COREFILE } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { ...metadata, labels },
      spec: {
        replicas: 1,
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: 'coredns',
            priorityClassName: 'system-cluster-critical',
            dnsPolicy: 'Default',
            containers: [container],
            volumes: [{ name: 'config', configMap: { name: 'coredns' } }],
          },
        },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'kube-dns', namespace: 'kube-system', labels },
      spec: {
        clusterIP: dnsIP,
        selector: labels,
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'dns-tcp', port: 53, protocol: 'TCP' },
        ],
      },
    },
  ];
}
