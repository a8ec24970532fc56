import type { Command } from '../../cli/command.ts';
import { multiclusterAnchor } from './anchor.ts';
import { multiclusterCheck } from './check.ts';
import { multiclusterGateways } from './gateways.ts';
import { multiclusterInstall } from './install.ts';
import { multiclusterLink } from './link.ts';
import { multiclusterUnlink } from './unlink.ts';

/** The commands of the multicluster extension, for the command line's table. */
export const MULTICLUSTER_COMMANDS: readonly Command[] = [
  multiclusterAnchor,
  multiclusterInstall,
  multiclusterLink,
  multiclusterGateways,
  multiclusterCheck,
  multiclusterUnlink,
];
