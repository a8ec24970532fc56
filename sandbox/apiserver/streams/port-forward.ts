import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { NodeAgent } from '../../node/node-agent.ts';
import type { KubeObject } from '../object.ts';
import { badRequest } from '../status-error.ts';
import { ChannelSocket } from './channel-socket.ts';
import { namespaceOf } from './parameters.ts';
import type { Upgraded } from './upgraded.ts';
import { SpdyConnection, type SpdyStream } from './spdy/connection.ts';

/** SPDY inside the messages: one tunnel, any number of connections. */
export const TUNNEL_PROTOCOL = 'SPDY/3.1+portforward.k8s.io';
/** SPDY without a WebSocket around it, as older clients do. */
export const SPDY_FORWARD_PROTOCOL = 'portforward.k8s.io';
/** Two channels for each port named in the query, one connection each. */
export const CHANNEL_PROTOCOL = 'v4.channel.k8s.io';

const PORTS_MAX = 64;
const UNPAIRED_MAX = 64; // streams that wait for their partner
const PAIR_TIMEOUT_MS = 30_000;

/** Opens connections to one pod. */
type Dial = (port: number) => Promise<Duplex>;

function dialer(agent: NodeAgent, pod: KubeObject): Dial {
  return (port) => agent.portForward(namespaceOf(pod), pod.metadata.name, port);
}

export function parsePort(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/** The parameter `ports` of the channel protocol. Throws 400. */
export function parsePorts(query: URLSearchParams): readonly number[] {
  const texts = query.getAll('ports').flatMap((text) => text.split(','));
  const ports = texts.map((text) => {
    const port = parsePort(text);
    if (port === undefined) throw badRequest(`query parameter "ports" must be a port number: ${text.slice(0, 20)}`);
    return port;
  });
  if (ports.length === 0) throw badRequest('query parameter "ports" is required');
  if (ports.length > PORTS_MAX) throw badRequest(`more than ${PORTS_MAX} ports`);
  return ports;
}

/** Source: kubelet `pkg/kubelet/portforward/httpstream.go`: an error stream and a data stream per connection. */
export async function serveTunnel(transport: Duplex, agent: NodeAgent, pod: KubeObject): Promise<void> {
  const dial = dialer(agent, pod);
  const unpaired = new Map<string, SpdyStream>(); // error streams by request id
  const connection = new SpdyConnection(transport, (stream) => {
    const request = stream.headers.get('requestid') ?? String(stream.id);
    if (stream.headers.get('streamtype') === 'error') holdErrorStream(unpaired, request, stream);
    else {
      const errors = unpaired.get(request);
      unpaired.delete(request);
      if (errors === undefined || stream.headers.get('streamtype') !== 'data') stream.destroy();
      else void forwardStream(dial, stream, errors); // never rejects
    }
  });
  await connection.serve();
}

function holdErrorStream(unpaired: Map<string, SpdyStream>, request: string, stream: SpdyStream): void {
  if (unpaired.has(request) || unpaired.size >= UNPAIRED_MAX) {
    stream.destroy();
    return;
  }
  unpaired.set(request, stream);
  stream.resume(); // the client says nothing on it
  const timer = setTimeout(() => {
    if (unpaired.get(request) === stream) stream.destroy();
  }, PAIR_TIMEOUT_MS);
  timer.unref();
  stream.once('close', () => {
    clearTimeout(timer);
    if (unpaired.get(request) === stream) unpaired.delete(request);
  });
}

async function forwardStream(dial: Dial, data: SpdyStream, errors: SpdyStream): Promise<void> {
  const text = data.headers.get('port') ?? '';
  const port = parsePort(text);
  try {
    if (port === undefined) throw new Error(`invalid port "${text.slice(0, 20)}"`);
    await join(data, await dial(port));
  } catch (error) {
    errors.write(`error forwarding port ${text.slice(0, 20)} to pod: ${messageOf(error)}`);
    data.destroy();
  }
  errors.end();
}

/**
 * Both directions until both have ended; the end of one is passed on while the other goes on.
 *
 * Rejects when the remote side breaks; a client that resets its stream is no failure.
 */
async function join(data: Duplex, remote: Duplex): Promise<void> {
  let failure: Error | undefined;
  remote.on('error', (error) => {
    if (!data.destroyed) failure ??= error;
  });
  await Promise.allSettled([pipeline(data, remote), pipeline(remote, data)]);
  remote.destroy();
  if (failure !== undefined) throw failure;
}

/** The old form: channel 2i carries the data of the i-th port, 2i+1 its errors; each begins with the port. */
export async function serveChannels(
  { socket, gone }: Upgraded,
  agent: NodeAgent,
  pod: KubeObject,
  ports: readonly number[],
): Promise<void> {
  const dial = dialer(agent, pod);
  const channels = new ChannelSocket(socket, false);
  const remotes = new Map<number, Duplex>(); // by data channel
  socket.pause(); // until there is somewhere to put the bytes
  gone.addEventListener('abort', () => {
    for (const remote of remotes.values()) remote.destroy();
  });
  channels.receive({
    data(channel, bytes) {
      const remote = remotes.get(channel);
      if (remote?.writable !== true) return undefined;
      remote.write(bytes);
      return remote;
    },
    end: () => undefined,
  });
  const served = ports.map(async (port, index) => {
    const prefix = Buffer.from([port & 0xff, port >> 8]);
    await channels.send(2 * index, prefix);
    await channels.send(2 * index + 1, prefix);
    return connectChannel(channels, 2 * index, () => dial(port), remotes);
  });
  const outputs = await Promise.all(served);
  socket.resume();
  await Promise.all(outputs.map((output) => output()));
  channels.close();
}

/** @returns what carries the remote's bytes until it ends */
async function connectChannel(
  channels: ChannelSocket,
  channel: number,
  dial: () => Promise<Duplex>,
  remotes: Map<number, Duplex>,
): Promise<() => Promise<void>> {
  try {
    const remote = await dial();
    remote.on('error', () => undefined); // ends the loop that reads it
    if (!channels.isOpen) remote.destroy(); // the client did not wait
    remotes.set(channel, remote);
    return () => channels.pipe(channel, remote);
  } catch (error) {
    await channels.send(channel + 1, Buffer.from(messageOf(error)));
    return async () => undefined;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
