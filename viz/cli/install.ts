import { defaultValues } from '#config/values.ts';
import { validateValues } from '#config/validate.ts';
import { VERSION } from '#config/version.ts';
import { MANIFEST_FORMAT, manifestText } from '../../cli/manifest-output.ts';
import { inFlags } from '../../cli/values-flags.ts';
import { textFlag, UsageError, type Command } from '../../cli/command.ts';
import { vizManifests } from '../install/manifest.ts';

const defaults = defaultValues(VERSION);

export const vizInstall: Command = {
  path: ['viz', 'install'],
  summary: 'Print the manifest of the viz extension, for `kubectl apply -f -`.',
  flags: {
    image: { type: 'string', value: 'NAME', default: defaults.image, help: 'image of every process, without tag' },
    'identity-trust-domain': {
      type: 'string',
      value: 'DOMAIN',
      default: defaults.identityTrustDomain,
      help: 'trust domain of the identities',
    },
    output: MANIFEST_FORMAT,
  },
  examples: ['tulle viz install | kubectl apply -f -'],
  run: async ({ flags, terminal }) => {
    const values = {
      ...defaults,
      image: textFlag(flags, 'image'),
      identityTrustDomain: textFlag(flags, 'identity-trust-domain'),
    };
    const problems = validateValues(values);
    if (problems.length > 0) throw new UsageError(problems.map(inFlags).join('; '));
    const objects = vizManifests(values);
    terminal.out(manifestText(objects, flags));
    return 0;
  },
};
