import { CNI, cniNamespace } from '#config/names.ts';
import { imageOf, type Values } from '#config/values.ts';
import { createdBy, objectLabels, type Manifest } from '../manifest.ts';

/** First argument of the image, and component label. */
const PROCESS = 'redirect-agent';
const ADMIN_PORT = 9993;

/**
 * The agents that redirect pods, one on each node. They are in a namespace of their own, since they are privileged: they enter the
 * network namespaces of pods. They have no rights at the API server.
 */
export function cniManifests(values: Values): readonly Manifest[] {
  const namespace = cniNamespace(values);
  const metadata = {
    name: CNI,
    namespace,
    labels: { ...objectLabels(values, PROCESS), 'linkerd.io/cni-resource': 'true' },
  };
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: namespace,
        labels: {
          ...objectLabels(values),
          'linkerd.io/cni-resource': 'true',
          'config.linkerd.io/admission-webhooks': 'disabled',
          'pod-security.kubernetes.io/enforce': 'privileged',
        },
        annotations: { ...createdBy(values), 'linkerd.io/inject': 'disabled' },
      },
    },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata, automountServiceAccountToken: false },
    daemonSet(values, metadata),
  ];
}

function daemonSet(values: Values, metadata: Manifest['metadata']): Manifest {
  const labels = { 'linkerd.io/control-plane-component': PROCESS };
  const probe = (path: string): Record<string, unknown> => ({ httpGet: { path, port: 'admin' } });
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: { ...metadata, annotations: createdBy(values) },
    spec: {
      selector: { matchLabels: labels },
      template: {
        metadata: { labels, annotations: { ...createdBy(values), 'linkerd.io/inject': 'disabled' } },
        spec: {
          serviceAccountName: CNI,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          hostPID: true,
          nodeSelector: { 'kubernetes.io/os': 'linux' },
          // Pods of a node wait for it: it goes where they go, and is not what a full node does without.
          tolerations: [{ operator: 'Exists' }],
          priorityClassName: 'system-node-critical',
          containers: [
            {
              name: PROCESS,
              image: imageOf(values),
              imagePullPolicy: values.imagePullPolicy,
              args: [PROCESS],
              env: [{ name: 'TULLE_LOG_LEVEL', value: values.controllerLogLevel }],
              ports: [{ name: 'admin', containerPort: ADMIN_PORT }],
              livenessProbe: { ...probe('/live'), periodSeconds: 10 },
              readinessProbe: { ...probe('/ready'), periodSeconds: 2 },
              resources: { requests: { cpu: '10m', memory: '48Mi' }, limits: { memory: '256Mi' } },
              // Entering network namespaces needs SYS_ADMIN and SYS_PTRACE over all processes, and what AppArmor and SELinux
              // keep from other containers.
              securityContext: { privileged: true, runAsUser: 0, readOnlyRootFilesystem: true },
            },
          ],
        },
      },
    },
  };
}
