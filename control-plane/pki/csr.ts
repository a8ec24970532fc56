import { verify } from 'node:crypto';
import {
  Asn1Error,
  bitString,
  contextConstructed,
  integer,
  octetString,
  oid,
  oidText,
  Reader,
  sequence,
  set,
  TAG,
} from './asn1.ts';
import { importPublicKey, isP256, type PrivateKey } from './key.ts';
import { OID } from './oids.ts';
import {
  decodeName,
  decodeSubjectAltNames,
  encodeName,
  encodeSubjectAltNames,
  NO_NAMES,
  type SubjectAltNames,
} from './subject-names.ts';

/** A certificate signing request that proves possession of its key. */
export type CertificateRequest = {
  readonly publicDer: Buffer; // SubjectPublicKeyInfo, ECDSA P-256
  readonly commonNames: readonly string[];
  readonly names: SubjectAltNames;
};

/** Bytes that are not a usable request. The message says why. */
export class CsrError extends Error {
  override readonly name = 'CsrError';
}

/** Longer requests are refused before they are read. */
const CSR_BYTES_MAX = 16 * 1024;

/**
 * Asks for a certificate for one DNS name. The subject stays empty: common names are limited to 64 characters.
 *
 * @returns PKCS#10 DER
 */
export function createCsr(key: PrivateKey, dnsName: string): Buffer {
  const names = encodeSubjectAltNames([dnsName], []);
  const extensions = sequence(sequence(oid(OID.subjectAltName), octetString(names)));
  const attributes = contextConstructed(0, sequence(oid(OID.extensionRequest), set(extensions)));
  const info = sequence(integer(Buffer.from([0])), encodeName(), key.publicDer, attributes);
  return sequence(info, sequence(oid(OID.ecdsaWithSha256)), bitString(key.sign(info)));
}

/**
 * Reads a request and checks its signature.
 *
 * @throws CsrError  when it is not PKCS#10 DER, has another key than ECDSA P-256, or is not signed by that key
 */
export function parseCsr(der: Uint8Array): CertificateRequest {
  if (der.length > CSR_BYTES_MAX) throw new CsrError(`longer than ${CSR_BYTES_MAX} bytes`);
  try {
    return readRequest(new Reader(der));
  } catch (error) {
    if (error instanceof Asn1Error) throw new CsrError(`not a PKCS#10 request: ${error.message}`);
    throw error;
  }
}

function readRequest(outer: Reader): CertificateRequest {
  const request = outer.enter('request');
  outer.end('request');
  const info = request.read('request info', TAG.sequence);
  const algorithm = oidText(request.enter('signature algorithm').read('algorithm', TAG.oid).value);
  const signature = request.read('signature', TAG.bitString).value;
  request.end('request');

  const fields = new Reader(info.value);
  fields.read('version', TAG.integer);
  const { commonNames } = decodeName(fields.read('subject', TAG.sequence).raw);
  const publicDer = Buffer.from(fields.read('public key', TAG.sequence).raw);
  const attributes = fields.readOptional('attributes', 0xa0);
  fields.end('request info');

  const publicKey = importPublicKey(publicDer);
  if (publicKey === undefined || !isP256(publicKey)) throw new CsrError('the public key is not ECDSA P-256');
  if (algorithm !== OID.ecdsaWithSha256)
    throw new CsrError(`signature algorithm ${algorithm} is not ECDSA with SHA-256`);
  if (!verify('sha256', info.raw, publicKey, signature.subarray(1))) {
    throw new CsrError('the signature is not made by the key in the request');
  }
  return {
    publicDer,
    commonNames,
    names: attributes === undefined ? NO_NAMES : readNames(new Reader(attributes.value)),
  };
}

function readNames(attributes: Reader): SubjectAltNames {
  let names: SubjectAltNames | undefined;
  while (!attributes.isAtEnd) {
    const attribute = attributes.enter('attribute');
    if (oidText(attribute.read('attribute type', TAG.oid).value) !== OID.extensionRequest) continue;
    const extensions = attribute.enter('attribute values', TAG.set).enter('extensions');
    while (!extensions.isAtEnd) {
      const extension = extensions.enter('extension');
      const type = oidText(extension.read('extension type', TAG.oid).value);
      extension.readOptional('critical', TAG.boolean);
      const { value } = extension.read('extension value', TAG.octetString);
      if (type !== OID.subjectAltName) continue;
      if (names !== undefined) throw new CsrError('more than one list of subject alternative names');
      names = decodeSubjectAltNames(value);
    }
  }
  return names ?? NO_NAMES;
}
