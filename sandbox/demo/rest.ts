import type { JsonObject } from '../../ports/json.ts';
import { Failure } from '../progress.ts';

/** Calls the local Google Cloud as anybody with curl would. Throws `Failure` with what it answered. */
export async function rest(cloudUrl: string, method: 'GET' | 'POST', path: string, body?: object): Promise<JsonObject> {
  const response = await fetch(`${cloudUrl}/${path}`, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  const text = await response.text();
  if (!response.ok) throw new Failure(`Google Cloud answered ${response.status} to ${method} ${path}: ${text}`);
  return JSON.parse(text) as JsonObject;
}
