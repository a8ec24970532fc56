import type { Certificate } from '#pki/certificate.ts';
import { createIssuer, createTrustAnchor, crossSign, type Authority } from '#pki/issuer.ts';
import { validityProblem, verifyChain } from '#pki/trust-anchors.ts';

/** The trust anchor of an installation, with what remains of those before it. */
export type AnchorState = {
  readonly current: Authority;
  readonly previous: readonly Certificate[]; // newest first
  /** The current anchor as vouched for by earlier ones, for proxies that know only those. */
  readonly crossSigned: readonly Certificate[];
};

/** The issuer, and the certificates between it and the trust anchors that proxies may know. */
export type IssuerState = { readonly authority: Authority; readonly chain: readonly Certificate[] };

/** Who looks after the issuer. What is the user's is never replaced by us. */
export type Owner = 'us' | 'user';

/** How long things hold. */
export type HierarchyPolicy = {
  readonly domain: string;
  readonly leafLifetimeMs: number;
  readonly anchorLifetimeMs: number;
  readonly issuerLifetimeMs: number;
};

/** A new anchor takes over when this share of the old one's lifetime is left, so both are trusted for that long. */
const ANCHOR_OVERLAP_RATIO = 0.2;

/** A new issuer takes over after this share of its lifetime: leaves it signed before still have the rest. */
const ISSUER_ROTATION_RATIO = 0.4;

/** Issuers hold from this share of their lifetime ago, at most a day: clocks may be set back a little. */
const BACKDATE_RATIO = 0.1;
const BACKDATE_MS_MAX = 86_400_000;

/** Anchors before the current one that are kept. More can only pile up when the clock keeps jumping. */
const PREVIOUS_ANCHORS_MAX = 8;

/** Why an anchor is replaced, or nothing. */
export function anchorProblem(
  stored: AnchorState | undefined,
  policy: HierarchyPolicy,
  nowMs: number,
): string | undefined {
  if (stored === undefined) return 'there is none';
  const { certificate } = stored.current;
  const problem = validityProblem(certificate, nowMs);
  if (problem !== undefined) return problem;
  // One that somebody brought along may have a shorter life than ours.
  const lifetimeMs = Math.min(policy.anchorLifetimeMs, certificate.notAfterMs - certificate.notBeforeMs);
  const isDue = certificate.notAfterMs - nowMs < lifetimeMs * ANCHOR_OVERLAP_RATIO;
  return isDue ? 'it is in the last part of its lifetime' : undefined;
}

/** The anchor that follows. The old one stays trusted as long as it holds, and vouches for the new one. */
export function nextAnchor(stored: AnchorState | undefined, policy: HierarchyPolicy, nowMs: number): AnchorState {
  // It holds from a whole lifetime ago: a clock that is behind must not make an anchor invalid that proxies know.
  const validity = { notBeforeMs: nowMs - policy.anchorLifetimeMs, notAfterMs: nowMs + policy.anchorLifetimeMs };
  const current = createTrustAnchor(policy.domain, validity);
  if (stored === undefined) return { current, previous: [], crossSigned: [] };
  const old = stored.current;
  const previous = [old.certificate, ...stored.previous].filter((anchor) => anchor.notAfterMs >= nowMs);
  // What vouched for the old anchor still does: chains lead from the new one over the old one to those before.
  const vouchers = [...(old.certificate.notAfterMs >= nowMs ? [crossSign(current, old)] : []), ...stored.crossSigned];
  return {
    current,
    previous: previous.slice(0, PREVIOUS_ANCHORS_MAX),
    crossSigned: vouchers.filter((voucher) => voucher.notAfterMs >= nowMs).slice(0, PREVIOUS_ANCHORS_MAX),
  };
}

/** Our anchors, the current one first. */
export function anchorsOf(anchor: AnchorState | undefined): readonly Certificate[] {
  return anchor === undefined ? [] : [anchor.current.certificate, ...anchor.previous];
}

/** Everything that proxies should trust: our anchors and those somebody else added, each once, as long as they hold. */
export function trustBundle(anchors: readonly Certificate[], nowMs: number): readonly Certificate[] {
  const byDer = new Map(anchors.map((anchor) => [anchor.der.toString('hex'), anchor]));
  return [...byDer.values()].filter((candidate) => candidate.notAfterMs >= nowMs);
}

/** Why an issuer is replaced, or nothing. */
export function issuerProblem(
  stored: IssuerState | undefined,
  bundle: readonly Certificate[],
  nowMs: number,
): string | undefined {
  if (stored === undefined) return 'there is none';
  const { certificate } = stored.authority;
  const verdict = verifyChain([certificate, ...stored.chain], bundle, nowMs);
  if (!verdict.isTrusted) return verdict.reason;
  const lifetimeMs = certificate.notAfterMs - certificate.notBeforeMs;
  const isDue = nowMs - certificate.notBeforeMs > lifetimeMs * (ISSUER_ROTATION_RATIO + BACKDATE_RATIO);
  return isDue ? 'it is due for rotation' : undefined;
}

export function nextIssuer(anchor: AnchorState, policy: HierarchyPolicy, nowMs: number): IssuerState {
  return {
    authority: createIssuer(anchor.current, policy.domain, {
      notBeforeMs: nowMs - Math.min(policy.issuerLifetimeMs * BACKDATE_RATIO, BACKDATE_MS_MAX),
      notAfterMs: nowMs + policy.issuerLifetimeMs,
    }),
    chain: anchor.crossSigned.filter((voucher) => voucher.notAfterMs >= nowMs),
  };
}
