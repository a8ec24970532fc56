// A gRPC server on a port: shop.Echo with a method of each kind, health and reflection.
import {
  Metadata,
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { ECHO, ECHO_FILE, encode, field, HEALTH, REFLECTION, text, type Field } from './grpc-echo.ts';

type Message = readonly Field[];

const [port = '50051'] = process.argv.slice(2);
const SERVICES = ['shop.Echo', 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection'];
const SERVING = 1;
/** Calls without an answer that their client gave up. */
let cancelled = 0;

function trailers(): Metadata {
  const metadata = new Metadata();
  metadata.set('x-trailer', 'after the messages');
  return metadata;
}

function unary(call: ServerUnaryCall<Message, Message>, done: sendUnaryData<Message>): void {
  const asked = text(call.request);
  if (asked === 'never answer') {
    call.on('cancelled', () => {
      cancelled += 1;
    });
    return;
  }
  if (asked === 'fail') {
    done({ code: status.FAILED_PRECONDITION, details: 'as asked: 100 % µ', metadata: trailers() });
    return;
  }
  const head = new Metadata();
  head.set('x-head', `token ${String(call.metadata.get('x-token')[0])}`);
  head.set('x-binary-bin', Buffer.from([0, 1, 254, 255]));
  call.sendMetadata(head);
  if (asked === 'how many were cancelled?') done(null, [field(1, String(cancelled))]);
  else if (asked === 'who am I?') done(null, [field(1, String(call.metadata.get('l5d-client-id')[0]))], trailers());
  else done(null, call.request, trailers());
}

async function count(call: ServerWritableStream<Message, Message>): Promise<void> {
  for (let n = 0; n < Number(text(call.request)); n += 1) {
    if (!call.write([field(1, String(n))])) await new Promise((resolve) => call.once('drain', resolve));
  }
  call.end(trailers());
}

function collect(call: ServerReadableStream<Message, Message>, done: sendUnaryData<Message>): void {
  let messages = 0;
  let bytes = 0;
  call.on('data', (message: Message) => {
    messages += 1;
    bytes += message[0]?.bytes.length ?? 0;
  });
  call.on('end', () => done(null, [field(1, `${messages} messages, ${bytes} bytes`)], trailers()));
}

function chat(call: ServerDuplexStream<Message, Message>): void {
  call.on('data', (message: Message) => call.write(message));
  call.on('end', () => call.end(trailers()));
}

/** Fields of the request: 3 a file, 4 a symbol, 7 all services. Of the answer: 4 files, 6 services, 7 an error. */
function reflect(call: ServerDuplexStream<Message, Message>): void {
  call.on('data', (request: Message) => {
    const original = field(2, encode(request));
    const isEcho = text(request, 4).startsWith('shop.') || text(request, 3) === 'shop/echo.proto';
    if (request.some(({ number }) => number === 7)) {
      call.write([original, field(6, encode(SERVICES.map((name) => field(1, encode([field(1, name)])))))]);
    } else if (isEcho) call.write([original, field(4, encode([field(1, ECHO_FILE)]))]);
    else call.write([original, field(7, encode([field(2, 'no such symbol')]))]);
  });
  call.on('end', () => call.end());
}

const server = new Server({ 'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1 });
server.addService(ECHO, { unary, count, collect, chat });
server.addService(HEALTH, { check: (_call: unknown, done: sendUnaryData<number>) => done(null, SERVING) });
server.addService(REFLECTION, { info: reflect });
server.bindAsync(`0.0.0.0:${port}`, ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  process.stdout.write(`gRPC on ${port}\n`);
});
process.on('SIGTERM', () => server.tryShutdown(() => process.exit(0)));
