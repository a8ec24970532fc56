import { verify } from 'node:crypto';
import { Asn1Error, decodeDer, encodeDer, TAG } from './der.ts';
import { Reader } from './der-reader.ts';
import { bitString, contextConstructed, integer, octetString, oid, sequence, set } from './der-writer.ts';
import { importPublicKey, isPlainP256, type PrivateKey } from './key.ts';
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
  const names = encodeDer(encodeSubjectAltNames([dnsName], []));
  const extensions = sequence(sequence(oid(OID.subjectAltName), octetString(names)));
  const attributes = contextConstructed(0, sequence(oid(OID.extensionRequest), set(extensions)));
  const info = sequence(integer(0), encodeName(), decodeDer('public key', key.publicDer), attributes);
  const signature = bitString(key.sign(encodeDer(info)));
  return encodeDer(sequence(info, sequence(oid(OID.ecdsaWithSha256)), signature));
}

/**
 * Reads a request and checks its signature.
 *
 * @throws CsrError  when it is not PKCS#10 DER, has another key than ECDSA P-256, or is not signed by that key
 */
export function parseCsr(der: Uint8Array): CertificateRequest {
  if (der.length > CSR_BYTES_MAX) throw new CsrError(`longer than ${CSR_BYTES_MAX} bytes`);
  try {
    return readRequest(Reader.ofSequence('request', der));
  } catch (error) {
    if (error instanceof Asn1Error) throw new CsrError(`not a PKCS#10 request: ${error.message}`);
    throw error;
  }
}

function readRequest(request: Reader): CertificateRequest {
  const info = request.read('request info', TAG.sequence);
  const algorithm = request.enter('signature algorithm').readOid('algorithm');
  const signature = request.readWholeBytes('signature');
  request.end('request');

  const fields = info.children;
  const version = fields.readCount('version');
  if (version !== 0) throw new CsrError(`version ${version} of PKCS#10 is not known`);
  const { commonNames } = decodeName(fields.enter('subject'));
  const publicDer = fields.read('public key', TAG.sequence).der;
  const attributes = fields.readOptional('attributes', 0xa0);
  fields.end('request info');

  const publicKey = importPublicKey(publicDer);
  if (publicKey === undefined || !isPlainP256(publicDer)) throw new CsrError('the public key is not ECDSA P-256');
  if (algorithm !== OID.ecdsaWithSha256)
    throw new CsrError(`signature algorithm ${algorithm} is not ECDSA with SHA-256`);
  if (!verify('sha256', info.der, publicKey, signature)) {
    throw new CsrError('the signature is not made by the key in the request');
  }
  return { publicDer, commonNames, names: attributes === undefined ? NO_NAMES : readNames(attributes.children) };
}

function readNames(attributes: Reader): SubjectAltNames {
  let names: SubjectAltNames | undefined;
  while (!attributes.isAtEnd) {
    const attribute = attributes.enter('attribute');
    if (attribute.readOid('attribute type') !== OID.extensionRequest) continue;
    const values = attribute.enter('attribute values', TAG.set);
    attribute.end('attribute');
    const extensions = values.enter('extensions');
    values.end('attribute values');
    while (!extensions.isAtEnd) {
      const extension = extensions.enter('extension');
      const type = extension.readOid('extension type');
      extension.readFlag('critical');
      const { contents } = extension.read('extension value', TAG.octetString);
      extension.end('extension');
      if (type !== OID.subjectAltName) continue;
      if (names !== undefined) throw new CsrError('more than one list of subject alternative names');
      names = decodeSubjectAltNames(contents);
    }
  }
  return names ?? NO_NAMES;
}
