import { call, startWorld } from './run-instances.support.ts';

/** A sandbox that serves, and says which process answers; the test kills it. */
const world = await startWorld();
const service = await world.deploy('web', { env: [{ name: 'BEHAVIOUR', value: 'deaf' }] });
console.log(JSON.stringify({ pid: (await call(service)).pid, stateDir: world.stateDir }));
