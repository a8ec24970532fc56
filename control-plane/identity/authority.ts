import type { Clock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import { Watch } from '#runtime/watch.ts';
import type { Notice } from '#k8s/deployment-event.ts';
import { KubeError } from '#k8s/kube-error.ts';
import type { Certificate } from '#pki/certificate.ts';
import { verifyChain, writeTrustAnchors } from '#pki/trust-anchors.ts';
import { readForeignIssuer, type ForeignIssuer } from './foreign-issuer.ts';
import {
  anchorProblem,
  anchorsOf,
  issuerProblem,
  nextAnchor,
  nextIssuer,
  trustBundle,
  type AnchorState,
  type HierarchyPolicy,
  type IssuerState,
  type Owner,
} from './hierarchy.ts';
import type { IssuerSecret, StoredAuthority, StoredBundle, StoredObjects } from './stored-objects.ts';

/** What leaves are signed with, and what they are checked against. */
export type SigningState = {
  readonly issuer: IssuerState;
  readonly owner: Owner; // of the issuer
  readonly bundle: readonly Certificate[];
  readonly ownAnchors: readonly Certificate[]; // those of the bundle that we renew
};

export type AuthorityOptions = {
  readonly objects: StoredObjects;
  readonly policy: HierarchyPolicy;
  /** Somebody else makes the issuer: none is made here when there is none. */
  readonly isIssuerExternal: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told about the result of every reconciliation. */
  readonly observe?: (result: 'ok' | 'error') => void;
  readonly tell?: (notice: Notice) => void;
};

/** Objects are looked at so often though nothing calls for it: somebody may have changed or deleted them. */
const RECONCILE_MS = 30_000;
/** Short enough to notice a clock that jumped over the issuer's end before proxies do. */
const LOOK_MS = 2_000;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 15_000;

/** Two replicas that write at the same time agree after one more look; more conflicts than this are an error. */
const CONFLICTS_MAX = 5;

/**
 * Keeps the certificates of an installation in order: makes them when there are none, replaces them in time, repairs them
 * after the clock jumped. Any number of replicas may run: what is stored decides, and nothing is overwritten unseen.
 */
export class AuthorityKeeper implements Disposable {
  /** Absent until the first success. What is here may have expired: ask `ensure`. */
  readonly state = new Watch<SigningState | undefined>(undefined);
  readonly #options: AuthorityOptions;
  #running: Promise<void> | undefined;
  #timer: Disposable | undefined;
  #failures = 0;
  #lastError: string | undefined;
  #isClosed = false;
  /** What was last stored, to put it back: without its key the next anchor could not be vouched for. */
  #anchor: AnchorState | undefined;
  /** The issuer that is not used yet, and from when on it is. */
  #held: { readonly issuer: Certificate; readonly untilMs: number } | undefined;

  constructor(options: AuthorityOptions) {
    this.#options = options;
  }

  /** Begins to look after the objects. Never fails: errors are logged and retried. */
  start(): void {
    void this.#loop(); // never rejects
  }

  /** Why there is nothing to sign with, in words for a person; nothing when there is. */
  get problem(): string | undefined {
    const usable = this.#usable();
    return usable === undefined ? (this.#lastError ?? 'the issuer is not loaded yet') : undefined;
  }

  /** Why the objects are not in order, though what is loaded may still hold; nothing when they are. */
  get lastError(): string | undefined {
    return this.#lastError;
  }

  /**
   * Something that can sign now; when what is loaded no longer holds, it is repaired first.
   *
   * @throws whatever keeps it from being repaired
   */
  async ensure(): Promise<SigningState> {
    const usable = this.#usable();
    if (usable !== undefined) return usable;
    await this.reconcile();
    const repaired = this.#usable();
    if (repaired === undefined) throw new Error(this.#lastError ?? 'the issuer does not hold');
    return repaired;
  }

  /** Brings the stored objects in order and loads them. Calls at the same time share one run. */
  reconcile(): Promise<void> {
    this.#running ??= this.#reconcile().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#timer?.[Symbol.dispose]();
  }

  async #loop(): Promise<void> {
    let delayMs = RECONCILE_MS;
    try {
      await this.reconcile();
    } catch {
      delayMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures - 1, 10)); // logged where it happened
    }
    this.#wait(delayMs);
  }

  #wait(leftMs: number): void {
    if (this.#isClosed) return;
    const hasEnded = this.#failures === 0 && this.#usable() === undefined;
    if (hasEnded || leftMs <= 0) {
      void this.#loop(); // never rejects
      return;
    }
    const stepMs = Math.min(leftMs, LOOK_MS);
    this.#timer = this.#options.clock.after(stepMs, () => this.#wait(leftMs - stepMs));
  }

  async #reconcile(): Promise<void> {
    const { log, observe, tell } = this.#options;
    try {
      await this.#reconcileUntilAgreed();
      this.#failures = 0;
      this.#lastError = undefined;
      observe?.('ok');
    } catch (error) {
      this.#failures += 1;
      const message = error instanceof Error ? error.message : String(error);
      const isNew = message !== this.#lastError;
      this.#lastError = message;
      // What the API server refuses is no fault of the certificates.
      if (isNew && !(error instanceof KubeError))
        tell?.({ type: 'Warning', reason: 'IssuerValidationFailed', message });
      log[isNew ? 'error' : 'debug'](
        { err: error, failures: this.#failures },
        'cannot bring the trust anchor and the issuer in order',
      );
      observe?.('error');
      throw error;
    }
  }

  async #reconcileUntilAgreed(): Promise<void> {
    for (let conflicts = 0; ; conflicts += 1) {
      try {
        await this.#reconcileOnce();
        return;
      } catch (error) {
        // Another replica wrote between our read and our write: what it stored counts.
        if (!(error instanceof KubeError && error.isConflict) || conflicts >= CONFLICTS_MAX) throw error;
      }
    }
  }

  async #reconcileOnce(): Promise<void> {
    const { objects, clock, isIssuerExternal } = this.#options;
    const nowMs = clock.now();
    const secret = await objects.readIssuer();
    const isOurs = secret.owner === 'us' && !(secret.resourceVersion === undefined && isIssuerExternal);
    const storedAnchor = await objects.readAnchor();
    // Under an issuer of the user's, an anchor of ours would only be one more thing to trust.
    const anchor = isOurs ? await this.#reconcileAnchor(storedAnchor, nowMs) : storedAnchor.value;
    const ownAnchors = anchorsOf(anchor);
    const published = await objects.readBundle();
    const known = trustBundle([...ownAnchors, ...(published.value ?? [])], nowMs);
    if (anchor !== undefined && isOurs) {
      await this.#publish(known, published);
      const issuer = await this.#reconcileIssuer(secret, anchor, known, nowMs);
      this.#take({ issuer, owner: 'us', bundle: known, ownAnchors }, nowMs);
      return;
    }
    let foreign: ForeignIssuer;
    try {
      foreign = readForeignIssuer(secret, known, nowMs);
    } catch (error) {
      await this.#publish(known, published);
      const kept = this.#usable(); // the last good one stays, with the anchors of now
      if (kept !== undefined) this.#load({ ...kept, bundle: known, ownAnchors });
      throw error;
    }
    await this.#publish(foreign.bundle, published);
    this.#take({ ...foreign, owner: 'user', ownAnchors }, nowMs);
  }

  /** Always before an issuer is used: nobody should see a leaf under an anchor that is not published yet. */
  async #publish(bundle: readonly Certificate[], published: StoredBundle): Promise<void> {
    const isDue = bundle.length > 0 && writeTrustAnchors(bundle) !== published.text;
    if (isDue) await this.#options.objects.writeBundle(bundle, published);
  }

  async #reconcileAnchor(stored: StoredAuthority<AnchorState>, nowMs: number): Promise<AnchorState> {
    const { objects, policy, log } = this.#options;
    const known = stored.value ?? this.#anchor;
    const asked = stored.isRotationAsked ? 'a new one is asked for' : undefined;
    const reason = anchorProblem(known, policy, nowMs) ?? asked;
    const next = reason === undefined && known !== undefined ? known : nextAnchor(known, policy, nowMs);
    if (next !== stored.value) {
      await objects.writeAnchor(next, stored);
      const anchor = next.current.certificate.commonName;
      if (next === known) log.warn({ anchor }, 'the Secret of the trust anchor was deleted: it is back');
      else log.info({ reason, anchor }, 'made a trust anchor');
    }
    this.#anchor = next;
    return next;
  }

  async #reconcileIssuer(
    secret: IssuerSecret,
    anchor: AnchorState,
    bundle: readonly Certificate[],
    nowMs: number,
  ): Promise<IssuerState> {
    const { objects, policy, log } = this.#options;
    const stored = secret.resourceVersion === undefined ? undefined : secret.read();
    const asked = secret.isRotationAsked ? 'a new one is asked for' : undefined;
    const reason = issuerProblem(stored, bundle, nowMs) ?? asked;
    if (reason === undefined && stored !== undefined) return stored;
    const next = nextIssuer(anchor, policy, nowMs);
    await objects.writeIssuer(next, bundle, secret);
    log.info({ reason, issuer: next.authority.certificate.commonName }, 'made an issuer');
    return next;
  }

  /** Loads what is to be used, unless proxies need time to learn the anchor above a new issuer. */
  #take(next: SigningState, nowMs: number): void {
    const kept = this.#usable();
    const isHeld = kept !== undefined && this.#mustHold(next.issuer, kept, nowMs);
    this.#load(isHeld ? { ...next, issuer: kept.issuer } : next);
  }

  /**
   * Whether an issuer has to wait: its anchor is new and no older one vouches for it. Proxies are told the anchors whenever they
   * renew, so after the lifetime of a leaf all of them know it.
   */
  #mustHold({ authority: { certificate }, chain }: IssuerState, kept: SigningState, nowMs: number): boolean {
    if (isSame(certificate, kept.issuer.authority.certificate)) return false;
    if (this.#held !== undefined && isSame(this.#held.issuer, certificate)) return nowMs < this.#held.untilMs;
    if (verifyChain([certificate, ...chain], kept.bundle, nowMs).isTrusted) return false;
    const untilMs = nowMs + this.#options.policy.leafLifetimeMs;
    this.#held = { issuer: certificate, untilMs };
    this.#options.tell?.({
      type: 'Normal',
      reason: 'IssuerUpdateSkipped',
      message: `${nameOf(certificate)} is under a trust anchor that proxies do not know yet: it is used from ${new Date(untilMs).toISOString()}`,
    });
    return true;
  }

  #load(next: SigningState): void {
    const now = this.state.value;
    const issuer = next.issuer.authority.certificate;
    const hasIssuer = now !== undefined && isSame(now.issuer.authority.certificate, issuer);
    if (hasIssuer && writeTrustAnchors(now.bundle) === writeTrustAnchors(next.bundle)) return;
    this.state.set(next);
    if (hasIssuer || next.owner === 'us') return;
    const message = `${nameOf(issuer)} is in use, until ${new Date(issuer.notAfterMs).toISOString()}`;
    this.#options.tell?.({ type: 'Normal', reason: 'IssuerUpdated', message });
  }

  #usable(): SigningState | undefined {
    const loaded = this.state.value;
    if (loaded === undefined) return undefined;
    const chain = [loaded.issuer.authority.certificate, ...loaded.issuer.chain];
    return verifyChain(chain, loaded.bundle, this.#options.clock.now()).isTrusted ? loaded : undefined;
  }
}

function isSame(a: Certificate, b: Certificate): boolean {
  return a.der.equals(b.der);
}

function nameOf({ commonName, serialHex }: Certificate): string {
  return `the issuer "${commonName ?? serialHex}"`;
}
