const ESCAPES: Record<string, string> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};

/**
 * JSON as Go's encoding/json writes it, and with it kube-apiserver: without the characters that mean something in HTML, or
 * end a line in JavaScript (clients that read a watch line by line would split an event there).
 */
export const goJson = (value: unknown): string =>
  JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, character => ESCAPES[character] ?? character);
