import type { Readable } from 'node:stream';
import type { NodeAgent } from '../../node/node-agent.ts';
import type { KubeObject } from '../object.ts';
import { asStatusError, notImplemented } from '../status-error.ts';
import { ChannelSocket } from './channel-socket.ts';
import { EXEC_PROTOCOLS, exitStatus, finish, parseStreams } from './exec.ts';
import { chooseContainer, namespaceOf } from './parameters.ts';
import type { Upgraded } from './upgraded.ts';

const STDOUT = 1;

/**
 * The container to attach to. Containers of the sandbox keep no open input, so only their output can be followed.
 *
 * Throws 400 for an unclear container, 501 for stdin.
 */
export function parseAttach(pod: KubeObject, query: URLSearchParams): string {
  const container = chooseContainer(pod, query);
  if (parseStreams(query).stdin) throw notImplemented('attaching to the stdin of a running container');
  return container;
}

/** Sends what the container prints from now on, both outputs merged, until it ends. */
export async function serveAttach(
  { socket, protocol, gone }: Upgraded,
  agent: NodeAgent,
  pod: KubeObject,
  container: string,
): Promise<void> {
  const channels = new ChannelSocket(socket, protocol === EXEC_PROTOCOLS[0]);
  let output: Readable;
  try {
    const options = { follow: true, previous: false, timestamps: false, tailLines: 0 };
    output = agent.logs(namespaceOf(pod), pod.metadata.name, container, options);
  } catch (error) {
    await finish(channels, asStatusError(error).toStatus());
    return;
  }
  gone.addEventListener('abort', () => output.destroy());
  await channels.pipe(STDOUT, output);
  await finish(channels, exitStatus(0));
}
