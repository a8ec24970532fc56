// proxy-init: redirects the pod's TCP connections to its proxy, once, before any other container of the pod starts.
import { createLogger, type Logger } from '#runtime/log.ts';

const EXIT_USAGE = 64;

/** Imports late, so that a machine on which the native addon does not load gets a sentence and not a stack trace. */
async function main(log: Logger, args: readonly string[]): Promise<number> {
  const { parseOptions, UsageError } = await import('./options.ts');
  const { installRedirect } = await import('./program.ts');
  const { formatPortRanges } = await import('#netlink/port-ranges.ts');
  const { nftablesRemedy } = await import('#netlink/refusal.ts');
  try {
    const options = parseOptions(args);
    const startedAtMs = performance.now();
    const layout = installRedirect(options);
    const { inboundPort, outboundPort, exemption } = options;
    const inboundSkip = formatPortRanges(options.inboundSkip);
    const outboundSkip = formatPortRanges(options.outboundSkip);
    const tookMs = Math.round(performance.now() - startedAtMs);
    log.info(
      { inboundPort, outboundPort, exemption, inboundSkip, outboundSkip, layout, tookMs },
      "the pod's TCP connections are redirected to the proxy",
    );
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      log.fatal(error.message);
      return EXIT_USAGE;
    }
    const remedy = nftablesRemedy(error);
    if (remedy === undefined) log.fatal({ err: error }, 'cannot redirect connections');
    else log.fatal(remedy);
    return 1;
  }
}

const log = createLogger('proxy-init');
main(log, process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    log.fatal(
      `the native addon koffi does not load (${reason}): install the packages again for this machine with \`npm ci\``,
    );
    process.exitCode = 1;
  },
);
