import { randomBytes } from 'node:crypto';
import type { Asn1Node } from 'node-forge/lib/asn1.js';
import { parseCertificate, type Certificate } from './certificate.ts';
import { decodeDer, encodeDer } from './der.ts';
import {
  bitString,
  boolean,
  contextConstructed,
  contextPrimitive,
  integer,
  longInteger,
  octetString,
  oid,
  sequence,
  time,
} from './der-writer.ts';
import { keyIdentifier, PrivateKey } from './key.ts';
import { OID } from './oids.ts';
import { decodeCertificates } from './pem.ts';
import { encodeName, encodeSubjectAltNames } from './subject-names.ts';

/** When a certificate holds, wall time. */
export type Validity = { readonly notBeforeMs: number; readonly notAfterMs: number };

/** A key and the certificates that vouch for it: the own one first, then towards the trust anchor, which is left out. */
export type Credentials = { readonly key: PrivateKey; readonly chain: readonly Certificate[] };

/** A certificate authority that can sign. */
export type Authority = { readonly key: PrivateKey; readonly certificate: Certificate };

const KEY_USAGE_DIGITAL_SIGNATURE = [0x80, 7] as const; // bits, unused bits
const KEY_USAGE_CERT_AND_CRL_SIGN = [0x06, 1] as const;

/** A certificate that vouches for itself. Its name carries a random part, so that two anchors are never confused. */
export function createTrustAnchor(domain: string, validity: Validity): Authority {
  const key = PrivateKey.generate();
  const name = encodeName(`trust anchor ${randomBytes(4).toString('hex')} of ${domain}`.slice(0, 64));
  const certificate = signCertificate({
    issuer: { key, name, keyId: keyIdentifier(key.publicDer) },
    subject: name,
    publicDer: key.publicDer,
    validity,
    extensions: authorityExtensions(key.publicDer),
  });
  return { key, certificate };
}

/** An authority below another one, which signs only leaves. */
export function createIssuer(anchor: Authority, domain: string, validity: Validity): Authority {
  const key = PrivateKey.generate();
  const name = encodeName(`issuer ${randomBytes(4).toString('hex')} of ${domain}`.slice(0, 64));
  const certificate = signCertificate({
    issuer: signer(anchor),
    subject: name,
    publicDer: key.publicDer,
    validity: within(validity, anchor.certificate),
    extensions: authorityExtensions(key.publicDer, 0),
  });
  return { key, certificate };
}

/** An anchor's key and name, vouched for by an older anchor, for clients that know only the older one. */
export function crossSign(newer: Authority, older: Authority): Certificate {
  return signCertificate({
    issuer: signer(older),
    subject: decodeDer('subject', newer.certificate.subjectDer),
    publicDer: newer.key.publicDer,
    validity: within(newer.certificate, older.certificate),
    extensions: authorityExtensions(newer.key.publicDer),
  });
}

/** Clocks of two nodes may disagree by so much: a leaf holds from that long ago. */
const CLOCK_TOLERANCE_MS = 300_000;

/** When a leaf holds that is made now. */
export function leafValidity(nowMs: number, lifetimeMs: number, clockSkewMs: number): Validity {
  return {
    notBeforeMs: nowMs - Math.max(CLOCK_TOLERANCE_MS, clockSkewMs),
    notAfterMs: nowMs + lifetimeMs + clockSkewMs,
  };
}

/**
 * A certificate for a workload: server and client, DNS name first, URI second, subject empty.
 * It never outlives its issuer.
 */
export function issueLeaf(
  issuer: Authority,
  request: { readonly publicDer: Buffer; readonly dnsName: string; readonly uri?: string; readonly validity: Validity },
): Certificate {
  const names = encodeSubjectAltNames([request.dnsName], request.uri === undefined ? [] : [request.uri]);
  return signCertificate({
    issuer: signer(issuer),
    subject: encodeName(),
    publicDer: request.publicDer,
    validity: within(request.validity, issuer.certificate),
    extensions: [
      extension(OID.basicConstraints, true, sequence()),
      keyUsage(KEY_USAGE_DIGITAL_SIGNATURE),
      extension(OID.extendedKeyUsage, false, sequence(oid(OID.serverAuth), oid(OID.clientAuth))),
      extension(OID.subjectAltName, true, names), // critical because the subject is empty, RFC 5280 4.1.2.6
      subjectKeyId(request.publicDer),
    ],
  });
}

/** Where a Secret of type `kubernetes.io/tls` has its certificate and its key. */
export const TLS_KEYS: { readonly certificate: string; readonly key: string } = {
  certificate: 'tls.crt',
  key: 'tls.key',
};

/**
 * Reads an authority from the PEM texts of a Secret.
 *
 * @param what   names the Secret in messages
 * @param names  of the two fields that the texts come from
 * @returns the authority, and the rest of the chain that its text holds
 * @throws PemError, CertificateError, KeyError, Error  when something is missing or does not fit together
 */
export function readAuthority(
  certificatePem: string,
  keyPem: string,
  what: string,
  names: typeof TLS_KEYS = TLS_KEYS,
): { readonly authority: Authority; readonly chain: readonly Certificate[] } {
  const [certificate, ...chain] = decodeCertificates(certificatePem, `${what} ${names.certificate}`).map(
    parseCertificate,
  );
  const key = PrivateKey.fromPem(keyPem, `${what} ${names.key}`);
  if (certificate === undefined || !key.isKeyOf(certificate.publicDer)) {
    throw new Error(`${what}: ${names.key} is not the key of ${names.certificate}`);
  }
  if (!certificate.isCa) throw new Error(`${what}: ${names.certificate} may not sign certificates`);
  return { authority: { key, certificate }, chain };
}

type Signer = { readonly key: PrivateKey; readonly name: Asn1Node; readonly keyId: Buffer };

/** The issuer's name is copied byte for byte: clients compare it so. */
function signer({ key, certificate }: Authority): Signer {
  return {
    key,
    name: decodeDer('subject', certificate.subjectDer),
    keyId: certificate.subjectKeyId ?? keyIdentifier(certificate.publicDer),
  };
}

function within(validity: Validity, outer: Validity): Validity {
  return { notBeforeMs: validity.notBeforeMs, notAfterMs: Math.min(validity.notAfterMs, outer.notAfterMs) };
}

function signCertificate(parts: {
  readonly issuer: Signer;
  readonly subject: Asn1Node;
  readonly publicDer: Buffer;
  readonly validity: Validity;
  readonly extensions: readonly Asn1Node[];
}): Certificate {
  const { issuer, validity } = parts;
  const algorithm = sequence(oid(OID.ecdsaWithSha256));
  const authorityKeyId = extension(OID.authorityKeyIdentifier, false, sequence(contextPrimitive(0, issuer.keyId)));
  const body = sequence(
    contextConstructed(0, integer(2)), // version 3
    serialNumber(),
    algorithm,
    issuer.name,
    sequence(time(validity.notBeforeMs), time(validity.notAfterMs)),
    parts.subject,
    decodeDer('public key', parts.publicDer),
    contextConstructed(3, sequence(...parts.extensions, authorityKeyId)),
  );
  const signature = bitString(issuer.key.sign(encodeDer(body)));
  return parseCertificate(encodeDer(sequence(body, algorithm, signature)));
}

/** 126 random bits in 16 bytes, positive and never zero. Source: RFC 5280 section 4.1.2.2. */
function serialNumber(): Asn1Node {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return longInteger(bytes);
}

function authorityExtensions(publicDer: Buffer, pathLength?: number): readonly Asn1Node[] {
  const length = pathLength === undefined ? [] : [integer(pathLength)];
  return [
    extension(OID.basicConstraints, true, sequence(boolean(true), ...length)),
    keyUsage(KEY_USAGE_CERT_AND_CRL_SIGN),
    subjectKeyId(publicDer),
  ];
}

function keyUsage([bits, unusedBits]: readonly [number, number]): Asn1Node {
  return extension(OID.keyUsage, true, bitString(Buffer.from([bits]), unusedBits));
}

function subjectKeyId(publicDer: Buffer): Asn1Node {
  return extension(OID.subjectKeyIdentifier, false, octetString(keyIdentifier(publicDer)));
}

function extension(type: string, isCritical: boolean, value: Asn1Node): Asn1Node {
  return sequence(oid(type), ...(isCritical ? [boolean(true)] : []), octetString(encodeDer(value)));
}
