import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { INJECTOR_PORT } from '#config/names.ts';
import { validateValues } from '#config/validate.ts';
import type { Values } from '#config/values.ts';
import type { ConnectionSource } from '#k8s/connection.ts';
import { LOG_LEVELS, type LogLevel } from '#runtime/log.ts';

export const ADMIN_PORT = 9995;

/** Settings of the injector process. */
export type Config = {
  readonly logLevel: LogLevel;
  readonly values: Values;
  readonly port: number;
  readonly adminPort: number;
  readonly kubernetes: ConnectionSource;
};

/** @throws Error  that lists every setting that is wrong */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const problems: string[] = [];
  const level = env['TULLE_LOG_LEVEL'] ?? 'info';
  const logLevel = LOG_LEVELS.find((name) => name === level);
  if (logLevel === undefined) problems.push(`TULLE_LOG_LEVEL: "${level}" is not one of ${LOG_LEVELS.join(', ')}`);
  const port = (name: string, fallback: number): number => {
    const text = env[name] ?? String(fallback);
    if (!/^\d{1,5}$/.test(text) || Number(text) > 65_535)
      problems.push(`${name}: "${text}" is not a port (0 to 65535)`);
    return Number(text);
  };
  const file = env['TULLE_VALUES_FILE'];
  const values = file === undefined ? undefined : readValues(file, problems);
  if (file === undefined)
    problems.push('TULLE_VALUES_FILE: is missing; it names the file with the values of the installation');
  const config = {
    port: port('TULLE_WEBHOOK_PORT', INJECTOR_PORT),
    adminPort: port('TULLE_ADMIN_PORT', ADMIN_PORT),
    kubernetes: {
      ...text(env, 'KUBECONFIG', 'kubeconfig'),
      ...text(env, 'KUBERNETES_SERVICE_HOST', 'serviceHost'),
      ...text(env, 'KUBERNETES_SERVICE_PORT', 'servicePort'),
    },
  };
  if (problems.length > 0 || values === undefined || logLevel === undefined) throw new Error(problems.join('; '));
  return { ...config, logLevel, values };
}

function readValues(file: string, problems: string[]): Values | undefined {
  try {
    const values = parse(readFileSync(file, 'utf8')) as Values | null;
    if (typeof values !== 'object' || values === null || values.proxy === undefined || values.identity === undefined) {
      throw new Error('it does not hold the values of an installation');
    }
    problems.push(...validateValues(values).map((problem) => `${file}: ${problem}`));
    return values;
  } catch (error) {
    problems.push(
      `TULLE_VALUES_FILE ${file}: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}`,
    );
    return undefined;
  }
}

function text(env: Readonly<Record<string, string | undefined>>, name: string, key: string): Record<string, string> {
  const value = env[name];
  return value === undefined || value === '' ? {} : { [key]: value };
}
