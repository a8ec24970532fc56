import type { KubeClient } from '#k8s/client.ts';
import { asObject, asText, asTextMap } from '#k8s/json.ts';
import { KubeError } from '#k8s/kube-error.ts';
import type { Certificate } from '#pki/certificate.ts';
import { readAuthority } from '#pki/issuer.ts';
import { encodeCertificates } from '#pki/pem.ts';
import { readTrustAnchors, writeTrustAnchors } from '#pki/trust-anchors.ts';
import type { AnchorState, IssuerState } from './hierarchy.ts';

const ANCHOR_SECRET = 'linkerd-identity-anchor';
const ISSUER_SECRET = 'linkerd-identity-issuer';
const TRUST_ROOTS = 'linkerd-identity-trust-roots';
const BUNDLE_KEY = 'ca-bundle.crt';

/** A stored value and the version of its object, which an update must name; absent when there is no object. */
export type Stored<T> = { readonly value: T | undefined; readonly resourceVersion?: string };

/**
 * Where the certificates of an installation are kept: two Secrets that only this process can read, and a ConfigMap that
 * everybody can. Writes fail with a conflict when another replica was faster; the caller then reads again.
 */
export class StoredObjects {
  readonly #client: KubeClient;
  readonly #namespace: string;

  constructor(client: KubeClient, namespace: string) {
    this.#client = client;
    this.#namespace = namespace;
  }

  /** @throws when the Secret is there but cannot be used: what somebody put there is not replaced */
  async readAnchor(): Promise<Stored<AnchorState>> {
    const { data, resourceVersion } = await this.#read('secrets', ANCHOR_SECRET);
    if (resourceVersion === undefined) return { value: undefined };
    const what = `Secret ${this.#namespace}/${ANCHOR_SECRET}`;
    const text = secretText(data);
    const { authority } = readAuthority(text('tls.crt'), text('tls.key'), what);
    const value = {
      current: authority,
      previous: optionalCertificates(text('previous.crt'), `${what} previous.crt`),
      crossSigned: optionalCertificates(text('cross.crt'), `${what} cross.crt`),
    };
    return { value, resourceVersion };
  }

  async writeAnchor({ current, previous, crossSigned }: AnchorState, over: Stored<AnchorState>): Promise<void> {
    await this.#writeSecret(ANCHOR_SECRET, over.resourceVersion, {
      'tls.crt': encodeCertificates([current.certificate.der]),
      'tls.key': current.key.exportPem(),
      'previous.crt': encodeCertificates(previous.map((anchor) => anchor.der)),
      'cross.crt': encodeCertificates(crossSigned.map((voucher) => voucher.der)),
    });
  }

  /** @throws when the Secret is there but cannot be used */
  async readIssuer(): Promise<Stored<IssuerState>> {
    const { data, resourceVersion } = await this.#read('secrets', ISSUER_SECRET);
    if (resourceVersion === undefined) return { value: undefined };
    const text = secretText(data);
    const what = `Secret ${this.#namespace}/${ISSUER_SECRET}`;
    return { value: readAuthority(text('tls.crt'), text('tls.key'), what), resourceVersion };
  }

  async writeIssuer(
    { authority, chain }: IssuerState,
    bundle: readonly Certificate[],
    over: Stored<IssuerState>,
  ): Promise<void> {
    await this.#writeSecret(ISSUER_SECRET, over.resourceVersion, {
      'tls.crt': encodeCertificates([authority.certificate, ...chain].map((certificate) => certificate.der)),
      'tls.key': authority.key.exportPem(),
      'ca.crt': writeTrustAnchors(bundle),
    });
  }

  /** What is published; unreadable text counts as nothing, and is replaced. */
  async readBundle(): Promise<Stored<readonly Certificate[]> & { readonly text: string }> {
    const { data, resourceVersion } = await this.#read('configmaps', TRUST_ROOTS);
    const text = data[BUNDLE_KEY] ?? '';
    const version = resourceVersion === undefined ? {} : { resourceVersion };
    try {
      return { value: readTrustAnchors(text, TRUST_ROOTS), text, ...version };
    } catch {
      return { value: undefined, text, ...version };
    }
  }

  async writeBundle(bundle: readonly Certificate[], over: Stored<readonly Certificate[]>): Promise<void> {
    const data = { [BUNDLE_KEY]: writeTrustAnchors(bundle) };
    await this.#write('configmaps', TRUST_ROOTS, over.resourceVersion, { data });
  }

  #writeSecret(name: string, resourceVersion: string | undefined, texts: Record<string, string>): Promise<void> {
    const entries = Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
    return this.#write('secrets', name, resourceVersion, { type: 'Opaque', data: Object.fromEntries(entries) });
  }

  async #read(
    plural: string,
    name: string,
  ): Promise<{ readonly data: Readonly<Record<string, string>>; readonly resourceVersion?: string }> {
    try {
      const object = asObject(await this.#client.request({ method: 'GET', path: this.#path(plural, name) }));
      const resourceVersion = asText(asObject(object['metadata'])['resourceVersion']) ?? '';
      return { data: asTextMap(object['data']), resourceVersion };
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return { data: {} };
      throw error;
    }
  }

  /** Creates the object, or replaces exactly the version that was read. */
  async #write(plural: string, name: string, resourceVersion: string | undefined, fields: object): Promise<void> {
    const kind = plural === 'secrets' ? 'Secret' : 'ConfigMap';
    const labels = { 'linkerd.io/control-plane-component': 'identity', 'linkerd.io/control-plane-ns': this.#namespace };
    const metadata = {
      name,
      namespace: this.#namespace,
      labels,
      ...(resourceVersion !== undefined && { resourceVersion }),
    };
    const body = { apiVersion: 'v1', kind, metadata, ...fields };
    const isNew = resourceVersion === undefined;
    const path = isNew ? this.#path(plural) : this.#path(plural, name);
    await this.#client.request({ method: isNew ? 'POST' : 'PUT', path, body });
  }

  #path(plural: string, name?: string): string {
    return `/api/v1/namespaces/${this.#namespace}/${plural}${name === undefined ? '' : `/${name}`}`;
  }
}

function secretText(data: Readonly<Record<string, string>>): (key: string) => string {
  return (key) => Buffer.from(data[key] ?? '', 'base64').toString('utf8');
}

function optionalCertificates(text: string, what: string): readonly Certificate[] {
  return text.trim() === '' ? [] : readTrustAnchors(text, what);
}
