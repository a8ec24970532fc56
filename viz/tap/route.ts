import { PassThrough } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { Pod } from '../metrics-api/pods.ts';
import { SelectorError } from '../metrics-api/selector.ts';
import { Observation, type TapIdentity } from './observe.ts';
import { TAP_BODY_SCHEMA, tapMatches, tappedPods, type TapBody } from './query.ts';
import { claimRight, TapRefused, type TapRequestClient } from './rights.ts';

const BODY_BYTES_MAX = 8192;
const TAPS_MAX = 32; // at a time
const PODS_MAX = 200; // of one tap
const BUFFER_BYTES_MAX = 4 * 1024 * 1024;
const DEFAULT_RPS = 100;

export type TapApi = {
  readonly requests: TapRequestClient;
  readonly pods: () => readonly Pod[];
  /** The certificate to tap with, or why there is none. */
  readonly identity: () => TapIdentity | string;
  readonly identityOf: (pod: Pod) => string;
  readonly now: () => number; // wall time
};

/** One line of the answer: an event, or a remark for a person. */
export type TapLine = { readonly event: unknown } | { readonly note: string };

/** `POST /api/tap`: events of the proxies as JSON lines, for callers with the right to tap the namespace. */
export function registerTap(server: FastifyInstance, api: TapApi): void {
  let open = 0;
  server.post<{ Body: TapBody }>(
    '/api/tap',
    { bodyLimit: BODY_BYTES_MAX, schema: { body: TAP_BODY_SCHEMA } },
    async (request, reply) => {
      const { body } = request;
      try {
        await claimRight(
          api.requests,
          { namespace: body.namespace, name: body.tapRequest, nonce: body.nonce },
          api.now(),
        );
      } catch (error) {
        if (!(error instanceof TapRefused)) throw error;
        return reply.code(403).send({ statusCode: 403, error: 'Forbidden', message: error.message });
      }
      const refuse = (code: number, message: string): unknown => reply.code(code).send({ statusCode: code, message });
      const identity = api.identity();
      if (typeof identity === 'string') return refuse(503, identity);
      if (open >= TAPS_MAX) return refuse(503, `${TAPS_MAX} taps are open already`);
      let pods: readonly Pod[];
      try {
        pods = tappedPods(body, api.pods());
      } catch (error) {
        if (!(error instanceof SelectorError)) throw error;
        return refuse(400, `selector: ${error.message}`);
      }
      const tappable = pods.filter(({ tapTarget }) => tapTarget !== undefined);
      const what = body.name === undefined ? body.kind : `${body.kind}/${body.name}`;
      if (tappable.length === 0) return refuse(404, emptyReason(what, body.namespace, pods));
      if (tappable.length > PODS_MAX)
        return refuse(400, `${what} has ${tappable.length} pods: name a workload with at most ${PODS_MAX}`);
      const lines = new PassThrough({ highWaterMark: BUFFER_BYTES_MAX });
      let dropped = 0;
      const write = (line: TapLine): void => {
        if (lines.destroyed) return;
        if (lines.writableLength > BUFFER_BYTES_MAX) dropped += 1;
        else {
          if (dropped > 0)
            lines.write(`${JSON.stringify({ note: `${dropped} events are lost: you read too slowly` })}\n`);
          dropped = 0;
          lines.write(`${JSON.stringify(line)}\n`);
        }
      };
      if (tappable.length < pods.length)
        write({ note: `${pods.length - tappable.length} pods cannot be tapped: they have no proxy that allows it` });
      const byIp = podLabels(api.pods());
      const observation = new Observation(
        {
          pods: tappable,
          matches: tapMatches(body),
          maxRps: body.maxRps ?? DEFAULT_RPS,
          hasHeaders: body.headers === true,
        },
        { event: (event) => write({ event }), note: (note) => write({ note }) },
        { identity, identityOf: api.identityOf, labelsOf: (ip) => byIp.get(ip) ?? {} },
      );
      open += 1;
      lines.once('close', () => {
        open -= 1;
        observation[Symbol.dispose]();
      });
      request.raw.socket.once('close', () => lines.destroy());
      write({ note: `tapping ${tappable.length} pods` });
      return reply.type('application/x-ndjson').send(lines);
    },
  );
}

/** An empty view says why it is empty. */
function emptyReason(what: string, namespace: string, pods: readonly Pod[]): string {
  if (pods.length === 0) return `there is no running ${what} in namespace ${namespace}`;
  return pods.some(({ isMeshed }) => isMeshed)
    ? `the proxies of ${what} in namespace ${namespace} do not allow taps: restart the workload, they are older than the viz extension`
    : `${what} in namespace ${namespace} has no proxy: mesh it first`;
}

/** What is known of pods by their addresses. */
function podLabels(pods: readonly Pod[]): ReadonlyMap<string, Readonly<Record<string, string>>> {
  return new Map(
    pods.flatMap((pod) =>
      pod.address === undefined
        ? []
        : [
            [
              pod.address,
              { pod: pod.name, namespace: pod.namespace, serviceaccount: pod.serviceAccount, ...pod.owners },
            ],
          ],
    ),
  );
}
