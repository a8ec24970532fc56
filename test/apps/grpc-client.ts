// Makes gRPC calls of every kind to grpc-server, prints one line of JSON for each with what came of it, and ends.
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { Client, credentials, Metadata, status as Status, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { decode, ECHO, field, HEALTH, REFLECTION, text, type Field } from './grpc-echo.ts';

type Message = readonly Field[];

const [target = ''] = process.argv.slice(2);
const BIG_BYTES = 8 * 1024 * 1024;
const STREAMS = 100;
const MESSAGES_PER_STREAM = 20;

const client = new Client(target, credentials.createInsecure(), {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
});

type Outcome = {
  readonly answer: Message | undefined;
  readonly status: StatusObject;
  readonly head: Metadata | undefined;
};

/** A unary call to its end, whichever that is. */
function unary(
  message: string | Uint8Array,
  options: { readonly deadlineMs?: number; readonly cancelAfterMs?: number; readonly path?: string } = {},
): Promise<Outcome> {
  return new Promise((resolve) => {
    const metadata = new Metadata();
    metadata.set('x-token', 'secret');
    let answer: Message | undefined;
    let head: Metadata | undefined;
    const { requestSerialize, responseDeserialize } = ECHO.unary;
    const call = client.makeUnaryRequest(
      options.path ?? ECHO.unary.path,
      requestSerialize,
      responseDeserialize,
      [field(1, message)],
      metadata,
      options.deadlineMs === undefined ? {} : { deadline: Date.now() + options.deadlineMs },
      (_error: ServiceError | null, value?: Message) => {
        answer = value;
      },
    );
    call.on('metadata', (received) => {
      head = received;
    });
    // The status comes before the callback.
    call.on('status', (status) => setImmediate(() => resolve({ answer, status, head })));
    if (options.cancelAfterMs !== undefined) setTimeout(() => call.cancel(), options.cancelAfterMs);
  });
}

function check(): Promise<number> {
  return new Promise((resolve, reject) => {
    const { path, requestSerialize, responseDeserialize } = HEALTH.check;
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      [],
      (error: ServiceError | null, value?: number) => (error === null ? resolve(value ?? 0) : reject(error)),
    );
  });
}

type Received = { readonly messages: readonly Message[]; readonly status: StatusObject };

type Call = {
  on(event: 'data', listener: (message: Message) => void): unknown;
  on(event: 'status', listener: (status: StatusObject) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
};

/** All that a stream brings. */
function receive(call: Call): Promise<Received> {
  const messages: Message[] = [];
  return new Promise((resolve) => {
    call.on('data', (message) => messages.push(message));
    call.on('status', (status) => resolve({ messages, status }));
    call.on('error', () => {}); // the status says it
  });
}

async function reflect(): Promise<unknown> {
  const { path, requestSerialize, responseDeserialize } = REFLECTION.info;
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  call.write([field(7, '')]);
  call.write([field(4, 'shop.Echo')]);
  call.end();
  const { messages } = await receive(call);
  const [services, file] = messages;
  const part = (message: Message | undefined, number: number): Message =>
    decode(message?.find((candidate) => candidate.number === number)?.bytes ?? Buffer.alloc(0));
  const bytes = part(file, 4)[0]?.bytes ?? Buffer.alloc(0);
  return {
    services: part(services, 6).map((service) => text(decode(service.bytes))),
    methods: fromBinary(FileDescriptorProtoSchema, bytes).service[0]?.method.map(({ name }) => name),
  };
}

async function collect(): Promise<unknown> {
  const { path, requestSerialize, responseDeserialize } = ECHO.collect;
  return new Promise((resolve, reject) => {
    const call = client.makeClientStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      (error: ServiceError | null, value?: Message) => (error === null ? resolve(text(value ?? [])) : reject(error)),
    );
    for (let n = 0; n < 50; n += 1) call.write([field(1, Buffer.alloc(1000))]);
    call.end();
  });
}

/** As many streams open at the same time: none ends before each has heard an echo. */
async function chats(): Promise<unknown> {
  const { path, requestSerialize, responseDeserialize } = ECHO.chat;
  const calls = Array.from({ length: STREAMS }, () =>
    client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize),
  );
  const received = calls.map((call) => receive(call));
  const echoed = calls.map((call) => new Promise((resolve) => call.once('data', resolve)));
  for (const [index, call] of calls.entries()) call.write([field(1, `${index} 0`)]);
  await Promise.all(echoed);
  for (const [index, call] of calls.entries()) {
    for (let n = 1; n < MESSAGES_PER_STREAM; n += 1) call.write([field(1, `${index} ${n}`)]);
    call.end();
  }
  const results = await Promise.all(received);
  const isRight = results.map(
    ({ messages, status }, index) =>
      status.code === Status.OK &&
      messages.length === MESSAGES_PER_STREAM &&
      messages.every((message, n) => text(message) === `${index} ${n}`),
  );
  return { streams: STREAMS, right: isRight.filter(Boolean).length };
}

function show(name: string, value: unknown): void {
  process.stdout.write(`${JSON.stringify({ [name]: value })}\n`);
}

async function main(): Promise<void> {
  show('health', await check());
  show('reflection', await reflect());
  const plain = await unary('hello');
  show('unary', {
    answer: text(plain.answer ?? []),
    head: plain.head?.get('x-head')[0],
    binary: (plain.head?.get('x-binary-bin')[0] as Buffer | undefined)?.toString('hex'),
    trailer: plain.status.metadata.get('x-trailer')[0],
  });
  show('who', text((await unary('who am I?')).answer ?? []));
  const count = client.makeServerStreamRequest(
    ECHO.count.path,
    ECHO.count.requestSerialize,
    ECHO.count.responseDeserialize,
    [field(1, '1000')],
  );
  const counted = await receive(count);
  show('count', {
    messages: counted.messages.length,
    last: text(counted.messages.at(-1) ?? []),
    trailer: counted.status.metadata.get('x-trailer')[0],
  });
  show('collect', await collect());
  show('chats', await chats());
  const big = Buffer.alloc(BIG_BYTES, 'tulle');
  show('big', { equal: (await unary(big)).answer?.[0]?.bytes.equals(big) });
  const failed = await unary('fail');
  show('fail', {
    code: failed.status.code,
    details: failed.status.details,
    trailer: failed.status.metadata.get('x-trailer')[0],
  });
  show('unknown method', (await unary('x', { path: '/shop.Echo/Nothing' })).status.code);
  show('deadline', (await unary('never answer', { deadlineMs: 300 })).status.code);
  show('cancel', (await unary('never answer', { cancelAfterMs: 300 })).status.code);
  let cancelled = '';
  for (let n = 0; n < 100 && cancelled !== '2'; n += 1) {
    cancelled = text((await unary('how many were cancelled?')).answer ?? []);
    await new Promise((resolve) => void setTimeout(resolve, 50));
  }
  show('cancelled at the server', cancelled);
  client.close();
}
void main();
