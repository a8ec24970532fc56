import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { KubeConfig } from '@kubernetes/client-node';
import { CommandError, UsageError } from './command.ts';
import { reasonOf } from './reason.ts';

export type KubeconfigChoice = {
  readonly file: string | undefined; // --kubeconfig
  readonly context: string | undefined; // --context
  readonly environment: NodeJS.ProcessEnv;
};

const IN_CLUSTER_TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token';

/**
 * Reads the kubeconfig as kubectl does: the given file, the files of KUBECONFIG that exist, `~/.kube/config`, or the service
 * account of a pod.
 *
 * @throws UsageError / CommandError  naming the file or the context that is not there
 */
export async function loadKubeconfig({ file, context, environment }: KubeconfigChoice): Promise<KubeConfig> {
  if (file !== undefined && !existsSync(file)) throw new UsageError(`--kubeconfig ${file}: there is no such file`);
  const paths = file === undefined ? defaultPaths(environment) : [file];
  // Loaded only here: it is nine tenths of the start-up time of a command that needs no cluster.
  const { KubeConfig } = await import('@kubernetes/client-node');
  const config = new KubeConfig();
  if (paths.length === 0) config.loadFromCluster();
  for (const [index, path] of paths.entries()) {
    const next = index === 0 ? config : new KubeConfig();
    try {
      next.loadFromFile(path);
    } catch (error) {
      throw new CommandError(`the kubeconfig ${path} cannot be read: ${reasonOf(error)}`);
    }
    if (next !== config) merge(config, next);
  }
  chooseContext(config, context, paths);
  return config;
}

/** Adds what is new. As with kubectl, the first file that names something wins. */
function merge(config: KubeConfig, next: KubeConfig): void {
  const isNew = (list: readonly { name: string }[]): ((entry: { name: string }) => boolean) => {
    const names = new Set(list.map(({ name }) => name));
    return ({ name }) => !names.has(name);
  };
  config.clusters = [...config.clusters, ...next.clusters.filter(isNew(config.clusters))];
  config.users = [...config.users, ...next.users.filter(isNew(config.users))];
  config.contexts = [...config.contexts, ...next.contexts.filter(isNew(config.contexts))];
  config.currentContext ||= next.currentContext;
}

/** The files to read, in order; none means the service account of this pod. */
function defaultPaths(environment: NodeJS.ProcessEnv): readonly string[] {
  const listed = (environment['KUBECONFIG'] ?? '').split(delimiter).filter((path) => path !== '');
  const present = listed.filter((path) => existsSync(path));
  if (present.length > 0) return present;
  if (listed.length > 0) {
    throw new CommandError(
      `KUBECONFIG names ${listed.join(' and ')}, which does not exist: correct the variable, or use --kubeconfig`,
    );
  }
  const standard = join(homedir(), '.kube', 'config');
  if (existsSync(standard)) return [standard];
  if (environment['KUBERNETES_SERVICE_HOST'] !== undefined && existsSync(IN_CLUSTER_TOKEN)) return [];
  throw new CommandError(`there is no kubeconfig: set KUBECONFIG, use --kubeconfig, or create ${standard}`);
}

function chooseContext(config: KubeConfig, context: string | undefined, paths: readonly string[]): void {
  const known = config.getContexts().map(({ name }) => name);
  const choices = known.length === 0 ? 'it has none' : `it has ${known.join(', ')}`;
  if (context !== undefined) {
    if (!known.includes(context))
      throw new UsageError(`--context ${context}: the kubeconfig has no such context, ${choices}`);
    config.setCurrentContext(context);
  }
  const current = config.getCurrentContext();
  if (config.getCurrentCluster() !== null) return;
  const where = `the kubeconfig ${paths.join(', ')}`;
  if (current === undefined || current === '')
    throw new CommandError(`${where} has no current context: choose one with --context (${choices})`);
  if (!known.includes(current))
    throw new CommandError(`${where} has no context "${current}", which it calls current: use --context (${choices})`);
  throw new CommandError(`${where} has no cluster for its context "${current}": choose another with --context`);
}
