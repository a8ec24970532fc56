import { STATUS, type GrpcError, type GrpcClient, type Method } from '../grpc/client.ts';

/** Status codes after which asking again is useless. Source: linkerd2-proxy, for all of its watches. */
const TERMINAL: ReadonlySet<number> = new Set([STATUS.invalidArgument, STATUS.failedPrecondition]);

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
        timer = setTimeout(open, client.watchPauseMs(failures));
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
