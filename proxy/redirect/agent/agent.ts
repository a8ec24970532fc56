import { Counter, type Registry } from 'prom-client';
import type { Logger } from '#runtime/log.ts';
import { formatPortRanges } from '#netlink/port-ranges.ts';
import { inNetns } from '#netlink/namespace.ts';
import { nftablesRemedy } from '#netlink/refusal.ts';
import { parseOptions } from '../options.ts';
import { installRedirect, isRedirected } from '../program.ts';
import { openWaiting, ProcessScan, type WaitingProcess } from './processes.ts';

const LOOK_EVERY_MS = 200;
const FAILURES_REMEMBERED_MAX = 1_000;

export type AgentOptions = {
  readonly log: Logger;
  readonly registry: Registry;
  readonly procFolder: string; // where the processes of the node are
  readonly hostNetns: string; // path of the node's own network namespace
};

/**
 * Redirects the pods of a node that wait for it. A pod asks by a process with the command line `await-redirect <flags>`: that
 * works without an API server, a CNI plug-in and a file on the node, and whenever the agent comes, pods still wait.
 *
 * Who may run a process in a pod could ask too. So a network namespace is programmed once, before the first container of the
 * application runs, and never the node's own.
 */
export class RedirectAgent {
  readonly #options: AgentOptions;
  readonly #scan: ProcessScan;
  readonly #pods: Counter;
  /** What was told about a process, so that it is told once. */
  readonly #told = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#scan = new ProcessScan(options.procFolder);
    this.#pods = new Counter({
      name: 'redirect_agent_pods_total',
      help: 'Pods that waited to be redirected, by what became of it.',
      labelNames: ['result'],
      registers: [options.registry],
    });
    for (const result of ['redirected', 'refused', 'failed']) this.#pods.inc({ result }, 0);
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** Looks once, and redirects who waits. */
  look(): void {
    const { procFolder, hostNetns, log } = this.#options;
    let ids: readonly string[];
    try {
      ids = this.#scan.next(performance.now());
    } catch (error) {
      log.error({ err: error }, 'the processes of the node cannot be listed');
      return;
    }
    for (const id of ids) {
      try {
        using waiting = openWaiting(procFolder, id, hostNetns);
        if (waiting !== undefined) this.#redirect(id, waiting);
      } catch (error) {
        this.#tell(id, 'failed', nftablesRemedy(error) ?? (error instanceof Error ? error.message : String(error)));
      }
    }
  }

  #redirect(id: string, { args, netns, isHostNetwork, uidMap }: WaitingProcess): void {
    if (isHostNetwork) {
      this.#tell(id, 'refused', 'it has the network of the node, whose connections are never redirected');
      return;
    }
    const options = parseOptions(args, uidMap);
    const layout = inNetns(netns, () => (isRedirected() ? undefined : installRedirect(options)));
    if (layout === undefined) return; // it has not noticed yet
    this.#pods.inc({ result: 'redirected' });
    const { inboundPort, outboundPort, exemption } = options;
    this.#options.log.info(
      {
        pid: Number(id),
        inboundPort,
        outboundPort,
        exemption,
        inboundSkip: formatPortRanges(options.inboundSkip),
        outboundSkip: formatPortRanges(options.outboundSkip),
        layout,
      },
      "a pod's TCP connections are redirected to its proxy",
    );
  }

  #tell(id: string, result: 'refused' | 'failed', reason: string): void {
    if (this.#told.get(id) === reason) return;
    if (this.#told.size >= FAILURES_REMEMBERED_MAX) this.#told.clear();
    this.#told.set(id, reason);
    this.#pods.inc({ result });
    this.#options.log.warn({ pid: Number(id) }, `a pod waits in vain to be redirected: ${reason}`);
  }
}
