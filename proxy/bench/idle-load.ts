// Many connections that do nothing: `idle-load.ts IP PORT COUNT` sends one request on each, says `ready`, and keeps them.
import { connect } from 'node:net';

const [host = '', port = '', count = '1'] = process.argv.slice(2);
const REQUEST = `GET /s HTTP/1.1\r\nhost: ${host}\r\n\r\n`;
const AT_ONCE = 50;
let begun = 0;

function open(): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect({ host, port: Number(port) }, () => socket.write(REQUEST));
    socket.on('error', reject);
    socket.on('end', () => reject(new Error(`ended after ${answer}`)));
    socket.on('data', (data: Buffer) => {
      answer += data.toString('latin1');
      if (answer.includes('hello mesh')) resolve();
    });
  });
}

async function openAll(): Promise<void> {
  while (begun < Number(count)) {
    begun += 1;
    await open();
  }
}

await Promise.all(Array.from({ length: AT_ONCE }, openAll));
process.stdout.write('ready\n');
