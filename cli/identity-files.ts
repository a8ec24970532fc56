import { readFileSync, statSync } from 'node:fs';
import type { Values } from '#config/values.ts';
import { readAuthority } from '#pki/issuer.ts';
import type { Certificate } from '#pki/certificate.ts';
import { readTrustAnchors, rootProblem, validityProblem, verifyChain, writeTrustAnchors } from '#pki/trust-anchors.ts';
import type { GivenIdentity } from '../control-plane/install/manifests/given-identity.ts';
import type { Manifest } from '../control-plane/install/manifest.ts';
import { optionalText, UsageError, type Flags, type FlagValues, type Terminal } from './command.ts';
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

/** The values where the flags say that the issuer is somebody else's: then none is made in the cluster. */
export function withIssuer(values: Values, flags: FlagValues): Values {
  const isExternal = flags[EXTERNAL] === true || optionalText(flags, CERTIFICATE) !== undefined;
  return isExternal ? { ...values, identity: { ...values.identity, issuer: 'external' } } : values;
}

/** Whether any flag names a file. */
export function hasIdentityFiles(flags: FlagValues): boolean {
  return [ANCHORS, CERTIFICATE, KEY].some((name) => flags[name] !== undefined);
}

/** Tells who pipes the manifest into a file what is in it. */
export function warnOfKeys(manifest: readonly Manifest[], terminal: Terminal): void {
  if (manifest.some(({ kind }) => kind === 'Secret'))
    terminal.err('warning: the manifest holds the private key of your issuer: keep it as you keep that key\n');
}

/**
 * Reads the files that are named, and checks them as the identity process will.
 *
 * @param published  the anchors of an installation; they stay, and an issuer under one of them needs no file of anchors
 * @throws UsageError  naming the flag, what is wrong and what would be right
 */
export function readIdentityFiles(
  flags: FlagValues,
  nowMs: number,
  published: readonly Certificate[] = [],
): GivenIdentity {
  const [anchorsFile, certificateFile, keyFile] = [ANCHORS, CERTIFICATE, KEY].map((name) => optionalText(flags, name));
  const isExternal = flags[EXTERNAL] === true;
  if ((certificateFile === undefined) !== (keyFile === undefined))
    throw new UsageError(`--${CERTIFICATE} and --${KEY} belong together`);
  if (isExternal && certificateFile !== undefined)
    throw new UsageError(
      `--${EXTERNAL} and --${CERTIFICATE} exclude each other: the issuer is in the cluster, or in a file`,
    );
  const isInstalled = published.length > 0;
  if (anchorsFile !== undefined && certificateFile === undefined && !isExternal && !isInstalled)
    throw new UsageError(`--${ANCHORS} needs --${CERTIFICATE} and --${KEY}, or --${EXTERNAL}`);
  if (anchorsFile === undefined && certificateFile !== undefined && !isInstalled)
    throw new UsageError(`--${CERTIFICATE} needs --${ANCHORS}: proxies have to know the anchor above it`);
  const given = anchorsFile === undefined ? undefined : readAnchors(anchorsFile, nowMs);
  const anchors = [...published, ...(given?.anchors ?? [])];
  // A file is taken as it is; where anchors are published already, none of them is forgotten.
  const trustAnchorsPem = given === undefined ? undefined : isInstalled ? writeTrustAnchors(anchors) : given.pem;
  const trusted = trustAnchorsPem === undefined ? {} : { trustAnchorsPem };
  if (certificateFile === undefined || keyFile === undefined) return trusted;
  const certificatePem = readText(CERTIFICATE, certificateFile);
  const keyPem = readText(KEY, keyFile);
  const names = { certificate: certificateFile, key: keyFile };
  const { authority, chain } = attempt(CERTIFICATE, () => readAuthority(certificatePem, keyPem, 'the issuer:', names));
  const verdict = verifyChain([authority.certificate, ...chain], anchors, nowMs);
  if (!verdict.isTrusted) {
    const advice = given === undefined ? `: name the anchor above it with --${ANCHORS}` : '';
    throw new UsageError(`--${CERTIFICATE} ${certificateFile}: ${verdict.reason}${advice}`);
  }
  return { ...trusted, issuer: { certificatePem, keyPem } };
}

function readAnchors(file: string, nowMs: number): { readonly pem: string; readonly anchors: readonly Certificate[] } {
  const pem = readText(ANCHORS, file);
  const anchors = attempt(ANCHORS, () => readTrustAnchors(pem, file));
  for (const anchor of anchors) {
    const problem = rootProblem(anchor) ?? validityProblem(anchor, nowMs);
    if (problem !== undefined) throw new UsageError(`--${ANCHORS} ${file}: ${problem}`);
  }
  return { pem, anchors };
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
