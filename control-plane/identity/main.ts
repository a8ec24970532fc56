// The identity process: signs certificates of workloads.
import { findConnection } from '#k8s/connection.ts';
import { EnvironmentError } from '#runtime/environment.ts';
import { createLogger } from '#runtime/log.ts';
import { onShutdown } from '#runtime/shutdown.ts';
import { readIdentityConfig, type IdentityConfig } from './config.ts';
import { startIdentity } from './process.ts';

const EXIT_USAGE = 64;

async function main(): Promise<void> {
  const log = createLogger('identity');
  let config: IdentityConfig;
  try {
    config = readIdentityConfig(process.env);
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    log.fatal(error.message);
    process.exit(EXIT_USAGE);
  }
  log.level = config.logLevel;
  try {
    const running = await startIdentity(config, await findConnection(config.kubernetes), log);
    onShutdown(log, config.shutdownGraceMs, running.stop);
    await running.port;
  } catch (error) {
    log.fatal({ err: error }, 'cannot start');
    process.exit(1);
  }
}

void main();
