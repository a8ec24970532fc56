import { exemption, type Exemption } from '#netlink/exemption.ts';
import { isFamilyMissing } from '#runtime/listen.ts';
import { systemClock, type Clock } from '#runtime/clock.ts';
import type { Logger } from '#runtime/log.ts';
import { Patterns } from '#runtime/pattern.ts';
import { Admin } from './admin.ts';
import { kernelDestination, Listener, type FindDestination } from './accept/listener.ts';
import type { Config } from './config.ts';
import { DecisionLog } from './decisions/decision-log.ts';
import { decisionsPage } from './decisions/page.ts';
import { GrpcClient } from './grpc/client.ts';
import { Gateway } from './gateway/gateway.ts';
import { WorkloadIdentity } from './identity/certify.ts';
import { AccessLog } from './inbound/access-log.ts';
import { Inbound } from './inbound/assemble.ts';
import { defaultServer } from './inbound/default-policy.ts';
import { addProcessMetrics } from './metrics/process.ts';
import { TrafficMetrics } from './metrics/registry.ts';
import { Outbound } from './outbound/assemble.ts';
import { TapHub } from './tap/hub.ts';
import { TapServer } from './tap/server.ts';
import { resourceAttributes } from './tracing/attributes.ts';
import { SpanExporter } from './tracing/exporter.ts';
import { Tracer } from './tracing/tracer.ts';

/** Uid that the redirection exempts. Source: Linkerd's proxy image and the injector. */
const PROXY_UID = 2102;

const SWEEP_MS = 1000;
const METRICS_SWEEP_MS = 60_000;
const TIMEOUTS = { headMs: 10_000, idleMs: 10 * 60_000, lingerMs: 5000 };
/** Regular expressions of routes that are kept compiled. */
const PATTERNS_MAX = 1000;
const SILENCE_MS = 100;
/** How long a first connection to an address waits for discovery. */
const PATIENCE_MS = 1000;
const TARGETS_MAX = 4096;
const CONNECTIONS_MAX = 20_000;
const TAP_IDLE_MS = 30_000;
/** On shutdown new connections are still taken for so long: endpoints and Services learn of it with a delay. */
const LAME_DUCK_MS = 1000;
/** Idle connections are left to their clients for so long: who closes first decides who loses a request in between. */
const IDLE_GRACE_MS = 2000;
/** How long the collector is waited for at the end. */
const LAST_SPANS_MS = 2000;

/** What a test puts in place of the real world. */
export type ProxyEnvironment = {
  readonly log: Logger;
  readonly version: string;
  readonly clock?: Clock;
  readonly findInboundDestination?: FindDestination;
  readonly findOutboundDestination?: FindDestination;
  readonly exemption?: Exemption;
  readonly random?: () => number;
  readonly writeAccessLog?: (line: string) => void;
};

/** A running proxy: both sides, identity, control clients and admin endpoint. No state lives outside this object. */
export class Proxy implements Disposable {
  readonly #config: Config;
  readonly #log: Logger;
  readonly #metrics = new TrafficMetrics();
  readonly #decisions = new DecisionLog({
    now: () => performance.now(),
    count: ({ direction, target }, protocol, code) => this.#metrics.proxyError(direction, protocol, code, target),
  });
  readonly #clients: readonly GrpcClient[];
  readonly #spans: SpanExporter | undefined;
  readonly #identity: WorkloadIdentity;
  readonly #admin: Admin;
  readonly #inbound: Inbound;
  readonly #outbound: Outbound;
  readonly #gateway: Gateway;
  readonly #tap: TapServer | undefined;
  readonly #timers: NodeJS.Timeout[] = [];
  #inboundListener: Listener | undefined;
  #outboundListener: Listener | undefined;
  #outboundListener6: Listener | undefined; // of the other family

  constructor(config: Config, environment: ProxyEnvironment) {
    this.#config = config;
    this.#log = environment.log;
    const { log, random = Math.random, clock = systemClock } = environment;
    const exempt = environment.exemption ?? exemption(PROXY_UID);
    const connect = { exemption: exempt, context: () => this.#identity.controlContext, log, random };
    const identityClient = new GrpcClient(config.identityService, connect);
    const destinationClient = new GrpcClient(config.destination, connect);
    const policyClient = new GrpcClient(config.policy, connect);
    const { tracing } = config;
    const collector = tracing && new GrpcClient(tracing.collector, { ...connect, service: 'the collector of traces' });
    this.#clients = [identityClient, destinationClient, policyClient, ...(collector === undefined ? [] : [collector])];
    if (tracing !== undefined && collector !== undefined) {
      this.#spans = new SpanExporter({
        client: collector,
        attributes: resourceAttributes(tracing, log),
        version: environment.version,
        exposition: this.#metrics.exposition,
      });
    }
    const spans = this.#spans;
    this.#identity = new WorkloadIdentity(identityClient, {
      log,
      clock,
      identity: config.identity,
      anchors: config.trustAnchors,
      tokenFile: config.tokenFile,
      refreshMsMin: config.refreshMsMin,
      refreshMsMax: config.refreshMsMax,
      exposition: this.#metrics.exposition,
    });
    addProcessMetrics(this.#metrics.exposition, environment.version);
    this.#admin = new Admin({
      ...config.adminListen,
      notReady: () => (this.problem === undefined ? [] : [this.problem]),
      metrics: () => this.#metrics.exposition.text(),
      pages: { '/decisions': (query) => decisionsPage(this.#decisions, query, Date.now()) },
    });
    const hub = new TapHub(() => performance.now());
    if (config.tapClient !== undefined) {
      this.#tap = new TapServer({
        ...config.controlListen,
        client: config.tapClient,
        credentials: () => this.#identity.current,
        hub,
        log,
        timeoutMs: config.inboundDetectMs,
        idleMs: TAP_IDLE_MS,
      });
    }
    const shared = {
      log,
      tap: hub,
      patterns: new Patterns(PATTERNS_MAX),
      metrics: this.#metrics,
      decisions: this.#decisions,
      credentials: () => this.#identity.current,
      exemption: exempt,
      ownAddresses: config.ownAddresses,
      timeouts: TIMEOUTS,
      silenceMs: SILENCE_MS,
      waitingMax: config.queueMax,
      now: () => performance.now(),
      clock,
      random,
      tracer: spans && new Tracer({ add: (span) => spans.add(span), now: () => performance.now(), random }),
    };
    const discovery = {
      client: destinationClient,
      contextToken: config.destinationContext,
      patienceMs: PATIENCE_MS,
      policy: { client: policyClient, workload: config.policyWorkload },
    };
    const outbound = {
      ...shared,
      connectTimeoutMs: config.outboundConnectMs,
      connectKeepAliveMs: config.outboundKeepAliveMs,
      poolIdleMs: config.outboundPoolIdleMs,
      poolIdleMax: config.outboundPoolMax,
      failFastMs: config.failFastMs,
    };
    this.#outbound = new Outbound({
      ...outbound,
      findDestination: environment.findOutboundDestination ?? kernelDestination,
      isOwnListener: (address, port) => port === this.outboundPort && this.#isOwnAddress(address),
      discovery,
      detectTimeoutMs: config.outboundDetectMs,
      discoveryIdleMs: config.outboundIdleMs,
      targetsMax: TARGETS_MAX,
      inFlightMax: config.outboundInFlightMax,
    });
    this.#gateway = new Gateway({
      outbound,
      discovery,
      suffixes: config.gatewaySuffixes,
      identity: config.identity,
      discoveryIdleMs: config.outboundIdleMs,
      targetsMax: TARGETS_MAX,
    });
    this.#inbound = new Inbound({
      ...shared,
      gateway: this.#gateway,
      identity: config.identity,
      findDestination: environment.findInboundDestination ?? kernelDestination,
      policy: { client: policyClient, workload: config.policyWorkload },
      defaultServer: (port) =>
        defaultServer(config.defaultPolicy, config.opaquePorts.has(port), config.clusterNetworks),
      connectTimeoutMs: config.inboundConnectMs,
      poolIdleMs: config.inboundPoolIdleMs,
      poolIdleMax: config.inboundPoolMax,
      isOwnPort: (port) => port === this.inboundPort || port === this.outboundPort || port === this.controlPort,
      listenPort: () => this.inboundPort,
      detectTimeoutMs: config.inboundDetectMs,
      policyIdleMs: config.inboundIdleMs,
      portsMax: TARGETS_MAX,
      portsKnown: config.inboundPorts,
      inFlightMax: config.inboundInFlightMax,
      accessLog:
        config.accessLog === undefined
          ? undefined
          : new AccessLog(config.accessLog, environment.writeAccessLog ?? writeStderr, () => performance.now()),
    });
  }

  get inboundPort(): number {
    return this.#inboundListener?.port ?? this.#config.inboundListen.port;
  }

  get outboundPort(): number {
    return this.#outboundListener?.port ?? this.#config.outboundListen[0].port;
  }

  /** Port that taps are served on, and that is never forwarded to. */
  get controlPort(): number {
    return this.#tap?.port ?? this.#config.controlListen.port;
  }

  get adminPort(): number {
    return this.#admin.port;
  }

  /**
   * Listens on all ports at once, so that nobody is refused; takes connections after the first certificate.
   *
   * @throws the listen error
   */
  async start(): Promise<void> {
    const { inboundListen, outboundListen } = this.#config;
    await this.#admin.listen();
    const certified = this.#identity.certified;
    const listen = (address: { host: string; port: number }, side: Inbound | Outbound): Promise<Listener> => {
      let isOpen = false;
      void certified.then(() => {
        isOpen = true;
      });
      return Listener.listen({
        ...address,
        connectionsMax: CONNECTIONS_MAX,
        onConnection: (socket) => {
          if (isOpen) side.accept(socket);
          else void certified.then(() => side.accept(socket));
        },
      });
    };
    const [first, second] = outboundListen;
    this.#outboundListener = await listen(first, this.#outbound);
    if (second !== undefined) this.#outboundListener6 = await listen(second, this.#outbound).catch(absentFamily);
    this.#inboundListener = await listen(inboundListen, this.#inbound);
    await this.#tap?.listen();
    this.#identity.start();
    this.#every(SWEEP_MS, () => {
      this.#outbound.sweep();
      this.#inbound.sweep();
      this.#gateway.sweep();
      this.#admin.sweep();
    });
    this.#every(METRICS_SWEEP_MS, () => this.#metrics.sweep(Date.now()));
    const ports = { inbound: this.inboundPort, outbound: this.outboundPort, admin: this.adminPort };
    this.#log.info({ ...ports, identity: this.#config.identity }, 'listening, waiting for a certificate');
  }

  /** Why it does not serve, in words; absent when it does. */
  get problem(): string | undefined {
    return this.#identity.problem;
  }

  /** Resolves when the proxy serves. */
  get ready(): Promise<void> {
    return this.#identity.certified;
  }

  /** Lets everything that is under way finish. The caller bounds it (`SHUTDOWN_GRACE_PERIOD`). */
  async drain(): Promise<void> {
    this.#inbound.drain();
    this.#outbound.drain();
    const all = [this.#inboundListener, this.#outboundListener, this.#outboundListener6];
    const listeners = all.filter((listener) => listener !== undefined);
    const isQuiet = (): boolean => listeners.every((listener) => listener.openCount === 0);
    await sleep(LAME_DUCK_MS);
    for (const listener of listeners) listener.close();
    if (!isQuiet()) await sleep(IDLE_GRACE_MS - LAME_DUCK_MS);
    while (!isQuiet()) {
      this.#inbound.closeIdle();
      this.#outbound.closeIdle();
      await Promise.race([Promise.all(listeners.map((listener) => listener.allClosed())), sleep(250)]);
    }
    const spans = this.#spans;
    if (spans !== undefined) await Promise.race([spans.flush(), sleep(LAST_SPANS_MS)]);
    this.#log.info('drained');
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#inboundListener?.[Symbol.dispose]();
    this.#outboundListener?.[Symbol.dispose]();
    this.#outboundListener6?.[Symbol.dispose]();
    this.#tap?.[Symbol.dispose]();
    this.#spans?.[Symbol.dispose]();
    this.#admin[Symbol.dispose]();
    this.#identity[Symbol.dispose]();
    this.#inbound[Symbol.dispose]();
    this.#outbound[Symbol.dispose]();
    this.#gateway[Symbol.dispose]();
    for (const client of this.#clients) client[Symbol.dispose]();
  }

  #isOwnAddress(address: string): boolean {
    return address.startsWith('127.') || address === '::1' || this.#config.ownAddresses.has(address);
  }

  #every(intervalMs: number, run: () => void): void {
    const timer = setInterval(run, intervalMs);
    timer.unref();
    this.#timers.push(timer);
  }
}

function writeStderr(line: string): void {
  process.stderr.write(line);
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

/** A pod without addresses of the family sends nothing there either. @throws any other error */
function absentFamily(error: unknown): undefined {
  if (!isFamilyMissing(error)) throw error;
}
