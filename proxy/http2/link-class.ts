const MIB = 1024 * 1024;

/** Who is at the other end of a connection, and what it may cost before it counts as abuse. */
export type LinkClass = {
  /** A silent peer is asked for a sign of life. gRPC servers take that for abuse. */
  readonly isPinging: boolean;
  /** Streams that the peer resets, or that end because it breaks the rules: at once, and a second in the long run. */
  readonly resetsMax: number;
  readonly resetsPerSecond: number;
  /** What all streams hold back because the peer's windows are full. */
  readonly heldBytesMax: number;
};

/** An application that opened the connection: one program, which is not trusted. */
export const CLIENT_LINK: LinkClass = {
  isPinging: true,
  resetsMax: 1000,
  resetsPerSecond: 200,
  heldBytesMax: 16 * MIB,
};

/** An application that we opened the connection to. */
export const SERVER_LINK: LinkClass = { ...CLIENT_LINK, isPinging: false, heldBytesMax: 64 * MIB };

/** Another proxy, verified: it speaks for all clients of a pod, whose cancels come in bursts. */
export const MESH_LINK: LinkClass = {
  isPinging: true,
  resetsMax: 20_000,
  resetsPerSecond: 5000,
  heldBytesMax: 64 * MIB,
};
