/** The image cannot be built; the message says why and what to do. */
export class ImageError extends Error {}
