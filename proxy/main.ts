import { VERSION } from '#config/version.ts';
import { createLogger } from '#runtime/log.ts';
import { onShutdown } from '#runtime/shutdown.ts';
import { ConfigError, EXIT_CONFIG, readConfig, type Config } from './config.ts';
import { Proxy } from './proxy.ts';

function main(): void {
  let config: Config;
  try {
    config = readConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    for (const problem of error.problems) process.stderr.write(`${problem}\n`);
    process.exit(EXIT_CONFIG);
  }
  const log = createLogger('proxy', config.logLevel, config.logFormat);
  const proxy = new Proxy(config, { log, version: VERSION });
  onShutdown(log, config.shutdownGraceMs, () => proxy.drain());
  proxy.start().catch((error: unknown) => {
    log.fatal({ err: error }, 'cannot start');
    process.exit(1);
  });
}

main();
