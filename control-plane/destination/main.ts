// The destination process: tells proxies where requests go and who may come in.
import { findConnection } from '#k8s/connection.ts';
import { EnvironmentError } from '#runtime/environment.ts';
import { createLogger } from '#runtime/log.ts';
import { onShutdown } from '#runtime/shutdown.ts';
import { readDestinationConfig, type DestinationConfig } from './config.ts';
import { startDestination } from './process.ts';

const EXIT_USAGE = 64;

async function main(): Promise<void> {
  const log = createLogger('destination');
  let config: DestinationConfig;
  try {
    config = readDestinationConfig(process.env);
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    log.fatal(error.message);
    process.exit(EXIT_USAGE);
  }
  log.level = config.logLevel;
  try {
    const running = await startDestination(config, await findConnection(config.kubernetes), log);
    onShutdown(log, config.shutdownGraceMs, running.stop);
    await running.ports;
  } catch (error) {
    log.fatal({ err: error }, 'cannot start');
    process.exit(1);
  }
}

void main();
