import { adopted } from './adoption.ts';
import { BIRTH } from './birth.ts';
import { EDITS } from './edits.ts';
import { deleted } from './end.ts';
import { HARM } from './harm.ts';
import type { LifeStep } from './life.ts';
import { moved } from './move.ts';

/** The life of a tenant, in order. */
export const STEPS: readonly LifeStep[] = [...BIRTH, ...EDITS, ...HARM, moved, adopted, deleted];
