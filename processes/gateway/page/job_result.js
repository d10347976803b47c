// What came of a job: a player with its captions running along, chapters, files to save.
//
// Owns: the audio element, and what follows its position.
// Refuses to know: the job's states.
//
// Audio and links can't send an API key. With one, files are fetched whole; without, the browser reads the
// parts that it needs.

import { apiKey, ask, askJson } from "./api.js";
import { clock } from "./job_words.js";
import { fileStem, save } from "./saving.js";
import { recallJob, rememberJob } from "./storage.js";
import { t } from "./texts.js";
import { lastBegun, Transcript } from "./transcript.js";

const REMEMBERED_EVERY_S = 5;
const CAPTIONS = ["srt", "vtt"];

export class JobResult {
  #parts;
  #job;
  #title;
  #complain;
  #ended = new AbortController(); // of all that is under way for it
  #transcript = null;
  #chapters = [];
  #blob_url = "";
  #remembered_at_s = 0;

  /**
   * @param {Record<string, HTMLElement>} parts Of the template `job-result`.
   * @param {object} job Completed.
   * @param {string} title
   * @param {(error: Error) => void} complain
   */
  constructor(parts, job, title, complain) {
    this.#parts = parts;
    this.#job = job;
    this.#title = title;
    this.#complain = complain;
    this.#remembered_at_s = recallJob(job.id).at_s;
    parts.audio.setAttribute("aria-label", t("result.audio_of", { title }));
    this.#listen();
    this.#offerFiles();
    this.#showChapters();
    this.#load().catch((error) => { if (!this.#ended.signal.aborted) complain(error); });
  }

  /** Be silent and forget; the elements are the caller's to remove. */
  close() {
    this.#ended.abort();
    this.#rememberPosition();
    this.#parts.audio.removeAttribute("src");
    this.#parts.audio.load();
    this.#transcript?.close();
    URL.revokeObjectURL(this.#blob_url);
  }

  async #load() {
    await Promise.all([this.#job.captions ? this.#loadCaptions() : null, this.#loadAudio()]);
  }

  async #loadAudio() {
    this.#parts.audio.src = apiKey() ? await this.#fetched() : this.#path("audio");
  }

  async #fetched() {
    this.#parts.note.textContent = t("result.loading");
    const answer = await ask(this.#path("audio"), { signal: this.#ended.signal });
    this.#blob_url = URL.createObjectURL(await answer.blob());
    this.#parts.note.textContent = "";
    return this.#blob_url;
  }

  async #loadCaptions() {
    const { cues } = await askJson(this.#path("captions.json"), { signal: this.#ended.signal });
    if (!cues.length || this.#ended.signal.aborted) return;
    this.#parts.reading.hidden = false;
    this.#parts.transcript.hidden = false;
    this.#transcript = new Transcript(this.#parts.transcript, cues, (at_s) => this.#jump(at_s));
    this.#follow();
  }

  #path(name) {
    return `/v1/jobs/${this.#job.id}/${name}`;
  }

  // ---------------------------------------------------------------- position

  #listen() {
    const { audio, note } = this.#parts;
    audio.addEventListener("loadedmetadata", () => { audio.currentTime = this.#remembered_at_s; }, { once: true });
    audio.addEventListener("play", () => this.#followWhilePlaying());
    audio.addEventListener("seeked", () => this.#follow());
    audio.addEventListener("pause", () => this.#rememberPosition());
    audio.addEventListener("timeupdate", () => {
      if (Math.abs(audio.currentTime - this.#remembered_at_s) >= REMEMBERED_EVERY_S) this.#rememberPosition();
    });
    audio.addEventListener("error", () => {
      if (audio.hasAttribute("src")) note.textContent = t("result.unplayable");
    });
  }

  #rememberPosition() {
    const { audio } = this.#parts;
    if (!audio.duration) return; // nothing was heard yet
    this.#remembered_at_s = audio.ended ? 0 : audio.currentTime;
    rememberJob(this.#job.id, { at_s: this.#remembered_at_s });
  }

  #followWhilePlaying() {
    this.#follow();
    if (!this.#parts.audio.paused) requestAnimationFrame(() => this.#followWhilePlaying());
  }

  #follow() {
    const at_s = this.#parts.audio.currentTime;
    this.#transcript?.show(at_s);
    const heard = lastBegun(this.#chapters, at_s);
    [...this.#parts.chapters.children].forEach((item, place) => {
      if (place === heard) item.firstElementChild.setAttribute("aria-current", "true");
      else item.firstElementChild.removeAttribute("aria-current");
    });
  }

  #jump(at_s) {
    this.#parts.audio.currentTime = at_s;
    this.#parts.audio.play().catch(() => {}); // the element's own error event tells why
  }

  // ---------------------------------------------------------------- chapters and files

  #showChapters() {
    this.#chapters = this.#job.chapters ?? [];
    const { reading, contents, chapters } = this.#parts;
    contents.hidden = this.#chapters.length === 0;
    reading.hidden = contents.hidden;
    chapters.replaceChildren(...this.#chapters.map(({ title, start }) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      const [name, time] = [title, clock(start)].map((text) => {
        const part = document.createElement("span");
        part.textContent = text;
        return part;
      });
      name.dir = "auto";
      time.className = "quiet";
      button.append(name, time);
      button.addEventListener("click", () => this.#jump(start));
      item.append(button);
      return item;
    }));
  }

  #offerFiles() {
    const stem = fileStem(this.#title);
    this.#offer("save-audio", "audio", `${stem}.${this.#job.format}`);
    for (const kind of CAPTIONS) {
      this.#parts[`save-${kind}`].hidden = !this.#job.captions;
      this.#offer(`save-${kind}`, `captions.${kind}`, `${stem}.${kind}`);
    }
  }

  #offer(part, name, file_name) {
    const link = this.#parts[part];
    link.href = this.#path(name);
    link.download = file_name;
    link.addEventListener("click", (event) => {
      if (!apiKey()) return; // the browser saves it, however large
      event.preventDefault();
      this.#saveWithKey(link.getAttribute("href"), file_name).catch(this.#complain);
    });
  }

  async #saveWithKey(path, file_name) {
    const answer = await ask(path);
    save(await answer.blob(), file_name);
  }
}
