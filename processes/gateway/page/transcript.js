// The captions of a job, running along with its audio.
//
// Owns: the lines, which of them and which word is being heard, moving among them.
// Refuses to know: the audio; it is told the position, and tells where to go.
//
// A book has ten thousand lines: they stand in blocks, of which only those near the visible part are filled.

import { clock } from "./job_words.js";

const BLOCK = 40; // lines filled and emptied together
const LINE_PX = 36; // a line's height until it is known
const NEAR = "600px 0px"; // around the visible part
const LEFT_ALONE_MS = 5_000; // after the reader moved: no scrolling under their hands

/** The last of some things with a `start` that has begun at a position; -1 before the first. */
export function lastBegun(things, at_s) {
  let low = 0;
  let high = things.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (things[middle].start <= at_s) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export class Transcript {
  #box;
  #cues;
  #blocks;
  #watcher;
  #heard = -1; // index of the line
  #reachable = 0; // the one line that Tab stops at; arrows move it
  #moved_at_ms = -Infinity;

  /**
   * @param {HTMLElement} box Scrolls; is filled.
   * @param {object[]} cues Of captions.json.
   * @param {(at_s: number) => void} jump Is told where the reader wants to hear on.
   */
  constructor(box, cues, jump) {
    this.#box = box;
    this.#cues = cues;
    this.#blocks = Array.from({ length: Math.ceil(cues.length / BLOCK) }, (_, number) => this.#emptyBlock(number));
    box.replaceChildren(...this.#blocks);
    this.#watcher = new IntersectionObserver((seen) => this.#fillOrEmpty(seen), { root: box, rootMargin: NEAR });
    this.#blocks.forEach((block) => this.#watcher.observe(block));
    box.onclick = (event) => {
      const line = event.target.closest(".cue");
      if (line) this.#choose(Number(line.dataset.index), jump);
    };
    box.onkeydown = (event) => this.#move(event);
    box.onwheel = box.ontouchmove = () => { this.#moved_at_ms = performance.now(); };
  }

  close() {
    this.#watcher.disconnect();
    this.#box.replaceChildren();
  }

  /** Show what is heard at a position, in seconds. */
  show(at_s) {
    const index = lastBegun(this.#cues, at_s);
    if (index !== this.#heard) {
      this.#mark(this.#heard, false);
      this.#heard = index;
      this.#mark(index, true);
    }
    if (index < 0) return;
    const said = lastBegun(this.#cues[index].words, at_s);
    const words = this.#line(index).lastElementChild.children;
    for (let i = 0; i < words.length; i += 1) words[i].classList.toggle("said", i === said);
  }

  #mark(index, is_heard) {
    if (index < 0) return;
    const line = this.#line(index);
    if (!is_heard) {
      line.removeAttribute("aria-current");
      line.querySelector(".said")?.classList.remove("said");
      return;
    }
    line.setAttribute("aria-current", "true");
    const has_focus = this.#box.contains(document.activeElement);
    if (!has_focus) this.#makeReachable(index);
    if (!has_focus && performance.now() - this.#moved_at_ms > LEFT_ALONE_MS) this.#scrollTo(line);
  }

  #scrollTo(line) {
    const is_calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const is_near = Math.abs(line.offsetTop - this.#box.scrollTop) < 2 * this.#box.clientHeight;
    const top = line.offsetTop - this.#box.clientHeight / 3;
    this.#box.scrollTo({ top, behavior: is_near && !is_calm ? "smooth" : "instant" });
  }

  #choose(index, jump) {
    this.#makeReachable(index);
    jump(this.#cues[index].start);
  }

  #move(event) {
    const line = event.target.closest(".cue");
    const last = this.#cues.length - 1;
    const at = Number(line?.dataset.index);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: last }[event.key];
    if (!line || to === undefined) return;
    event.preventDefault();
    const index = Math.min(Math.max(to, 0), last);
    this.#makeReachable(index);
    this.#line(index).focus();
  }

  #makeReachable(index) {
    this.#box.querySelector('[tabindex="0"]')?.setAttribute("tabindex", "-1");
    this.#reachable = index;
    this.#line(index).tabIndex = 0;
  }

  /** A line's element, in a block that is filled for it if need be. */
  #line(index) {
    const block = this.#blocks[Math.floor(index / BLOCK)];
    this.#fill(block);
    return block.children[index % BLOCK];
  }

  #emptyBlock(number) {
    const block = document.createElement("div");
    block.dataset.number = number;
    block.style.minHeight = `${LINE_PX * Math.min(BLOCK, this.#cues.length - number * BLOCK)}px`;
    return block;
  }

  #fillOrEmpty(seen) {
    for (const { target: block, isIntersecting: is_near } of seen) {
      const kept = [this.#heard, this.#reachable].map((index) => this.#blocks[Math.floor(index / BLOCK)]);
      if (is_near) this.#fill(block);
      else if (!kept.includes(block) && !block.contains(document.activeElement)) empty(block);
    }
  }

  #fill(block) {
    if (block.childElementCount) return;
    const first = Number(block.dataset.number) * BLOCK;
    const lines = this.#cues.slice(first, first + BLOCK).map((cue, place) => this.#makeLine(cue, first + place));
    block.append(...lines);
    block.style.minHeight = "";
  }

  #makeLine(cue, index) {
    const line = document.createElement("button");
    line.type = "button";
    line.className = "cue";
    line.dataset.index = index;
    line.tabIndex = index === this.#reachable ? 0 : -1;
    const time = document.createElement("span");
    time.className = "quiet";
    time.textContent = clock(cue.start);
    line.append(time, wordsOf(cue));
    return line;
  }
}

function empty(block) {
  block.style.minHeight = `${block.offsetHeight}px`;
  block.replaceChildren();
}

/** The words of a line, each in an element, apart from each other where the text has them so. */
function wordsOf(cue) {
  const text = document.createElement("span");
  text.dir = "auto";
  cue.words.forEach((word, place) => {
    if (place && word.start_char > cue.words[place - 1].end_char) text.append(" ");
    const part = document.createElement("span");
    part.textContent = word.word;
    text.append(part);
  });
  return text;
}
