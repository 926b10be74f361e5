import { request } from 'node:https';

export interface Server {
  url: string;
  /** PEM. */
  ca: string;
  token: string;
}

export interface Answer {
  code: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

const PATIENCE_MS = 60_000;

/**
 * Sends one request and reads its whole answer. A body that is not a string is sent as JSON. Each request has its own connection, so
 * that none is left over from before a restart of the server. Rejects if the server sends nothing for 60 s.
 */
export function ask(
  { url, ca, token }: Server,
  method: string,
  path: string,
  body?: unknown,
  contentType = 'application/json',
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = {
      Authorization: `Bearer ${token}`,
      Accept: 'application/json',
      ...(body !== undefined && { 'Content-Type': contentType }),
    };
    const sent = request(url + path, { method, ca, headers, agent: false, timeout: PATIENCE_MS }, response => {
      let text = '';
      response.setEncoding('utf8').on('data', chunk => {
        text += chunk;
      });
      response.on('end', () => resolve({ code: response.statusCode ?? 0, headers: response.headers, body: text }));
      response.on('error', reject);
    });
    sent.on('timeout', () => sent.destroy(new Error(`no answer from ${url} within ${PATIENCE_MS / 1000} s`)));
    sent.on('error', reject);
    sent.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body));
  });
}
