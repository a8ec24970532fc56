import pem from 'node-forge/lib/pem.js';
import { toForge } from './der.ts';

/** Text that is not PEM, or PEM of something else. */
export class PemError extends Error {
  override readonly name = 'PemError';
}

/** What a ConfigMap or Secret can hold. Longer texts are refused before they are read. */
const TEXT_LENGTH_MAX = 1024 * 1024;

/** One PEM block, lines of 64 characters. Source: RFC 7468. */
export function encodePem(label: string, der: Uint8Array): string {
  return pem.encode({ type: label, body: toForge(der) }).replaceAll('\r', '');
}

/**
 * All blocks with this label, in order; other blocks and text between blocks are skipped.
 *
 * @throws PemError  when the text is too long, or one of these blocks is not whole or not base64
 */
export function decodePem(label: string, text: string): readonly Buffer[] {
  if (text.length > TEXT_LENGTH_MAX) throw new PemError(`longer than ${TEXT_LENGTH_MAX} characters`);
  const begun = text.split(`-----BEGIN ${label}-----`).length - 1;
  if (begun === 0) return []; // node-forge fails when there is nothing
  const blocks = decodeBlocks(text).filter((block) => block.type === label && isBytes(block.body));
  if (blocks.length !== begun) throw new PemError(`${begun - blocks.length} of ${begun} PEM blocks cannot be read`);
  return blocks.map((block) => Buffer.from(block.body, 'latin1'));
}

function decodeBlocks(text: string): ReturnType<typeof pem.decode> {
  try {
    return pem.decode(text);
  } catch {
    throw new PemError('not PEM'); // node-forge's error may quote its input
  }
}

/** node-forge makes characters above 255 of padding in the middle. */
function isBytes(body: string): boolean {
  return body.length > 0 && Buffer.from(body, 'latin1').toString('latin1') === body;
}

export function encodeCertificates(certificates: readonly Uint8Array[]): string {
  return certificates.map((der) => encodePem('CERTIFICATE', der)).join('');
}

/** @throws PemError  when there is none, or not all can be read; `what` names the source in the message */
export function decodeCertificates(text: string, what: string): readonly Buffer[] {
  let certificates: readonly Buffer[];
  try {
    certificates = decodePem('CERTIFICATE', text);
  } catch (error) {
    if (error instanceof PemError) throw new PemError(`${what}: ${error.message}`);
    throw error;
  }
  if (certificates.length === 0) throw new PemError(`${what} holds no PEM certificate`);
  return certificates;
}
