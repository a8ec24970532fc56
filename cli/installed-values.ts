import { overlay } from '#config/overlay.ts';
import { CONFIG_MAP } from '#config/names.ts';
import { validateValues } from '#config/validate.ts';
import { defaultValues, type Values } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import type { ApiObject, Cluster } from './cluster.ts';
import { CommandError } from './command.ts';
import { reasonOf } from './reason.ts';
import { parseValues } from './values-flags.ts';

/** What ConfigMap `linkerd-config` holds. */
export type InstalledValues = {
  readonly values: Values; // in force now, with the version that is installed
  /** What an upgrade starts from: the defaults of this command line with what somebody chose over them. */
  readonly chosen: Values;
  /** Chosen values that this version does not know (any more): an upgrade leaves them out. */
  readonly unknown: readonly string[];
};

/**
 * Reads the values of the installation in a namespace.
 *
 * @throws CommandError  when there is none, or when its values cannot be read
 */
export async function installedValues(cluster: Cluster, namespace: string): Promise<InstalledValues> {
  const config = await cluster.find(`/api/v1/namespaces/${namespace}/configmaps/${CONFIG_MAP}`);
  if (config === undefined)
    throw new CommandError(
      `there is no Tulle in namespace ${namespace} (no config map ${CONFIG_MAP}): install it with \`tulle install | kubectl apply -f -\`, or name its namespace with -L`,
    );
  return readConfigMap(config, namespace);
}

/** @throws CommandError  naming each value that cannot be right */
export function readConfigMap(config: ApiObject, namespace: string): InstalledValues {
  const data = (config['data'] ?? {}) as Readonly<Record<string, string>>;
  const defaults = { ...defaultValues(VERSION), namespace };
  const read = (key: string): { readonly values: Values; readonly unknown: readonly string[] } => {
    let input: unknown;
    try {
      input = parseValues(data[key] ?? '');
    } catch (error) {
      throw unreadable(namespace, key, [reasonOf(error)]);
    }
    const { values, problems } = overlay(defaults, input);
    const wrong = problems.filter(({ isUnknown }) => !isUnknown).map(({ message }) => message);
    if (wrong.length === 0) wrong.push(...validateValues(values));
    if (wrong.length > 0) throw unreadable(namespace, key, wrong);
    return { values, unknown: problems.filter(({ isUnknown }) => isUnknown).map(({ message }) => message) };
  };
  if ((data['values'] ?? '').trim() === '') throw unreadable(namespace, 'values', ['it is missing']);
  const { values } = read('values');
  // An installation that did not keep apart what was chosen: everything counts as chosen.
  const { values: chosen, unknown } = read(data['overrides'] === undefined ? 'values' : 'overrides');
  return { values, chosen: { ...chosen, version: VERSION }, unknown };
}

function unreadable(namespace: string, key: string, problems: readonly string[]): CommandError {
  return new CommandError(
    `config map ${namespace}/${CONFIG_MAP}, key ${key}: ${problems.join('; ')}`,
    `correct it with \`kubectl -n ${namespace} edit configmap ${CONFIG_MAP}\`, or apply \`tulle install\` with your values again`,
  );
}
