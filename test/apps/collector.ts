// Takes spans by OTLP over gRPC on 4317; GET on 9901 gives them as JSON, ids in hexadecimal.
import { createServer } from 'node:http';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { TraceServiceService, type KeyValue, type TraceServiceServer } from '#api/gen/otlp_trace.ts';

export type CollectedSpan = {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentId: string;
  readonly name: string;
  readonly isClient: boolean;
  readonly attributes: Readonly<Record<string, string>>; // with those of the proxy
};

const KIND_CLIENT = 3;
const spans: CollectedSpan[] = [];

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function texts(list: readonly KeyValue[]): Readonly<Record<string, string>> {
  return Object.fromEntries(list.map(({ key, value }) => [key, String(value?.value?.value)]));
}

const service: TraceServiceServer = {
  export: ({ request }, done) => {
    for (const { resource, scopeSpans } of request.resourceSpans) {
      const shared = texts(resource?.attributes ?? []);
      for (const span of scopeSpans.flatMap((one) => one.spans)) {
        spans.push({
          traceId: hex(span.traceId),
          spanId: hex(span.spanId),
          parentId: hex(span.parentSpanId),
          name: span.name,
          isClient: span.kind === KIND_CLIENT,
          attributes: { ...shared, ...texts(span.attributes) },
        });
      }
    }
    done(null, { partialSuccess: undefined });
  },
};

const server = new Server();
server.addService(TraceServiceService, service);
server.bindAsync('0.0.0.0:4317', ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
});
createServer((_request, response) => response.end(JSON.stringify(spans))).listen(9901);
process.on('SIGTERM', () => process.exit(0));
