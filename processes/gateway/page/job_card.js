// One job in the list.
//
// Owns: its elements, what may be done to it in which state.
// Refuses to know: other jobs, and how it is followed.

import { ask, askJson } from "./api.js";
import { instantiate } from "./elements.js";
import { JobResult } from "./job_result.js";
import { ENDED, isHeld, orderWords, progressWords, reasonWords, stateWords } from "./job_words.js";
import { recallJob } from "./storage.js";
import { t } from "./texts.js";

const ASKED_BEFORE = ["cancel", "delete"];

/** What may be done to a job now. */
function possible(job) {
  if (ENDED.includes(job.state)) return job.state === "failed" ? ["retry", "delete"] : ["delete"];
  return [job.state === "paused" && !isHeld(job) ? "resume" : "pause", "cancel"];
}

export class JobCard {
  #parts;
  #result = null;
  job;
  element;

  /**
   * @param {object} job
   * @param {{open: (card: JobCard) => void, changed: (card: JobCard) => void, gone: (card: JobCard) => void}} told
   *   Called when its title is pressed, after something was done to it, and after it was deleted.
   */
  constructor(job, told) {
    const { root, parts } = instantiate("job-card");
    this.element = root;
    this.#parts = parts;
    parts.title.addEventListener("click", () => told.open(this));
    for (const change of ["pause", "resume", "retry", "cancel", "delete"]) {
      parts[change].addEventListener("click", () => this.#change(change, told));
    }
    this.show(job);
  }

  get title() {
    const { id, title } = this.job;
    return title || recallJob(id).title || `${this.job.voice}, ${t("text.count", { n: this.job.chars })}`;
  }

  get is_open() {
    return this.#parts.title.getAttribute("aria-expanded") === "true";
  }

  /** Show the job as it is now. */
  show(job) {
    this.job = job;
    const { title, state, order, bar, progress, reason } = this.#parts;
    const focused = document.activeElement; // which a button loses as it is hidden
    title.firstElementChild.textContent = this.title;
    state.textContent = stateWords(job);
    this.element.dataset.state = isHeld(job) ? "held" : job.state;
    order.textContent = orderWords(job);
    bar.value = job.progress;
    bar.hidden = ENDED.includes(job.state);
    progress.textContent = progressWords(job);
    progress.hidden = !progress.textContent;
    reason.textContent = reasonWords(job);
    reason.hidden = !reason.textContent;
    const can = possible(job);
    for (const button of this.#parts.actions.children) button.hidden = !can.includes(button.dataset.part);
    if (this.#parts.actions.contains(focused) && focused.hidden) this.#parts[can[0]].focus();
    if (job.state !== "completed") this.#closeResult();
  }

  open() {
    this.#parts.title.setAttribute("aria-expanded", "true");
    this.#parts.details.hidden = false;
  }

  /** Show what came of the job, as the appliance has just told it, with its chapters. */
  showResult() {
    const { root, parts } = instantiate("job-result");
    this.#closeResult();
    this.#parts.result.replaceChildren(root);
    this.#result = new JobResult(parts, this.job, this.title, (error) => this.complain(error));
  }

  close() {
    this.#parts.title.setAttribute("aria-expanded", "false");
    this.#parts.details.hidden = true;
    this.#closeResult();
  }

  focus() {
    this.#parts.title.focus();
    this.element.scrollIntoView({ block: "nearest" });
  }

  /** Say what went wrong with it, or with null that nothing does any more. */
  complain(error) {
    this.#parts.trouble.textContent = error?.message ?? "";
    this.#parts.trouble.hidden = !error;
  }

  async #change(change, told) {
    if (ASKED_BEFORE.includes(change) && !window.confirm(t(`job.${change}.question`))) return;
    const path = `/v1/jobs/${this.job.id}`;
    try {
      if (change === "delete") {
        await ask(path, { method: "DELETE" });
        told.gone(this);
        return;
      }
      this.show(await askJson(`${path}/${change}`, { method: "POST" }));
      this.complain(null);
      told.changed(this);
    } catch (error) {
      this.complain(error);
    }
  }

  #closeResult() {
    this.#result?.close();
    this.#result = null;
    this.#parts.result.replaceChildren();
  }
}
