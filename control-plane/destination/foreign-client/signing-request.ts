import { createSign, type KeyObject } from 'node:crypto';

/** One value of DER. Source: ITU-T X.690. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...head]), content]);
}

const SEQUENCE = 0x30;
const SET = 0x31;
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const COMMON_NAME = hex('0603 550403');
const EXTENSION_REQUEST = hex('0609 2a864886f70d01090e');
const SUBJECT_ALTERNATIVE_NAME = hex('0603 551d11');
const ECDSA_WITH_SHA256 = hex('0608 2a8648ce3d040302');

/**
 * A request for a certificate as a proxy makes it, of Node's cryptography and nothing of ours. Source: RFC 2986.
 *
 * @param keys  ECDSA, P-256
 * @param names  DNS names
 */
export function signingRequest(
  keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
  names: readonly string[],
  commonName: string,
): Buffer {
  const subject = der(SEQUENCE, der(SET, der(SEQUENCE, COMMON_NAME, der(0x0c, Buffer.from(commonName)))));
  const dns = der(SEQUENCE, ...names.map((name) => der(0x82, Buffer.from(name))));
  const extension = der(SEQUENCE, SUBJECT_ALTERNATIVE_NAME, der(0x04, dns));
  const attribute = der(SEQUENCE, EXTENSION_REQUEST, der(SET, der(SEQUENCE, extension)));
  const info = der(
    SEQUENCE,
    der(0x02, Buffer.from([0])),
    subject,
    keys.publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa0, attribute),
  );
  const signature = createSign('sha256').update(info).sign(keys.privateKey);
  return der(SEQUENCE, info, der(SEQUENCE, ECDSA_WITH_SHA256), der(0x03, Buffer.from([0]), signature));
}
