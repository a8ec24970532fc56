import { status } from '@grpc/grpc-js';
import type { CertifyRequest, CertifyResponse } from '#api/gen/identity.ts';
import type { CallFailure } from '#api/serve-watch.ts';
import type { Certificate } from '#pki/certificate.ts';
import { CsrError, parseCsr, type CertificateRequest } from '#pki/csr.ts';
import { issueLeaf, leafValidity } from '#pki/issuer.ts';
import { isDnsName, spiffeId, workloadIdentity, type TrustDomain } from '#pki/names.ts';
import type { SigningState } from './authority.ts';
import type { TokenVerdict } from './token-review.ts';

/** What signing needs besides the request. Each function throws when it cannot do its part now. */
export type CertifyContext = {
  readonly domain: TrustDomain;
  readonly leafLifetimeMs: number;
  readonly clockSkewMs: number;
  readonly now: () => number; // wall time
  readonly signingState: () => Promise<SigningState>;
  readonly reviewToken: (token: string) => Promise<TokenVerdict>;
};

export type CertifyResult = { readonly response: CertifyResponse } | { readonly failure: CallFailure };

const TOKEN_BYTES_MAX = 64 * 1024;

/** Signs a certificate for a workload that proves who it is. Source of the status codes: linkerd2 `pkg/identity`. */
export async function certify(request: CertifyRequest, context: CertifyContext): Promise<CertifyResult> {
  const { identity } = request;
  const malformed = requestProblem(request);
  if (malformed !== undefined) return fail(status.INVALID_ARGUMENT, malformed);

  let csr: CertificateRequest;
  try {
    csr = parseCsr(request.certificateSigningRequest);
  } catch (error) {
    if (!(error instanceof CsrError)) throw error;
    return fail(status.INVALID_ARGUMENT, `certificate_signing_request: ${error.message}`);
  }
  const mismatch = csrProblem(csr, identity);
  if (mismatch !== undefined) return fail(status.FAILED_PRECONDITION, mismatch);

  let verdict: TokenVerdict;
  try {
    verdict = await context.reviewToken(Buffer.from(request.token).toString('utf8').trim());
  } catch (error) {
    return fail(status.INTERNAL, `the token could not be reviewed: ${messageOf(error)}`);
  }
  if (!verdict.isAuthenticated) return fail(status.FAILED_PRECONDITION, `token: ${verdict.reason}`);
  const expected = workloadIdentity(verdict.account, context.domain);
  if (expected !== identity) {
    return fail(status.FAILED_PRECONDITION, `the token is of ${expected}, not of ${identity}`);
  }

  let signing: SigningState;
  try {
    signing = await context.signingState();
  } catch (error) {
    return fail(status.UNAVAILABLE, `the issuer is not usable: ${messageOf(error)}`);
  }
  const leaf = issueLeaf(signing.issuer.authority, {
    publicDer: csr.publicDer,
    dnsName: identity,
    uri: spiffeId(verdict.account, context.domain),
    validity: leafValidity(context.now(), context.leafLifetimeMs, context.clockSkewMs),
  });
  const chain = [signing.issuer.authority.certificate, ...signing.issuer.chain, ...offeredAnchors(signing.bundle)];
  return {
    response: {
      leafCertificate: leaf.der,
      intermediateCertificates: chain.map((certificate) => certificate.der),
      validUntil: new Date(leaf.notAfterMs),
    },
  };
}

/** More anchors would make every handshake of a proxy slow that shows the whole answer to its peers. */
const OFFERED_ANCHORS_MAX = 8;

/**
 * While there are several anchors they go along in the chain, newest first: a proxy that never restarts learns them so. Others take them
 * for certificates that are not needed.
 */
function offeredAnchors(bundle: readonly Certificate[]): readonly Certificate[] {
  if (bundle.length < 2) return [];
  return [...bundle].sort((a, b) => b.notAfterMs - a.notAfterMs).slice(0, OFFERED_ANCHORS_MAX);
}

function requestProblem({ identity, token, certificateSigningRequest }: CertifyRequest): string | undefined {
  if (identity === '') return 'identity is missing';
  if (!isDnsName(identity)) return 'identity is not a DNS name';
  if (token.length === 0) return 'token is missing';
  if (token.length > TOKEN_BYTES_MAX) return `token is longer than ${TOKEN_BYTES_MAX} bytes`;
  if (!/^[\w-]+\.[\w-]+\.[\w-]+\s*$/.test(Buffer.from(token).toString('latin1')))
    return 'token is not a JSON web token';
  if (certificateSigningRequest.length === 0) return 'certificate_signing_request is missing';
  return undefined;
}

function csrProblem({ names, commonNames }: CertificateRequest, identity: string): string | undefined {
  if (names.dns.length !== 1 || names.dns[0] !== identity) {
    return `certificate_signing_request must name exactly ${identity}, it names ${names.dns.join(', ') || 'nothing'}`;
  }
  if (names.uris.length > 0 || names.others > 0) {
    return 'certificate_signing_request has names that are not DNS names';
  }
  const foreign = commonNames.find((name) => name !== identity);
  return foreign === undefined ? undefined : `certificate_signing_request has the common name "${foreign}"`;
}

function fail(code: status, details: string): CertifyResult {
  return { failure: { code, details } };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
