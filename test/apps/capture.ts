// Looks at every packet on an interface of its pod and counts: TCP payloads from or to a port, how many of them look like
// the beginning of TLS records, and how many hold a marker. Prints one JSON line a second.
import koffi from 'koffi';

const [networkInterface = 'eth0', portText = '4143', marker = ''] = process.argv.slice(2);
const PORT = Number(portText);
const AF_PACKET = 17;
const SOCK_RAW = 3;
const ETH_P_ALL = 0x0003;
const MSG_DONTWAIT = 0x40;
const ETHERNET_BYTES = 14;
const POLL_MS = 1;

const libc = koffi.load(null);
const socket = libc.func('int socket(int, int, int)');
const bind = libc.func('int bind(int, const void *, uint32_t)');
const indexOf = libc.func('uint32_t if_nametoindex(const char *)');
const recv = libc.func('intptr_t recv(int, void *, uintptr_t, int)');

const counts = { packets: 0, payloads: 0, tlsRecords: 0, withMarker: 0, onPort: 0 };
const needle = Buffer.from(marker);

function open(): number {
  const protocol = ((ETH_P_ALL & 0xff) << 8) | (ETH_P_ALL >> 8);
  const fd = socket(AF_PACKET, SOCK_RAW, protocol) as number;
  if (fd < 0) throw new Error(`no packet socket (errno ${koffi.errno()}): the container needs NET_RAW`);
  const address = Buffer.alloc(20); // sockaddr_ll
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16LE(protocol, 2);
  const index = indexOf(networkInterface) as number;
  if (index === 0) throw new Error(`there is no interface ${networkInterface}`);
  address.writeInt32LE(index, 4);
  if ((bind(fd, address, address.length) as number) < 0)
    throw new Error(`cannot bind to ${networkInterface} (errno ${koffi.errno()})`);
  return fd;
}

function look(packet: Buffer): void {
  counts.packets += 1;
  if (needle.length > 0 && packet.includes(needle)) counts.withMarker += 1;
  if (packet.readUInt16BE(12) !== 0x0800 || packet[ETHERNET_BYTES + 9] !== 6) return; // IPv4, TCP
  const ipBytes = ((packet[ETHERNET_BYTES] ?? 0) & 0x0f) * 4;
  const tcp = ETHERNET_BYTES + ipBytes;
  const isOnPort = packet.readUInt16BE(tcp) === PORT || packet.readUInt16BE(tcp + 2) === PORT;
  const end = ETHERNET_BYTES + packet.readUInt16BE(ETHERNET_BYTES + 2);
  const payload = packet.subarray(tcp + ((packet[tcp + 12] ?? 0) >> 4) * 4, end);
  if (payload.length === 0) return;
  counts.payloads += 1;
  if (!isOnPort) return;
  counts.onPort += 1;
  const type = payload[0] ?? 0;
  if (type >= 0x14 && type <= 0x17 && payload[1] === 0x03) counts.tlsRecords += 1;
}

const fd = open();
const buffer = Buffer.alloc(65_536);
setInterval(() => {
  for (;;) {
    const bytes = Number(recv(fd, buffer, buffer.length, MSG_DONTWAIT));
    if (bytes <= 0) return;
    look(buffer.subarray(0, bytes));
  }
}, POLL_MS);
setInterval(() => process.stdout.write(`${JSON.stringify(counts)}\n`), 500);
process.on('SIGTERM', () => process.exit(0));
