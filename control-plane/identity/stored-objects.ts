import type { KubeClient } from '#k8s/client.ts';
import {
  IDENTITY_ANCHOR_SECRET,
  IDENTITY_ISSUER_SECRET,
  TRUST_ROOTS_CONFIG_MAP,
  TRUST_ROOTS_KEY,
} from '#config/names.ts';
import { asObject, asText, asTextMap } from '#k8s/json.ts';
import { KubeError } from '#k8s/kube-error.ts';
import type { Certificate } from '#pki/certificate.ts';
import { readAuthority, TLS_KEYS } from '#pki/issuer.ts';
import { encodeCertificates } from '#pki/pem.ts';
import { readTrustAnchors, writeTrustAnchors } from '#pki/trust-anchors.ts';
import type { AnchorState, IssuerState, Owner } from './hierarchy.ts';

/** On a Secret of ours: asks for a new anchor or issuer now. It goes away with the old one. */
const ROTATE_ANNOTATION = 'tulle.dev/rotate';

type Annotations = Readonly<Record<string, string>>;

/** A stored value and the version of its object, which an update must name; absent when there is no object. */
export type Stored<T> = { readonly value: T | undefined; readonly resourceVersion?: string };

/** One of our Secrets. */
export type StoredAuthority<T> = Stored<T> & { readonly isRotationAsked: boolean };

/**
 * The Secret of the issuer. It is the user's when it has one of the forms that Linkerd takes: `tls.crt`, `tls.key` and `ca.crt` in
 * a Secret of type `kubernetes.io/tls`, as cert-manager writes it; or `crt.pem` and `key.pem`, as the installation writes given files.
 */
export type IssuerSecret = {
  readonly owner: Owner;
  readonly resourceVersion?: string; // absent when there is no Secret
  readonly isRotationAsked: boolean;
  /** @throws when there is none that can be used, naming the Secret, the field and what is wrong */
  readonly read: () => IssuerState;
  /** Of `ca.crt`. @throws when they are spoilt */
  readonly roots: () => readonly Certificate[];
};

/** The published anchors, with what is remembered beside them. */
export type StoredBundle = Stored<readonly Certificate[]> & {
  readonly text: string;
  readonly annotations: Annotations;
};

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
  async readAnchor(): Promise<StoredAuthority<AnchorState>> {
    const { data, resourceVersion, annotations } = await this.#read('secrets', IDENTITY_ANCHOR_SECRET);
    if (resourceVersion === undefined) return { value: undefined, isRotationAsked: false };
    const what = `Secret ${this.#namespace}/${IDENTITY_ANCHOR_SECRET}`;
    const text = secretText(data);
    const { authority } = readAuthority(text('tls.crt'), text('tls.key'), what);
    const value = {
      current: authority,
      previous: optionalCertificates(text('previous.crt'), `${what} previous.crt`),
      crossSigned: optionalCertificates(text('cross.crt'), `${what} cross.crt`),
    };
    return { value, resourceVersion, isRotationAsked: ROTATE_ANNOTATION in annotations };
  }

  async writeAnchor({ current, previous, crossSigned }: AnchorState, over: Stored<AnchorState>): Promise<void> {
    await this.#writeSecret(IDENTITY_ANCHOR_SECRET, over.resourceVersion, {
      'tls.crt': encodeCertificates([current.certificate.der]),
      'tls.key': current.key.exportPem(),
      'previous.crt': encodeCertificates(previous.map((anchor) => anchor.der)),
      'cross.crt': encodeCertificates(crossSigned.map((voucher) => voucher.der)),
    });
  }

  async readIssuer(): Promise<IssuerSecret> {
    const { data, resourceVersion, annotations, type } = await this.#read('secrets', IDENTITY_ISSUER_SECRET);
    const what = `Secret ${this.#namespace}/${IDENTITY_ISSUER_SECRET}`;
    const text = secretText(data);
    const names = 'crt.pem' in data ? { certificate: 'crt.pem', key: 'key.pem' } : TLS_KEYS;
    return {
      owner: issuerOwner(type, data),
      ...(resourceVersion !== undefined && { resourceVersion }),
      isRotationAsked: ROTATE_ANNOTATION in annotations,
      read: () => {
        if (resourceVersion === undefined) throw new Error(`${what} does not exist: whoever issues it has to make it`);
        return readAuthority(text(names.certificate), text(names.key), what, names);
      },
      roots: () => optionalCertificates(text('ca.crt'), `${what} ca.crt`),
    };
  }

  async writeIssuer(
    { authority, chain }: IssuerState,
    bundle: readonly Certificate[],
    over: IssuerSecret,
  ): Promise<void> {
    await this.#writeSecret(IDENTITY_ISSUER_SECRET, over.resourceVersion, {
      'tls.crt': encodeCertificates([authority.certificate, ...chain].map((certificate) => certificate.der)),
      'tls.key': authority.key.exportPem(),
      'ca.crt': writeTrustAnchors(bundle),
    });
  }

  /** What is published; unreadable text counts as nothing, and is replaced. */
  async readBundle(): Promise<StoredBundle> {
    const { data, resourceVersion, annotations } = await this.#read('configmaps', TRUST_ROOTS_CONFIG_MAP);
    const text = data[TRUST_ROOTS_KEY] ?? '';
    const rest = { text, annotations, ...(resourceVersion !== undefined && { resourceVersion }) };
    try {
      return { value: optionalCertificates(text, TRUST_ROOTS_CONFIG_MAP), ...rest };
    } catch {
      return { value: undefined, ...rest };
    }
  }

  async writeBundle(bundle: readonly Certificate[], over: StoredBundle): Promise<void> {
    const data = { [TRUST_ROOTS_KEY]: writeTrustAnchors(bundle) };
    await this.#write('configmaps', TRUST_ROOTS_CONFIG_MAP, over.resourceVersion, { data }, over.annotations);
  }

  /** Remembers something beside the published anchors, which stay as they are. */
  async annotateBundle(annotations: Annotations, over: StoredBundle): Promise<void> {
    const data = { [TRUST_ROOTS_KEY]: over.text };
    const all = { ...over.annotations, ...annotations };
    await this.#write('configmaps', TRUST_ROOTS_CONFIG_MAP, over.resourceVersion, { data }, all);
  }

  #writeSecret(name: string, resourceVersion: string | undefined, texts: Record<string, string>): Promise<void> {
    const entries = Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
    return this.#write('secrets', name, resourceVersion, { type: 'Opaque', data: Object.fromEntries(entries) });
  }

  async #read(plural: string, name: string): Promise<StoredObject> {
    try {
      const object = asObject(await this.#client.request({ method: 'GET', path: this.#path(plural, name) }));
      const metadata = asObject(object['metadata']);
      return {
        data: asTextMap(object['data']),
        annotations: asTextMap(metadata['annotations']),
        resourceVersion: asText(metadata['resourceVersion']) ?? '',
        type: asText(object['type']) ?? '',
      };
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return { data: {}, annotations: {}, type: '' };
      throw error;
    }
  }

  /** Creates the object, or replaces exactly the version that was read. */
  async #write(
    plural: string,
    name: string,
    resourceVersion: string | undefined,
    fields: object,
    annotations: Annotations = {},
  ): Promise<void> {
    const kind = plural === 'secrets' ? 'Secret' : 'ConfigMap';
    const labels = { 'linkerd.io/control-plane-component': 'identity', 'linkerd.io/control-plane-ns': this.#namespace };
    const metadata = {
      name,
      namespace: this.#namespace,
      labels,
      ...(Object.keys(annotations).length > 0 && { annotations }),
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

/** What is read of a Secret or ConfigMap; without a version there is no object. */
type StoredObject = {
  readonly data: Annotations;
  readonly annotations: Annotations;
  readonly type: string;
  readonly resourceVersion?: string;
};

/** Whose an issuer is: the Secret itself tells, so that none of somebody else is overwritten whatever the settings say. */
export function issuerOwner(type: string, data: Annotations): Owner {
  return 'crt.pem' in data || type === 'kubernetes.io/tls' ? 'user' : 'us';
}

function secretText(data: Readonly<Record<string, string>>): (key: string) => string {
  return (key) => Buffer.from(data[key] ?? '', 'base64').toString('utf8');
}

function optionalCertificates(text: string, what: string): readonly Certificate[] {
  return text.trim() === '' ? [] : readTrustAnchors(text, what);
}
