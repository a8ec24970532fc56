import { runProgram } from './program.ts';
import { standardTerminal } from './terminal.ts';

void runProgram(process.argv.slice(2), standardTerminal(process)).then((code) => (process.exitCode = code));
