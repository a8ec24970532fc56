/** Source: grpc `doc/PROTOCOL-HTTP2.md`: a flag for compression, and the length. */
const PREFIX_BYTES = 5;

/** A message as DATA carries it. */
export function frameMessage(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
  framed[0] = 0;
  framed.writeUInt32BE(message.length, 1);
  message.copy(framed, PREFIX_BYTES);
  return framed;
}

/** What cannot be read of a stream of messages. */
export class MessageError extends Error {
  override readonly name = 'MessageError';
}

/** Takes the messages of one stream out of its DATA. */
export class MessageReader {
  readonly #bytesMax: number;
  #parts: Buffer[] = [];
  #bytes = 0; // of the parts
  #wanted = PREFIX_BYTES; // until something can be done with them

  /** @param bytesMax  of one message */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /**
   * @param bytes  valid until this returns; messages are copies
   * @returns the messages that are complete now
   * @throws MessageError  for one that is compressed or too large
   */
  read(bytes: Buffer): readonly Buffer[] {
    this.#parts.push(Buffer.from(bytes));
    this.#bytes += bytes.length;
    if (this.#bytes < this.#wanted) return [];
    const messages: Buffer[] = [];
    let rest = Buffer.concat(this.#parts);
    this.#wanted = PREFIX_BYTES;
    while (rest.length >= PREFIX_BYTES) {
      const length = rest.readUInt32BE(1);
      if (rest[0] !== 0) throw new MessageError('a compressed message');
      if (length > this.#bytesMax) throw new MessageError(`a message of ${length} bytes, more than ${this.#bytesMax}`);
      const end = PREFIX_BYTES + length;
      if (rest.length < end) {
        this.#wanted = end;
        break;
      }
      messages.push(rest.subarray(PREFIX_BYTES, end));
      rest = rest.subarray(end);
    }
    this.#parts = rest.length === 0 ? [] : [rest];
    this.#bytes = rest.length;
    return messages;
  }
}
