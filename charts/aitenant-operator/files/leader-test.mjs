// Arguments: HOST PORT SECONDS. Ends with exit code 0 as soon as exactly one address of HOST reports that it is the leader, and with 1
// if that is not so after SECONDS.
import { lookup } from 'node:dns/promises';

const [host, port, seconds] = process.argv.slice(-3);
const deadline = Date.now() + Number(seconds) * 1000;

async function leads({ address, family }) {
  const name = family === 6 ? `[${address}]` : address;
  const answer = await fetch(`http://${name}:${port}/metrics`, { signal: AbortSignal.timeout(5000) });
  return /^leader_election_master_status(\{.*\})? 1$/m.test(await answer.text());
}

async function state() {
  try {
    const addresses = await lookup(host, { all: true });
    const leaders = (await Promise.all(addresses.map(leads))).filter(Boolean).length;
    return { ok: leaders === 1, text: `${leaders} of ${addresses.length} replicas are the leader` };
  } catch (error) {
    return { ok: false, text: `${host}: ${error.cause?.message ?? error.message}` };
  }
}

let last = await state();
while (!last.ok && Date.now() < deadline) {
  await new Promise(resolve => setTimeout(resolve, 1000));
  last = await state();
}
console.log(last.text);
process.exit(last.ok ? 0 : 1);
