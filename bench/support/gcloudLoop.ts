import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { envText } from '../../sandbox/gcp/wire/clientEnv.ts';
import { startGcpServer } from '../../sandbox/gcp/wire/http.ts';
import { callsOf, tenantName, type World } from './world.ts';

/** What commands have taken: milliseconds of wall clock, and calls that reached Google Cloud. */
interface Taken {
  ms: number;
  calls: number;
}

export const hasGcloud = () => spawnSync('gcloud', ['--version'], { stdio: 'ignore' }).status === 0;

/**
 * The manual's steps as a script has them: for one tenant after the other, the account, the key, its grant and the service,
 * each by one gcloud command on the local Google Cloud. `storing`: the command that stores the key, which the operator's
 * users run as well; `others`: the three that the operator replaces.
 */
export async function runGcloudLoop(world: World, tenants: number): Promise<{ storing: Taken; others: Taken }> {
  const dir = mkdtempSync(join(tmpdir(), 'aitenant-bench-'));
  const server = await startGcpServer({ core: world.google });
  writeFileSync(join(dir, 'env'), envText({ url: server.url, project: 'project-0', stateDir: dir }));
  writeFileSync(join(dir, 'key'), 'sk-bench');
  const storing = { ms: 0, calls: 0 };
  const others = { ms: 0, calls: 0 };
  try {
    // The first command of all writes gcloud's configuration.
    await gcloud(dir, 'config list');
    for (let i = 0; i < tenants; i++) {
      for (const command of commandsOf(tenantName(i))) {
        const taken = command.startsWith('secrets create') ? storing : others;
        const [ms, calls] = [performance.now(), callsOf(world)];
        await gcloud(dir, command);
        taken.ms += performance.now() - ms;
        taken.calls += callsOf(world) - calls;
      }
    }
  } finally {
    await server.close();
    rmSync(dir, { recursive: true, force: true });
  }
  return { storing, others };
}

function commandsOf(tenant: string): string[] {
  const email = `sa-${tenant}@project-0.iam.gserviceaccount.com`;
  return [
    `iam service-accounts create sa-${tenant} --display-name=${tenant}`,
    `secrets create ${tenant}-key --replication-policy=automatic --data-file=key`,
    `secrets add-iam-policy-binding ${tenant}-key --role=roles/secretmanager.secretAccessor --member=serviceAccount:${email}`,
    `run deploy ai-platform-${tenant} --image=gcr.io/cloudrun/hello --region=asia-northeast1 --service-account=${email} ` +
      `--set-secrets=OPENAI_API_KEY=${tenant}-key:latest --cpu=1 --memory=1Gi --timeout=300 --min-instances=0 ` +
      '--max-instances=10 --concurrency=80 --allow-unauthenticated',
  ];
}

function gcloud(dir: string, command: string): Promise<void> {
  const env = { PATH: process.env.PATH, HOME: dir };
  return new Promise((resolve, reject) => {
    execFile('sh', ['-c', `. ./env; gcloud ${command}`], { cwd: dir, env }, (error, _out, err) => {
      if (error) reject(new Error(`gcloud ${command}: ${err}`));
      else resolve();
    });
  });
}
