import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import type { Asn1Node } from 'node-forge/lib/asn1.js';
import { decodeDer, encodeDer } from './der.ts';
import {
  bitString,
  boolean,
  contextConstructed,
  integer,
  longInteger,
  octetString,
  oid,
  sequence,
  time,
} from './der-writer.ts';
import { OID } from './oids.ts';
import { encodeName } from './subject-names.ts';

/** What a test wants of a certificate that no honest authority of ours would make. Everything has a harmless default. */
export type Crafted = {
  readonly name: string;
  readonly keys?: KeyPair;
  readonly issuer?: { readonly name: string; readonly keys: KeyPair }; // itself when absent
  readonly version?: number; // on the wire: 2 is version 3
  readonly serial?: Uint8Array;
  readonly fromMs?: number;
  readonly toMs?: number;
  readonly algorithm?: string; // outside of the signed part only
  readonly extensions?: readonly Asn1Node[];
};

export type KeyPair = { readonly publicKey: KeyObject; readonly privateKey: KeyObject };

export function p256Keys(): KeyPair {
  return generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
}

/** DER of a certificate for tests. */
export function craftCertificate(wanted: Crafted): Buffer {
  const keys = wanted.keys ?? p256Keys();
  const issuer = wanted.issuer ?? { name: wanted.name, keys };
  const body = sequence(
    contextConstructed(0, integer(wanted.version ?? 2)),
    longInteger(wanted.serial ?? Buffer.from([1])),
    sequence(oid(OID.ecdsaWithSha256)),
    encodeName(issuer.name),
    sequence(time(wanted.fromMs ?? 0), time(wanted.toMs ?? Date.UTC(2100, 0))),
    encodeName(wanted.name),
    decodeDer('public key', keys.publicKey.export({ type: 'spki', format: 'der' })),
    contextConstructed(3, sequence(...(wanted.extensions ?? []))),
  );
  const digest = issuer.keys.privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  const signature = bitString(sign(digest, encodeDer(body), issuer.keys.privateKey));
  return encodeDer(sequence(body, sequence(oid(wanted.algorithm ?? OID.ecdsaWithSha256)), signature));
}

export function craftExtension(type: string, isCritical: boolean, value: Asn1Node): Asn1Node {
  return sequence(oid(type), ...(isCritical ? [boolean(true)] : []), octetString(encodeDer(value)));
}

/** Basic constraints of an authority. */
export function authority(pathLength?: number): Asn1Node {
  const limit = pathLength === undefined ? [] : [integer(pathLength)];
  return craftExtension(OID.basicConstraints, true, sequence(boolean(true), ...limit));
}
