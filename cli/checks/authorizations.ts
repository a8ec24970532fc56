import type { Values } from '#config/values.ts';
import { customKind, type CustomObject } from '#k8s/resources/custom-object.ts';
import { formatResourceRef } from '#model/resource-ref.ts';
import { findingsOf, POLICY_KINDS, type PolicyKind } from '../../control-plane/dialects/linkerd-servers.ts';
import { policyContextOf } from '../../injector/policy-webhook.ts';
import type { Cluster } from '../cluster.ts';

const GROUP = 'policy.linkerd.io';
const PATHS: Readonly<Record<PolicyKind, string>> = {
  Server: 'v1beta3/servers',
  ServerAuthorization: 'v1beta1/serverauthorizations',
  AuthorizationPolicy: 'v1alpha1/authorizationpolicies',
  MeshTLSAuthentication: 'v1alpha1/meshtlsauthentications',
  NetworkAuthentication: 'v1alpha1/networkauthentications',
};

/** What authorization objects say and what has no effect, by the code that the destination process reads them with. */
export async function ineffectiveAuthorizations(
  cluster: Cluster,
  values: Values,
  namespace: string | undefined,
): Promise<readonly string[]> {
  const all = new Map<PolicyKind, readonly CustomObject[]>();
  for (const kind of POLICY_KINDS) {
    const plural = PATHS[kind].split('/')[1] ?? '';
    const name = `${plural}.${GROUP}`;
    const definition = await cluster.find(`/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`);
    if (definition === undefined) continue;
    const { parse } = customKind({ group: GROUP, kind, plural }, '');
    const objects = await cluster.list(`/apis/${GROUP}/${PATHS[kind]}`); // all: references cross namespaces
    all.set(
      kind,
      objects.flatMap((object) => parse(object) ?? []),
    );
  }
  const context = policyContextOf(values);
  const objects = {
    list: (kind: PolicyKind, within: string) => (all.get(kind) ?? []).filter((object) => object.namespace === within),
    get: (kind: PolicyKind, within: string, name: string) =>
      all.get(kind)?.find((object) => object.namespace === within && object.name === name),
  };
  return POLICY_KINDS.flatMap((kind) => all.get(kind)?.map((object) => ({ kind, object })) ?? [])
    .filter(({ object }) => namespace === undefined || object.namespace === namespace)
    .flatMap(({ kind, object }) => findingsOf(kind, object, objects, context))
    .map(({ object, field, message }) => `${formatResourceRef(object)}: ${field}: ${message}`);
}
