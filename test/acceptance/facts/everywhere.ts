import { API } from '../addresses.ts';
import { answerIn, fieldIn } from '../exchange.ts';
import type { Fact } from '../fact.ts';

/** Facts that hold for every API. */
export const everywhere: Fact[] = [
  {
    id: 'errors-are-rpc-status',
    text: 'An error in REST is {"error": {"code", "message", "status"}}, with the HTTP status as its code.',
    source: 'D: https://cloud.google.com/apis/design/errors, "HTTP mapping"',
    unsure: false,
    section: 'Everywhere',
    async probe({ call, project, name }) {
      const asked = await call('GET', `${API.secretmanager}/v1/projects/${project}/secrets/${name('secret', 'none')}`);
      const isStatus =
        asked.status === 404 &&
        fieldIn(asked, 'error.code') === 404 &&
        fieldIn(asked, 'error.status') === 'NOT_FOUND' &&
        typeof fieldIn(asked, 'error.message') === 'string';
      return isStatus ? { verdict: 'confirmed' } : { verdict: 'refuted', answered: answerIn(asked) };
    },
  },
];
