import { countsOf, detailLines, incompleteness, summaryOf, titleOf } from './planOutput.ts';
import type { TenantResult } from './planTenant.ts';

/**
 * The output of `plan` as Markdown for a comment on a pull request. Everything that comes from a manifest, the cluster or Google
 * Cloud stands in a fenced code block or, escaped, in `<code>`: there GitHub and GitLab read neither Markdown nor HTML nor
 * mentions, so a value can't notify people, show a picture or look like a part of the plan.
 */

/** GitHub takes 65,536 characters in a comment. The rest is for what a workflow adds. */
const MOST_BYTES = 60_000;
/** The most names of unchanged tenants that are listed. */
const MOST_NAMES = 100;

const PLAIN = { indent: '', noteSign: '#', colored: (_: string, line: string) => line };

export function asMarkdown(results: TenantResult[]): string {
  const [unchanged, others] = [results.filter(isUnchanged), results.filter(result => !isUnchanged(result))];
  const warning = incompleteness(results);
  const head = [`### ${summaryOf(results)}`, '', ...(warning === undefined ? [] : [`**${warning}**`, ''])];
  const foot = unchanged.length === 0 ? [] : [`Nothing to change: ${namesOf(unchanged)}.`, ''];
  let left = MOST_BYTES - bytesOf([...head, ...foot]);
  const body: string[] = [];
  let missing = 0;
  for (const result of others) {
    const block = [blockOf(result), shortened(result)].find(lines => bytesOf(lines) <= left);
    if (block === undefined) missing++;
    else {
      body.push(...block);
      left -= bytesOf(block);
    }
  }
  const rest =
    missing === 0 ? [] : [`${missing} more tenants do not fit into a comment. The output as text has them.`, ''];
  return [...head, ...body, ...rest, ...foot].join('\n').trimEnd();
}

const isUnchanged = ({ steps, blocked, notes }: TenantResult): boolean =>
  steps.length + blocked.length + notes.length === 0;

/** One tenant: a line that can be opened, with its changes as a block in the colours of a diff. Notes alone stay folded. */
function blockOf(result: TenantResult): string[] {
  const lines = detailLines(result, PLAIN);
  const longest = Math.max(0, ...lines.flatMap(line => line.match(/`+/g) ?? []).map(({ length }) => length));
  const fence = '`'.repeat(Math.max(3, longest + 1));
  return [
    result.steps.length + result.blocked.length > 0 ? '<details open>' : '<details>',
    `<summary>${htmlCode(titleOf(result))}: ${countText(result)}</summary>`,
    '',
    `${fence}diff`,
    ...lines,
    fence,
    '',
    '</details>',
    '',
  ];
}

/** One tenant whose changes are too many for a comment. */
const shortened = (result: TenantResult): string[] => [
  `<p>${htmlCode(titleOf(result))}: ${countText(result)}. They do not fit into a comment; the output as text has them.</p>`,
  '',
];

function countText(result: TenantResult): string {
  const { add, change, remove } = countsOf([result]);
  const parts = [`${add} to add`, `${change} to change`, `${remove} to remove`];
  return [
    ...parts,
    ...(result.blocked.length > 0 ? [`${result.state === 'unread' ? 'not read' : 'blocked'}`] : []),
  ].join(', ');
}

function namesOf(results: TenantResult[]): string {
  const names = results.slice(0, MOST_NAMES).map(({ namespace, name }) => htmlCode(`${namespace}/${name}`));
  const more = results.length > MOST_NAMES ? ` and ${results.length - MOST_NAMES} more` : '';
  return names.join(', ') + more;
}

const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/**
 * Text in `<code>`. Outside of a block of HTML, Markdown is still read between the tags, so its signs are written as character
 * references, which are never read as Markdown (CommonMark, "Entity and numeric character references").
 */
const htmlCode = (text: string): string =>
  `<code>${text.replace(/[^\p{L}\p{N} /-]/gu, sign => ENTITIES[sign] ?? `&#${sign.codePointAt(0)};`)}</code>`;

const bytesOf = (lines: string[]): number => Buffer.byteLength(lines.join('\n')) + 1;
