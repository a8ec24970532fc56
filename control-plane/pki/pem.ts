/** Text that is not PEM, or PEM of something else. */
export class PemError extends Error {
  override readonly name = 'PemError';
}

/** One PEM block, lines of 64 characters. Source: RFC 7468. */
export function encodePem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** All blocks with this label, in order; other blocks and text between blocks are skipped. */
export function decodePem(label: string, text: string): readonly Buffer[] {
  const pattern = /-----BEGIN ([A-Z0-9 ]{1,40})-----\s+([A-Za-z0-9+/=\s]+?)-----END \1-----/g;
  return [...text.matchAll(pattern)]
    .filter(([, found]) => found === label)
    .map(([, , body = '']) => Buffer.from(body, 'base64'));
}

export function encodeCertificates(certificates: readonly Uint8Array[]): string {
  return certificates.map((der) => encodePem('CERTIFICATE', der)).join('');
}

/** @throws PemError  when there is none; `what` names the source in the message */
export function decodeCertificates(text: string, what: string): readonly Buffer[] {
  const certificates = decodePem('CERTIFICATE', text);
  if (certificates.length === 0) throw new PemError(`${what} holds no PEM certificate`);
  return certificates;
}
