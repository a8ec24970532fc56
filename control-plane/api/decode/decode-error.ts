/** A message that does not say what the protocol requires. The message names the field and what is wrong with it. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';

  /** @param field  path of the field in the message, as `add.addrs[2].addr` */
  constructor(field: string, problem: string) {
    super(`${field}: ${problem}`);
  }
}
