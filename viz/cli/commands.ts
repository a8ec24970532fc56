import type { Command } from '../../cli/command.ts';

/** The commands of the viz extension, for the command line's table. */
export const VIZ_COMMANDS: readonly Command[] = [];
