import { attributePath, decodeAttributes } from './attributes.ts';
import { align4, host16, host32, readHost16, readHost32 } from './bytes.ts';
import { checked, EAGAIN, errnoName, intBuffer, lastErrno, libc, SOCK_CLOEXEC, SOCK_RAW, SOL_SOCKET } from './libc.ts';
import { inNetns } from './namespace.ts';

/** One netlink message. The header is made at sending; `body` begins with a fixed part of `fixedBytes` bytes. */
export type Message = {
  readonly what: string; // in error messages: "rule output loopback"
  readonly type: number;
  readonly flags: number;
  readonly fixedBytes: number;
  readonly body: Buffer;
};

/** One part of an answer, without the netlink header. */
export type Reply = { readonly type: number; readonly body: Buffer };

/** Flags of the netlink header (linux/netlink.h). */
export const FLAG = { ack: 4, replace: 0x100, exclusive: 0x200, create: 0x400, append: 0x800, dump: 0x300 } as const;

const FLAG_REQUEST = 1;
const FLAG_DUMP_INTERRUPTED = 0x10;
const FLAG_CAPPED = 0x100;
const FLAG_EXTENDED = 0x200;
const TYPE_ERROR = 2;
const TYPE_DONE = 3;
const AF_NETLINK = 16;
const PROTOCOL = { route: 0, netfilter: 12 } as const;
const SOL_NETLINK = 270;
/** CAP_ACK, EXT_ACK, GET_STRICT_CHK: shorter and better answers. Old kernels lack some of them. */
const WISHED_OPTIONS = [10, 11, 12];
const SO_SNDBUF = 7;
const MSG_DONTWAIT = 0x40;
const MSG_TRUNC = 0x20;
/** A batch must fit in the send buffer: 4 MiB hold about 4000 Services. The kernel limits it to net.core.wmem_max. */
const SEND_BUFFER_BYTES = 4 << 20;
const RECEIVE_BYTES = 64 << 10;
const HEADER_BYTES = 16;
const DUMP_ATTEMPTS = 10;

/** The kernel refused messages. `code` is the first refusal's errno name; the text has one part for each. */
export class NetlinkError extends Error {
  override readonly name = 'NetlinkError';
  readonly code: string;

  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

/**
 * A netlink socket. It acts on the network namespace it was made in, wherever the calling thread is later.
 *
 * The kernel does the work inside send(), so all methods are synchronous and take as long as the work itself.
 */
export class Netlink implements Disposable {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafe(RECEIVE_BYTES);
  #sequence = 0;
  #isOpen = true;

  /** @param netns  path or descriptor of a namespace, absent for the current one */
  constructor(protocol: keyof typeof PROTOCOL, netns?: string | number) {
    const open = (): number =>
      checked('socket(AF_NETLINK)', libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, PROTOCOL[protocol]));
    this.#fd = netns === undefined ? open() : inNetns(netns, open);
    try {
      for (const option of WISHED_OPTIONS) libc.setsockopt(this.#fd, SOL_NETLINK, option, intBuffer(1), 4);
      const size = intBuffer(SEND_BUFFER_BYTES);
      checked('setsockopt(SO_SNDBUF)', libc.setsockopt(this.#fd, SOL_SOCKET, SO_SNDBUF, size, 4));
      const anyAddress = Buffer.concat([host16(AF_NETLINK), Buffer.alloc(10)]);
      checked('bind(AF_NETLINK)', libc.bind(this.#fd, anyAddress, anyAddress.length));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (this.#isOpen) libc.close(this.#fd);
    this.#isOpen = false;
  }

  /**
   * Sends messages in one datagram and collects the answers.
   *
   * @throws NetlinkError  naming every message that was refused, why and at which attribute
   */
  request(messages: readonly Message[]): Reply[] {
    const sent = new Map<number, Message>();
    const parts: Buffer[] = [];
    for (const message of messages) {
      this.#sequence = (this.#sequence + 1) >>> 0;
      sent.set(this.#sequence, message);
      parts.push(header(message, this.#sequence), message.body);
    }
    const data = Buffer.concat(parts);
    const call = `send of ${messages.length} netlink messages, ${data.length} bytes`;
    checked(call, libc.send(this.#fd, data, data.length, 0));

    const answers = new Answers(sent);
    for (let part = this.#receive(); part !== undefined; part = this.#receive()) answers.read(part);
    return answers.finish();
  }

  /** Reads a listing; starts again when it changed meanwhile. */
  dump(message: Message): Reply[] {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return this.request([{ ...message, flags: message.flags | FLAG.dump }]);
      } catch (error) {
        if (!(error instanceof NetlinkError) || error.code !== 'EINTR' || attempt >= DUMP_ATTEMPTS) throw error;
      }
    }
  }

  #receive(): Buffer | undefined {
    const length = libc.recv(this.#fd, this.#buffer, this.#buffer.length, MSG_DONTWAIT | MSG_TRUNC);
    if (length < 0 && lastErrno() === EAGAIN) return undefined;
    checked('recv(AF_NETLINK)', length);
    if (length > this.#buffer.length) throw new NetlinkError(`netlink answer of ${length} bytes is cut`, 'EMSGSIZE');
    return this.#buffer.subarray(0, length);
  }
}

/** What the kernel says to the messages of one request. */
class Answers {
  readonly #sent: ReadonlyMap<number, Message>;
  readonly #replies: Reply[] = [];
  readonly #refusals: string[] = [];
  #code = '';
  #finished = 0;
  #isInterrupted = false;

  constructor(sent: ReadonlyMap<number, Message>) {
    this.#sent = sent;
  }

  read(datagram: Buffer): void {
    for (let offset = 0; offset + HEADER_BYTES <= datagram.length;) {
      const length = readHost32(datagram, offset);
      if (length < HEADER_BYTES || offset + length > datagram.length) break;
      this.#message(datagram.subarray(offset, offset + length));
      offset += align4(length);
    }
  }

  finish(): Reply[] {
    if (this.#refusals.length > 0) throw new NetlinkError(this.#refusals.join('; '), this.#code);
    if (this.#isInterrupted) throw new NetlinkError('listing was interrupted by a change', 'EINTR');
    const expectsEnd = [...this.#sent.values()].some(({ flags }) => (flags & (FLAG.ack | FLAG.dump)) !== 0);
    if (expectsEnd && this.#finished === 0) throw new NetlinkError('the kernel did not answer', 'EPROTO');
    return this.#replies;
  }

  #message(bytes: Buffer): void {
    const type = readHost16(bytes, 4);
    const flags = readHost16(bytes, 6);
    const sent = this.#sent.get(readHost32(bytes, 8));
    if (sent === undefined) return;
    if ((flags & FLAG_DUMP_INTERRUPTED) !== 0) this.#isInterrupted = true;
    const body = bytes.subarray(HEADER_BYTES);
    if (type !== TYPE_ERROR && type !== TYPE_DONE) {
      this.#replies.push({ type, body: Buffer.from(body) }); // a copy: the receive buffer is used again
      return;
    }
    this.#finished += 1;
    const errno = body.length < 4 ? 0 : -readHost32(body, 0) | 0;
    if (errno === 0) return;
    const code = errnoName(errno);
    if (this.#code === '') this.#code = code;
    this.#refusals.push(`${sent.what}: ${code}${type === TYPE_ERROR ? explanation(body, flags, sent) : ''}`);
  }
}

function header(message: Message, sequence: number): Buffer {
  const length = HEADER_BYTES + message.body.length;
  const kernel = 0;
  return Buffer.concat([
    host32(length),
    host16(message.type),
    host16(message.flags | FLAG_REQUEST),
    host32(sequence),
    host32(kernel),
  ]);
}

/** The extended part of a refusal: a text, the attribute that was not liked, one that is missing. */
function explanation(body: Buffer, flags: number, sent: Message): string {
  if ((flags & FLAG_EXTENDED) === 0) return '';
  const echoed = (flags & FLAG_CAPPED) !== 0 ? HEADER_BYTES : align4(readHost32(body, 4));
  let text = '';
  for (const [type, value] of decodeAttributes(body.subarray(4 + echoed))) {
    if (type === 1) text += ` (${value.toString('utf8', 0, value.length - 1)})`;
    if (type === 2) {
      const offset = readHost32(value, 0) - HEADER_BYTES - sent.fixedBytes;
      text += ` at attribute ${attributePath(sent.body.subarray(sent.fixedBytes), offset)}`;
    }
    if (type === 5) text += ` for lack of attribute ${readHost32(value, 0)}`;
  }
  return text;
}
