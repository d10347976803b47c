// The view of jobs: texts that are spoken while nobody waits.
//
// Owns: which jobs are listed, which one is open, keeping them up to date.
// Refuses to know: what a job looks like, and what is sent for one.
//
// The open job is followed by its events; the others are asked for now and then, since a browser has few
// connections. Without keys the list is what this browser remembers; with one it is the appliance's.

import { apiKey, askJson } from "./api.js";
import { JobCard } from "./job_card.js";
import { follow } from "./job_events.js";
import { JobOrder } from "./job_order.js";
import { ENDED, sendingWords, stateWords } from "./job_words.js";
import { forgetJob, recallChoices, recallJobs, rememberJob } from "./storage.js";
import { t } from "./texts.js";

const LOOK_MS = 5_000; // between two looks at the jobs that aren't open
const MOST_LISTED = 100;
const NOT_FOUND = 404;
const JOB_ID = /^[0-9a-f]{32}$/;

/** The fragment of a job's address on this page; without one, the list's. */
function jobHash(id = "") {
  return id ? `#jobs/${id}` : "#jobs";
}

export class JobsView {
  #page;
  #complain;
  #order;
  #cards = new Map(); // id → JobCard
  #said = new Map(); // id → the state that was said last
  #open_id = "";
  #following = null; // the AbortController of the open job's events
  #timer = 0;
  #generation = 0; // of the list: what was asked for one before it isn't shown

  constructor(page, voices, complain) {
    this.#page = page;
    this.#complain = complain;
    this.#order = new JobOrder(page, voices);
    document.addEventListener("visibilitychange", () => { if (this.#timer && !document.hidden) this.#look(); });
  }

  /** Whether a file is chosen, which stands in for the text. */
  get has_file() {
    return this.#order.file !== null;
  }

  /** Show the list, and one job of it openly if its id is given. */
  show(id = "") {
    this.#order.showSource();
    this.#order.loadFormats(recallChoices().job_format).catch(this.#complain);
    if (!this.#timer) this.reload();
    this.#openOnly(JOB_ID.test(id) ? id : "");
  }

  /** Leave the view; what it follows is let go. */
  hide() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#openOnly("");
  }

  /** Ask for the whole list anew, as with another key. */
  async reload() {
    const generation = ++this.#generation;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), LOOK_MS);
    for (const card of this.#cards.values()) this.#remove(card);
    this.#followOpen();
    const listed = apiKey() ? await this.#listed() : null;
    if (generation !== this.#generation) return;
    if (listed) listed.forEach((job) => this.#take(job));
    else await Promise.all(recallJobs().map(({ id }) => this.#ask(id)));
    this.#showEmptiness();
  }

  /** Hand the job in that the form describes. */
  async order() {
    const { order: button, "order-text": label } = this.#page;
    button.disabled = true;
    label.textContent = sendingWords(1);
    try {
      const title = this.#order.title;
      const job = await this.#order.send((share) => { label.textContent = sendingWords(share); });
      rememberJob(job.id, { title });
      this.#order.forgetFile();
      this.#take(job).focus();
      location.hash = jobHash(job.id);
    } catch (error) {
      this.#complain(error);
    }
    label.textContent = t("job.start");
    button.disabled = false;
  }

  // ---------------------------------------------------------------- the list

  /** The jobs of a key, or null where the appliance has no list for it: then ids are all there is. */
  async #listed() {
    try {
      return (await askJson(`/v1/jobs?limit=${MOST_LISTED}`)).data;
    } catch (error) {
      if (error.status !== NOT_FOUND) this.#complain(error);
      return null;
    }
  }

  /** Ask for a job and show it; what is gone is forgotten, unless it may be another key's. */
  async #ask(id) {
    const generation = this.#generation;
    try {
      const job = await askJson(`/v1/jobs/${id}`);
      if (generation !== this.#generation) return;
      this.#take(job);
      this.#page["jobs-note"].textContent = "";
    } catch (error) {
      if (generation !== this.#generation) return;
      if (error.status !== NOT_FOUND) this.#page["jobs-note"].textContent = error.message;
      else if (!apiKey() && id !== this.#open_id) this.#drop(id); // whoever follows the open one says it
    }
  }

  async #look() {
    clearTimeout(this.#timer); // who comes back to the page looks before its time
    this.#timer = setTimeout(() => this.#look(), LOOK_MS);
    if (document.hidden) return;
    const open = [...this.#cards.values()].filter((card) => !ENDED.includes(card.job.state) && !card.is_open);
    await Promise.all(open.map((card) => this.#ask(card.job.id)));
  }

  /** Show a job as it is now, in its place by time; returns its card. */
  #take(job) {
    let card = this.#cards.get(job.id);
    if (card) {
      card.show(job);
      return card;
    }
    card = new JobCard(job, {
      open: ({ job: { id } }) => { location.hash = jobHash(id === this.#open_id ? "" : id); },
      changed: (it) => { this.#announce(it); this.#followOpen(); },
      gone: ({ job: { id } }) => this.#drop(id),
    });
    this.#cards.set(job.id, card);
    const is_older = (other) => other.job.created_at < job.created_at;
    const older = [...this.#page["job-list"].children].map((item) => this.#cards.get(item.dataset.id)).find(is_older);
    card.element.dataset.id = job.id;
    this.#page["job-list"].insertBefore(card.element, older?.element ?? null);
    this.#showEmptiness();
    if (job.id === this.#open_id) card.open();
    return card;
  }

  #drop(id) {
    forgetJob(id);
    const card = this.#cards.get(id);
    if (id === this.#open_id) location.hash = jobHash();
    if (!card) return;
    const next = card.element.nextElementSibling ?? card.element.previousElementSibling;
    const had_focus = card.element.contains(document.activeElement);
    this.#remove(card);
    this.#showEmptiness();
    if (had_focus) (this.#cards.get(next?.dataset.id) ?? this.#page["jobs-title"]).focus();
  }

  #remove(card) {
    card.close();
    card.element.remove();
    this.#cards.delete(card.job.id);
  }

  #showEmptiness() {
    this.#page["jobs-empty"].hidden = this.#cards.size > 0;
  }

  // ---------------------------------------------------------------- the open job

  #openOnly(id) {
    if (id === this.#open_id) return;
    this.#cards.get(this.#open_id)?.close();
    this.#open_id = id;
    this.#cards.get(id)?.open();
    this.#followOpen();
  }

  /** Follow the open job to its end, and remember it: whoever has its address may come back. */
  async #followOpen() {
    this.#following?.abort();
    const id = this.#open_id;
    if (!id) return;
    const following = new AbortController();
    this.#following = following;
    const tellBreak = (error) => { this.#page["jobs-note"].textContent = error?.message ?? ""; };
    try {
      const job = await follow(id, following.signal, (news) => this.#tell(news), tellBreak);
      if (!job) return;
      const card = this.#tell(job);
      if (job.state === "completed") card.showResult();
    } catch (error) {
      if (following.signal.aborted) return;
      this.#complain(error);
      if (error.status === NOT_FOUND && !apiKey()) this.#drop(id);
    }
  }

  #tell(job) {
    rememberJob(job.id);
    const card = this.#take(job);
    this.#announce(card);
    return card;
  }

  /** Say to who can't see it in which state a job is, if that is another one than was said last. */
  #announce(card) {
    const words = stateWords(card.job);
    const said = this.#said.get(card.job.id);
    this.#said.set(card.job.id, words);
    if (said && said !== words) this.#page["jobs-status"].textContent = `${card.title}: ${words}`;
  }
}
