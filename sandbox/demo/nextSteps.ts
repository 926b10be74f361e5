import { GOOD_KEY, type World } from '../world.ts';
import { TENANT } from './demo.ts';

/** Returns commands to try next. `tenantUrl` is the address of the demonstration's tenant. */
export function nextSteps(world: World, tenantUrl: string | undefined): string {
  const key = (secret: string, value: string, command: string) =>
    `  printf ${GOOD_KEY}${value} | gcloud secrets ${command} ${secret} --data-file=-`;
  const second = [
    'A second tenant: three keys, of which one is in use',
    ...['openai-key', 'openai-key-backup', 'gemini-key'].map(name =>
      key(`tenant-b-${name}`, 'tenant-b', 'create --labels=ai-tenant-namespace=default'),
    ),
    '  kubectl apply -f examples/backup-key.yaml',
    '  kubectl get aitenants -o wide -w',
  ];
  const first = tenantUrl && [
    'Call the tenant',
    `  curl -H 'content-type: application/json' -d '{"message":"Hello"}' ${tenantUrl}/chat`,
    'Describe the tenant, then change it',
    `  kubectl describe aitenant ${TENANT}`,
    `  kubectl patch aitenant ${TENANT} --type=merge -p '{"spec":{"scaling":{"maxInstances":3}}}'`,
    'Add a new version of its key: within 10 s a new revision serves with it',
    key(`${TENANT}-openai-key`, 'rotated', 'versions add'),
  ];
  return [
    '',
    `Open the console in a browser: ${world.consoleUrl}`,
    'In another terminal, from this folder:',
    ...(world.kubeconfig ? [`  export KUBECONFIG=${world.kubeconfig}`] : []),
    `  source ${world.envFile}`,
    '  kubectl get aitenants',
    ...(first ?? []),
    ...second,
    `Logs: ${world.operatorLog} (operator), ${world.serviceLogs}/ (services). Metrics: ${world.metricsUrl}`,
    '',
    'Ctrl-C stops everything.',
  ].join('\n');
}
