/**
 * An error that the caller is told about, as `{"error": {"code", "message"}}` with `status`. Its text is ours or has been
 * scrubbed: it may be shown and its code logged.
 */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  /** Sent along as they are, such as `Retry-After` or `Allow`. */
  readonly headers: Record<string, string>;

  constructor(status: number, code: string, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** The body of the answer, also the data of a stream's `error` event. */
export function problemBody(problem: Problem): { error: { code: string; message: string } } {
  return { error: { code: problem.code, message: problem.message } };
}

/** What an exception nobody foresaw looks like from outside. */
export const internalProblem = new Problem(500, 'internal', 'Something went wrong here; the log has the request id.');

/** Nobody reads this answer; the status is nginx's, and goes to the log only. */
export const callerGone = new Problem(499, 'caller_gone', 'The caller closed the connection.');
