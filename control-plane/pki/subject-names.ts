import { contextPrimitive, oid, Reader, sequence, set, TAG, utf8String, oidText } from './asn1.ts';
import { OID } from './oids.ts';

/** Names that a certificate or a request is for. */
export type SubjectAltNames = {
  readonly dns: readonly string[];
  readonly uris: readonly string[];
  readonly others: number; // count of email addresses, IP addresses and the like
};

export const NO_NAMES: SubjectAltNames = { dns: [], uris: [], others: 0 };

const DNS_NAME = 2;
const URI = 6;

/** Value of a SubjectAltName extension: DNS names first, then URIs. */
export function encodeSubjectAltNames(dns: readonly string[], uris: readonly string[]): Buffer {
  return sequence(
    ...dns.map((name) => contextPrimitive(DNS_NAME, Buffer.from(name, 'latin1'))),
    ...uris.map((uri) => contextPrimitive(URI, Buffer.from(uri, 'latin1'))),
  );
}

/** @throws Asn1Error */
export function decodeSubjectAltNames(value: Uint8Array): SubjectAltNames {
  const names = new Reader(value).enter('subject alternative names');
  const dns: string[] = [];
  const uris: string[] = [];
  let others = 0;
  while (!names.isAtEnd) {
    const name = names.read('subject alternative name');
    if (name.tag === (0x80 | DNS_NAME)) dns.push(name.value.toString('latin1'));
    else if (name.tag === (0x80 | URI)) uris.push(name.value.toString('latin1'));
    else others += 1;
  }
  return { dns, uris, others };
}

/** Distinguished name with only a common name; empty without one. */
export function encodeName(commonName?: string): Buffer {
  if (commonName === undefined) return sequence();
  return sequence(set(sequence(oid(OID.commonName), utf8String(commonName))));
}

/** Common names in a distinguished name, and how many attributes of other types there are. */
export function decodeName(name: Uint8Array): { readonly commonNames: readonly string[]; readonly others: number } {
  const sets = new Reader(name).enter('name');
  const commonNames: string[] = [];
  let others = 0;
  while (!sets.isAtEnd) {
    const attributes = sets.enter('relative distinguished name', TAG.set);
    while (!attributes.isAtEnd) {
      const attribute = attributes.enter('attribute');
      const type = oidText(attribute.read('attribute type', TAG.oid).value);
      const { value } = attribute.read('attribute value');
      if (type === OID.commonName) commonNames.push(value.toString('utf8'));
      else others += 1;
    }
  }
  return { commonNames, others };
}
