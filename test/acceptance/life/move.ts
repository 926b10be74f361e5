import { isServing } from './cloudReader.ts';
import type { LifeStep } from './life.ts';
import { checkKeyPolicy, checkMarks, checkPings, checkQuiet, idsOf, startPings } from './rules.ts';

/** The tenant changes its region. */
export const moved: LifeStep = {
  id: 'moved',
  text: 'It moves to the second region',
  async run(life) {
    const { secondRegion, place } = life;
    if (secondRegion === undefined) return life.skip('no --second-region was given');
    const { tenant } = idsOf(life);
    const former = place.region;
    startPings(life);
    let overlap = false;
    let lastThere = '';
    await life.operator.edit(tenant, { region: secondRegion });
    const service = await life.until(`the service is in ${secondRegion} alone`, async () => {
      const asked = new Date().toISOString();
      const [old, next] = await Promise.all([
        life.cloud.service(tenant, former),
        life.cloud.service(tenant, secondRegion),
      ]);
      if (old && isServing(next)) overlap = true;
      if (old) {
        lastThere = asked;
        // After the new service is ready the old one stays for the grace; the check asks for its removal.
        await life.operator.checked(tenant, life.waitMs);
        return undefined;
      }
      return isServing(next) ? next : undefined;
    });
    life.check('the new service was ready while the old one was still there', overlap);
    const { failures } = await life.pinger.stop();
    // The old address ends with the old service, which is what the step waits for.
    const early = failures.filter(failure => failure < lastThere);
    if (place.url !== undefined)
      life.check('the old address answered until its service was deleted', early.length === 0, early);
    place.region = secondRegion;
    if (place.url !== undefined) place.url = String(service.uri);
    checkMarks(life, service, tenant);
    await checkKeyPolicy(life, true);
    await checkQuiet(life);
    await checkPings(life);
  },
};
