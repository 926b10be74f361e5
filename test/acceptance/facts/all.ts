import type { Fact } from '../fact.ts';
import { everywhere } from './everywhere.ts';

/** Every fact, in the order of the page that is made of them. */
export const FACTS: readonly Fact[] = [...everywhere];
