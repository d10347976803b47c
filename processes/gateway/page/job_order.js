// Handing a job in.
//
// Owns: what is sent for it, the choice of a file, the list of formats.
// Refuses to know: what becomes of the job.
//
// A job whose answer was lost isn't spoken twice: the same order is sent under the same Idempotency-Key.

import { askJson, posted, sendJson } from "./api.js";
import { hasText, t } from "./texts.js";

const ORDER_KEY_BYTES = 16;
const MOST_TITLE_CHARS = 80;
const MOST_NAME_CHARS = 200; // that the appliance takes as a title
const FILE_END = /\.(txt|md|epub)$/i;
const NOT_IN_TITLES = /[\p{Cc}\p{Cs}]/gu; // control characters, halves of characters

export class JobOrder {
  #page;
  #voices;
  #key = newKey();
  #has_formats = false;

  constructor(page, voices) {
    this.#page = page;
    this.#voices = voices;
    for (const event of ["input", "change"]) page.form.addEventListener(event, () => { this.#key = newKey(); });
    page.file.addEventListener("change", () => this.showSource());
    page["no-file"].addEventListener("click", () => {
      this.forgetFile();
      page.file.focus();
    });
  }

  /** The chosen file, if there is one. */
  get file() {
    return this.#page.file.files[0] ?? null;
  }

  /** What a person would call the job. */
  get title() {
    if (this.file) {
      const name = this.file.name.replace(FILE_END, "").replace(NOT_IN_TITLES, " ");
      return [...name].slice(0, MOST_NAME_CHARS).join("");
    }
    const [line] = this.#page.text.value.trim().split("\n", 1);
    const title = [...line.replace(/^#+\s+/, "").replace(NOT_IN_TITLES, " ").trim()];
    const begin = title.slice(0, MOST_TITLE_CHARS).join("");
    return title.length > MOST_TITLE_CHARS ? `${begin.replace(/\s+\S*$/, "")}…` : begin;
  }

  forgetFile() {
    this.#page.file.value = "";
    this.#key = newKey();
    this.showSource();
  }

  /** Either a file is spoken or the text. */
  showSource() {
    this.#page["no-file"].hidden = !this.file;
    this.#page["text-field"].hidden = this.file !== null;
    this.#page["file-label"].textContent = t(this.file ? "file" : "file.or");
  }

  /** Fill the list of formats with those that the API describes; `chosen` is an earlier choice. */
  async loadFormats(chosen) {
    if (this.#has_formats) return;
    const formats = formatsOf(await askJson("/openapi.json"));
    const select = this.#page["job-format"];
    select.replaceChildren(...formats.map((name) => new Option(formatName(name), name)));
    select.value = formats.includes(chosen) ? chosen : formats[0];
    this.#has_formats = true;
  }

  /** Hand the job in and return it; a file as it is, a text in JSON. `tell` hears the share that is sent, 0 to 1. */
  async send(tell) {
    const order = this.file ? this.#fileOrder() : this.#textOrder();
    const job = await sendJson("/v1/jobs", order, tell);
    this.#key = newKey();
    return job;
  }

  #fileOrder() {
    const form = new FormData();
    form.append("file", this.file);
    const { response_format: format, ...fields } = this.#fields();
    for (const [name, value] of Object.entries({ ...fields, format })) form.append(name, String(value));
    return { headers: { "Idempotency-Key": this.#key }, body: form };
  }

  #textOrder() {
    const body = { model: "tts-1", input: this.#page.text.value, ...this.#fields() };
    return posted(body, { "Idempotency-Key": this.#key });
  }

  #fields() {
    const page = this.#page;
    return {
      title: this.title,
      voice: this.#voices.id,
      response_format: page["job-format"].value,
      speed: Number(page.speed.value),
      captions: page["job-captions"].checked,
      chapters: page["job-chapters"].checked,
    };
  }
}

function formatName(format) {
  return hasText(`format.${format}`) ? t(`format.${format}`) : format.toUpperCase();
}

/** What a job's audio can be, by the API's description. */
function formatsOf(api) {
  const named = (part) => (part.$ref ? part.$ref.slice(2).split("/").reduce((at, name) => at[name], api) : part);
  const body = named(api.paths["/v1/jobs"].post.requestBody.content["application/json"].schema);
  return named(body.properties.response_format).enum;
}

/** Random, and fine on plain http, where crypto.randomUUID isn't there. */
function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(ORDER_KEY_BYTES));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
