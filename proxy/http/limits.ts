/** What a message head may cost. Heads beyond a limit are refused, never truncated. */
export const HEAD_BYTES_MAX = 64 * 1024;
export const FIELD_COUNT_MAX = 128;
/** Chunk extensions of one chunk, and trailers of one message. */
export const CHUNK_LINE_BYTES_MAX = 1024;
export const TRAILER_BYTES_MAX = 16 * 1024;
