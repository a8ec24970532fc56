import type { Command } from '../../cli/command.ts';
import { vizDashboard } from './dashboard.ts';
import { vizEdges } from './edges.ts';
import { vizInstall } from './install.ts';
import { vizRoutes } from './routes.ts';
import { vizStat } from './stat.ts';
import { vizTap } from './tap.ts';
import { vizTop } from './top.ts';

/** The commands of the viz extension, for the command line's table. */
export const VIZ_COMMANDS: readonly Command[] = [
  vizInstall,
  vizDashboard,
  vizStat,
  vizEdges,
  vizRoutes,
  vizTap,
  vizTop,
];
