// The image's entry point: `tulle.cjs <process> [arguments]` loads that process's bundle. Only ever run as a CommonJS bundle.
import { enableCompileCache, flushCompileCache } from 'node:module';

declare const __dirname: string;
declare const require: (id: string) => unknown;

const EXIT_CONFIGURATION = 64;
const name = process.argv[2] ?? '';

if (!/^[a-z][a-z-]*$/.test(name)) {
  process.stderr.write(`tulle: the first argument must name a process, such as identity or proxy, and is "${name}"\n`);
  process.exit(EXIT_CONFIGURATION);
}
// Compiled code comes with the image, or is kept where that can be written: a process then starts in half the time.
enableCompileCache({ directory: `${__dirname}/.compile-cache`, portable: true });
process.argv.splice(2, 1);
try {
  require(`${__dirname}/${name}.cjs`);
} catch (error) {
  if ((error as NodeJS.ErrnoException).code === 'MODULE_NOT_FOUND' && String(error).includes(`/${name}.cjs'`)) {
    process.stderr.write(`tulle: there is no process named "${name}" in this image\n`);
    process.exit(EXIT_CONFIGURATION);
  }
  throw error;
}
setTimeout(flushCompileCache, 2_000).unref();
