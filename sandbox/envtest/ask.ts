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
 * One request and its whole answer; a body that is no string goes as JSON. Always a connection of its own, so that none
 * outlives a restart of the server. Rejects if no answer comes.
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
    sent.on('timeout', () => sent.destroy(new Error('no answer')));
    sent.on('error', reject);
    sent.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body));
  });
}
