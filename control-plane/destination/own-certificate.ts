import { readFile } from 'node:fs/promises';
import type { CertifyRequest, CertifyResponse } from '#api/gen/identity.ts';
import type { ServerIdentity } from '#api/grpc-server.ts';
import { parseCertificate, type Certificate } from '#pki/certificate.ts';
import { createCsr } from '#pki/csr.ts';
import { PrivateKey } from '#pki/key.ts';
import { encodeCertificates } from '#pki/pem.ts';
import { readTrustAnchors, verifyChain } from '#pki/trust-anchors.ts';
import type { Clock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';

export type OwnCertificateOptions = {
  readonly identity: string; // DNS name of this process
  readonly tokenFile: string; // read anew for every request
  /** PEM trust anchors as published now; absent before they are known. */
  readonly anchors: () => string | undefined;
  readonly request: (anchorsPem: string, request: CertifyRequest) => Promise<CertifyResponse>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly apply: (identity: ServerIdentity) => void; // called with every new certificate
  readonly observe: (result: 'ok' | 'error') => void;
};

const RENEWAL_RATIO = 0.7;

/** Short enough to notice a clock that jumped, or anchors that changed, before clients do. */
const CHECK_MS = 1_000;
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 10_000;

/** The certificate that this process shows to proxies, got from the identity process like a proxy gets its own. */
export class OwnCertificate implements Disposable {
  readonly #options: OwnCertificateOptions;
  readonly #key = PrivateKey.generate();
  readonly #csr: Buffer;
  #chain: readonly Certificate[] = [];
  #anchorsPem: string | undefined; // those the certificate was applied with
  #failures = 0;
  #retryAtMs = 0;
  #renewAtMs = 0;
  #lastError: string | undefined;
  #isRenewing = false;
  #isClosed = false;
  #timer: Disposable | undefined;

  constructor(options: OwnCertificateOptions) {
    this.#options = options;
    this.#csr = createCsr(this.#key, options.identity);
  }

  start(): void {
    this.check();
  }

  /** When the certificate ends, wall time. */
  get notAfterMs(): number | undefined {
    return this.#chain[0]?.notAfterMs;
  }

  /** Why there is no certificate that holds, in words for a person. */
  get problem(): string | undefined {
    if (this.#isTrusted()) return undefined;
    const reason = this.#options.anchors() === undefined ? 'the trust anchors are not published yet' : this.#lastError;
    return `no certificate of its own: ${reason ?? 'waiting for the identity process'}`;
  }

  /** Looks whether something is to be done. Called every second, and may be called when something changed. */
  check(): void {
    if (this.#isClosed) return;
    this.#timer?.[Symbol.dispose]();
    this.#timer = this.#options.clock.after(CHECK_MS, () => this.check());
    const anchorsPem = this.#options.anchors();
    if (anchorsPem === undefined) return;
    if (this.#isDue()) void this.#renew(anchorsPem); // never rejects
    else if (this.#chain.length > 0 && anchorsPem !== this.#anchorsPem) this.#apply(anchorsPem);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#timer?.[Symbol.dispose]();
  }

  #isTrusted(): boolean {
    const anchorsPem = this.#options.anchors();
    if (anchorsPem === undefined || this.#chain.length === 0) return false;
    return verifyChain(this.#chain, anchorsOf(anchorsPem), this.#options.clock.now()).isTrusted;
  }

  #isDue(): boolean {
    if (this.#isRenewing) return false;
    const nowMs = this.#options.clock.now();
    // A clock that was set back must not make us wait.
    if (nowMs < this.#retryAtMs && this.#retryAtMs - nowMs <= RETRY_MS_MAX) return false;
    return !this.#isTrusted() || nowMs > this.#renewAtMs;
  }

  async #renew(anchorsPem: string): Promise<void> {
    const { identity, tokenFile, request, clock, log, observe } = this.#options;
    this.#isRenewing = true;
    try {
      const token = await readFile(tokenFile);
      const response = await request(anchorsPem, { identity, token, certificateSigningRequest: this.#csr });
      const chain = [response.leafCertificate, ...response.intermediateCertificates].map(parseCertificate);
      this.#verify(chain, anchorsPem);
      this.#chain = chain;
      const nowMs = clock.now();
      this.#renewAtMs = nowMs + ((this.notAfterMs ?? nowMs) - nowMs) * RENEWAL_RATIO;
      this.#failures = 0;
      this.#retryAtMs = 0;
      this.#lastError = undefined;
      log.info({ identity, validUntil: response.validUntil }, 'got a certificate');
      observe('ok');
      if (!this.#isClosed) this.#apply(anchorsPem);
    } catch (error) {
      this.#failures += 1;
      this.#lastError = error instanceof Error ? error.message : String(error);
      const delayMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures - 1, 10));
      this.#retryAtMs = clock.now() + delayMs;
      log.warn({ err: error, delayMs }, 'cannot get a certificate from the identity process');
      observe('error');
    } finally {
      this.#isRenewing = false;
    }
  }

  /** @throws when what the identity process sent cannot be used: the old certificate stays */
  #verify(chain: readonly Certificate[], anchorsPem: string): void {
    const { identity, clock } = this.#options;
    const [leaf] = chain;
    if (leaf === undefined || !this.#key.isKeyOf(leaf.publicDer)) throw new Error('the certificate is for another key');
    if (!leaf.names.dns.includes(identity)) throw new Error(`the certificate does not name ${identity}`);
    const verdict = verifyChain(chain, anchorsOf(anchorsPem), clock.now());
    if (!verdict.isTrusted) throw new Error(`the certificate is not trusted: ${verdict.reason}`);
  }

  #apply(anchorsPem: string): void {
    this.#anchorsPem = anchorsPem;
    const cert = encodeCertificates(this.#chain.map((certificate) => certificate.der));
    this.#options.apply({ key: this.#key.exportPem(), cert, ca: anchorsPem });
  }
}

/** Anchors that cannot be read are none: they are the same as not published yet. */
function anchorsOf(pem: string): readonly Certificate[] {
  try {
    return readTrustAnchors(pem, 'the published trust anchors');
  } catch {
    return [];
  }
}
