import { toJson, toYaml, type Manifest } from '../control-plane/install/manifest.ts';
import { textFlag, type Flag, type FlagValues } from './command.ts';

/** `-o` of commands that print manifests. */
export const MANIFEST_FORMAT: Flag = {
  type: 'string',
  short: 'o',
  value: 'FORMAT',
  default: 'yaml',
  choices: ['yaml', 'json'],
  help: 'format of the manifest',
};

/** Objects in the format of `-o`. */
export function manifestText(objects: readonly Manifest[], flags: FlagValues): string {
  return textFlag(flags, 'output') === 'json' ? toJson(objects) : toYaml(objects);
}
