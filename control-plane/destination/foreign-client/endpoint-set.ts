import type { ForeignStream } from './client.ts';
import type { Message } from './wire.ts';

type Address = {
  readonly ip?: { readonly ipv4?: number; readonly ipv6?: { first?: bigint; last?: bigint } };
  port?: number;
};

/** `10.0.0.1:80` or `fd00:0:0:0:0:0:0:1:80`, from the numbers of the message. */
export function addressText(address: unknown): string {
  const { ip, port } = address as Address;
  if (ip?.ipv4 !== undefined) return `${[24, 16, 8, 0].map((bits) => (ip.ipv4! >>> bits) & 255).join('.')}:${port}`;
  const hextets = [ip?.ipv6?.first ?? 0n, ip?.ipv6?.last ?? 0n].flatMap((half) =>
    [48n, 32n, 16n, 0n].map((bits) => ((half >> bits) & 0xffffn).toString(16)),
  );
  return `[${hextets.join(':')}]:${port}`;
}

/** The message of an IPv4 address: big-endian number. */
export function tcpAddress(ip: string, port: number): Message {
  const ipv4 = ip.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  return { ip: { ipv4 }, port };
}

/** What a balancer knows from the updates of one stream. */
export class EndpointSet {
  readonly #stream: ForeignStream;
  readonly #endpoints = new Map<string, Message>();

  constructor(stream: ForeignStream) {
    this.#stream = stream;
  }

  get addresses(): readonly string[] {
    return [...this.#endpoints.keys()].sort();
  }

  endpoint(address: string): Message {
    const found = this.#endpoints.get(address);
    if (found === undefined) throw new Error(`${address} is none of ${this.addresses.join(', ')}`);
    return found;
  }

  /** Reads one update and does what it says. */
  async next(what: string): Promise<Message> {
    const update = await this.#stream.next(what);
    const { add, remove, no_endpoints: none } = update as Record<string, { addrs?: readonly Message[] } | undefined>;
    if (none !== undefined) this.#endpoints.clear();
    for (const endpoint of add?.addrs ?? []) this.#endpoints.set(addressText(endpoint['addr']), endpoint);
    for (const address of remove?.addrs ?? []) this.#endpoints.delete(addressText(address));
    return update;
  }

  /** Reads updates until exactly these addresses are known. */
  async until(...addresses: readonly string[]): Promise<void> {
    const wanted = addresses.toSorted().join(', ');
    do await this.next(`endpoints ${wanted || 'none'}; last known ${this.addresses.join(', ') || 'none'}`);
    while (this.addresses.join(', ') !== wanted);
  }
}
