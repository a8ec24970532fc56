import { Asn1Error, oidText, Reader, TAG, timeMs } from './asn1.ts';
import { OID } from './oids.ts';
import { decodeName, decodeSubjectAltNames, NO_NAMES, type SubjectAltNames } from './subject-names.ts';

/** What the mesh reads of an X.509 certificate. Nothing here says that it can be trusted: see `trust-anchors.ts`. */
export type Certificate = {
  readonly der: Buffer;
  readonly tbsDer: Buffer; // the part that is signed
  readonly signatureAlgorithm: string; // object identifier
  readonly signature: Buffer;
  readonly serialHex: string;
  readonly issuerDer: Buffer; // distinguished names are compared byte for byte
  readonly subjectDer: Buffer;
  readonly commonName?: string;
  readonly notBeforeMs: number; // wall time, inclusive
  readonly notAfterMs: number; // wall time, inclusive
  readonly publicDer: Buffer; // SubjectPublicKeyInfo
  readonly isCa: boolean;
  readonly names: SubjectAltNames;
  readonly subjectKeyId?: Buffer;
};

/** Bytes that are not an X.509 certificate we can read. */
export class CertificateError extends Error {
  override readonly name = 'CertificateError';
}

/** @throws CertificateError */
export function parseCertificate(der: Uint8Array): Certificate {
  try {
    return readCertificate(Buffer.from(der));
  } catch (error) {
    if (error instanceof Asn1Error) throw new CertificateError(`not an X.509 certificate: ${error.message}`);
    throw error;
  }
}

function readCertificate(der: Buffer): Certificate {
  const outer = new Reader(der);
  const certificate = outer.enter('certificate');
  outer.end('certificate');
  const tbs = certificate.read('certificate body', TAG.sequence);
  const algorithm = certificate.enter('signature algorithm').read('algorithm', TAG.oid).value;
  const signature = certificate.read('signature', TAG.bitString).value.subarray(1);

  const fields = new Reader(tbs.value);
  fields.readOptional('version', 0xa0);
  const serialHex = fields.read('serial number', TAG.integer).value.toString('hex');
  fields.read('signature algorithm', TAG.sequence);
  const issuerDer = fields.read('issuer', TAG.sequence).raw;
  const validity = fields.enter('validity');
  const notBeforeMs = timeMs(validity.read('not before'));
  const notAfterMs = timeMs(validity.read('not after'));
  const subjectDer = fields.read('subject', TAG.sequence).raw;
  const publicDer = fields.read('public key', TAG.sequence).raw;
  fields.readOptional('issuer unique id', 0x81);
  fields.readOptional('subject unique id', 0x82);
  const extensions = fields.readOptional('extensions', 0xa3);
  const [commonName] = decodeName(subjectDer).commonNames;
  return {
    der,
    tbsDer: tbs.raw,
    signatureAlgorithm: oidText(algorithm),
    signature,
    serialHex,
    issuerDer,
    subjectDer,
    ...(commonName !== undefined && { commonName }),
    notBeforeMs,
    notAfterMs,
    publicDer,
    isCa: false,
    names: NO_NAMES,
    ...(extensions && readExtensions(new Reader(extensions.value).enter('extensions'))),
  };
}

function readExtensions(extensions: Reader): Partial<Pick<Certificate, 'isCa' | 'names' | 'subjectKeyId'>> {
  const found: { isCa?: boolean; names?: SubjectAltNames; subjectKeyId?: Buffer } = {};
  while (!extensions.isAtEnd) {
    const extension = extensions.enter('extension');
    const type = oidText(extension.read('extension type', TAG.oid).value);
    extension.readOptional('critical', TAG.boolean);
    const { value } = extension.read('extension value', TAG.octetString);
    if (type === OID.basicConstraints) {
      const isCa = new Reader(value).enter('basic constraints').readOptional('is CA', TAG.boolean);
      found.isCa = isCa !== undefined && isCa.value[0] !== 0;
    } else if (type === OID.subjectAltName) {
      found.names = decodeSubjectAltNames(value);
    } else if (type === OID.subjectKeyIdentifier) {
      found.subjectKeyId = new Reader(value).read('subject key identifier', TAG.octetString).value;
    }
  }
  return found;
}

/** Whom a leaf stands for: its first DNS name, else its first URI. Source: linkerd2-proxy client identity. */
export function certificateIdentity(certificate: Certificate): string | undefined {
  return certificate.names.dns[0] ?? certificate.names.uris[0];
}
