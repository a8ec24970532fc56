import { request } from 'node:http';
import type { Link } from './link.ts';

export type ProbeOptions = {
  readonly link: Link;
  /** Told of every probe. */
  readonly observe: (result: { readonly isSuccess: boolean; readonly latencyMs: number }) => void;
  /** Told when the gateway died or came back, with the reason. */
  readonly changed: (isAlive: boolean, reason: string) => void;
};

const TIMEOUT_MS_MAX = 5000;
const JITTER = 0.1;

/** Asks the gateway of a linked cluster regularly whether it is ready. It counts as alive until it has failed often enough. */
export class GatewayProbe implements Disposable {
  readonly #options: ProbeOptions;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  #isAlive = true;
  #isClosed = false;

  constructor(options: ProbeOptions) {
    this.#options = options;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  start(): void {
    void this.#run(); // never rejects
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    const { link, observe, changed } = this.#options;
    const startedMs = performance.now();
    const problem = await firstProblem(link);
    if (this.#isClosed) return;
    observe({ isSuccess: problem === undefined, latencyMs: performance.now() - startedMs });
    this.#failures = problem === undefined ? 0 : this.#failures + 1;
    const isAlive = problem === undefined || (this.#isAlive && this.#failures < link.probe.failureThreshold);
    if (isAlive !== this.#isAlive) {
      this.#isAlive = isAlive;
      changed(isAlive, problem ?? 'the gateway answers');
    }
    const jitter = 1 + JITTER * (2 * Math.random() - 1);
    this.#timer = setTimeout(() => void this.#run(), link.probe.periodMs * jitter);
  }
}

/** @returns nothing when one of the gateway's addresses is ready, else why the last one is not */
async function firstProblem({ gatewayAddresses, probe }: Link): Promise<string | undefined> {
  let problem = 'the Link names no gateway address';
  for (const address of gatewayAddresses) {
    const found = await probeOnce(address, probe.port, probe.path, Math.min(probe.timeoutMs, TIMEOUT_MS_MAX));
    if (found === undefined) return undefined;
    problem = found;
  }
  return problem;
}

function probeOnce(host: string, port: number, path: string, timeoutMs: number): Promise<string | undefined> {
  const what = `GET http://${host}:${port}${path}`;
  return new Promise((resolve) => {
    const sent = request({ host, port, path, agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
      response.resume();
      const { statusCode = 0 } = response;
      resolve(statusCode === 200 ? undefined : `${what} answered ${statusCode}`);
    });
    sent.on('error', (error) =>
      resolve(`${what}: ${error.name === 'AbortError' ? `no answer within ${timeoutMs} ms` : error.message}`),
    );
    sent.end();
  });
}
