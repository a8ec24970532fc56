// HTTP on 8080 with bodies of every framing and upgrades to an echo of bytes, and TCP on 9000 that echoes bytes and half-closes when the client does.
import { createHash } from 'node:crypto';
import { createServer as createHttp } from 'node:http';
import { createServer as createTcp } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';

const CHUNK_BYTES = 64 * 1024;

function* pattern(length: number): Generator<Buffer> {
  for (let offset = 0; offset < length; offset += CHUNK_BYTES) {
    yield Buffer.from(
      Array.from(
        { length: Math.min(CHUNK_BYTES, length - offset) },
        (_, index) => ((offset + index) * 31 + ((offset + index) >> 8)) & 0xff,
      ),
    );
  }
}

let isEnding = false;

const server = createHttp(async (request, response) => {
  // Whoever keeps a connection learns in time that it is no longer good.
  if (isEnding) response.setHeader('connection', 'close');
  const [, verb = '', argument = '0'] = (request.url ?? '/').split('/');
  if (verb === 'sized') {
    response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': Number(argument) });
    if (request.method === 'HEAD') response.end();
    else await pipeline(Readable.from(pattern(Number(argument))), response);
  } else if (verb === 'chunked') {
    response.writeHead(200, { 'content-type': 'application/octet-stream', trailer: 'x-checked' });
    for (const chunk of pattern(Number(argument)))
      if (!response.write(chunk)) await new Promise((resolve) => response.once('drain', resolve));
    response.addTrailers({ 'x-checked': 'yes' });
    response.end();
  } else if (verb === 'status') {
    response.writeHead(Number(argument), { etag: '"one"' });
    response.end();
  } else if (verb === 'upload') {
    const hash = createHash('sha256');
    let length = 0;
    for await (const chunk of request) {
      hash.update(chunk as Buffer);
      length += (chunk as Buffer).length;
    }
    response.end(`${length} ${hash.digest('hex')}\n`);
  } else {
    response.setHeader('x-seen-client-id', request.headers['l5d-client-id'] ?? 'none');
    response.end(`hello from ${process.env['HOSTNAME'] ?? 'nowhere'}\n`);
  }
});
server.on('upgrade', (_request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n');
  socket.on('error', () => socket.destroy());
  socket.pipe(socket);
});
server.keepAliveTimeout = 60_000;
server.listen(8080);

const echo = createTcp({ allowHalfOpen: true }, (socket) => {
  socket.pipe(socket);
  socket.on('error', () => socket.destroy());
}).listen(9000);

// Endpoints and the rules of kube-proxy still name this pod for a while after SIGTERM, seconds on a slow machine: serve on
// until they do not.
process.on('SIGTERM', () => {
  isEnding = true;
  setTimeout(() => {
    echo.close();
    server.close(() => process.exit(0));
    server.closeIdleConnections();
    setTimeout(() => process.exit(0), 5_000).unref();
  }, 5_000);
});
