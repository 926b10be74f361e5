import { type Document, LineCounter, parseAllDocuments } from 'yaml';
import { AS_KUBECTL, ContentError, contentOf, NESTED, yamlProblem } from './kubectlYaml.ts';

/**
 * Splits a manifest file as kubectl does, before anything is parsed (apimachinery, pkg/util/yaml/decoder.go):
 *
 * 1. A file that begins with `{` is JSON: one value after another, and nothing else.
 * 2. In any other file, each line that begins with `---` ends a document, also within a text block. Only a comment may follow it.
 * 3. Each part is parsed by itself, so an anchor or a `%YAML` line of one part means nothing in the next, and a byte order mark may
 *    begin each. kubectl reads the first document of a part and drops what follows `...` without a word; here that is an error.
 */
export interface FilePart {
  document: Document;
  value: unknown;
  /** The line in the file of an offset in this part. */
  lineAt(offset: number): number;
}

interface Text {
  text: string;
  /** The line in the file at which the text begins. */
  line: number;
}

/** Calls `found` for each part of the file, and `problem` for each part that kubectl would refuse. */
export function readParts(
  text: string,
  found: (part: FilePart) => void,
  problem: (line: number, message: string) => void,
): void {
  try {
    const isJson = /^\s*\{/.test(text);
    for (const part of isJson ? jsonValues(text) : yamlDocuments(text)) {
      try {
        if (isJson) checkJson(part);
        const read = partOf(part);
        if (read) found(read);
      } catch (error) {
        if (!(error instanceof ContentError)) throw error;
        problem(error.line, error.message);
        // kubectl reads no further after a mistake in JSON, because it does not know where the next value begins.
        if (isJson) return;
      }
    }
  } catch (error) {
    if (!(error instanceof ContentError)) throw error;
    problem(error.line, error.message);
  }
}

function partOf({ text, line }: Text): FilePart | undefined {
  const lines = new LineCounter();
  const lineAt = (offset: number) => line - 1 + lines.linePos(offset).line;
  const documents = parseAllDocuments(text, { ...AS_KUBECTL, lineCounter: lines }) as Document[];
  // kubectl refuses `%YAML 1.2`, and it separates every other such line from its document, which begins at `---`.
  const directive = /^(?:\s*#.*\n|\s*\n)*(?=%)/.exec(text);
  if (directive)
    throw new ContentError('kubectl takes no line that begins with %: leave it out', lineAt(directive[0].length));
  const [document, more] = documents;
  if (!document?.errors) return undefined;
  // One mistake in YAML often causes others, so only the first one is reported, as kubectl does.
  const [mistake] = document.errors.map(yamlProblem);
  if (mistake) throw new ContentError(mistake.message, line - 1 + mistake.line);
  if (more?.contents) {
    throw new ContentError(
      'kubectl passes over what follows "..." here: put --- in its place',
      lineAt(more.contents.range?.[0] ?? 0),
    );
  }
  return { document, value: contentOf(document, lineAt), lineAt };
}

/** The texts between the lines `---`. */
function* yamlDocuments(text: string): Generator<Text> {
  let from = 0;
  let line = 1;
  let firstLine = 1;
  for (const { 0: separator, index } of text.matchAll(/^---.*$|\n/gm)) {
    if (separator === '\n') {
      line++;
      continue;
    }
    const rest = separator.slice(3).trim();
    if (rest !== '' && !rest.startsWith('#')) {
      throw new ContentError(
        'kubectl takes nothing but a comment after --- at the start of a line: begin a new line after it',
        line,
      );
    }
    yield { text: withoutMark(text.slice(from, index)), line: firstLine };
    from = index + separator.length;
    firstLine = line;
  }
  yield { text: withoutMark(text.slice(from)), line: firstLine };
}

const withoutMark = (text: string): string => text.replace(/^(\r?\n)?\ufeff/, '$1');

/** The values of a JSON file: from each `{` to the brace that closes it. */
function* jsonValues(text: string): Generator<Text> {
  let depth = 0;
  let start = 0;
  let line = 1;
  let firstLine = 1;
  for (const { 0: token, index } of text.matchAll(/"(?:[^"\\\n]|\\.)*"?|[{}\n]|[^\s"{}]+/g)) {
    if (token === '\n') line++;
    else if (depth === 0 && token !== '{') {
      throw new ContentError(
        'the file begins with {, so kubectl reads it as JSON, and this is none: put what is YAML into a file of its own',
        line,
      );
    } else if (token === '{') {
      if (depth++ > 0) continue;
      start = index;
      firstLine = line;
    } else if (token === '}' && --depth === 0) yield { text: text.slice(start, index + 1), line: firstLine };
  }
  if (depth > 0) yield { text: text.slice(start), line: firstLine };
}

function checkJson({ text, line }: Text): void {
  try {
    JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw new ContentError(NESTED, line);
    const [, words = error.message, at] = /^(.*?)(?: in JSON)? at position (\d+)/s.exec(error.message) ?? [];
    const before = at === undefined ? text : text.slice(0, Number(at));
    throw new ContentError(
      `the file begins with {, so kubectl reads it as JSON: ${words}`,
      line + before.split('\n').length - 1,
    );
  }
}
