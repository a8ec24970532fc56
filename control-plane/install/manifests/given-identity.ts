import { IDENTITY_ISSUER_SECRET, TRUST_ROOTS_CONFIG_MAP, TRUST_ROOTS_KEY } from '#config/names.ts';
import type { Values } from '#config/values.ts';
import { objectLabels, type Manifest } from '../manifest.ts';

/** What the user brings along for the identity process, as PEM texts. */
export type GivenIdentity = {
  readonly trustAnchorsPem?: string;
  readonly issuer?: { readonly certificatePem: string; readonly keyPem: string };
};

/** The objects that hold it, in Linkerd's form. With an issuer the manifest holds a private key. */
export function givenIdentityManifests(values: Values, given: GivenIdentity): readonly Manifest[] {
  const metadata = (name: string): Manifest['metadata'] => ({
    name,
    namespace: values.namespace,
    labels: objectLabels(values, 'identity'),
  });
  const { trustAnchorsPem, issuer } = given;
  const anchors: Manifest = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: metadata(TRUST_ROOTS_CONFIG_MAP),
    data: { [TRUST_ROOTS_KEY]: trustAnchorsPem },
  };
  const secret: Manifest = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: metadata(IDENTITY_ISSUER_SECRET),
    type: 'Opaque',
    stringData: { 'crt.pem': issuer?.certificatePem, 'key.pem': issuer?.keyPem },
  };
  return [...(trustAnchorsPem === undefined ? [] : [anchors]), ...(issuer === undefined ? [] : [secret])];
}
