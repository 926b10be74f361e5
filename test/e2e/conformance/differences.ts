/** A difference that stays: where, and why it may. One that matches nothing any more fails the test. */
export interface Known {
  at: RegExp;
  reason: string;
}

export const KNOWN: Known[] = [];
