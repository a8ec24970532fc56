import { cniNamespace, TRUST_ROOTS_CONFIG_MAP } from '#config/names.ts';
import type { Values } from '#config/values.ts';
import { renderCrds } from '../../control-plane/install/render.ts';
import type { ApiObject, Cluster } from '../cluster.ts';
import type { ObjectReference } from '../resource-paths.ts';

const LABEL = 'linkerd.io/control-plane-ns';

type ListedKind = { readonly apiVersion: string; readonly kind: string; readonly plural: string };

const kind = (apiVersion: string, name: string, plural: string): ListedKind => ({ apiVersion, kind: name, plural });
const RBAC = 'rbac.authorization.k8s.io/v1';
const ADMISSION = 'admissionregistration.k8s.io/v1';

/** Kinds of a manifest. Secrets, Leases and what else the processes make themselves is not among them. */
const NAMESPACED: readonly ListedKind[] = [
  kind('apps/v1', 'Deployment', 'deployments'),
  kind('policy/v1', 'PodDisruptionBudget', 'poddisruptionbudgets'),
  kind('v1', 'Service', 'services'),
  kind(RBAC, 'RoleBinding', 'rolebindings'),
  kind(RBAC, 'Role', 'roles'),
  kind('v1', 'ServiceAccount', 'serviceaccounts'),
  kind('v1', 'ConfigMap', 'configmaps'),
];
const WEBHOOKS: readonly ListedKind[] = [
  kind(ADMISSION, 'MutatingWebhookConfiguration', 'mutatingwebhookconfigurations'),
  kind(ADMISSION, 'ValidatingWebhookConfiguration', 'validatingwebhookconfigurations'),
];
const CLUSTER_RIGHTS: readonly ListedKind[] = [
  kind(RBAC, 'ClusterRoleBinding', 'clusterrolebindings'),
  kind(RBAC, 'ClusterRole', 'clusterroles'),
];

async function labelled(
  cluster: Cluster,
  { apiVersion, kind: name, plural }: ListedKind,
  namespace: string,
  isNamespaced: boolean,
): Promise<readonly ObjectReference[]> {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = isNamespaced ? `/namespaces/${namespace}` : '';
  const selector = encodeURIComponent(`${LABEL}=${namespace}`);
  const objects = await cluster.list(`${root}${scope}/${plural}?labelSelector=${selector}`);
  return objects.map((object) => referenceTo(apiVersion, name, object));
}

/** The namespace of the agents that redirect pods, where the installation has one. */
async function agents(cluster: Cluster, namespace: string): Promise<readonly ObjectReference[]> {
  const found = await cluster.find(`/api/v1/namespaces/${cniNamespace({ namespace })}`);
  return found?.metadata.labels?.[LABEL] === namespace ? [referenceTo('v1', 'Namespace', found)] : [];
}

function referenceTo(apiVersion: string, kindName: string, { metadata }: ApiObject): ObjectReference {
  const { name, namespace } = metadata;
  return { apiVersion, kind: kindName, metadata: { name, ...(namespace === undefined ? {} : { namespace }) } };
}

/** Name of an object for comparing: a version of the API is no other object. */
export function objectKey({ apiVersion, kind: name, metadata }: ObjectReference): string {
  const group = apiVersion.includes('/') ? apiVersion.split('/', 1)[0] : '';
  return `${group}/${name}/${metadata.namespace ?? ''}/${metadata.name}`;
}

/**
 * Objects of the installation that a manifest does not hold: those of an older version, or of other values. Definitions of kinds
 * are not among them, since deleting one deletes every object of its kind.
 */
export async function leftovers(
  cluster: Cluster,
  manifest: readonly ObjectReference[],
  namespace: string,
): Promise<readonly ObjectReference[]> {
  const wanted = new Set(manifest.map(objectKey));
  const lists = await Promise.all([
    agents(cluster, namespace),
    ...WEBHOOKS.map((one) => labelled(cluster, one, namespace, false)),
    ...CLUSTER_RIGHTS.map((one) => labelled(cluster, one, namespace, false)),
    ...NAMESPACED.map((one) => labelled(cluster, one, namespace, true)),
  ]);
  // The identity process writes this one.
  return lists.flat().filter((one) => !wanted.has(objectKey(one)) && one.metadata.name !== TRUST_ROOTS_CONFIG_MAP);
}

/**
 * All that deleting removes an installation with: what is outside of its namespace, and the namespace. Webhooks come first, so that
 * no pod waits for an injector that is gone.
 */
export async function installedObjects(cluster: Cluster, values: Values): Promise<readonly ObjectReference[]> {
  const { namespace } = values;
  const [webhooks, rights, definitions, space, agentSpace] = await Promise.all([
    Promise.all(WEBHOOKS.map((one) => labelled(cluster, one, namespace, false))),
    Promise.all(CLUSTER_RIGHTS.map((one) => labelled(cluster, one, namespace, false))),
    cluster.list('/apis/apiextensions.k8s.io/v1/customresourcedefinitions'),
    cluster.find(`/api/v1/namespaces/${namespace}`),
    agents(cluster, namespace),
  ]);
  const ours = new Set(renderCrds(values).map(({ metadata }) => metadata.name));
  return [
    ...webhooks.flat(),
    ...(space === undefined ? [] : [referenceTo('v1', 'Namespace', space)]),
    ...agentSpace,
    ...rights.flat(),
    // Linkerd's definitions have the same names and another label; one without comes from a version that set none.
    ...definitions
      .filter(({ metadata }) => ours.has(metadata.name) && (metadata.labels?.[LABEL] ?? namespace) === namespace)
      .map((definition) => referenceTo('apiextensions.k8s.io/v1', 'CustomResourceDefinition', definition)),
  ];
}

/** Pods with a proxy of this installation, outside of its namespace. */
export async function meshedPods(cluster: Cluster, namespace: string): Promise<readonly ApiObject[]> {
  const pods = await cluster.list(`/api/v1/pods?labelSelector=${encodeURIComponent(`${LABEL}=${namespace}`)}`);
  return pods.filter(({ metadata }) => metadata.namespace !== namespace && metadata.deletionTimestamp === undefined);
}

/** Namespaces of extensions, with the extension's name. */
export async function extensions(
  cluster: Cluster,
): Promise<readonly { readonly name: string; readonly namespace: string }[]> {
  const label = 'linkerd.io/extension';
  const namespaces = await cluster.list(`/api/v1/namespaces?labelSelector=${encodeURIComponent(label)}`);
  return namespaces.map(({ metadata }) => ({ name: metadata.labels?.[label] ?? '', namespace: metadata.name }));
}
