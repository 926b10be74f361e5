import type { JsonObject } from '../../ports/json.ts';
import { PROJECT } from '../world.ts';
import { rest } from './rest.ts';

export interface Row {
  what: string;
  is: string;
  should: string;
}

interface Service {
  uri?: string;
  invokerIamDisabled?: boolean;
  scaling?: Scaling;
  template?: {
    serviceAccount?: string;
    timeout?: string;
    maxInstanceRequestConcurrency?: number;
    scaling?: Scaling;
    containers?: Container[];
  };
}
interface Scaling {
  minInstanceCount?: number;
  maxInstanceCount?: number;
}
interface Container {
  resources?: { limits?: Record<string, string> };
  env?: { name?: string; valueSource?: { secretKeyRef?: { secret?: string; version?: string } } }[];
}

const EMAIL = `sa-tenant-a@${PROJECT.id}.iam.gserviceaccount.com`;
const SECRET = 'tenant-a-openai-key';
const ACCESSOR = 'roles/secretmanager.secretAccessor';
const SERVICE = `projects/${PROJECT.id}/locations/asia-northeast1/services/ai-platform-tenant-a`;

/** Prints what Google Cloud has for tenant-a beside the values of the manual procedure. */
export async function readBack(cloudUrl: string): Promise<Row[]> {
  const get = (path: string): Promise<JsonObject> => rest(cloudUrl, 'GET', path);
  const account = await get(`v1/projects/${PROJECT.id}/serviceAccounts/${EMAIL}`);
  const policy = await get(`v1/projects/${PROJECT.id}/secrets/${SECRET}:getIamPolicy`);
  const service = (await get(`v2/${SERVICE}`)) as Service & { name?: string };

  const template = service.template ?? {};
  const container = template.containers?.[0] ?? {};
  const limits = container.resources?.limits ?? {};
  const key = container.env?.find(({ name }) => name === 'OPENAI_API_KEY')?.valueSource?.secretKeyRef;
  const most = (field: keyof Scaling) => service.scaling?.[field] ?? template.scaling?.[field] ?? 0;
  const bindings = (policy.bindings ?? []) as { role: string; members: string[] }[];
  const grants = bindings.filter(({ members }) => members.includes(`serviceAccount:${EMAIL}`)).map(({ role }) => role);

  return [
    { what: 'service account', is: String(account.email), should: EMAIL },
    { what: 'its grants', is: `${grants.join(', ')} on ${SECRET}`, should: `${ACCESSOR} on ${SECRET}` },
    { what: 'service', is: String(service.name), should: SERVICE },
    { what: 'runs as', is: String(template.serviceAccount), should: EMAIL },
    {
      what: 'limits',
      is:
        `${limits.cpu} CPU, ${limits.memory}, ${template.timeout}, ` +
        `${most('minInstanceCount')}–${most('maxInstanceCount')} instances, concurrency ${template.maxInstanceRequestConcurrency}`,
      should: '1 CPU, 1Gi, 300s, 0–10 instances, concurrency 80',
    },
    {
      what: 'OPENAI_API_KEY',
      is: key ? `from secret ${key.secret}, version ${key.version}` : 'not set',
      should: `from secret ${SECRET}, version 1`,
    },
    {
      what: 'access',
      is: service.invokerIamDisabled ? 'open to the public' : 'callers are checked',
      should: 'open to the public',
    },
  ];
}
