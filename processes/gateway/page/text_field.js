// The text that is to be spoken.
//
// Owns: counting it, and whether it may be spoken.
// Refuses to know: what becomes of it.

import { count, t } from "./texts.js";

export class TextField {
  #page;
  most_chars = Infinity; // that may be spoken at once

  constructor(page) {
    this.#page = page;
    page.text.addEventListener("input", () => this.tell());
  }

  get value() {
    return this.#page.text.value;
  }

  /** What is wrong with it, in words, or nothing. */
  get fault() {
    const over = this.#charCount() - this.most_chars;
    if (!this.value.trim()) return t("text.missing");
    return over > 0 ? t("text.too_long", { n: over }) : "";
  }

  /** Say in it and beneath whether it may be spoken. */
  mark(is_wrong) {
    this.#page.text.setAttribute("aria-invalid", String(is_wrong));
  }

  /** Show how long it is. */
  tell() {
    const n = this.#charCount();
    const limit = this.most_chars;
    this.#page.counter.textContent = limit === Infinity ? t("text.count", { n }) : t("text.count_of", { n: limit, count: count(n) });
    this.mark(n > limit);
  }

  /** Code points, as the appliance counts; without an array of them, since a job's text may have millions. */
  #charCount() {
    const pairs = this.value.match(/[\ud800-\udbff][\udc00-\udfff]/g);
    return this.value.length - (pairs?.length ?? 0);
  }
}
