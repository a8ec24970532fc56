import { verify } from 'node:crypto';
import { parseCertificate, type Certificate } from './certificate.ts';
import { importPublicKey } from './key.ts';
import { decodeCertificates, encodeCertificates } from './pem.ts';

/** Whether a chain of certificates can be trusted at a time, and why not. */
export type ChainVerdict =
  | { readonly isTrusted: true; readonly anchor: Certificate; readonly notAfterMs: number /* of the whole chain */ }
  | { readonly isTrusted: false; readonly reason: string };

const DIGESTS: Readonly<Record<string, string>> = {
  '1.2.840.10045.4.3.2': 'sha256', // ECDSA
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.2.840.113549.1.1.11': 'sha256', // RSA, PKCS#1
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
};

const CHAIN_LENGTH_MAX = 8;

/**
 * Follows a chain from its first certificate to a trust anchor.
 *
 * @param chain    the certificate in question first; the others in any order
 * @param anchors  what is trusted; an anchor counts only while it holds itself
 * @param nowMs    wall time
 */
export function verifyChain(
  chain: readonly Certificate[],
  anchors: readonly Certificate[],
  nowMs: number,
): ChainVerdict {
  let [current, ...others] = chain;
  if (current === undefined) return { isTrusted: false, reason: 'there is no certificate' };
  let notAfterMs = Number.POSITIVE_INFINITY;
  for (let length = 0; length < CHAIN_LENGTH_MAX; length += 1) {
    const certificate: Certificate = current;
    const problem = validityProblem(certificate, nowMs);
    if (problem !== undefined) return { isTrusted: false, reason: problem };
    notAfterMs = Math.min(notAfterMs, certificate.notAfterMs);
    const itself = anchors.find((candidate) => candidate.der.equals(certificate.der));
    const anchor = itself ?? anchors.find((candidate) => isIssuedBy(certificate, candidate));
    if (anchor !== undefined) {
      const anchorProblem = validityProblem(anchor, nowMs);
      if (anchorProblem !== undefined) return { isTrusted: false, reason: anchorProblem };
      return { isTrusted: true, anchor, notAfterMs: Math.min(notAfterMs, anchor.notAfterMs) };
    }
    const next = others.find((candidate) => isIssuedBy(certificate, candidate));
    if (next === undefined) return { isTrusted: false, reason: `nothing trusted vouches for ${describe(certificate)}` };
    others = others.filter((candidate) => candidate !== next);
    current = next;
  }
  return { isTrusted: false, reason: `the chain is longer than ${CHAIN_LENGTH_MAX} certificates` };
}

/** Whether `issuer` is an authority that signed `certificate`. Says nothing about times. */
export function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  if (!issuer.isCa || !certificate.issuerDer.equals(issuer.subjectDer)) return false;
  const digest = DIGESTS[certificate.signatureAlgorithm];
  const key = importPublicKey(issuer.publicDer);
  if (digest === undefined || key === undefined) return false;
  return verify(digest, certificate.tbsDer, key, certificate.signature);
}

/** Why a certificate does not hold at a time, or nothing. */
export function validityProblem(certificate: Certificate, nowMs: number): string | undefined {
  if (nowMs < certificate.notBeforeMs) {
    return `${describe(certificate)} holds only from ${new Date(certificate.notBeforeMs).toISOString()}`;
  }
  if (nowMs > certificate.notAfterMs) {
    return `${describe(certificate)} expired at ${new Date(certificate.notAfterMs).toISOString()}`;
  }
  return undefined;
}

function describe(certificate: Certificate): string {
  return `"${certificate.names.dns[0] ?? certificate.commonName ?? certificate.serialHex}"`;
}

/** @throws PemError, CertificateError  naming `what` */
export function readTrustAnchors(pem: string, what: string): readonly Certificate[] {
  return decodeCertificates(pem, what).map(parseCertificate);
}

/** PEM of a set of anchors in a fixed order without duplicates, so that equal sets are equal texts. */
export function writeTrustAnchors(anchors: readonly Certificate[]): string {
  const byDer = new Map(anchors.map((anchor) => [anchor.der.toString('hex'), anchor]));
  const sorted = [...byDer.values()].sort((a, b) => a.notBeforeMs - b.notBeforeMs || Buffer.compare(a.der, b.der));
  return encodeCertificates(sorted.map((anchor) => anchor.der));
}
