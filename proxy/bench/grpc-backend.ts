// A gRPC server on the ports of its arguments: sends back the messages of a call, then trailers with its status.
import { createServer, type ServerHttp2Stream } from 'node:http2';

const HEAD = { ':status': 200, 'content-type': 'application/grpc' };

function answer(stream: ServerHttp2Stream): void {
  stream.on('error', () => {}); // the load is over
  stream.respond(HEAD, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
  stream.pipe(stream);
}

for (const port of process.argv.slice(2)) {
  const server = createServer({ settings: { maxConcurrentStreams: 1000 } });
  server.on('stream', answer);
  server.on('sessionError', () => {});
  server.listen(Number(port));
}
