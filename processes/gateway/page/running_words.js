// The words of a speech, running along with its sound.
//
// Owns: the words as they come, which of them is being heard, keeping it in sight.
// Refuses to know: the sound; it is told the position.

import { lastBegun } from "./transcript.js";

export class RunningWords {
  #box;
  #chars = []; // of the text: words say where they stand in code points
  #words = [];
  #said = null; // the element of the word that is being heard

  constructor(box) {
    this.#box = box;
  }

  /** Begin anew with the text that is going to be spoken, in a language as "en". */
  begin(text, language) {
    this.#chars = [...text];
    this.#words = [];
    this.#said = null;
    this.#box.lang = language;
    this.#box.replaceChildren();
    this.#box.hidden = true;
  }

  /** Take words in their order, as the appliance tells them. */
  add(words) {
    const parts = words.flatMap((word) => {
      const part = document.createElement("span");
      part.textContent = word.word;
      const before = this.#words.at(-1);
      this.#words.push({ start: word.start, end_char: word.end_char, part });
      return before ? [this.#gap(before.end_char, word.start_char), part] : [part];
    });
    this.#box.append(...parts);
    this.#box.hidden = false;
  }

  /** Mark the word that is heard at a position, in seconds. */
  show(at_s) {
    const part = this.#words[lastBegun(this.#words, at_s)]?.part ?? null;
    if (part === this.#said) return;
    this.#said?.classList.remove("said");
    part?.classList.add("said");
    this.#said = part;
    if (part) this.#box.scrollTop = part.offsetTop - this.#box.clientHeight / 2;
  }

  /** What stands between two words of the text: mark-up is left out. */
  #gap(from, to) {
    const between = this.#chars.slice(from, to).join("");
    if (between.includes("\n")) return "\n";
    return /\s/.test(between) ? " " : "";
  }
}
