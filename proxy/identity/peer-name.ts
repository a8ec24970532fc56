import { CertificateError, parseCertificate } from '#pki/certificate.ts';

/** The DNS and then the URI names of a certificate: whom it may speak for. The first one is the identity. */
export function identityNames(certificateDer: Uint8Array): readonly string[] {
  try {
    const { names } = parseCertificate(certificateDer);
    return [...names.dns, ...names.uris];
  } catch (error) {
    if (error instanceof CertificateError) return []; // OpenSSL read it and we cannot: it names nobody
    throw error;
  }
}
