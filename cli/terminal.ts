import type { Terminal } from './command.ts';

/** The terminal of this process. A reader that goes away (`tulle install | head`) ends it, which is no failure. */
export function standardTerminal(of: NodeJS.Process): Terminal {
  for (const stream of [of.stdout, of.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => of.exit(error.code === 'EPIPE' ? 0 : 1));
  }
  const { NO_COLOR = '', TERM } = of.env;
  return {
    out: (text) => void of.stdout.write(text),
    err: (text) => void of.stderr.write(text),
    isColoured: of.stdout.isTTY && NO_COLOR === '' && TERM !== 'dumb', // https://no-color.org
    readStdin: async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of of.stdin) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString();
    },
  };
}
