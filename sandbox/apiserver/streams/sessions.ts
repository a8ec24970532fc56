import type { Duplex } from 'node:stream';
import { createWebSocketStream } from 'ws';
import type { NodeAgent } from '../../node/node-agent.ts';
import type { KubeObject } from '../object.ts';
import { parseAttach, serveAttach } from './attach.ts';
import { ChannelSocket } from './channel-socket.ts';
import { channelsOf, parseExec, serveExec } from './exec.ts';
import {
  CHANNEL_PROTOCOL,
  parsePorts,
  serveChannels,
  serveTunnel,
  SPDY_FORWARD_PROTOCOL,
  TUNNEL_PROTOCOL,
} from './port-forward.ts';
import type { RemoteChannels } from './remote-command.ts';
import { serveSpdyChannels, SPDY_EXEC_PROTOCOL } from './spdy/channels.ts';
import type { Upgraded } from './upgraded.ts';

/** Protocols of exec and attach, best first; v5 can end stdin. */
const EXEC_PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io'] as const;

/** One request for a stream that has been checked: how it is served over either kind of connection. */
export type Session = {
  readonly webSocket: { readonly protocols: readonly string[]; serve(upgraded: Upgraded): Promise<void> };
  readonly spdy: { readonly protocol: string; serve(transport: Duplex, gone: AbortSignal): Promise<void> };
};

function commandSession(
  wanted: readonly number[],
  run: (channels: RemoteChannels, gone: AbortSignal) => Promise<void>,
): Session {
  return {
    webSocket: {
      protocols: EXEC_PROTOCOLS,
      serve: ({ socket, protocol, gone }) => run(new ChannelSocket(socket, protocol === EXEC_PROTOCOLS[0]), gone),
    },
    spdy: {
      protocol: SPDY_EXEC_PROTOCOL,
      serve: (transport, gone) => serveSpdyChannels(transport, wanted, (channels) => run(channels, gone)),
    },
  };
}

/** Throws 400 for what can never run. */
export function execSession(agent: NodeAgent, pod: KubeObject, query: URLSearchParams): Session {
  const request = parseExec(pod, query);
  return commandSession(channelsOf(request.options), (channels, gone) =>
    serveExec(channels, gone, agent, pod, request),
  );
}

/** Throws 400 for an unclear container, 501 for stdin. */
export function attachSession(agent: NodeAgent, pod: KubeObject, query: URLSearchParams): Session {
  const { container, options } = parseAttach(pod, query);
  return commandSession(channelsOf(options), (channels, gone) => serveAttach(channels, gone, agent, pod, container));
}

/** @param offered  WebSocket protocols of the client: only the channel form names its ports in the query. Throws 400. */
export function forwardSession(
  agent: NodeAgent,
  pod: KubeObject,
  query: URLSearchParams,
  offered: readonly string[],
): Session {
  const spdy: Session['spdy'] = {
    protocol: SPDY_FORWARD_PROTOCOL,
    serve: (transport) => serveTunnel(transport, agent, pod),
  };
  if (!offered.includes(CHANNEL_PROTOCOL) || offered.includes(TUNNEL_PROTOCOL)) {
    return { webSocket: { protocols: [TUNNEL_PROTOCOL, CHANNEL_PROTOCOL], serve: tunnel(agent, pod) }, spdy };
  }
  const ports = parsePorts(query);
  return {
    webSocket: { protocols: [CHANNEL_PROTOCOL], serve: (upgraded) => serveChannels(upgraded, agent, pod, ports) },
    spdy,
  };
}

function tunnel(agent: NodeAgent, pod: KubeObject): (upgraded: Upgraded) => Promise<void> {
  return ({ socket, gone }) => {
    const transport = createWebSocketStream(socket);
    gone.addEventListener('abort', () => transport.destroy());
    return serveTunnel(transport, agent, pod);
  };
}
