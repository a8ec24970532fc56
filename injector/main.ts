// The injector process: gives pods their proxy.
import { createLogger } from '#runtime/log.ts';
import { onShutdown } from '#runtime/shutdown.ts';
import { readConfig, type Config } from './config.ts';
import { startInjector } from './process.ts';

const EXIT_CONFIGURATION = 64;
const DRAIN_MS = 10_000;

function main(): void {
  let config: Config;
  try {
    config = readConfig(process.env);
  } catch (error) {
    process.stderr.write(`injector: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(EXIT_CONFIGURATION);
  }
  const log = createLogger('injector', config.logLevel);
  startInjector(config, log).then(
    ({ stop }) => onShutdown(log, DRAIN_MS, stop),
    (error: unknown) => {
      log.fatal({ err: error }, 'cannot start');
      process.exit(1);
    },
  );
}

main();
