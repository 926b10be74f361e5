import type { iam_v1 } from '@googleapis/iam';
import type { JsonObject } from '../ports.ts';
import { isObject, json, text } from './parse.ts';
import type { Stub } from './restStub.ts';
import { CallError, type Send } from './transport.ts';

/**
 * Service accounts: IAM v1, which has no generated gRPC-style client for Node.js, through `@googleapis/iam`, whose
 * requests and answers are JSON already. Here they get the proto's names: google.iam.admin.v1.IAM.
 */

/** What googleapis-common hands to an auth client. */
interface VendorRequest {
  url: string | URL;
  method?: string;
  headers?: Headers;
  params?: Record<string, string | number | boolean>;
  data?: unknown;
  signal?: AbortSignal;
}

type Accounts = iam_v1.Resource$Projects$Serviceaccounts;
type VendorOptions = { signal: AbortSignal };

const CALLS: Record<
  string,
  (accounts: Accounts, request: JsonObject, options: VendorOptions) => Promise<{ data: unknown }>
> = {
  GetServiceAccount: (accounts, { name }, options) => accounts.get({ name: text(name) }, options),
  ListServiceAccounts: (accounts, { name, pageSize, pageToken }, options) =>
    accounts.list(
      {
        name: text(name),
        ...(typeof pageSize === 'number' && { pageSize }),
        ...(typeof pageToken === 'string' && { pageToken }),
      },
      options,
    ),
  CreateServiceAccount: (accounts, { name, ...requestBody }, options) =>
    accounts.create({ name: text(name), requestBody }, options),
  PatchServiceAccount: (accounts, request, options) => {
    const name = isObject(request.serviceAccount) ? text(request.serviceAccount.name) : '';
    return accounts.patch({ name, requestBody: request }, options);
  },
  EnableServiceAccount: (accounts, { name }, options) =>
    accounts.enable({ name: text(name), requestBody: {} }, options),
  DeleteServiceAccount: (accounts, { name }, options) => accounts.delete({ name: text(name) }, options),
};

export async function createIamStub(send: Send): Promise<Stub> {
  const { iam_v1 } = await import('@googleapis/iam');
  const auth = {
    async request({ url, method = 'GET', headers, params, data, signal }: VendorRequest) {
      const target = new URL(url);
      for (const [key, value] of Object.entries(params ?? {})) target.searchParams.set(key, String(value));
      const body = data === undefined ? undefined : JSON.stringify(data);
      const given = new Headers(headers);
      if (body !== undefined) given.set('content-type', 'application/json');
      return { data: await send({ url: target.href, method, headers: given, body, signal }) };
    },
  };
  const { serviceAccounts } = new iam_v1.Iam({ auth: auth as unknown as iam_v1.Options['auth'] }).projects;
  return async (method, request, signal) => {
    const call = CALLS[method];
    if (!call) throw new Error(`google.iam.admin.v1.IAM has no method ${method} here`);
    const { data } = await call(serviceAccounts, request, { signal });
    const body = text(data).trim();
    const answer = body === '' ? {} : json(body);
    if (!isObject(answer))
      throw new CallError({ code: 'UNKNOWN', message: 'A successful answer whose body is no object.' });
    return answer;
  };
}
