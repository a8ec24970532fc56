import { KubeError } from '#k8s/kube-error.ts';
import type { Notice } from '#k8s/deployment-event.ts';
import { noticeDays } from '#pki/expiry.ts';
import type { ServingCertificate } from './serving-certificate.ts';

/**
 * Tells people what is wrong with the webhook's certificate, each thing once: that it cannot be made, renewed or published, and 30, 7
 * and 1 days before it ends.
 */
export class CertificateNotices {
  readonly #tell: (notice: Notice) => void;
  #lastFailure: string | undefined;
  #toldDays = Infinity;

  constructor(tell: (notice: Notice) => void) {
    this.#tell = tell;
  }

  /** It was looked after; a certificate that should have been renewed says why it was not. */
  looked({ notAfterMs, renewalFailure }: ServingCertificate, nowMs: number): void {
    if (renewalFailure === undefined) {
      this.#lastFailure = undefined;
      this.#toldDays = Infinity;
      return;
    }
    const end = new Date(notAfterMs).toISOString();
    this.#fail(renewalFailure, `the webhook certificate, which ends at ${end}, cannot be renewed`);
    const days = noticeDays(notAfterMs, nowMs);
    if (days === undefined || days >= this.#toldDays) return;
    this.#toldDays = days;
    const message = `webhook certificate expires at ${end}: it should have been renewed by itself: ${renewalFailure.message}`;
    this.#tell({ type: 'Warning', reason: 'CertificateExpiresSoon', message });
  }

  /** There is none that can be used, or it is not where the API server looks. */
  failed(error: unknown): void {
    this.#fail(error, 'the webhook certificate cannot be made or published');
  }

  #fail(error: unknown, what: string): void {
    const reason = error instanceof Error ? error.message : String(error);
    if (reason === this.#lastFailure) return;
    this.#lastFailure = reason;
    // Without an API server there is nobody to tell.
    if (error instanceof KubeError && error.status === undefined) return;
    this.#tell({ type: 'Warning', reason: 'WebhookCertificateFailed', message: `${what}: ${reason}` });
  }
}
