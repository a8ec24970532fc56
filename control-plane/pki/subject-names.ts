import type { Asn1Node } from 'node-forge/lib/asn1.js';
import { Asn1Error, TAG } from './der.ts';
import { Reader } from './der-reader.ts';
import { contextPrimitive, oid, sequence, set, utf8String } from './der-writer.ts';
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

/**
 * Value of a SubjectAltName extension: DNS names first, then URIs.
 *
 * @throws Asn1Error  when a name is empty or not ASCII: its letters would become others
 */
export function encodeSubjectAltNames(dns: readonly string[], uris: readonly string[]): Asn1Node {
  return sequence(
    ...dns.map((name) => contextPrimitive(DNS_NAME, Buffer.from(checkedName(name), 'latin1'))),
    ...uris.map((uri) => contextPrimitive(URI, Buffer.from(checkedName(uri), 'latin1'))),
  );
}

/** @throws Asn1Error */
export function decodeSubjectAltNames(value: Uint8Array): SubjectAltNames {
  const names = Reader.ofSequence('subject alternative names', value);
  const dns: string[] = [];
  const uris: string[] = [];
  let others = 0;
  while (!names.isAtEnd) {
    const name = names.read('subject alternative name');
    if (name.tag === (0x80 | DNS_NAME)) dns.push(checkedName(name.contents.toString('latin1')));
    else if (name.tag === (0x80 | URI)) uris.push(checkedName(name.contents.toString('latin1')));
    else others += 1;
  }
  return { dns, uris, others };
}

/** DNS names and URIs are ASCII here, without spaces and control characters. Source: RFC 5280 section 4.2.1.6. */
function checkedName(name: string): string {
  if (!/^[\x21-\x7e]+$/.test(name))
    throw new Asn1Error(`subject alternative name: ${JSON.stringify(name)} is not a name`);
  return name;
}

/** Distinguished name with only a common name; empty without one. */
export function encodeName(commonName?: string): Asn1Node {
  if (commonName === undefined) return sequence();
  return sequence(set(sequence(oid(OID.commonName), utf8String(commonName))));
}

/** Common names in a distinguished name, and how many attributes of other types there are. */
export function decodeName(name: Reader): { readonly commonNames: readonly string[]; readonly others: number } {
  const commonNames: string[] = [];
  let others = 0;
  while (!name.isAtEnd) {
    const attributes = name.enter('relative distinguished name', TAG.set);
    while (!attributes.isAtEnd) {
      const attribute = attributes.enter('attribute');
      const type = attribute.readOid('attribute type');
      const { contents } = attribute.read('attribute value');
      attribute.end('attribute');
      if (type === OID.commonName) commonNames.push(contents.toString('utf8'));
      else others += 1;
    }
  }
  return { commonNames, others };
}
