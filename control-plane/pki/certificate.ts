import { Asn1Error, TAG } from './der.ts';
import { Reader, type Element } from './der-reader.ts';
import { OID } from './oids.ts';
import { decodeName, decodeSubjectAltNames, NO_NAMES, type SubjectAltNames } from './subject-names.ts';

/** What the mesh reads of an X.509 certificate. Nothing here says that it can be trusted: see `trust-anchors.ts`. */
export type Certificate = {
  readonly der: Buffer;
  readonly tbsDer: Buffer; // the part that is signed
  readonly signatureAlgorithm: string; // object identifier
  readonly signature: Buffer;
  readonly serialHex: string; // not negative, up to 20 bytes and a sign
  readonly issuerDer: Buffer; // distinguished names are compared byte for byte
  readonly subjectDer: Buffer;
  readonly commonName?: string;
  readonly notBeforeMs: number; // wall time, inclusive
  readonly notAfterMs: number; // wall time, inclusive
  readonly publicDer: Buffer; // SubjectPublicKeyInfo
  readonly isCa: boolean; // basic constraints and, where there is one, key usage let it sign certificates
  readonly pathLengthMax?: number; // authorities that may stand between it and a leaf
  readonly names: SubjectAltNames;
  readonly subjectKeyId?: Buffer;
  /** Object identifiers of extensions that limit what it is good for in a way that is not checked here. */
  readonly unsupported: readonly string[];
};

/** Bytes that are not an X.509 certificate we can read. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
}

/** Longer ones are refused before they are read. */
const CERTIFICATE_BYTES_MAX = 32 * 1024;

/** @throws CertificateError */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > CERTIFICATE_BYTES_MAX) throw new CertificateError(`longer than ${CERTIFICATE_BYTES_MAX} bytes`);
  try {
    return readCertificate(Buffer.from(der));
  } catch (error) {
    if (error instanceof Asn1Error) throw new CertificateError(`not an X.509 certificate: ${error.message}`);
    throw error;
  }
}

function readCertificate(der: Buffer): Certificate {
  const certificate = Reader.ofSequence('certificate', der);
  const body = certificate.read('certificate body', TAG.sequence);
  const algorithm = certificate.read('signature algorithm', TAG.sequence);
  const signature = certificate.readWholeBytes('signature');
  certificate.end('certificate');

  const fields = body.children;
  const version = readVersion(fields.readOptional('version', 0xa0));
  const serialHex = readSerialNumber(fields);
  if (!fields.read('signature algorithm', TAG.sequence).der.equals(algorithm.der)) {
    throw new Asn1Error('signature algorithm: not the same inside and outside of the signed part');
  }
  const issuerDer = fields.read('issuer', TAG.sequence).der;
  const validity = fields.enter('validity');
  const notBeforeMs = validity.readTime('not before');
  const notAfterMs = validity.readTime('not after');
  validity.end('validity');
  const subject = fields.read('subject', TAG.sequence);
  const publicDer = fields.read('public key', TAG.sequence).der;
  fields.readOptional('issuer unique id', 0x81);
  fields.readOptional('subject unique id', 0x82);
  const extensions = fields.readOptional('extensions', 0xa3);
  fields.end('certificate body');
  if (extensions !== undefined && version !== VERSION_3) throw new Asn1Error('extensions: need version 3');
  const [commonName] = decodeName(subject.children).commonNames;
  return {
    der,
    tbsDer: body.der,
    signatureAlgorithm: algorithm.children.readOid('algorithm'),
    signature,
    serialHex,
    issuerDer,
    subjectDer: subject.der,
    ...(commonName !== undefined && { commonName }),
    notBeforeMs,
    notAfterMs,
    publicDer,
    isCa: false,
    names: NO_NAMES,
    unsupported: [],
    ...(extensions && readExtensions(extensions.children)),
  };
}

const VERSION_3 = 2;

function readVersion(explicit: Element | undefined): number {
  if (explicit === undefined) return 0;
  const version = explicit.children.readCount('version');
  if (version > VERSION_3) throw new Asn1Error(`version: ${version} is not known`);
  return version;
}

const SERIAL_BYTES_MAX = 20;

/** Zero is not allowed either, but roots that people made themselves have it. Source: RFC 5280 section 4.1.2.2. */
function readSerialNumber(fields: Reader): string {
  const bytes = fields.readInteger('serial number');
  const magnitudeBytes = bytes[0] === 0 ? bytes.length - 1 : bytes.length;
  if ((bytes[0] ?? 0) >= 0x80 || magnitudeBytes > SERIAL_BYTES_MAX) {
    throw new Asn1Error(`serial number: negative or longer than ${SERIAL_BYTES_MAX} bytes`);
  }
  return bytes.toString('hex');
}

type Extensions = Pick<Certificate, 'isCa' | 'unsupported'> &
  Partial<Pick<Certificate, 'names' | 'pathLengthMax' | 'subjectKeyId'>>;

/** Extensions that are checked elsewhere, by TLS, or limit nothing. */
const HARMLESS: ReadonlySet<string> = new Set([OID.extendedKeyUsage, OID.authorityKeyIdentifier]);

function readExtensions(explicit: Reader): Extensions {
  const extensions = explicit.enter('extensions');
  explicit.end('extensions');
  const seen = new Set<string>();
  const unsupported: string[] = [];
  let constraints: { readonly isCa: boolean; readonly pathLengthMax?: number } = { isCa: false };
  let maySign = true;
  let names: SubjectAltNames | undefined;
  let subjectKeyId: Buffer | undefined;
  while (!extensions.isAtEnd) {
    const extension = extensions.enter('extension');
    const type = extension.readOid('extension type');
    const isCritical = extension.readFlag('critical');
    const { contents } = extension.read('extension value', TAG.octetString);
    extension.end('extension');
    if (seen.has(type)) throw new Asn1Error(`extension ${type}: there more than once`);
    seen.add(type);
    if (type === OID.basicConstraints) constraints = readBasicConstraints(contents);
    else if (type === OID.keyUsage) maySign = readMaySign(contents);
    else if (type === OID.subjectAltName) names = decodeSubjectAltNames(contents);
    else if (type === OID.subjectKeyIdentifier) subjectKeyId = readKeyIdentifier(contents);
    else if (type === OID.nameConstraints || (isCritical && !HARMLESS.has(type))) unsupported.push(type);
  }
  return {
    ...constraints,
    isCa: constraints.isCa && maySign,
    unsupported,
    ...(names !== undefined && { names }),
    ...(subjectKeyId !== undefined && { subjectKeyId }),
  };
}

function readBasicConstraints(value: Buffer): { readonly isCa: boolean; readonly pathLengthMax?: number } {
  const fields = Reader.ofSequence('basic constraints', value);
  const isCa = fields.readFlag('is CA');
  if (fields.isAtEnd) return { isCa };
  const pathLengthMax = fields.readCount('path length');
  fields.end('basic constraints');
  return { isCa, pathLengthMax };
}

const KEY_CERT_SIGN = 0x04; // bit 5, counted from the highest

function readMaySign(value: Buffer): boolean {
  const [unusedBits = 8, bits = 0] = Reader.of('key usage', value).read('key usage', TAG.bitString).contents;
  if (unusedBits > 7) throw new Asn1Error('key usage: not a bit string');
  return (bits & KEY_CERT_SIGN) !== 0;
}

function readKeyIdentifier(value: Buffer): Buffer {
  return Reader.of('subject key identifier', value).read('subject key identifier', TAG.octetString).contents;
}

/** Whom a leaf stands for: its first DNS name, else its first URI. Source: linkerd2-proxy client identity. */
export function certificateIdentity(certificate: Certificate): string | undefined {
  return certificate.names.dns[0] ?? certificate.names.uris[0];
}
