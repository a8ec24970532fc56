import { INJECTOR } from '#config/names.ts';
import { KubeClient } from '#k8s/client.ts';
import { findConnection } from '#k8s/connection.ts';
import { systemClock } from '#runtime/clock.ts';
import { createLogger } from '#runtime/log.ts';
import { AuthorityKeeper } from '../../control-plane/identity/authority.ts';
import { StoredObjects } from '../../control-plane/identity/stored-objects.ts';
import { ServingCertificates } from '../../injector/serving-certificate.ts';

const NAMESPACE = 'tulle';
const DAY_MS = 86_400_000;

/** Makes certificates as the control plane itself makes them, at another time, and stores them where it does. */
export class PastCertificates implements Disposable {
  readonly #client: KubeClient;
  readonly #nowMs: number;

  private constructor(client: KubeClient, nowMs: number) {
    this.#client = client;
    this.#nowMs = nowMs;
  }

  /** @param nowMs  wall time at which everything is made */
  static async at(kubeconfig: string, nowMs: number): Promise<PastCertificates> {
    return new PastCertificates(new KubeClient(await findConnection({ kubeconfig })), nowMs);
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }

  /** What is missing of trust anchor, issuer and published anchors. Lifetimes are the usual ones unless one is given. */
  async makeAuthorities(anchorLifetimeMs = 3650 * DAY_MS): Promise<void> {
    using keeper = new AuthorityKeeper({
      objects: new StoredObjects(this.#client, NAMESPACE),
      policy: {
        domain: `${NAMESPACE}.cluster.local`,
        leafLifetimeMs: DAY_MS,
        anchorLifetimeMs,
        issuerLifetimeMs: 7 * DAY_MS,
      },
      isIssuerExternal: false,
      clock: { now: () => this.#nowMs, after: (delayMs, run) => systemClock.after(delayMs, run) },
      log: createLogger('past', 'silent'),
    });
    await keeper.reconcile();
  }

  /** The certificate of the webhooks, where there is none, and what the API server trusts for it. */
  async makeServingCertificate(): Promise<void> {
    const dnsName = `${INJECTOR}.${NAMESPACE}.svc`;
    const certificates = new ServingCertificates(this.#client, NAMESPACE, dnsName, () => this.#nowMs);
    await certificates.publish(await certificates.ensure());
  }
}
