import type { Readable } from 'node:stream';
import type { ExecOptions, NodeAgent } from '../../node/node-agent.ts';
import type { KubeObject } from '../object.ts';
import { asStatusError, notImplemented } from '../status-error.ts';
import { exitStatus, parseStreams } from './exec.ts';
import { chooseContainer, namespaceOf } from './parameters.ts';
import { STDOUT, type RemoteChannels } from './remote-command.ts';

/**
 * The container to attach to. Containers of the sandbox keep no open input, so only their output can be followed.
 *
 * Throws 400 for an unclear container, 501 for stdin.
 */
export function parseAttach(pod: KubeObject, query: URLSearchParams): { container: string; options: ExecOptions } {
  const container = chooseContainer(pod, query);
  const options = parseStreams(query);
  if (options.stdin) throw notImplemented('attaching to the stdin of a running container');
  return { container, options };
}

/** Sends what the container prints from now on, both outputs merged, until it ends. */
export async function serveAttach(
  channels: RemoteChannels,
  gone: AbortSignal,
  agent: NodeAgent,
  pod: KubeObject,
  container: string,
): Promise<void> {
  let output: Readable;
  try {
    const options = { follow: true, previous: false, timestamps: false, tailLines: 0 };
    output = agent.logs(namespaceOf(pod), pod.metadata.name, container, options);
  } catch (error) {
    await channels.finish(asStatusError(error).toStatus());
    return;
  }
  gone.addEventListener('abort', () => output.destroy());
  await channels.pipe(STDOUT, output);
  await channels.finish(exitStatus(0));
}
