import type { FastifyInstance } from 'fastify';
import type { KubeClient } from '#k8s/client.ts';
import { asList, asObject } from '#k8s/json.ts';
import { listAll } from '#k8s/list.ts';
import { KubeError } from '#k8s/kube-error.ts';
import { CODES } from '../../control-plane/diagnosis/codes.ts';
import type { Diagnosis } from '../../control-plane/diagnosis/diagnosis.ts';
import { clusterFindings } from '../../control-plane/findings/cluster-findings.ts';
import type { ClusterContext } from '../../control-plane/findings/configuration.ts';
import type { ObjectReader } from '../../control-plane/findings/reader.ts';

/** Pages are open for hours and ask every few seconds: the API server is asked less often. */
const KEEP_MS = 10_000;
const FINDINGS_MAX = 1000;
const LIST_MS_MAX = 30_000;

/** A finding with what its code means and what to do. */
export type ShownFinding = Diagnosis & { readonly meaning: string; readonly remedy: string };

export type FindingsAnswer = {
  readonly findings: readonly ShownFinding[];
  readonly total: number; // all that there are, also those over the limit
  readonly asOfMs: number; // wall time; 0: never
  readonly problem?: string; // why they could not be looked for just now
};

/** What the configuration says and what has no effect: the same that `tulle check --proxy` names. */
export class Findings {
  readonly #read: () => Promise<readonly ShownFinding[]>;
  readonly #now: () => number;
  #answer: FindingsAnswer = { findings: [], total: 0, asOfMs: 0 };
  #triedMs = -Infinity;
  #running: Promise<void> | undefined;

  /** @param now  wall time */
  constructor(read: () => Promise<readonly ShownFinding[]>, now: () => number) {
    this.#read = read;
    this.#now = now;
  }

  async answer(): Promise<FindingsAnswer> {
    if (this.#now() - this.#triedMs > KEEP_MS) {
      this.#running ??= this.#refresh().finally(() => {
        this.#running = undefined;
      });
    }
    await this.#running;
    return this.#answer;
  }

  async #refresh(): Promise<void> {
    try {
      const findings = await this.#read();
      this.#answer = { findings: findings.slice(0, FINDINGS_MAX), total: findings.length, asOfMs: this.#now() };
    } catch (error) {
      const { findings, total, asOfMs } = this.#answer;
      this.#answer = { findings, total, asOfMs, problem: error instanceof Error ? error.message : String(error) };
    }
    this.#triedMs = this.#now();
  }
}

/** Reads the findings of a whole cluster. */
export async function shownFindings(client: KubeClient, context: ClusterContext): Promise<readonly ShownFinding[]> {
  const found = await clusterFindings(readerOf(client), context);
  return found.map((one) => ({ ...one, meaning: CODES[one.code].meaning, remedy: CODES[one.code].remedy }));
}

function readerOf(client: KubeClient): ObjectReader {
  const get = (path: string): Promise<unknown> => client.request({ method: 'GET', path });
  return {
    find: (path) =>
      get(path).catch((error: unknown) => {
        if (error instanceof KubeError && error.isNotFound) return undefined;
        throw error;
      }),
    each: async (path, tell) => {
      await listAll(client, { path, selectors: {}, signal: AbortSignal.timeout(LIST_MS_MAX) }, tell);
    },
    list: async (path) => asList(asObject(await get(path))['items']),
  };
}

/** `GET /api/findings`. */
export function registerFindings(server: FastifyInstance, findings: Findings): void {
  server.get('/api/findings', () => findings.answer());
}
