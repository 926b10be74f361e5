/** Markup that is safe to show: only `html` makes it. */
class Html {
  readonly markup: string;
  constructor(markup: string) {
    this.markup = markup;
  }
}

export type { Html };

type Value = Html | Html[] | string | number | boolean | undefined;

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

/** The tag of templates. It escapes every value that it has not made itself; `false` and `undefined` are left out. */
export function html(strings: TemplateStringsArray, ...values: Value[]): Html {
  const text = (value: Value): string => {
    if (Array.isArray(value)) return value.map(text).join('');
    if (value instanceof Html) return value.markup;
    return value === undefined || value === false ? '' : String(value).replaceAll(/[&<>"']/g, c => ESCAPES[c] ?? c);
  };
  return new Html(strings.map((part, at) => part + text(values[at])).join(''));
}

/** The only way from text to markup that the page's Content-Security-Policy allows (Trusted Types), where the browser knows it. */
const { trustedTypes } = globalThis as unknown as {
  trustedTypes?: { createPolicy(name: string, rules: { createHTML(text: string): string }): typeof rules };
};
const policy = trustedTypes?.createPolicy('console', { createHTML: text => text });

/** Makes the content of an element what the markup says. Elements that stay keep their focus and what the user typed or opened. */
export function render(element: Element, { markup }: Html): void {
  const template = document.createElement('template');
  template.innerHTML = policy?.createHTML(markup) ?? markup;
  adapt(element, template.content);
}

function adapt(parent: Node, wanted: Node): void {
  const children = [...wanted.childNodes];
  for (const [at, child] of children.entries()) {
    const there = parent.childNodes[at];
    if (there === undefined) parent.appendChild(child);
    else if (there.nodeName !== child.nodeName) parent.replaceChild(child, there);
    else if (!(there instanceof Element && child instanceof Element)) {
      if (there.nodeValue !== child.nodeValue) there.nodeValue = child.nodeValue;
    } else {
      // The user opens and closes `details`.
      for (const { name } of [...there.attributes])
        if (!child.hasAttribute(name) && name !== 'open') there.removeAttribute(name);
      for (const { name, value } of child.attributes)
        if (there.getAttribute(name) !== value) there.setAttribute(name, value);
      adapt(there, child);
    }
  }
  while (parent.childNodes.length > children.length) parent.lastChild?.remove();
}
