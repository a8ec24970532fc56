import { writeFileSync } from 'node:fs';
import { VERSION } from '#config/version.ts';
import { createLogger } from '#runtime/log.ts';
import { onShutdown } from '#runtime/shutdown.ts';
import { ConfigError, EXIT_CONFIG, readConfig, type Config } from './config.ts';
import { giveMemoryBackWhenIdle } from './idle-memory.ts';
import { Proxy } from './proxy.ts';

/** Kubernetes shows it as the message of the terminated container. */
const TERMINATION_LOG = '/dev/termination-log';

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
  onShutdown(log, config.shutdownGraceMs, () => {
    leaveLastWords(proxy.problem);
    return proxy.drain();
  });
  giveMemoryBackWhenIdle();
  proxy.start().catch((error: unknown) => {
    log.fatal({ err: error }, 'cannot start');
    process.exit(1);
  });
}

/** The kubelet ends a proxy that did not become ready, and says of that only the status of the probe: this says why. */
function leaveLastWords(problem: string | undefined): void {
  if (problem === undefined) return;
  try {
    writeFileSync(TERMINATION_LOG, `${problem}\n`, { flag: 'r+' }); // outside of Kubernetes there is none
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

main();
