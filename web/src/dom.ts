// The few things done to the document, in one place.

/** The element with this id, which the page's HTML promises. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** An element with properties and children; text is set as text, never parsed. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Sets text only when it changed, so that selections and screen readers are left in peace. */
export function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

/** Shows a failure as a sentence with a button to try again. */
export function showNotice(sentence: string, retry: () => void): void {
  const notice = byId("notice");
  const button = element("button", { type: "button", textContent: "Try again" });
  button.addEventListener("click", () => {
    hideNotice();
    retry();
  });
  notice.replaceChildren(element("p", { textContent: sentence }), button);
  notice.hidden = false;
}

export function hideNotice(): void {
  byId("notice").hidden = true;
}
