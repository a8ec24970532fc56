import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';
import { identityNames } from './peer-name.ts';

/** A certificate that this proxy must not use. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError';
}

/** TLS between proxies is 1.3 only, without tickets: a resumed session would skip the look at the certificate. */
const TLS_OPTIONS = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3', secureOptions: 0x4000 /* SSL_OP_NO_TICKET */ } as const;

/** What a proxy trusts before it has a certificate of its own. */
export function anonymousContext(trustAnchorsPem: string): SecureContext {
  return createSecureContext({ ...TLS_OPTIONS, ca: trustAnchorsPem });
}

/** The private key of this process. Never leaves it: printing and serializing give `[redacted]`. */
export class PrivateKey {
  readonly #key: KeyObject;

  constructor(key: KeyObject) {
    this.#key = key;
  }

  static fromPem(pem: string): PrivateKey {
    return new PrivateKey(createPrivateKey(pem));
  }

  get keyObject(): KeyObject {
    return this.#key;
  }

  toJSON(): string {
    return '[redacted]';
  }

  toString(): string {
    return '[redacted]';
  }
}

/** One certificate of this workload with the TLS context made of it. Immutable; renewal makes another. */
export class Credentials {
  readonly identity: string;
  readonly context: SecureContext;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;

  /**
   * @param chain  leaf first, without the trust anchor
   * @throws CredentialError  when the chain does not lead to a trust anchor, is not valid now, names somebody else or
   *   belongs to another key
   */
  constructor(
    identity: string,
    key: PrivateKey,
    chain: readonly X509Certificate[],
    trustAnchorsPem: string,
    nowMs: number,
  ) {
    const [leaf] = chain;
    if (leaf === undefined) throw new CredentialError('the chain is empty');
    if (!identityNames(leaf.subjectAltName).includes(identity)) {
      throw new CredentialError(`the certificate names ${leaf.subjectAltName ?? 'nobody'}, not ${identity}`);
    }
    if (!leaf.checkPrivateKey(key.keyObject)) throw new CredentialError('the certificate is for another key');
    verifyChain(chain, parseCertificates(trustAnchorsPem), nowMs);
    this.identity = identity;
    this.notBeforeMs = leaf.validFromDate.getTime();
    this.notAfterMs = Math.min(...chain.map((certificate) => certificate.validToDate.getTime()));
    this.context = createSecureContext({
      ...TLS_OPTIONS,
      key: key.keyObject.export({ type: 'pkcs8', format: 'pem' }),
      cert: chain.map((certificate) => certificate.toString()).join('\n'),
      ca: trustAnchorsPem,
    });
  }

  isValidAt(nowMs: number): boolean {
    return nowMs >= this.notBeforeMs && nowMs < this.notAfterMs;
  }
}

/** @throws CredentialError  naming what is wrong */
export function parseCertificates(pem: string): readonly X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g);
  if (blocks === null) throw new CredentialError('there is no PEM certificate');
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw new CredentialError('a PEM certificate cannot be read', { cause: error });
  }
}

function verifyChain(chain: readonly X509Certificate[], anchors: readonly X509Certificate[], nowMs: number): void {
  for (const [index, certificate] of chain.entries()) {
    if (nowMs >= certificate.validToDate.getTime()) throw new CredentialError(`certificate ${index} of the chain has expired`);
    const isAnchored = anchors.some((anchor) => isIssuedBy(certificate, anchor) && nowMs < anchor.validToDate.getTime());
    if (isAnchored) return;
    const issuer = chain[index + 1];
    if (issuer === undefined || !issuer.ca || !isIssuedBy(certificate, issuer)) break;
  }
  throw new CredentialError('the chain does not lead to a trust anchor');
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}
