import { readFile } from 'node:fs';
import type { SecureContext } from 'node:tls';
import { promisify } from 'node:util';
import { IdentityService } from '#api/gen/identity.ts';
import { createCsr } from '#pki/csr.ts';
import { PrivateKey } from '#pki/key.ts';
import type { Clock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import type { GrpcClient } from '../grpc/client.ts';
import type { Exposition } from '../metrics/exposition.ts';
import {
  anonymousContext,
  createCredentials,
  isValidAt,
  learnAnchors,
  type Credentials,
  type TrustAnchors,
} from './credentials.ts';

/** Not of `node:fs/promises`, which brings a line editor along: 3 ms of each start. */
const readFileAsync = promisify(readFile);
const CALL_MS = 10_000;
/** Share of the remaining lifetime after which a certificate is renewed. */
const REFRESH_RATIO = 0.7;
/** How often the wall clock is looked at, which may jump: a laptop that wakes up must not wait for a timer of hours. */
const LOOK_MS = 1000;
const LOOK_MS_MIN = 10;
const RETRY_MIN_MS = 500;

export type IdentityOptions = {
  readonly log: Logger;
  readonly clock: Clock;
  readonly identity: string;
  readonly anchors: TrustAnchors;
  readonly tokenFile: string;
  readonly refreshMsMin: number;
  readonly refreshMsMax: number;
  readonly exposition: Exposition;
};

/**
 * The identity of this workload: a key that never leaves memory, and the current certificate for it, renewed in time and
 * swapped as one object. A renewal that fails leaves the old certificate in use until it expires; without a valid one
 * there is no mutual TLS, and never something weaker.
 */
export class WorkloadIdentity implements Disposable {
  readonly #options: IdentityOptions;
  readonly #client: GrpcClient;
  readonly #key = PrivateKey.generate();
  readonly #csr: Buffer;
  #anchors: TrustAnchors;
  #anonymous: SecureContext;
  readonly #metrics: IdentityMetrics;
  #credentials: Credentials | undefined;
  #refreshAtMs = 0; // wall time
  #failures = 0;
  #lastFailure = 'the control plane has not answered yet';
  #isRunning = false;
  #timer: Disposable | undefined;
  #isDisposed = false;
  readonly #certified: Promise<void>;
  #onCertified: () => void = () => {};

  constructor(client: GrpcClient, options: IdentityOptions) {
    this.#options = options;
    this.#client = client;
    this.#csr = createCsr(this.#key, options.identity);
    this.#anchors = options.anchors;
    this.#anonymous = anonymousContext(options.anchors);
    this.#metrics = new IdentityMetrics(options.exposition);
    this.#certified = new Promise((resolve) => {
      this.#onCertified = resolve;
    });
  }

  /** The certificate to use for a new handshake; absent when there is none that holds now. */
  get current(): Credentials | undefined {
    const credentials = this.#credentials;
    return credentials !== undefined && isValidAt(credentials, this.#options.clock.now()) ? credentials : undefined;
  }

  /** Why there is no certificate that holds now, in words; absent when there is one. */
  get problem(): string | undefined {
    return this.current === undefined ? `no valid certificate: ${this.#lastFailure}` : undefined;
  }

  /** For connections to the control plane, which take clients without certificate. */
  get controlContext(): SecureContext {
    return this.current?.context ?? this.#anonymous;
  }

  /** Resolves when the first certificate is there. */
  get certified(): Promise<void> {
    return this.#certified;
  }

  start(): void {
    this.#look();
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#timer?.[Symbol.dispose]();
  }

  #look(): void {
    if (this.#isDisposed) return;
    const nowMs = this.#options.clock.now();
    if (!this.#isRunning && (nowMs >= this.#refreshAtMs || this.#isOutOfTime(nowMs))) void this.#refresh();
    const untilDueMs = this.#isRunning ? LOOK_MS : this.#refreshAtMs - nowMs;
    this.#timer = this.#options.clock.after(Math.max(LOOK_MS_MIN, Math.min(LOOK_MS, untilDueMs)), () => this.#look());
  }

  /** The clock has jumped over the end of the certificate, or back before its beginning. */
  #isOutOfTime(nowMs: number): boolean {
    return this.#failures === 0 && this.#credentials !== undefined && !isValidAt(this.#credentials, nowMs);
  }

  async #refresh(): Promise<void> {
    this.#isRunning = true;
    const { clock, log, identity } = this.#options;
    try {
      const credentials = await this.#certify();
      const nowMs = clock.now();
      this.#credentials = credentials;
      this.#failures = 0;
      this.#refreshAtMs = nowMs + this.#refreshDelayMs(credentials.notAfterMs - nowMs);
      this.#metrics.renewed(credentials, nowMs);
      log.info({ identity, notAfter: new Date(credentials.notAfterMs).toISOString() }, 'certified');
      this.#onCertified();
    } catch (error) {
      this.#failures += 1;
      this.#lastFailure = error instanceof Error ? error.message : String(error);
      const delayMs = Math.min(this.#options.refreshMsMin, RETRY_MIN_MS * 2 ** Math.min(this.#failures - 1, 16));
      this.#refreshAtMs = clock.now() + delayMs;
      this.#metrics.failed();
      const held = this.current === undefined ? 'there is no valid certificate' : 'the old certificate stays in use';
      log.warn({ identity, err: error, retryInMs: delayMs }, `certificate not renewed, ${held}`);
    } finally {
      this.#isRunning = false;
    }
  }

  async #certify(): Promise<Credentials> {
    const { identity, anchors, tokenFile, clock } = this.#options;
    const token = await readFileAsync(tokenFile); // the kubelet replaces it while we run
    const request = { identity, token, certificateSigningRequest: this.#csr };
    const response = await this.#client.unary(IdentityService.certify, request, CALL_MS);
    const answer = [response.leafCertificate, ...response.intermediateCertificates];
    const learned = learnAnchors(anchors, answer);
    const credentials = createCredentials(identity, this.#key, learned.chain, learned.anchors, clock.now());
    this.#trust(learned.anchors);
    return credentials;
  }

  /** New anchors count from the next handshake on. */
  #trust(anchors: TrustAnchors): void {
    if (anchors.pem === this.#anchors.pem) return;
    this.#anchors = anchors;
    this.#anonymous = anonymousContext(anchors);
    const names = anchors.certificates.map(({ commonName, serialHex }) => commonName ?? serialHex);
    this.#options.log.info({ anchors: names }, 'trust anchors changed');
  }

  #refreshDelayMs(lifetimeMs: number): number {
    const { refreshMsMin, refreshMsMax } = this.#options;
    return Math.min(refreshMsMax, Math.max(refreshMsMin, lifetimeMs * REFRESH_RATIO));
  }
}

/** Names are linkerd2-proxy's. */
class IdentityMetrics {
  #expirationSeconds = 0;
  #refreshedSeconds = 0;
  #refreshes = 0;
  #failures = 0;

  constructor(exposition: Exposition) {
    const name = 'control_identity_cert';
    exposition.addReading(
      { name: `${name}_expiration_timestamp_seconds`, help: 'When the certificate expires.', type: 'gauge' },
      () => this.#expirationSeconds,
    );
    exposition.addReading(
      { name: `${name}_refresh_timestamp_seconds`, help: 'When the certificate was last renewed.', type: 'gauge' },
      () => this.#refreshedSeconds,
    );
    exposition.addReading(
      { name: `${name}_refreshes_total`, help: 'Renewals of the certificate.', type: 'counter' },
      () => [
        [{ result: 'ok' }, this.#refreshes],
        [{ result: 'error' }, this.#failures],
      ],
    );
  }

  renewed(credentials: Credentials, nowMs: number): void {
    this.#expirationSeconds = credentials.notAfterMs / 1000;
    this.#refreshedSeconds = nowMs / 1000;
    this.#refreshes += 1;
  }

  failed(): void {
    this.#failures += 1;
  }
}
