/**
 * The table of errors advises whoever runs the operator. A command reads once, with a person's own credentials: the same advice in
 * the words that fit there. Each entry: what the table says, and what a command says instead. A test holds the first column against
 * the table.
 */
export const READERS_WORDS: readonly (readonly [operators: string, readers: string])[] = [
  [' The operator tries again by itself.', ''],
  [' The operator tries again.', ''],
  [
    'Give the operator’s identity the missing permission in that project (its roles are in manifests/gcp).',
    'This command reads with your own credentials: ask for the missing permission in that project.',
  ],
  [
    'There is no such active project, or the operator may not see it. Check the id: the annotation ai-platform.dev/project-id of the Namespace, or the operator’s --project.',
    'There is no such active project, or you may not see it. Check the id that --project or the annotation ai-platform.dev/project-id of the Namespace names.',
  ],
  ['keeps the operator out', 'keeps you out'],
  ['an ingress rule for the operator’s identity', 'an ingress rule for your identity'],
];

/** A message about something that a command could not read. */
export const forReaders = (message: string): string =>
  READERS_WORDS.reduce((text, [operators, readers]) => text.replaceAll(operators, readers), message);
