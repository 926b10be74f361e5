/** The forms in which a text may stand inside of another one. */

/** Cleans a plain text. The answer is the text itself if there is nothing to replace. */
type Clean = (text: string) => string;

/** Cleans whatever stands in the text in an encoded form. `opaque` names a value that cannot be cleaned and encoded again. */
export function cleanEncoded(text: string, clean: Clean, opaque: (value: string) => string): string {
  let out = cleanEscapes(text, clean);
  out = out.replace(PERCENTS, run => {
    const decoded = fromPercents(run);
    const cleaned = clean(decoded);
    return cleaned === decoded ? run : encodeURIComponent(cleaned);
  });
  out = out.replace(HEX, run => {
    const cleaned = cleanBytes(Buffer.from(run, 'hex'), clean);
    return cleaned === undefined ? run : Buffer.from(cleaned).toString('hex');
  });
  return out.replace(BASE64, run => cleanBase64(run, clean, opaque));
}

/** It begins where such a run begins, as tried at each place of a long one it would take the square of its length. */
const PERCENTS = /(?<![^\s"'<>/?&=#,;()[\]{}\\])[^\s"'<>/?&=#,;()[\]{}\\]*%[0-9A-Fa-f]{2}[^\s"'<>/?&=#,;()[\]{}\\]*/g;
const HEX = /(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{2}){6,}(?![0-9A-Za-z])/g;
/** Both alphabets. */
const BASE64 = /[A-Za-z0-9+/_-]{8,}={0,2}/g;

const fromPercents = (text: string): string =>
  text.replace(/(?:%[0-9A-Fa-f]{2})+/g, run => Buffer.from(run.replaceAll('%', ''), 'hex').toString());

/** Entities of HTML, and the escapes of JSON and JavaScript. */
const ESCAPES = /&#(\d{1,7});|&#x([0-9a-f]{1,6});|\\u([0-9a-f]{4})|\\x([0-9a-f]{2})|&(amp|lt|gt|quot|apos);/gi;
const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function cleanEscapes(text: string, clean: Clean): string {
  const decoded = text.replace(ESCAPES, (whole, decimal, hex, u, x, entity: string | undefined) => {
    if (entity !== undefined) return ENTITIES[entity.toLowerCase()] ?? whole;
    const code = decimal === undefined ? Number.parseInt(hex ?? u ?? x, 16) : Number(decimal);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
  if (decoded === text) return text;
  const cleaned = clean(decoded);
  return cleaned === decoded ? text : cleaned;
}

/** The cleaned text of the bytes; undefined: there is nothing to replace, or they are no text. */
function cleanBytes(bytes: Buffer, clean: Clean): string | undefined {
  const text = bytes.toString();
  if (!isText(text)) return undefined;
  const cleaned = clean(text);
  return cleaned === text ? undefined : cleaned;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: it looks for them.
const NOT_TEXT = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\ufffd]/;
const isText = (text: string): boolean => !NOT_TEXT.test(text);

/**
 * A run of the alphabet may be longer than what was encoded (`path/BASE64`), so every start in it is tried that differs in what it
 * decodes to. Where the run as a whole is text, it is encoded again, so that it can be sent again.
 */
function cleanBase64(run: string, clean: Clean, opaque: (value: string) => string): string {
  const whole = cleanBytes(Buffer.from(run, 'base64'), clean);
  if (whole !== undefined) {
    const encoding = /[-_]/.test(run) ? 'base64url' : 'base64';
    return Buffer.from(whole).toString(encoding);
  }
  const parts = new Set([run, ...run.split(/[/+_-]/).filter(part => part.length >= 8)]);
  for (const part of parts) {
    for (let start = 0; start < 4; start++) {
      const decoded = Buffer.from(part.slice(start), 'base64').toString();
      for (const piece of decoded.split(new RegExp(NOT_TEXT, 'g'))) {
        if (piece.length >= 4 && clean(piece) !== piece) return opaque(run);
      }
    }
  }
  return run;
}
