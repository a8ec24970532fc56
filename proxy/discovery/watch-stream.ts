import { backoffMs } from '../grpc/backoff.ts';
import { STATUS, type GrpcError, type GrpcClient, type Method } from '../grpc/client.ts';

/** Status codes after which asking again is useless. Source: linkerd2-proxy, for all of its watches. */
const TERMINAL: ReadonlySet<number> = new Set([STATUS.invalidArgument, STATUS.failedPrecondition]);

/** While the service cannot be reached its client paces the attempts; a second pause on top would only delay the news. */
const UNREACHABLE_PAUSE_MS = 250;

export type WatchHandler<Rsp> = {
  /** @param isFirst  the first answer of this stream: it stands for everything known before */
  onMessage(message: Rsp, isFirst: boolean): void;
  /** The stream ended and is opened again after a pause; what is known stays. */
  onInterrupted?(error: GrpcError): void;
  /** The control plane will never answer this request. Nothing follows. */
  onRefused(error: GrpcError): void;
};

/** Keeps a stream of answers open until disposed of, whatever happens to the control plane. */
export function watchStream<Req, Rsp>(
  client: GrpcClient,
  method: Method<Req, Rsp>,
  request: Req,
  random: () => number,
  handler: WatchHandler<Rsp>,
): Disposable {
  let failures = 0;
  let isDisposed = false;
  let timer: NodeJS.Timeout | undefined;
  let stream: Disposable | undefined;
  const open = (): void => {
    let isFirst = true;
    stream = client.stream(method, request, {
      onMessage(message) {
        if (isDisposed) return;
        failures = 0;
        handler.onMessage(message, isFirst);
        isFirst = false;
      },
      onEnd(error) {
        if (isDisposed) return;
        if (TERMINAL.has(error.status)) {
          handler.onRefused(error);
          return;
        }
        failures += 1;
        handler.onInterrupted?.(error);
        const pauseMs = backoffMs(failures, random());
        timer = setTimeout(
          open,
          client.isReachable ? Math.max(pauseMs, client.resumeMs) : Math.min(pauseMs, UNREACHABLE_PAUSE_MS),
        );
        timer.unref();
      },
    });
  };
  open();
  return {
    [Symbol.dispose]: () => {
      isDisposed = true;
      clearTimeout(timer);
      stream?.[Symbol.dispose]();
    },
  };
}
