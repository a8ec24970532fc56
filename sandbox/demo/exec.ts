import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Exec, type V1Status } from '@kubernetes/client-node';
import { CommandError } from '../../cli/command.ts';
import { loadKubeconfig, type KubeconfigChoice } from '../../cli/kubeconfig.ts';
import { reasonOf } from '../../cli/reason.ts';

/** Where a command runs, as `kubectl exec` takes it. */
export type Place = { readonly namespace: string; readonly pod: string; readonly container: string };

/**
 * Runs a command in a container, as `kubectl exec` does, for machines without kubectl.
 *
 * @returns what it printed
 * @throws CommandError  when it cannot be run, or ends with another status than 0
 */
export async function execute(choice: KubeconfigChoice, place: Place, command: readonly string[]): Promise<string> {
  const { namespace, pod, container } = place;
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const outcome = Promise.withResolvers<V1Status>();
  const where = `\`${command.join(' ')}\` in ${namespace}/${pod}`;
  try {
    const exec = new Exec(await loadKubeconfig(choice));
    const socket = await exec.exec(
      namespace,
      pod,
      container,
      [...command],
      stdout,
      stderr,
      null,
      false,
      outcome.resolve,
    );
    // Without a status before it, the connection broke.
    socket.once('close', () => outcome.resolve({ status: 'Failure', message: 'the connection was closed' }));
  } catch (error) {
    throw new CommandError(`cannot run ${where}: ${reasonOf(error)}`);
  }
  const { status, message = '' } = await outcome.promise;
  stdout.end();
  stderr.end();
  const [said, complained] = await Promise.all([text(stdout), text(stderr)]);
  if (status !== 'Success')
    throw new CommandError(`${where} failed: ${[message, complained.trim()].filter((part) => part !== '').join(': ')}`);
  return said;
}
