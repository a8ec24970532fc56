import { isAlreadyExists, isNamespaceTerminating } from './api-errors.ts';
import { keyOf, startQueue, together, type Again, type ControllerContext } from './controller.ts';
import type { AnyObject } from './resources.ts';

const ACCOUNT = 'default';
const ROOT_CA = 'kube-root-ca.crt';
const DESCRIPTION =
  'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal ' +
  'service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters.';

/**
 * Gives every namespace its `default` ServiceAccount and the ConfigMap `kube-root-ca.crt`, and repairs both.
 *
 * @param caCertificate  PEM of what signed the API server's certificate
 */
export function startServiceAccountController(context: ControllerContext, caCertificate: string): Disposable {
  const { client } = context;
  const queue = startQueue(context, 'serviceaccount-controller', (_, name) => reconcile(context, name, caCertificate));
  const wake = (object: AnyObject): void => queue.add(`/${object.metadata.namespace}`);
  return together(
    queue,
    client.watch('namespaces', { apply: (namespace) => queue.add(keyOf(namespace)), delete: () => {} }),
    client.watch('serviceaccounts', {
      apply: () => {},
      delete: (account) => void (account.metadata.name === ACCOUNT && wake(account)),
    }),
    client.watch('configmaps', {
      apply: (map) => void (map.metadata.name === ROOT_CA && map.data?.['ca.crt'] !== caCertificate && wake(map)),
      delete: (map) => void (map.metadata.name === ROOT_CA && wake(map)),
    }),
  );
}

async function reconcile({ client }: ControllerContext, namespace: string, caCertificate: string): Promise<Again> {
  const found = client.get('namespaces', undefined, namespace);
  if (found === undefined || found.metadata.deletionTimestamp !== undefined) return undefined;
  const data = { 'ca.crt': caCertificate };
  const map = client.get('configmaps', namespace, ROOT_CA);
  try {
    if (map === undefined) {
      const annotations = { 'kubernetes.io/description': DESCRIPTION };
      const metadata = { name: ROOT_CA, namespace, annotations };
      await client.create('configmaps', { apiVersion: 'v1', kind: 'ConfigMap', metadata, data });
    } else if (map.data?.['ca.crt'] !== caCertificate) {
      await client.update('configmaps', { ...map, data });
    }
    if (client.get('serviceaccounts', namespace, ACCOUNT) === undefined) {
      const metadata = { name: ACCOUNT, namespace };
      await client.create('serviceaccounts', { apiVersion: 'v1', kind: 'ServiceAccount', metadata });
    }
  } catch (error) {
    if (!isNamespaceTerminating(error) && !isAlreadyExists(error)) throw error;
  }
  return undefined;
}
