import { createIssuer, createTrustAnchor, issueLeaf, type Authority, type Credentials } from './issuer.ts';
import { PrivateKey } from './key.ts';
import { encodeCertificates } from './pem.ts';

/** A complete hierarchy for tests: anchor, issuer, and leaves on demand. */
export type TestAuthority = {
  readonly anchor: Authority;
  readonly issuer: Authority;
  readonly anchorsPem: string;
  readonly leaf: (dnsName: string, uri?: string) => Credentials;
};

/** @param nowMs  wall time; everything holds from an hour before it to a day after it */
export function createTestAuthority(nowMs = Date.now()): TestAuthority {
  const validity = { notBeforeMs: nowMs - 3_600_000, notAfterMs: nowMs + 86_400_000 };
  const anchor = createTrustAnchor('test.local', validity);
  const issuer = createIssuer(anchor, 'test.local', validity);
  return {
    anchor,
    issuer,
    anchorsPem: encodeCertificates([anchor.certificate.der]),
    leaf(dnsName, uri) {
      const key = PrivateKey.generate();
      const request = { publicDer: key.publicDer, dnsName, validity, ...(uri !== undefined && { uri }) };
      return { key, chain: [issueLeaf(issuer, request), issuer.certificate] };
    },
  };
}

/** Key and chain as `tls` and `http2` take them. */
export function tlsOptions(credentials: Credentials): { readonly key: string; readonly cert: string } {
  return { key: credentials.key.exportPem(), cert: encodeCertificates(credentials.chain.map((one) => one.der)) };
}
