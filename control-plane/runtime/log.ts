import { pino, type Logger } from 'pino';

export type { Logger } from 'pino';

/** Levels that a process accepts for its log, quietest last. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ['plain', 'json'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/**
 * One logger for a process. Lines go to standard error synchronously, so that the last line before a crash is kept.
 *
 * @param component  name of the process, in every line as `component`
 * @param format     JSON, or lines for people
 */
export function createLogger(component: string, level: LogLevel = 'info', format: LogFormat = 'json'): Logger {
  const output = pino.destination({ dest: 2, sync: true });
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
    format === 'json' ? output : { write: (line: string) => void output.write(plain(line)) },
  );
}

/** `time LEVEL component: message key=value ...` of a line of JSON. */
function plain(line: string): string {
  const { time, level, component, message, ...rest } = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const fields = Object.entries(rest).map(([key, value]) => ` ${key}=${JSON.stringify(value)}`);
  return `${String(time)} ${String(level).toUpperCase()} ${String(component)}: ${String(message)}${fields.join('')}\n`;
}
