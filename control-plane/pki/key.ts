import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';

/** A private key that is not of the kind the mesh uses, or cannot be read. Never contains key material. */
export class KeyError extends Error {
  override readonly name = 'KeyError';
}

/** An ECDSA P-256 private key. Prints as `[redacted]`; only the two `export` methods give the material away. */
export class PrivateKey {
  readonly #key: KeyObject;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicDer: Buffer;

  private constructor(key: KeyObject) {
    this.#key = key;
    this.publicDer = createPublicKey(key).export({ type: 'spki', format: 'der' });
  }

  static generate(): PrivateKey {
    return new PrivateKey(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey);
  }

  /**
   * Reads PKCS#8 or SEC 1 PEM.
   *
   * @param what  where the text comes from, for the message
   * @throws KeyError
   */
  static fromPem(pem: string, what: string): PrivateKey {
    let key: KeyObject;
    try {
      key = createPrivateKey({ key: pem, format: 'pem' });
    } catch {
      throw new KeyError(`${what} is not a PEM private key`); // the cause may quote its input
    }
    if (!isP256(key)) throw new KeyError(`${what} is not an ECDSA P-256 key`);
    return new PrivateKey(key);
  }

  /** ECDSA with SHA-256, DER form. */
  sign(bytes: Uint8Array): Buffer {
    return sign('sha256', bytes, this.#key);
  }

  /** PKCS#8 PEM, for TLS contexts and for the Secret that keeps it. */
  exportPem(): string {
    return this.#key.export({ type: 'pkcs8', format: 'pem' });
  }

  /** PKCS#8 DER. */
  exportDer(): Buffer {
    return this.#key.export({ type: 'pkcs8', format: 'der' });
  }

  /** Whether a certificate or request with this public key belongs to this key. */
  isKeyOf(publicDer: Uint8Array): boolean {
    return this.publicDer.equals(publicDer);
  }

  toString(): string {
    return '[redacted]';
  }

  toJSON(): string {
    return '[redacted]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[redacted]';
  }
}

export function isP256(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1';
}

/** Algorithm, curve by name and the mark of an uncompressed point: how every P-256 key in a certificate begins. */
const P256_SPKI_PREFIX = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');
const P256_SPKI_BYTES = 91;

/** Whether a SubjectPublicKeyInfo has the only form that all TLS libraries read. OpenSSL takes others too. Source: RFC 5480. */
export function isPlainP256(spkiDer: Buffer): boolean {
  return spkiDer.length === P256_SPKI_BYTES && spkiDer.subarray(0, P256_SPKI_PREFIX.length).equals(P256_SPKI_PREFIX);
}

/** @returns nothing when the bytes are not a public key that node:crypto knows */
export function importPublicKey(spkiDer: Uint8Array): KeyObject | undefined {
  try {
    return createPublicKey({ key: Buffer.from(spkiDer), format: 'der', type: 'spki' });
  } catch {
    return undefined;
  }
}

/** First 20 bytes of SHA-256 over the public key. Source: RFC 7093 section 2, method 1, over the whole structure. */
export function keyIdentifier(spkiDer: Uint8Array): Buffer {
  return createHash('sha256').update(spkiDer).digest().subarray(0, 20);
}
