/** The version of everything that this checkout builds. A test holds it equal to package.json. */
export const VERSION = '0.1.0';
