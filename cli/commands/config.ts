import { stringify } from 'yaml';
import { annotatedValues, jsonSchema } from '#config/schema-document.ts';
import { defaultValues } from '#config/values.ts';
import { VERSION } from '#config/version.ts';
import { connect } from '../cluster.ts';
import { CLUSTER_FLAGS, textFlag, UsageError, type Command } from '../command.ts';
import { installedValues } from '../installed-values.ts';
import { hasValueFlags, VALUE_FLAGS, valuesFromFlags } from '../values-flags.ts';

export const config: Command = {
  path: ['config'],
  summary: 'Print the effective values: of the installation in the cluster, or of flags.',
  details:
    'Without flags for values it reads those of the cluster. With some it prints what `tulle install` would make of them,\n' +
    'without a cluster. --schema prints every value with its meaning and its default; that is a file for -f as well.',
  flags: {
    ...CLUSTER_FLAGS,
    ...VALUE_FLAGS,
    schema: { type: 'boolean', help: 'every value with its meaning and default; with -o json a JSON Schema' },
    output: {
      type: 'string',
      short: 'o',
      value: 'FORMAT',
      default: 'yaml',
      choices: ['yaml', 'json'],
      help: 'format of the values',
    },
  },
  examples: [
    'tulle config',
    'tulle config --schema > values.yaml',
    'tulle config --ha -f values.yaml --set proxy.logLevel=debug',
    'tulle config -o json',
  ],
  run: async ({ flags, terminal }) => {
    const isJson = textFlag(flags, 'output') === 'json';
    const namespace = textFlag(flags, 'tulle-namespace');
    const defaults = { ...defaultValues(VERSION), namespace };
    const print = (value: unknown): void =>
      terminal.out(isJson ? `${JSON.stringify(value, null, 2)}\n` : stringify(value, { lineWidth: 0 }));
    if (flags['schema'] === true) {
      if (hasValueFlags(flags)) throw new UsageError('--schema shows the defaults: leave the flags for values out');
      if (isJson) print(jsonSchema(defaults));
      else terminal.out(annotatedValues(defaults));
    } else if (hasValueFlags(flags)) {
      print(valuesFromFlags(defaults, flags));
    } else {
      const cluster = await connect(flags);
      try {
        print((await installedValues(cluster, namespace)).values);
      } finally {
        cluster.close();
      }
    }
    return 0;
  },
};
