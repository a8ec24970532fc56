import { createServer, type Server, type Socket } from 'node:net';
import { listen } from './mesh.ts';

/** A TCP server whose connections outlive neither it nor the test. */
export class RawServer implements Disposable {
  readonly server: Server;
  readonly sockets = new Set<Socket>();
  /** Connections accepted so far. */
  accepted = 0;

  private constructor(server: Server) {
    this.server = server;
  }

  static async start(onConnection: (socket: Socket) => void): Promise<RawServer> {
    const server = createServer({ allowHalfOpen: true });
    const raw = new RawServer(server);
    server.on('connection', (socket) => {
      raw.accepted += 1;
      raw.sockets.add(socket);
      socket.on('error', () => {});
      socket.once('close', () => raw.sockets.delete(socket));
      onConnection(socket);
    });
    await listen(server);
    return raw;
  }

  get port(): number {
    const address = this.server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  [Symbol.dispose](): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}

/** Answers every request with the same bytes, whatever it is; understands requests without body only. */
export function answering(response: string | Buffer, isClosing = false): Promise<RawServer> {
  return RawServer.start((socket) => {
    let unread = '';
    socket.on('data', (chunk: Buffer) => {
      unread += chunk.toString('latin1');
      for (let end = unread.indexOf('\r\n\r\n'); end >= 0; end = unread.indexOf('\r\n\r\n')) {
        unread = unread.slice(end + 4);
        socket.write(response);
        if (isClosing) socket.end();
      }
    });
    socket.on('end', () => socket.end());
  });
}
