import { pino, type Logger } from 'pino';

export type { Logger } from 'pino';

/** Levels that a process accepts for its log, quietest last. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * One JSON logger for a process. Lines go to standard error synchronously, so that the last line before a crash is kept.
 *
 * @param component  name of the process, in every line as `component`
 */
export function createLogger(component: string, level: LogLevel = 'info'): Logger {
  return pino(
    {
      level,
      base: { component },
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      // A secret that reaches a log object by mistake must not reach the log.
      redact: { paths: ['token', 'key', 'privateKey', '*.token', '*.key', '*.privateKey'], censor: '[redacted]' },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
