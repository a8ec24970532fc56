import { decodeOutboundPolicy } from '#api/decode/outbound.ts';
import { DecodeError } from '#api/decode/decode-error.ts';
import { encodeAddress } from '#api/encode/net.ts';
import { OutboundPoliciesService } from '#api/gen/outbound.ts';
import { formatSocketAddress, parseAddress } from '#model/address.ts';
import type { FailureAccrual } from '#model/failure-accrual.ts';
import type { OutboundPolicy } from '#model/outbound.ts';
import { decidesRoutes, type Profile } from '#model/profile.ts';
import type { Cache } from '../discovery/cache.ts';
import { watchStream } from '../discovery/watch-stream.ts';
import { ProxyError } from '../errors.ts';
import type { RequestHead } from '../http/head.ts';
import { Backends, type BackendsParent } from './backends.ts';
import type { ConnectionRoutes } from './connection-routes.ts';
import type { OutboundContext } from './context.ts';
import { Answer, type Discovery } from './discovery.ts';
import type { Plan, Way } from './plan.ts';
import { overridden, readOverrides } from './request-overrides.ts';
import { RouteTable } from './route-table.ts';
import type { WatchedService } from './watched-service.ts';

/**
 * The routes of one target: a ServiceProfile's when it has any, else those of the outbound policy. What is in force
 * stays until its successor's backends are known, so that a change costs no request; an outage changes nothing.
 */
export class TargetRoutes implements Disposable {
  readonly #port: number;
  readonly #address: string;
  readonly #context: OutboundContext;
  readonly #discovery: Discovery;
  readonly #services: Cache<WatchedService>;
  readonly #fallback: (service: WatchedService) => Way['destination'];
  readonly #answer: Answer;
  #stream: Disposable | undefined;
  #profile: Profile | undefined;
  #policy: OutboundPolicy | undefined;
  #invalid: ProxyError | undefined; // why there is no policy
  #fingerprint = '';
  #isOpaque = false;
  #hasIgnored = false; // fields of requests
  #table: RouteTable | undefined;
  #coming: RouteTable | undefined;
  #adoption: Promise<void> | undefined;

  /** @param fallback  where to send what is meant for a service, as long as discovery cannot say anything about it */
  constructor(
    address: string,
    port: number,
    context: OutboundContext,
    discovery: Discovery,
    services: Cache<WatchedService>,
    fallback: (service: WatchedService) => Way['destination'],
  ) {
    this.#address = address;
    this.#port = port;
    this.#context = context;
    this.#discovery = discovery;
    this.#services = services;
    this.#fallback = fallback;
    this.#answer = new Answer(discovery.patienceMs, discovery.policy?.client);
    this.#watch();
  }

  /** Resolves when the routes are in force, or when the patience is over. */
  async settled(): Promise<void> {
    await this.#answer.promise;
    await this.#adoption;
  }

  /** @throws ProxyError */
  find(head: RequestHead): Plan | undefined {
    if (this.#table !== undefined) {
      const plan = this.#table.find(head, this.#context.patterns.matches);
      return head.overrides === undefined ? plan : this.#override(plan, head.overrides);
    }
    if (this.#invalid !== undefined) throw this.#invalid;
    return undefined;
  }

  /** Where connections go that are not HTTP, or not looked into; nothing: to the target itself. */
  get connections(): ConnectionRoutes | undefined {
    return this.#table?.connections;
  }

  /** Connections are passed on as raw bytes, whatever they look like. */
  get isOpaque(): boolean {
    return this.#isOpaque;
  }

  setProfile(profile: Profile): void {
    this.#profile = profile;
    this.#rebuild();
  }

  wake(): void {
    this.#answer.askedAgain();
    this.#watch();
    this.#rebuild();
  }

  #watch(): void {
    const { policy } = this.#discovery;
    const ip = parseAddress(this.#address);
    if (policy === undefined || ip === undefined) return;
    const addr = { ip: encodeAddress(ip), port: this.#port };
    const request = { sourceWorkload: policy.workload, target: { $case: 'addr' as const, value: addr } };
    this.#stream = watchStream(policy.client, OutboundPoliciesService.watch, request, {
      onMessage: (message) => {
        try {
          this.#policy = decodeOutboundPolicy(message);
          this.#invalid = undefined;
        } catch (error) {
          if (!(error instanceof DecodeError)) throw error;
          const target = formatSocketAddress(this.#address, this.#port);
          // A good policy from before stays in force.
          this.#invalid = new ProxyError('policy-invalid', `outbound policy of ${target}: ${error.message}`);
          this.#context.log.warn({ target, err: error }, 'an outbound policy cannot be understood');
        }
        this.#rebuild();
        this.#answer.arrived();
      },
      onInterrupted: () => {
        // No policy for this address, or nobody to tell: the profile decides alone, and what is known stays.
        if (policy.client.isReachable) this.#answer.arrived();
        else this.#answer.interrupted();
      },
      onRefused: () => this.#answer.arrived(),
    });
  }

  rest(): void {
    this.#stream?.[Symbol.dispose]();
    this.#stream = undefined;
    this.#replace(undefined);
    this.#fingerprint = '';
  }

  sweep(): void {
    this.#table?.backends.sweep();
  }

  [Symbol.dispose](): void {
    this.rest();
    this.#answer.arrived();
  }

  #override(plan: Plan, fields: string): Plan {
    if (plan.overrideBudget === undefined) return plan;
    const { overrides, ignored } = readOverrides(fields);
    if (ignored.length > 0 && !this.#hasIgnored) {
      // Once for each policy: a client that goes on asking does not fill the log.
      this.#hasIgnored = true;
      const target = formatSocketAddress(this.#address, this.#port);
      this.#context.log.warn({ target, ignored }, 'a request asks for timeouts or retries that cannot be understood');
    }
    return overridden(plan, overrides, plan.overrideBudget);
  }

  #rebuild(): void {
    const profile = this.#profile;
    const policy = this.#policy;
    const isByProfile = decidesRoutes(profile);
    const relevant = isByProfile ? { ...profile, endpoint: undefined } : { policy, budget: profile?.retryBudget };
    const fingerprint = JSON.stringify([isByProfile, relevant, policy?.protocol]);
    if (fingerprint === this.#fingerprint) return;
    this.#fingerprint = fingerprint;
    const backends = new Backends(this.#services, this.#context, accrualOf(policy), this.#fallback, parentOf(policy));
    let table: RouteTable | undefined;
    const target = { address: this.#address, port: this.#port };
    this.#isOpaque = !isByProfile && policy?.protocol.kind === 'opaque';
    if (decidesRoutes(profile)) {
      const name = `${profile.fullyQualifiedName}:${this.#port}`;
      table = RouteTable.ofProfile(profile, name, backends, this.#context);
    } else if (policy !== undefined) table = RouteTable.ofPolicy(policy, profile, backends, this.#context, target);
    if (table === undefined || backends.isAnswered) this.#replace(table);
    else this.#adoption = this.#adopt(table);
  }

  async #adopt(table: RouteTable): Promise<void> {
    this.#coming?.[Symbol.dispose]();
    this.#coming = table;
    await table.backends.answered();
    if (this.#coming === table) this.#replace(table);
  }

  #replace(table: RouteTable | undefined): void {
    if (this.#coming !== table) this.#coming?.[Symbol.dispose]();
    this.#coming = undefined;
    this.#hasIgnored = false;
    const old = this.#table;
    this.#table = table;
    old?.[Symbol.dispose]();
  }
}

function parentOf(policy: OutboundPolicy | undefined): BackendsParent | undefined {
  if (policy === undefined) return undefined;
  const { kind } = policy.protocol;
  return { ref: policy.ref, protocol: kind === 'opaque' ? 'tcp' : kind === 'tls' ? 'tls' : 'http' };
}

function accrualOf(policy: OutboundPolicy | undefined): FailureAccrual | undefined {
  const protocol = policy?.protocol;
  return protocol !== undefined && 'failureAccrual' in protocol ? protocol.failureAccrual : undefined;
}
