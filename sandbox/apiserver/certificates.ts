import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import {
  bitString,
  boolean,
  contextConstructed,
  contextPrimitive,
  time,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  set,
  utf8String,
} from './der.ts';

/** A certificate and its key, both PEM (PKCS#8). */
export type Credentials = { readonly certificate: string; readonly key: string };

/** What a leaf is for. `organizations` become the groups of a client. */
export type LeafRequest = {
  readonly commonName: string;
  readonly organizations?: readonly string[];
  readonly names?: readonly string[]; // subject alternative names: DNS names and IP addresses; given means a server
  readonly lifetimeMs: number;
};

const DAY_MS = 24 * 3600 * 1000;
const CA_LIFETIME_MS = 3650 * DAY_MS;
const BACKDATED_MS = 3600 * 1000; // clocks of clients may be behind

const oid = {
  commonName: '2.5.4.3',
  organization: '2.5.4.10',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

/** The certificate authority of one cluster: signs the server's certificate and the clients'. ECDSA P-256. */
export class CertificateAuthority {
  readonly certificate: string; // PEM
  readonly #key: KeyObject;
  readonly #name: Buffer;
  readonly #keyId: Buffer;

  private constructor(certificate: string, key: KeyObject, name: Buffer, keyId: Buffer) {
    this.certificate = certificate;
    this.#key = key;
    this.#name = name;
    this.#keyId = keyId;
  }

  static create(commonName: string, nowMs: number = Date.now()): CertificateAuthority {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const publicInfo = publicKey.export({ type: 'spki', format: 'der' });
    const keyId = keyIdentifier(publicInfo);
    const name = distinguishedName(commonName, []);
    const der = signed(privateKey, {
      issuer: name,
      subject: name,
      publicInfo,
      notBeforeMs: nowMs - BACKDATED_MS,
      notAfterMs: nowMs + CA_LIFETIME_MS,
      extensions: [
        extension(oid.basicConstraints, true, sequence(boolean(true))),
        extension(oid.keyUsage, true, bitString(Buffer.from([0b1000_0110]), 1)), // signature, certificates, CRLs
        extension(oid.subjectKeyIdentifier, false, octetString(keyId)),
      ],
    });
    return new CertificateAuthority(pem('CERTIFICATE', der), privateKey, name, keyId);
  }

  issue(request: LeafRequest, nowMs: number = Date.now()): Credentials {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const publicInfo = publicKey.export({ type: 'spki', format: 'der' });
    const isServer = request.names !== undefined;
    const purpose = isServer ? oid.serverAuth : oid.clientAuth;
    const extensions = [
      extension(oid.basicConstraints, true, sequence()),
      extension(oid.keyUsage, true, bitString(Buffer.from([0b1000_0000]), 7)), // signature
      extension(oid.extendedKeyUsage, false, sequence(objectIdentifier(purpose))),
      extension(oid.authorityKeyIdentifier, false, sequence(contextPrimitive(0, this.#keyId))),
    ];
    if (request.names !== undefined) {
      extensions.push(extension(oid.subjectAltName, false, sequence(...request.names.map(alternativeName))));
    }
    const der = signed(this.#key, {
      issuer: this.#name,
      subject: distinguishedName(request.commonName, request.organizations ?? []),
      publicInfo,
      notBeforeMs: nowMs - BACKDATED_MS,
      notAfterMs: nowMs + request.lifetimeMs,
      extensions,
    });
    return {
      certificate: pem('CERTIFICATE', der),
      key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    };
  }
}

/** A P-256 key for signing tokens. */
export function generateSigningKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
}

type Contents = {
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly publicInfo: Buffer;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly extensions: readonly Buffer[];
};

function signed(key: KeyObject, contents: Contents): Buffer {
  const algorithm = sequence(objectIdentifier(oid.ecdsaWithSha256));
  const serial = randomBytes(16);
  const body = sequence(
    contextConstructed(0, integer(Buffer.from([2]))), // version 3
    integer(serial),
    algorithm,
    contents.issuer,
    sequence(time(contents.notBeforeMs), time(contents.notAfterMs)),
    contents.subject,
    contents.publicInfo,
    contextConstructed(3, sequence(...contents.extensions)),
  );
  return sequence(body, algorithm, bitString(sign('sha256', body, key)));
}

function distinguishedName(commonName: string, organizations: readonly string[]): Buffer {
  const parts = [
    ...organizations.map((name) => sequence(objectIdentifier(oid.organization), utf8String(name))),
    sequence(objectIdentifier(oid.commonName), utf8String(commonName)),
  ];
  return sequence(...parts.map((part) => set(part)));
}

function alternativeName(name: string): Buffer {
  if (isIP(name) === 4) return contextPrimitive(7, Buffer.from(name.split('.').map(Number)));
  if (isIP(name) === 6) return contextPrimitive(7, ipv6Octets(name));
  return contextPrimitive(2, Buffer.from(name, 'latin1'));
}

function ipv6Octets(address: string): Buffer {
  // The URL parser writes any IPv6 address in its canonical form, without an embedded IPv4 address.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return Buffer.from([...before, ...zeros, ...after].map((group) => group.padStart(4, '0')).join(''), 'hex');
}

function extension(id: string, isCritical: boolean, value: Buffer): Buffer {
  return sequence(objectIdentifier(id), ...(isCritical ? [boolean(true)] : []), octetString(value));
}

function keyIdentifier(publicInfo: Buffer): Buffer {
  return createHash('sha256').update(publicInfo).digest().subarray(0, 20);
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
