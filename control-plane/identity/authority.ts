import type { Clock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import { Watch } from '#runtime/watch.ts';
import { KubeError } from '#k8s/kube-error.ts';
import type { Certificate } from '#pki/certificate.ts';
import { verifyChain, writeTrustAnchors } from '#pki/trust-anchors.ts';
import {
  anchorProblem,
  issuerProblem,
  nextAnchor,
  nextIssuer,
  trustBundle,
  type AnchorState,
  type HierarchyPolicy,
  type IssuerState,
} from './hierarchy.ts';
import type { Stored, StoredObjects } from './stored-objects.ts';

/** What leaves are signed with, and what they are checked against. */
export type SigningState = { readonly issuer: IssuerState; readonly bundle: readonly Certificate[] };

export type AuthorityOptions = {
  readonly objects: StoredObjects;
  readonly policy: HierarchyPolicy;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told about the result of every reconciliation. */
  readonly observe?: (result: 'ok' | 'error') => void;
};

/** Objects are looked at so often though nothing calls for it: somebody may have changed or deleted them. */
const RECONCILE_MS = 30_000;
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
    if (this.#isClosed) return;
    this.#timer = this.#options.clock.after(delayMs, () => void this.#loop());
  }

  async #reconcile(): Promise<void> {
    const { log, observe } = this.#options;
    try {
      await this.#reconcileUntilAgreed();
      this.#failures = 0;
      this.#lastError = undefined;
      observe?.('ok');
    } catch (error) {
      this.#failures += 1;
      this.#lastError = error instanceof Error ? error.message : String(error);
      log.error({ err: error, failures: this.#failures }, 'cannot bring the trust anchor and the issuer in order');
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
    const { objects, clock } = this.#options;
    const nowMs = clock.now();
    const anchor = await this.#reconcileAnchor(await objects.readAnchor(), nowMs);
    const published = await objects.readBundle();
    const bundle = trustBundle(anchor, published.value ?? [], nowMs);
    // Before the issuer: nobody should see a leaf under an anchor that is not published yet.
    if (writeTrustAnchors(bundle) !== published.text) await objects.writeBundle(bundle, published);
    const issuer = await this.#reconcileIssuer(await objects.readIssuer(), anchor, bundle, nowMs);
    this.#load({ issuer, bundle });
  }

  async #reconcileAnchor(stored: Stored<AnchorState>, nowMs: number): Promise<AnchorState> {
    const { objects, policy, log } = this.#options;
    const reason = anchorProblem(stored.value, nowMs);
    if (reason === undefined && stored.value !== undefined) return stored.value;
    const next = nextAnchor(stored.value, policy, nowMs);
    await objects.writeAnchor(next, stored);
    log.info({ reason, anchor: next.current.certificate.commonName }, 'made a trust anchor');
    return next;
  }

  async #reconcileIssuer(
    stored: Stored<IssuerState>,
    anchor: AnchorState,
    bundle: readonly Certificate[],
    nowMs: number,
  ): Promise<IssuerState> {
    const { objects, policy, log } = this.#options;
    const reason = issuerProblem(stored.value, bundle, nowMs);
    if (reason === undefined && stored.value !== undefined) return stored.value;
    const next = nextIssuer(anchor, policy, nowMs);
    await objects.writeIssuer(next, bundle, stored);
    log.info({ reason, issuer: next.authority.certificate.commonName }, 'made an issuer');
    return next;
  }

  #load(next: SigningState): void {
    const now = this.state.value;
    const isSame =
      now !== undefined &&
      now.issuer.authority.certificate.der.equals(next.issuer.authority.certificate.der) &&
      writeTrustAnchors(now.bundle) === writeTrustAnchors(next.bundle);
    if (!isSame) this.state.set(next);
  }

  #usable(): SigningState | undefined {
    const loaded = this.state.value;
    if (loaded === undefined) return undefined;
    const chain = [loaded.issuer.authority.certificate, ...loaded.issuer.chain];
    return verifyChain(chain, loaded.bundle, this.#options.clock.now()).isTrusted ? loaded : undefined;
  }
}
