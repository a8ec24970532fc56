import { INJECTOR_CERTIFICATE_SECRET, POLICY_WEBHOOK_CONFIGURATION, WEBHOOK_CONFIGURATION } from '#config/names.ts';
import type { KubeClient } from '#k8s/client.ts';
import { asList, asObject, asText, asTextMap, isObject, type JsonObject } from '#k8s/json.ts';
import { KubeError } from '#k8s/kube-error.ts';
import { parseCertificate, type Certificate } from '#pki/certificate.ts';
import { createTrustAnchor, issueLeaf } from '#pki/issuer.ts';
import { PrivateKey } from '#pki/key.ts';
import { decodeCertificates, encodeCertificates } from '#pki/pem.ts';
import { validityProblem } from '#pki/trust-anchors.ts';

/** What the webhook's server presents, and what the API server must trust for it. */
export type ServingCertificate = {
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly authorityPem: string;
  readonly notAfterMs: number;
  /** Why it was not renewed though it is time. */
  readonly renewalFailure?: Error;
};

const DAY_MS = 86_400_000;
const LIFETIME_MS = 365 * DAY_MS;
const RENEW_BEFORE_MS = 120 * DAY_MS;
const CLOCK_SKEW_MS = 300_000; // clocks of API server and injector may disagree
const MAX_ATTEMPTS = 5;

/**
 * A certificate of an authority of its own, which signs nothing else and whose key is forgotten at once.
 *
 * @param previous  authority of the certificate before, which another replica may still show for a moment
 */
export function createServingCertificate(dnsName: string, nowMs: number, previous?: Certificate): ServingCertificate {
  const validity = { notBeforeMs: nowMs - CLOCK_SKEW_MS, notAfterMs: nowMs + LIFETIME_MS };
  const authority = createTrustAnchor(dnsName, validity);
  const key = PrivateKey.generate();
  const leaf = issueLeaf(authority, { publicDer: key.publicDer, dnsName, validity });
  return {
    certificatePem: encodeCertificates([leaf.der]),
    keyPem: key.exportPem(),
    authorityPem: encodeCertificates(
      [authority.certificate, ...(previous === undefined ? [] : [previous])].map(({ der }) => der),
    ),
    notAfterMs: leaf.notAfterMs,
  };
}

/** Keeps the certificate in a Secret, so that replicas share it and restarts keep it, and its authority in the webhook's configuration. */
export class ServingCertificates {
  readonly #client: KubeClient;
  readonly #namespace: string;
  readonly #dnsName: string;
  readonly #now: () => number;

  constructor(client: KubeClient, namespace: string, dnsName: string, now: () => number = Date.now) {
    this.#client = client;
    this.#namespace = namespace;
    this.#dnsName = dnsName;
    this.#now = now;
  }

  /**
   * The certificate to use now: the stored one while it is good for a while, else a new one that is stored first. When that is
   * refused, the stored one serves as long as it holds.
   *
   * @throws KubeError  when the API server refuses or does not answer, and nothing that is stored holds
   */
  async ensure(): Promise<ServingCertificate> {
    for (let attempt = 1; ; attempt += 1) {
      const stored = await this.#read();
      const nowMs = this.#now();
      const usable = stored === undefined ? undefined : this.#usable(stored);
      if (usable !== undefined && nowMs < usable.notAfterMs - RENEW_BEFORE_MS) return usable;
      const fresh = createServingCertificate(this.#dnsName, nowMs, stored && authorityOf(stored, nowMs));
      try {
        await this.#write(fresh, stored);
        return fresh;
      } catch (error) {
        // Another replica was first: use what it stored.
        if (error instanceof KubeError && error.isConflict && attempt < MAX_ATTEMPTS) continue;
        if (usable === undefined || !(error instanceof KubeError)) throw error;
        return { ...usable, renewalFailure: error };
      }
    }
  }

  /**
   * Writes the authority into the configurations of both webhooks where it is not there.
   *
   * @returns whether something was written
   */
  async publish(certificate: ServingCertificate): Promise<boolean> {
    const pods = await this.#publishIn(`mutatingwebhookconfigurations/${WEBHOOK_CONFIGURATION}`, certificate);
    const policies = await this.#publishIn(
      `validatingwebhookconfigurations/${POLICY_WEBHOOK_CONFIGURATION}`,
      certificate,
    );
    return pods || policies;
  }

  async #publishIn(resource: string, certificate: ServingCertificate): Promise<boolean> {
    const path = `/apis/admissionregistration.k8s.io/v1/${resource}`;
    const configuration = asObject(await this.#client.request({ method: 'GET', path }));
    const caBundle = Buffer.from(certificate.authorityPem).toString('base64');
    const stale = asList(configuration['webhooks'])
      .filter(isObject)
      .filter((webhook) => asText(asObject(webhook['clientConfig'])['caBundle']) !== caBundle);
    if (stale.length === 0) return false;
    await this.#client.request({
      method: 'PATCH',
      path,
      contentType: 'application/strategic-merge-patch+json',
      body: { webhooks: stale.map((webhook) => ({ name: webhook['name'], clientConfig: { caBundle } })) },
    });
    return true;
  }

  async #read(): Promise<JsonObject | undefined> {
    try {
      return asObject(
        await this.#client.request({ method: 'GET', path: `${this.#collection}/${INJECTOR_CERTIFICATE_SECRET}` }),
      );
    } catch (error) {
      if (error instanceof KubeError && error.isNotFound) return undefined;
      throw error;
    }
  }

  async #write(certificate: ServingCertificate, replaced: JsonObject | undefined): Promise<void> {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const resourceVersion = asText(asObject(replaced?.['metadata'])['resourceVersion']);
    const body = {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name: INJECTOR_CERTIFICATE_SECRET,
        namespace: this.#namespace,
        labels: { 'linkerd.io/control-plane-component': 'injector', 'linkerd.io/control-plane-ns': this.#namespace },
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      type: 'kubernetes.io/tls',
      data: {
        'tls.crt': base64(certificate.certificatePem),
        'tls.key': base64(certificate.keyPem),
        'ca.crt': base64(certificate.authorityPem),
      },
    };
    await (replaced === undefined
      ? this.#client.request({ method: 'POST', path: this.#collection, body })
      : this.#client.request({ method: 'PUT', path: `${this.#collection}/${INJECTOR_CERTIFICATE_SECRET}`, body }));
  }

  /** The stored certificate when it can be read, is for this name, and holds. */
  #usable(secret: JsonObject): ServingCertificate | undefined {
    const data = asTextMap(secret['data']);
    const read = (key: string): string => Buffer.from(data[key] ?? '', 'base64').toString();
    const pems = { certificatePem: read('tls.crt'), keyPem: read('tls.key'), authorityPem: read('ca.crt') };
    try {
      const [der] = decodeCertificates(pems.certificatePem, 'tls.crt');
      const leaf = parseCertificate(der ?? Buffer.alloc(0));
      const isOurs =
        leaf.names.dns.includes(this.#dnsName) && PrivateKey.fromPem(pems.keyPem, 'tls.key').isKeyOf(leaf.publicDer);
      const nowMs = this.#now();
      const isCurrent = leaf.notBeforeMs <= nowMs && nowMs < leaf.notAfterMs;
      decodeCertificates(pems.authorityPem, 'ca.crt');
      return isOurs && isCurrent ? { ...pems, notAfterMs: leaf.notAfterMs } : undefined;
    } catch {
      return undefined; // unreadable: replaced by a new one
    }
  }

  get #collection(): string {
    return `/api/v1/namespaces/${this.#namespace}/secrets`;
  }
}

/** The newest authority in a Secret, while it holds. */
function authorityOf(secret: JsonObject, nowMs: number): Certificate | undefined {
  const pem = Buffer.from(asTextMap(secret['data'])['ca.crt'] ?? '', 'base64').toString();
  try {
    const [authority] = decodeCertificates(pem, 'ca.crt').map(parseCertificate);
    return authority !== undefined && validityProblem(authority, nowMs) === undefined ? authority : undefined;
  } catch {
    return undefined; // unreadable: nothing that anybody could show belongs to it
  }
}
