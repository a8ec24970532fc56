import { IDENTITY_ISSUER_SECRET } from '#config/names.ts';
import type { Certificate } from '#pki/certificate.ts';
import { rootProblem, verifyChain } from '#pki/trust-anchors.ts';
import { trustBundle, type IssuerState } from './hierarchy.ts';
import type { IssuerSecret } from './stored-objects.ts';

/** An issuer that the user looks after, and everything to trust with it. */
export type ForeignIssuer = { readonly issuer: IssuerState; readonly bundle: readonly Certificate[] };

/**
 * Reads the issuer that the user looks after. Anchors count that come with it; those of a refused one do not.
 *
 * @param known  what is trusted already
 * @throws when it cannot be used, with the reason
 */
export function readForeignIssuer(secret: IssuerSecret, known: readonly Certificate[], nowMs: number): ForeignIssuer {
  const issuer = secret.read();
  const given = secret.roots();
  const bundle = trustBundle([...given.filter((root) => rootProblem(root) === undefined), ...known], nowMs);
  const verdict = verifyChain([issuer.authority.certificate, ...issuer.chain], bundle, nowMs);
  const problem = verdict.isTrusted ? rootProblem(verdict.anchor) : verdict.reason;
  if (problem === undefined) return { issuer, bundle };
  const unfit = given.flatMap((root) => rootProblem(root) ?? []).map((text) => `; ca.crt: ${text}`);
  throw new Error(`Secret ${IDENTITY_ISSUER_SECRET}: the issuer is refused: ${problem}${unfit.join('')}`);
}
