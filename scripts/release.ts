import { readFileSync, writeFileSync } from 'node:fs';
import { isScalar, parse, parseDocument } from 'yaml';

/**
 * The parts of .github/workflows/release.yml that are more than a command. docs/release.md explains them.
 *
 *     node scripts/release.ts check vX.Y.Z      # exit code 1 and one line for each problem, if the files do not fit the tag
 *     node scripts/release.ts notes IMAGE…      # prints the notes of the present version, with these images
 *     node scripts/release.ts pin IMAGE         # writes the image, which has a digest, into the values of the chart
 */

const ROOT = new URL('../', import.meta.url).pathname;
const VALUES = 'charts/aitenant-operator/values.yaml';

/** What prevents a release of this tag. `file` reads a file of the project by its path. */
export function problems(tag: string, file: (path: string) => string): string[] {
  const { version } = JSON.parse(file('package.json')) as { version: string };
  const chart = parse(file('charts/aitenant-operator/Chart.yaml')) as { version: string; appVersion: string };
  const found: string[] = [];
  if (tag !== `v${version}`) found.push(`The tag is ${tag}, but package.json has the version ${version}.`);
  for (const name of ['version', 'appVersion'] as const) {
    if (chart[name] !== version) found.push(`Chart.yaml has the ${name} ${chart[name]} instead of ${version}.`);
  }
  const changelog = file('CHANGELOG.md');
  if (textOf(changelog, version) === '') found.push(`CHANGELOG.md says nothing of version ${version}.`);
  if (textOf(changelog, 'Unreleased') !== '') found.push('CHANGELOG.md has unreleased changes.');
  return found;
}

/** The text of a section of CHANGELOG.md, without its heading. It is empty if there is no such section. */
function textOf(changelog: string, version: string): string {
  const heading = `\n## ${version}\n`;
  const at = changelog.indexOf(heading);
  if (at < 0) return '';
  const [text = ''] = changelog.slice(at + heading.length).split(/^## /m);
  return text.trim();
}

/** The notes of a release: its section of the changelog, and the images. Throws if there is no such section. */
export function notes(changelog: string, version: string, images: string[]): string {
  const text = textOf(changelog, version);
  if (text === '') throw new Error(`CHANGELOG.md says nothing of version ${version}`);
  const list = images.map(image => `- \`${image}\``).join('\n');
  return `${text}\n\n## Images\n\n${list}\n\ndocs/verify.md says how to verify the signatures and the SBOMs.\n`;
}

/** The values of the chart, with an image that has a digest. The rest of the text stays as it is. Throws if the image has none. */
export function pinned(values: string, image: string): string {
  const [, repository, digest] = /^([^@\s]+)@(sha256:[0-9a-f]{64})$/.exec(image) ?? [];
  if (!repository || !digest) throw new Error(`${image} is not REPOSITORY@sha256:…`);
  return [
    ['repository', repository],
    ['digest', digest],
  ].reduce((text, [name, value]) => {
    const node = parseDocument(text).getIn(['image', name], true);
    if (!isScalar(node) || !node.range) throw new Error(`The values have no image.${name}`);
    return text.slice(0, node.range[0]) + JSON.stringify(value) + text.slice(node.range[1]);
  }, values);
}

function main([command, ...args]: string[]): void {
  const file = (path: string) => readFileSync(`${ROOT}${path}`, 'utf8');
  if (command === 'check') {
    const found = problems(args[0] ?? '', file);
    for (const problem of found) console.error(problem);
    if (found.length > 0) process.exitCode = 1;
  } else if (command === 'notes') {
    const { version } = JSON.parse(file('package.json')) as { version: string };
    process.stdout.write(notes(file('CHANGELOG.md'), version, args));
  } else if (command === 'pin') {
    writeFileSync(`${ROOT}${VALUES}`, pinned(file(VALUES), args[0] ?? ''));
  } else {
    console.error('Usage: node scripts/release.ts check TAG | notes IMAGE… | pin IMAGE');
    process.exitCode = 2;
  }
}

if (import.meta.main) main(process.argv.slice(2));
