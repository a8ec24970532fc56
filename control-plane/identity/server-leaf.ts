import type { ServerIdentity } from '#api/grpc-server.ts';
import type { Clock } from '#runtime/clock.ts';
import { issueLeaf, leafValidity, type Credentials } from '#pki/issuer.ts';
import { PrivateKey } from '#pki/key.ts';
import { encodeCertificates } from '#pki/pem.ts';
import { verifyChain, writeTrustAnchors } from '#pki/trust-anchors.ts';
import type { AuthorityKeeper, SigningState } from './authority.ts';

export type ServerLeafOptions = {
  readonly keeper: AuthorityKeeper;
  readonly clock: Clock;
  readonly dnsName: string;
  readonly lifetimeMs: number;
  readonly clockSkewMs: number;
  /** Called with every new identity. */
  readonly apply: (identity: ServerIdentity) => void;
};

/** A share of its lifetime after which the leaf is replaced, as proxies do. */
const RENEWAL_RATIO = 0.7;

/** Short enough to notice a clock that jumped before clients do. */
const CHECK_MS = 2_000;

/** The certificate of the identity server itself: signed by itself, renewed in time and after every change above it. */
export class ServerLeaf implements Disposable {
  readonly #options: ServerLeafOptions;
  readonly #key = PrivateKey.generate();
  readonly #subscription: Disposable;
  #credentials: Credentials | undefined;
  #signedBy: SigningState | undefined;
  #renewAtMs = 0;
  #timer: Disposable | undefined;

  constructor(options: ServerLeafOptions) {
    this.#options = options;
    this.#subscription = options.keeper.state.subscribe(() => this.#renewIfDue());
    this.#check();
  }

  /** When the leaf ends, wall time; absent before the first one. */
  get notAfterMs(): number | undefined {
    return this.#credentials?.chain[0]?.notAfterMs;
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    this.#timer?.[Symbol.dispose]();
  }

  #check(): void {
    this.#renewIfDue();
    this.#timer = this.#options.clock.after(CHECK_MS, () => this.#check());
  }

  #renewIfDue(): void {
    const state = this.#options.keeper.state.value;
    if (state === undefined || !this.#isDue(state)) return;
    const { clock, clockSkewMs, lifetimeMs, dnsName, apply } = this.#options;
    const nowMs = clock.now();
    const leaf = issueLeaf(state.issuer.authority, {
      publicDer: this.#key.publicDer,
      dnsName,
      validity: leafValidity(nowMs, lifetimeMs, clockSkewMs),
    });
    const chain = [leaf, state.issuer.authority.certificate, ...state.issuer.chain];
    this.#credentials = { key: this.#key, chain };
    this.#signedBy = state;
    this.#renewAtMs = nowMs + (leaf.notAfterMs - nowMs) * RENEWAL_RATIO;
    apply({
      key: this.#key.exportPem(),
      cert: encodeCertificates(chain.map((certificate) => certificate.der)),
      ca: writeTrustAnchors(state.bundle),
    });
  }

  #isDue(state: SigningState): boolean {
    if (this.#credentials === undefined || this.#signedBy !== state) return true;
    const nowMs = this.#options.clock.now();
    if (!verifyChain(this.#credentials.chain, state.bundle, nowMs).isTrusted) return true;
    return nowMs > this.#renewAtMs;
  }
}
