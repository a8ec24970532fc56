import { createSecureContext, type SecureContext } from 'node:tls';
import { parseCertificate, type Certificate } from '#pki/certificate.ts';
import type { PrivateKey } from '#pki/key.ts';
import { decodeCertificates, encodeCertificates } from '#pki/pem.ts';
import { rootProblem, verifyChain } from '#pki/trust-anchors.ts';

/** A certificate that this proxy must not use. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError';
}

/**
 * TLS between proxies is 1.3 only, without tickets: a resumed session would skip the look at the certificate. The suites are in the order
 * of linkerd2-proxy: that with SHA-256 costs the least, for bytes and for handshakes.
 */
const TLS_OPTIONS = {
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  secureOptions: 0x4000 /* SSL_OP_NO_TICKET */,
} as const;

/** What a proxy trusts, as text for TLS and parsed. */
export type TrustAnchors = { readonly pem: string; readonly certificates: readonly Certificate[] };

/** @throws PemError or CertificateError */
export function readTrustAnchors(pem: string): TrustAnchors {
  return { pem, certificates: decodeCertificates(pem, 'the trust anchors').map(parseCertificate) };
}

/**
 * What the identity process answered, taken apart: while there are several trust anchors it sends them along with the chain.
 * What it says is taken: the connection proved that it is the identity process, which could sign anything anyway.
 *
 * @param known  given when the proxy started; these are never forgotten
 */
export function learnAnchors(
  known: TrustAnchors,
  answer: readonly Uint8Array[],
): { readonly chain: readonly Certificate[]; readonly anchors: TrustAnchors } {
  const [leaf, ...others] = answer.map(parseCertificate);
  const roots = others.filter((certificate) => rootProblem(certificate) === undefined);
  const chain = leaf === undefined ? [] : [leaf, ...others.filter((certificate) => !roots.includes(certificate))];
  const learned = roots.filter((root) => !known.certificates.some((anchor) => anchor.der.equals(root.der)));
  if (learned.length === 0) return { chain, anchors: known };
  const pem = `${known.pem.trimEnd()}\n${encodeCertificates(learned.map(({ der }) => der))}`;
  return { chain, anchors: { pem, certificates: [...known.certificates, ...learned] } };
}

/** TLS without a certificate of our own: for the first call to identity. */
export function anonymousContext(anchors: TrustAnchors): SecureContext {
  return createSecureContext({ ...TLS_OPTIONS, ca: anchors.pem });
}

/** One certificate of this workload with the TLS context made of it. Immutable; renewal makes another. */
export type Credentials = {
  readonly identity: string;
  readonly context: SecureContext;
  readonly notBeforeMs: number; // wall time
  readonly notAfterMs: number; // wall time, of the whole chain
};

/**
 * @param chain  leaf first, without the trust anchor
 * @throws CredentialError  when the chain does not lead to a trust anchor, is not valid now, names somebody else or
 *   belongs to another key
 */
export function createCredentials(
  identity: string,
  key: PrivateKey,
  chain: readonly Certificate[],
  anchors: TrustAnchors,
  nowMs: number,
): Credentials {
  const [leaf] = chain;
  if (leaf === undefined) throw new CredentialError('the chain is empty');
  const names = [...leaf.names.dns, ...leaf.names.uris];
  if (!names.includes(identity)) throw new CredentialError(`it names ${names.join(', ') || 'nobody'}, not ${identity}`);
  if (!key.isKeyOf(leaf.publicDer)) throw new CredentialError('it is for another key');
  const verdict = verifyChain(chain, anchors.certificates, nowMs);
  if (!verdict.isTrusted) throw new CredentialError(verdict.reason);
  return {
    identity,
    notBeforeMs: leaf.notBeforeMs,
    notAfterMs: verdict.notAfterMs,
    context: createSecureContext({
      ...TLS_OPTIONS,
      key: key.exportPem(),
      cert: encodeCertificates(chain.map(({ der }) => der)),
      ca: anchors.pem,
    }),
  };
}

export function isValidAt(credentials: Credentials, nowMs: number): boolean {
  return nowMs >= credentials.notBeforeMs && nowMs <= credentials.notAfterMs;
}
