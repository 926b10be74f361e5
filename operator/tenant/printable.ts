/**
 * What others wrote, made fit for a status, an event or a terminal: no control characters, and none that turn the
 * direction of what follows.
 */
export const printable = (text: string): string => text.replace(/[\p{Cc}\p{Bidi_Control}]+/gu, ' ');

/** In quotes, and cut, so that it does not crowd out what is said about it. */
export const quoted = (text: string): string => `"${printable(text.length > 100 ? `${text.slice(0, 100)}…` : text)}"`;
