import { call, startWorld } from './run-instances.support.ts';

/** A sandbox that serves, and says which process answers; the test kills it. */
const world = await startWorld();
const service = await world.deploy('web', { env: [{ name: 'BEHAVIOUR', value: 'deaf' }] });
const child = Number(await (await fetch(`${service.uri}/leave`)).text());
console.log(JSON.stringify({ child, pid: (await call(service)).pid, stateDir: world.stateDir }));
