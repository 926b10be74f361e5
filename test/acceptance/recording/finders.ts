import { isIPv6 } from 'node:net';
import { apiWords } from './apiWords.ts';
import { isName, type NameBook } from './nameBook.ts';

/** What is sensitive in a plain text by its form alone, and gets a name. The order is that of the table. */

interface Finder {
  /** The value is the group 1, or all of it. */
  pattern: RegExp;
  name(book: NameBook, value: string, context: Ours): void;
}

export interface Ours {
  /** Whether an id is one that the run made: it is no secret, and a reader needs it. */
  isOurs(id: string): boolean;
}

const plain =
  (kind: Parameters<NameBook['nameOf']>[0]) =>
  (book: NameBook, value: string): void => {
    book.nameOf(kind, value);
  };

/** Domains that belong to nobody (RFC 2606) or to Google. */
const NOBODYS =
  /(^|\.)(example\.(com|org|net)|example|invalid|test|localhost|googleapis\.com|google\.com|gcr\.io|run\.app|pkg\.dev)$/i;

/** The projects of Google's own accounts, such as `serverless-robot-prod`. */
const GOOGLES =
  /^(gcp-sa-[a-z0-9-]+|serverless-robot-[a-z]+|containerregistry|compute-system|cloud-[a-z-]+\.google\.com)$/;

/** Letters of every script: both parts of an address may have them (RFC 6531). */
const DOMAIN = String.raw`(?:[\p{L}\p{N}-]+\.)+\p{L}[\p{L}\p{N}-]+`;
/** It begins where such a run begins: tried at each place of a long one, it would take the square of its length. */
const EMAIL = new RegExp(String.raw`(?<![\p{L}\p{N}._%+'~-])[\p{L}\p{N}._%+'~-]+@${DOMAIN}`, 'gu');
/** The member `domain:`, and an address whose local part is in quotes. */
const BARE_DOMAIN = new RegExp(String.raw`(?:\bdomain:|\\?"@)(${DOMAIN})`, 'gu');
const QUOTED_LOCAL = new RegExp(String.raw`"([^"\\]+)\\?"@${DOMAIN}`, 'gu');

const FINDERS: Finder[] = [
  { pattern: /-----BEGIN [A-Z ]+-----[\s\S]*?(?:-----END [A-Z ]+-----|$)/g, name: plain('token') },
  // Paths of this machine, such as those of the sandbox's logs.
  { pattern: /\bfile:\/\/[^\s"'<>]+/g, name: plain('text') },
  // JSON Web Tokens, and what Google, OpenAI, GitHub and AWS begin their tokens and keys with.
  { pattern: /eyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)*/g, name: plain('token') },
  {
    pattern:
      /(?:ya29\.|1\/\/0|GOCSPX-|AIza|gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|AKIA|(?<![A-Za-z])sk-)[\w./-]{8,}/g,
    name: plain('token'),
  },
  { pattern: /\b(?:Bearer|Basic)\s+([\w.~+/:@-]{6,}=*)/gi, name: plain('token') },
  { pattern: /[?&](?:access_token|oauth_token|id_token|token|key|assertion|signature)=([^&#\s"'<>]+)/gi, name: token },
  { pattern: EMAIL, name: email },
  { pattern: QUOTED_LOCAL, name: user },
  { pattern: BARE_DOMAIN, name: domain },
  { pattern: /\b(?:projects|project|consumer)(?:\/|%2F|[ '"=:]+)(\d{6,20})(?!\d)/gi, name: plain('number') },
  {
    pattern: /\b(?:organizations?|folders?|billingAccounts)(?:\/|%2F|[ '"=:]+)(\d{6,20})(?!\d)/gi,
    name: plain('number'),
  },
  // The id of an organization's directory, as policies about allowed members name it.
  { pattern: /\b(?:customers?|customer_?id|is)[ '"=:/]+(C[0-9][0-9a-z]{7})\b/gi, name: plain('principal') },
  { pattern: /\bprojects(?:\/|%2F)([a-z][a-z0-9.:-]{4,}[a-z0-9])/gi, name: project },
  { pattern: /(?<![A-Za-z\d])(\d{21})(?![A-Za-z\d])/g, name: plain('uniqueid') },
  { pattern: /[?&]uid=(\d{6,})/g, name: plain('uniqueid') },
  { pattern: /(?<![A-Za-z\d.])(\d{11,13})(?![A-Za-z\d.])/g, name: plain('number') },
  { pattern: /-([a-z0-9]{10})-[a-z]{1,3}\.a\.run\.app/gi, name: plain('hash') },
  { pattern: /-(\d{6,})\.[a-z]+-[a-z]+\d+\.run\.app/gi, name: plain('number') },
  { pattern: /\b[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}\b/g, name: plain('billing') },
  { pattern: /\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b/gi, name: plain('uuid') },
  { pattern: /\bprincipal(?:Set)?:\/\/[^\s"'<>,]+/g, name: plain('principal') },
  { pattern: /(?:\/(?:home|Users)\/|\\Users\\)([^\s/\\"'<>:]+)/g, name: user },
  { pattern: /(?<![\d.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\d.])/g, name: ip },
  { pattern: /\bip-(\d{1,3}(?:-\d{1,3}){3})\b/g, name: plain('ip') },
  { pattern: /(?<![\w:.])(?:[0-9a-f]{0,4}:){2,8}[0-9a-f]{0,4}(?![\w:])/gi, name: ipv6 },
];

/** Gives everything in the text that is sensitive by its form a name in the book. */
export function findIn(text: string, book: NameBook, ours: Ours): void {
  for (const { pattern, name } of FINDERS) {
    for (const [whole, value = whole] of text.matchAll(pattern)) if (!isName(value)) name(book, value, ours);
  }
}

function token(book: NameBook, value: string): void {
  if (value.length < 6) return;
  const decoded = decodedPercents(value);
  const name = book.nameOf('token', decoded);
  book.give('token', value, name);
}

function decodedPercents(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

/**
 * Names a project and, where the id has the domain of its organization (`example.org:web`), the form that it has in addresses
 * (`web.example.org`).
 */
export function project(book: NameBook, value: string): void {
  if (isName(value) || apiWords().has(value.toLowerCase())) return;
  const name = book.nameOf('project', value);
  const [domain, id] = value.split(':');
  if (id !== undefined) book.give('project', `${id}.${domain}`, name);
}

function domain(book: NameBook, value: string): void {
  if (!NOBODYS.test(value) && !/^domain-\d+\.example$/.test(value)) book.nameOf('domain', value);
}

function email(book: NameBook, value: string, { isOurs }: Ours): void {
  const [local = '', domain = ''] = value.split('@');
  const [, home, agentHome] = /^(.+)\.iam\.gserviceaccount\.com$|^([a-z-]+)\.gserviceaccount\.com$/i.exec(domain) ?? [];
  if (agentHome === 'appspot') {
    project(book, local);
    return;
  }
  if (home === undefined && agentHome === undefined) {
    if (NOBODYS.test(domain)) return;
    const name = `${localPart(book, 'user', local)}@${book.nameOf('domain', domain)}`;
    book.give('user', value, name);
    return;
  }
  const [, number] = /(\d{6,})/.exec(local) ?? [];
  if (number !== undefined) book.nameOf('number', number);
  if (home !== undefined && !GOOGLES.test(home)) project(book, home);
  const isAgent = agentHome !== undefined || GOOGLES.test(home ?? '') || /^service-\S+$/.test(local);
  if (isAgent || isOurs(local) || isName(local)) return;
  const host = domain.replace(home ?? '', () => book.replaced(home ?? ''));
  book.give('account', value, `${localPart(book, 'account', local)}@${host}`);
}

/** A name for what stands before the `@`. It is looked for in other texts too, unless it is a word of the APIs. */
function localPart(book: NameBook, kind: 'user' | 'account', name: string): string {
  const isFound = name.length >= 3 && !apiWords().has(name.toLowerCase());
  return book.nameOf(kind, isFound ? name : `${name}@`);
}

/** Names that machines have and people do not. */
const NOT_A_PERSON = /^(root|node|runner|ubuntu|debian|user|admin|vsts|circleci|jenkins|codespace|gitpod)$/i;

export function user(book: NameBook, value: string): void {
  if (value.length < 3 || isName(value) || NOT_A_PERSON.test(value) || apiWords().has(value.toLowerCase())) return;
  book.nameOf('user', value);
}

function ip(book: NameBook, value: string): void {
  // This machine, no address at all, and the addresses of documentation (RFC 5737).
  if (/^(127\.|0\.0\.0\.0$|192\.0\.2\.|198\.51\.100\.|203\.0\.113\.)/.test(value)) return;
  book.nameOf('ip', value);
}

function ipv6(book: NameBook, value: string): void {
  // This machine, no address at all, and the addresses of documentation (RFC 3849). A time of day is no address.
  if (!isIPv6(value) || /^::1?$|^2001:db8:/i.test(value)) return;
  book.nameOf('ip', value);
}
