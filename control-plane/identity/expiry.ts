import { createHash } from 'node:crypto';
import { IDENTITY_ISSUER_SECRET, TRUST_ROOTS_CONFIG_MAP } from '#config/names.ts';
import type { Notice } from '#k8s/deployment-event.ts';
import { KubeError } from '#k8s/kube-error.ts';
import type { Certificate } from '#pki/certificate.ts';
import { noticeDays } from '#pki/expiry.ts';
import type { Clock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import type { SigningState } from './authority.ts';
import type { StoredObjects } from './stored-objects.ts';

/** A certificate that ends unless somebody does something about it. */
export type Ending = { readonly certificate: Certificate; readonly what: string; readonly remedy: string };

const CHECK_MS = 60_000;

/** Beside the published anchors: which certificates people were told of, and how many days before their end. */
const ANNOTATION = 'tulle.dev/expiry-announced';

/**
 * What ends and is not renewed by itself: what the user looks after, and ours when renewing it fails.
 *
 * @param failure  why our own certificates cannot be renewed
 */
export function endings(state: SigningState, failure: string | undefined): readonly Ending[] {
  const { issuer, owner, bundle, ownAnchors } = state;
  const { certificate } = issuer.authority;
  const isOwn = (anchor: Certificate): boolean => ownAnchors.some((own) => own.der.equals(anchor.der));
  const anchors = bundle
    .filter((anchor) => !isOwn(anchor) && !anchor.der.equals(certificate.der))
    .map((anchor) => ({
      certificate: anchor,
      what: `trust anchor ${nameOf(anchor)}`,
      remedy: `add the next one to ConfigMap ${TRUST_ROOTS_CONFIG_MAP}, and use an issuer under it a day later`,
    }));
  const issuers = [certificate, ...issuer.chain].map((one) => ({
    certificate: one,
    what: `issuer ${nameOf(one)}`,
    remedy: `put the next one into Secret ${IDENTITY_ISSUER_SECRET}`,
  }));
  if (owner === 'user') return [...issuers, ...anchors];
  if (failure === undefined) return anchors;
  const remedy = `it should have been renewed by itself: ${failure}`;
  const ours = ownAnchors.slice(0, 1).map((anchor) => ({
    certificate: anchor,
    what: `trust anchor ${nameOf(anchor)}`,
    remedy,
  }));
  return [...issuers.slice(0, 1).map((ending) => ({ ...ending, remedy })), ...ours, ...anchors];
}

function nameOf({ commonName, serialHex }: Certificate): string {
  return `"${commonName ?? serialHex}"`;
}

export type ExpiryNoticesOptions = {
  readonly objects: StoredObjects;
  readonly clock: Clock;
  readonly log: Logger;
  readonly endings: () => readonly Ending[];
  readonly tell: (notice: Notice) => void;
};

/**
 * Tells people 30, 7 and 1 days before a certificate ends, each time once: the replica that writes down that they were told is
 * the one that tells them.
 */
export class ExpiryNotices implements Disposable {
  readonly #options: ExpiryNoticesOptions;
  #timer: Disposable | undefined;
  #isClosed = false;

  constructor(options: ExpiryNoticesOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, log } = this.#options;
    this.#timer = clock.after(CHECK_MS, () => {
      this.check()
        .catch((error: unknown) => log.warn({ err: error }, 'cannot announce which certificates end'))
        .finally(() => {
          if (!this.#isClosed) this.start();
        });
    });
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#timer?.[Symbol.dispose]();
  }

  /** Tells what is to be told now. */
  async check(): Promise<void> {
    const { objects, clock, tell } = this.#options;
    const due = this.#options.endings().flatMap((ending) => {
      const days = noticeDays(ending.certificate.notAfterMs, clock.now());
      return days === undefined ? [] : [{ ...ending, days, key: keyOf(ending.certificate) }];
    });
    if (due.length === 0) return;
    const stored = await objects.readBundle();
    if (stored.resourceVersion === undefined) return; // the keeper is about to make it
    const told = readTold(stored.annotations[ANNOTATION]);
    const fresh = due.filter(({ key, days }) => (told[key] ?? Infinity) > days);
    if (fresh.length === 0) return;
    const now = Object.fromEntries(due.map(({ key, days }) => [key, days])); // forgets what is no longer near its end
    try {
      await objects.annotateBundle({ [ANNOTATION]: JSON.stringify(now) }, stored);
    } catch (error) {
      if (error instanceof KubeError && error.isConflict) return; // another replica tells, or the next round does
      throw error;
    }
    for (const { certificate, what, remedy } of fresh) {
      const end = new Date(certificate.notAfterMs).toISOString();
      tell({ type: 'Warning', reason: 'CertificateExpiresSoon', message: `${what} expires at ${end}: ${remedy}` });
    }
  }
}

function keyOf({ der }: Certificate): string {
  return createHash('sha256').update(der).digest('hex').slice(0, 16);
}

/** Text that somebody spoilt means that nobody was told. */
function readTold(text = '{}'): Readonly<Record<string, number>> {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? (parsed as Record<string, number>) : {};
  } catch {
    return {};
  }
}
