/** Fixed names of the extension's objects. */
export const NAMESPACE = 'tulle-multicluster';
export const GATEWAY = 'tulle-gateway';
export const SERVICE_MIRROR = 'service-mirror';
export const SERVICE_MIRROR_ADMIN_PORT = 9999;
export const REMOTE_ACCESS = 'tulle-service-mirror-remote-access-default';

export const GATEWAY_PORT = 4143;
export const PROBE_PORT = 4191;

/** Labels and annotations of mirrored Services. Source: linkerd2 `pkg/k8s/labels.go`. */
export const MIRROR = 'mirror.linkerd.io';
export const EXPORTED = `${MIRROR}/exported`;
export const MIRRORED = `${MIRROR}/mirrored-service`;
export const CLUSTER_NAME = `${MIRROR}/cluster-name`;
export const REMOTE_NAME = `${MIRROR}/remote-svc-fq-name`;
export const GATEWAY_IDENTITY = `${MIRROR}/gateway-identity`;
export const REMOTE_GATEWAY_IDENTITY = `${MIRROR}/remote-gateway-identity`;

export const LINKS_PATH = '/apis/multicluster.linkerd.io/v1alpha2';

/** Secret with the kubeconfig of a linked cluster. */
export function credentialsSecret(cluster: string): string {
  return `cluster-credentials-${cluster}`;
}
