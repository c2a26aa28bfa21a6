// The public face; index.d.ts has the types, README.md the first steps.

export { load } from "./classifier.js";
export { selfTest } from "./selftest.js";
