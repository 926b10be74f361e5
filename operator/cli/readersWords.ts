/**
 * The advice of `errorTable.ts` is written for the operator's administrator. The commands `plan` and `import` read once, with
 * the user's own credentials, so they replace these phrases. Each entry is the phrase of the table and the phrase of the
 * commands. A test checks that the table contains the first one.
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

/** The phrases of `import`, which has no manifests. */
const IMPORTERS_WORDS: typeof READERS_WORDS = [
  ['Set spec.region to a region that', 'Name a --region that'],
  ['Check the id that --project or the annotation ai-platform.dev/project-id of the Namespace names.', 'Check the id.'],
];

export const forImporters = (message: string): string =>
  IMPORTERS_WORDS.reduce((text, [before, after]) => text.replaceAll(before, after), forReaders(message));

/** The message of a failed read, with the phrases of the commands. */
export const forReaders = (message: string): string =>
  READERS_WORDS.reduce((text, [operators, readers]) => text.replaceAll(operators, readers), message);
