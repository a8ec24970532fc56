import { verify } from 'node:crypto';
import { parseCertificate, type Certificate } from './certificate.ts';
import { importPublicKey } from './key.ts';
import { OID } from './oids.ts';
import { decodeCertificates, encodeCertificates } from './pem.ts';

/** Whether a chain of certificates can be trusted at a time, and why not. */
export type ChainVerdict =
  | { readonly isTrusted: true; readonly anchor: Certificate; readonly notAfterMs: number /* of the whole chain */ }
  | { readonly isTrusted: false; readonly reason: string };

/** By object identifier: what the signature needs. */
const SIGNATURES: Readonly<Record<string, { readonly keyType: 'ec' | 'rsa'; readonly digest: string }>> = {
  '1.2.840.10045.4.3.2': { keyType: 'ec', digest: 'sha256' },
  '1.2.840.10045.4.3.3': { keyType: 'ec', digest: 'sha384' },
  '1.2.840.10045.4.3.4': { keyType: 'ec', digest: 'sha512' },
  '1.2.840.113549.1.1.11': { keyType: 'rsa', digest: 'sha256' }, // PKCS#1
  '1.2.840.113549.1.1.12': { keyType: 'rsa', digest: 'sha384' },
  '1.2.840.113549.1.1.13': { keyType: 'rsa', digest: 'sha512' },
};

/** Certificates between the one in question, which counts, and the trust anchor, which does not. */
const CHAIN_LENGTH_MAX = 8;
/** Certificates that may be offered to make a chain of. */
const OFFERED_MAX = 32;
/** Certificates with the same names can be tried in many orders; nobody needs as many. Figure: Go's crypto/x509. */
const SIGNATURE_CHECKS_MAX = 100;

/**
 * Follows a chain from its first certificate to a trust anchor. Checked are times, signatures, names, which certificates may sign, how many
 * authorities may stand in a row, and that nobody set a limit which is not checked here: critical extensions and name constraints.
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
  const [first, ...others] = chain;
  if (first === undefined) return untrusted('there is no certificate');
  if (chain.length > OFFERED_MAX) return untrusted(`there are more than ${OFFERED_MAX} certificates`);
  return follow([first], others, { anchors, nowMs, checksLeft: SIGNATURE_CHECKS_MAX });
}

type Search = { readonly anchors: readonly Certificate[]; readonly nowMs: number; checksLeft: number };

/** Tries every way on from the end of the path: of two certificates with one name and key, one may have expired. */
function follow(path: readonly Certificate[], others: readonly Certificate[], search: Search): ChainVerdict {
  const last = path.at(-1)!;
  const problem = validityProblem(last, search.nowMs) ?? constraintProblem(path);
  if (problem !== undefined) return untrusted(problem);
  const anchor = search.anchors.find((candidate) => candidate.der.equals(last.der));
  if (anchor !== undefined) {
    return { isTrusted: true, anchor, notAfterMs: Math.min(...path.map((certificate) => certificate.notAfterMs)) };
  }
  if (path.length > CHAIN_LENGTH_MAX) return untrusted(`the chain is longer than ${CHAIN_LENGTH_MAX} certificates`);
  let failure: ChainVerdict | undefined;
  for (const candidate of [...search.anchors, ...others]) {
    if (!mayIssue(candidate, last)) continue;
    if (search.checksLeft === 0) return untrusted('the chain can be put together in too many ways');
    search.checksLeft -= 1;
    if (!isSignedBy(last, candidate)) continue;
    const rest = others.filter((other) => other !== candidate);
    const verdict = follow([...path, candidate], rest, search);
    if (verdict.isTrusted) return verdict;
    failure ??= verdict;
  }
  return failure ?? untrusted(`nothing trusted vouches for ${describe(last)}`);
}

function untrusted(reason: string): ChainVerdict {
  return { isTrusted: false, reason };
}

/** What forbids the last certificate of a path to stand there. Source: RFC 5280 sections 4.2 and 6.1.4. */
function constraintProblem(path: readonly Certificate[]): string | undefined {
  const last = path.at(-1)!;
  const [limit] = last.unsupported;
  if (limit !== undefined) {
    const name = limit === OID.nameConstraints ? 'name constraints' : `the extension ${limit}`;
    return `${describe(last)} has ${name}, which is not supported`;
  }
  // Authorities that vouch for another key of themselves do not count.
  const below = path.slice(0, -1).filter((one) => one.isCa && !one.issuerDer.equals(one.subjectDer)).length;
  if (last.pathLengthMax !== undefined && below > last.pathLengthMax) {
    return `${describe(last)} allows ${last.pathLengthMax} authorities below it, not ${below}`;
  }
  return undefined;
}

/** Whether `issuer` is an authority that signed `certificate`. Says nothing about times. */
export function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  return mayIssue(issuer, certificate) && isSignedBy(certificate, issuer);
}

function mayIssue(issuer: Certificate, certificate: Certificate): boolean {
  return issuer.isCa && certificate.issuerDer.equals(issuer.subjectDer);
}

function isSignedBy(certificate: Certificate, issuer: Certificate): boolean {
  const algorithm = SIGNATURES[certificate.signatureAlgorithm];
  const key = importPublicKey(issuer.publicDer);
  if (algorithm === undefined || key?.asymmetricKeyType !== algorithm.keyType) return false;
  try {
    return verify(algorithm.digest, certificate.tbsDer, key, certificate.signature);
  } catch {
    return false; // a key that OpenSSL reads and cannot use
  }
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

/** The kinds of keys that TLS libraries take from an anchor. Source: linkerd2 `pkg/issuercerts`, OpenSSL's security level 2. */
const ANCHOR_KEYS = 'ECDSA P-256, P-384 or P-521, or RSA of 2048 bits or more, is needed';
const RSA_BITS_MIN = 2048;
const EC_CURVES: ReadonlySet<string | undefined> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);

/** Why a certificate is no good as a trust anchor at any time, or nothing: TLS libraries would refuse what it vouches for. */
export function rootProblem(certificate: Certificate): string | undefined {
  if (!certificate.isCa) return `${describe(certificate)} may not sign certificates`;
  const key = importPublicKey(certificate.publicDer);
  const { modulusLength = 0, namedCurve } = key?.asymmetricKeyDetails ?? {};
  const isStrong = key?.asymmetricKeyType === 'rsa' ? modulusLength >= RSA_BITS_MIN : EC_CURVES.has(namedCurve);
  if (!isStrong) return `${describe(certificate)} has a weak or unknown key: ${ANCHOR_KEYS}`;
  if (!isIssuedBy(certificate, certificate))
    return `${describe(certificate)} is not a root: another authority signed it`;
  return undefined;
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
