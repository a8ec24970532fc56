import { readFileSync, statSync } from 'node:fs';
import { readAuthority } from '#pki/issuer.ts';
import { readTrustAnchors, rootProblem, validityProblem, verifyChain } from '#pki/trust-anchors.ts';
import type { GivenIdentity } from '../control-plane/install/manifests/given-identity.ts';
import { optionalText, UsageError, type Flags, type FlagValues } from './command.ts';
import { reasonOf } from './reason.ts';

const ANCHORS = 'identity-trust-anchors-file';
const CERTIFICATE = 'identity-issuer-certificate-file';
const KEY = 'identity-issuer-key-file';
const EXTERNAL = 'identity-external-issuer';
const FILE_BYTES_MAX = 1024 * 1024;

/** Flags for who brings a trust anchor and an issuer along. */
export const IDENTITY_FLAGS: Flags = {
  [ANCHORS]: {
    type: 'string',
    value: 'FILE',
    help: 'your trust anchors, PEM; an issuer under one of them is needed too',
  },
  [CERTIFICATE]: { type: 'string', value: 'FILE', help: 'your issuer (and what is between it and the anchor), PEM' },
  [KEY]: { type: 'string', value: 'FILE', help: 'its private key, PEM, ECDSA P-256: the manifest then holds it' },
  [EXTERNAL]: {
    type: 'boolean',
    help: 'the issuer is in Secret linkerd-identity-issuer, made by somebody else, as cert-manager',
  },
};

/** Whether the issuer is somebody else's: then none is made in the cluster. */
export function isIssuerExternal(flags: FlagValues): boolean {
  return flags[EXTERNAL] === true || optionalText(flags, CERTIFICATE) !== undefined;
}

/**
 * Reads the files that are named, and checks them as the identity process will.
 *
 * @throws UsageError  naming the flag, what is wrong and what would be right
 */
export function readIdentityFiles(flags: FlagValues, nowMs: number): GivenIdentity {
  const [anchorsFile, certificateFile, keyFile] = [ANCHORS, CERTIFICATE, KEY].map((name) => optionalText(flags, name));
  const isExternal = flags[EXTERNAL] === true;
  if ((certificateFile === undefined) !== (keyFile === undefined))
    throw new UsageError(`--${CERTIFICATE} and --${KEY} belong together`);
  if (isExternal && certificateFile !== undefined)
    throw new UsageError(
      `--${EXTERNAL} and --${CERTIFICATE} exclude each other: the issuer is in the cluster, or in a file`,
    );
  if (anchorsFile !== undefined && certificateFile === undefined && !isExternal)
    throw new UsageError(`--${ANCHORS} needs --${CERTIFICATE} and --${KEY}, or --${EXTERNAL}`);
  if (anchorsFile === undefined && certificateFile !== undefined)
    throw new UsageError(`--${CERTIFICATE} needs --${ANCHORS}: proxies have to know the anchor above it`);
  if (anchorsFile === undefined) return {};

  const trustAnchorsPem = readText(ANCHORS, anchorsFile);
  const anchors = attempt(ANCHORS, () => readTrustAnchors(trustAnchorsPem, anchorsFile));
  for (const anchor of anchors) {
    const problem = rootProblem(anchor) ?? validityProblem(anchor, nowMs);
    if (problem !== undefined) throw new UsageError(`--${ANCHORS} ${anchorsFile}: ${problem}`);
  }
  if (certificateFile === undefined || keyFile === undefined) return { trustAnchorsPem };
  const certificatePem = readText(CERTIFICATE, certificateFile);
  const keyPem = readText(KEY, keyFile);
  const names = { certificate: certificateFile, key: keyFile };
  const { authority, chain } = attempt(CERTIFICATE, () => readAuthority(certificatePem, keyPem, 'the issuer:', names));
  const verdict = verifyChain([authority.certificate, ...chain], anchors, nowMs);
  if (!verdict.isTrusted) throw new UsageError(`--${CERTIFICATE} ${certificateFile}: ${verdict.reason}`);
  return { trustAnchorsPem, issuer: { certificatePem, keyPem } };
}

function readText(flag: string, file: string): string {
  return attempt(flag, () => {
    if (statSync(file).size > FILE_BYTES_MAX) throw new Error(`${file} is larger than ${FILE_BYTES_MAX} bytes`);
    return readFileSync(file, 'utf8');
  });
}

function attempt<T>(flag: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new UsageError(`--${flag}: ${reasonOf(error)}`);
  }
}
