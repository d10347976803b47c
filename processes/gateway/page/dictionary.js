// The view for the operator's pronunciation dictionary.
//
// Owns: the list, the form of an entry, import and export, the trial; the admin key of this view.
// Refuses to know: what is asked for it (dictionary_api.js), how words are found in a text.

import { DictionaryApi, samePlace } from "./dictionary_api.js";
import { element, instantiate } from "./elements.js";
import { save } from "./saving.js";
import { recallAdminKey, rememberAdminKey } from "./storage.js";
import { LANGUAGE, languageName, t } from "./texts.js";

const FILE_NAME = "dictionary.json";
const MOST_FILE_BYTES = 4_000_000; // 2,000 entries of the greatest length are smaller
const STATUS_WORDS = { 403: "dictionary.not_from_here", 404: "dictionary.no_admin_key" };
const UNAUTHORIZED = 401;

export class Dictionary {
  #page;
  #voices;
  #speaker;
  #api = new DictionaryApi();
  #entries = [];
  #changed = null; // the entry that the form changes; null while it adds one

  constructor(page, { voices, speaker }) {
    this.#page = page;
    this.#voices = voices;
    this.#speaker = speaker;
    this.#api.key = page["admin-key"].value = recallAdminKey();
    const submits = [["admin-form", () => this.#signIn()], ["entry-form", () => this.#keep()], ["try-form", () => this.#tryText()]];
    for (const [form, act] of submits) {
      page[form].addEventListener("submit", (event) => {
        event.preventDefault();
        this.#attempt(act);
      });
    }
    page["entry-cancel"].addEventListener("click", () => this.#edit(null));
    page["dictionary-export"].addEventListener("click", () => this.#export());
    page["dictionary-import"].addEventListener("click", () => page["dictionary-file"].click());
    page["dictionary-file"].addEventListener("change", () => this.#attempt(() => this.#import()));
    page["try-stop"].addEventListener("click", () => this.#speaker.stop());
  }

  /** Show the list, or ask for the key first. */
  show() {
    if (this.#api.key) this.#attempt(() => this.#load());
    else this.#open(false);
  }

  /** Do something and say what becomes of it; a missing key is asked for. */
  async #attempt(act) {
    this.#tell("");
    this.#complain("");
    try {
      await act();
    } catch (error) {
      if (error.status === UNAUTHORIZED) this.#open(false);
      const words = STATUS_WORDS[error.status];
      this.#complain(words ? t(words) : error.message);
    }
  }

  async #signIn() {
    this.#api.key = this.#page["admin-key"].value.trim();
    await this.#load();
    rememberAdminKey(this.#api.key); // only one that opened it
    this.#page["entry-word"].focus();
  }

  async #load() {
    this.#take(await this.#api.list());
    this.#open(true);
  }

  #open(is_open) {
    this.#page["admin-form"].hidden = is_open;
    this.#page["dictionary-open"].hidden = !is_open;
  }

  #tell(words) {
    this.#page["dictionary-status"].textContent = words;
  }

  #complain(words) {
    this.#page["dictionary-message"].textContent = words;
    this.#page["dictionary-message"].hidden = !words;
  }

  // ---------------------------------------------------------------- the list

  #take(entries) {
    this.#entries = [...entries].sort((a, b) => a.word.localeCompare(b.word, LANGUAGE));
    this.#page["entry-list"].replaceChildren(...this.#entries.map((entry) => this.#item(entry)));
    this.#page["dictionary-count"].textContent = t("dictionary.count", { n: entries.length });
    this.#page["dictionary-export"].disabled = entries.length === 0;
    const options = this.#voices.all.map(({ id, name }) => Object.assign(element("option", name), { value: id }));
    this.#page["entry-voices"].replaceChildren(...options);
  }

  #item(entry) {
    const { root, parts } = instantiate("dictionary-entry");
    const { word, spoken, language, voice } = entry;
    parts.word.textContent = word;
    parts.spoken.textContent = spoken;
    const where = [...(language ? [languageName(language, language)] : []), ...(voice ? [voice] : [])];
    parts.where.textContent = where.join(" · ") || t("dictionary.everywhere");
    const actions = {
      hear: () => this.#attempt(() => this.#try(word, this.#voiceOf(entry))),
      change: () => this.#edit(entry),
      remove: () => this.#attempt(() => this.#remove(entry)),
    };
    for (const [name, act] of Object.entries(actions)) {
      parts[name].setAttribute("aria-label", t(`dictionary.${name}.label`, { word }));
      parts[name].addEventListener("click", act);
    }
    return root;
  }

  async #remove(entry) {
    if (!window.confirm(t("dictionary.remove.question", { word: entry.word }))) return;
    await this.#api.remove(entry);
    if (this.#changed === entry) this.#edit(null);
    this.#take(this.#entries.filter((each) => each !== entry));
    this.#tell(t("dictionary.removed", { word: entry.word }));
    this.#page["dictionary-title"].focus(); // the button is gone
  }

  // ---------------------------------------------------------------- one entry

  /** Fill the form with an entry that is to be changed, or empty it. */
  #edit(entry) {
    this.#changed = entry;
    for (const field of ["word", "spoken", "language", "voice"]) this.#page[`entry-${field}`].value = entry?.[field] ?? "";
    this.#page["entry-save"].textContent = t(entry ? "dictionary.save" : "dictionary.add");
    this.#page["entry-cancel"].hidden = !entry;
    this.#page["entry-word"].focus();
  }

  /** Add or change the entry of the form; one that has another word now takes the place of the old one. */
  async #keep() {
    const values = ["word", "spoken", "language", "voice"].map((field) => [field, this.#page[`entry-${field}`].value.trim()]);
    const entry = Object.fromEntries(values);
    const old = this.#changed;
    let entries = await this.#api.put([entry]);
    if (old && !samePlace(old, entry)) {
      await this.#api.remove(old);
      entries = await this.#api.list();
    }
    this.#take(entries);
    this.#edit(null);
    this.#tell(t("dictionary.kept", { word: entry.word }));
  }

  // ---------------------------------------------------------------- files

  #export() {
    const text = `${JSON.stringify({ entries: this.#entries }, null, 2)}\n`;
    save(new Blob([text], { type: "application/json" }), FILE_NAME);
  }

  async #import() {
    const field = this.#page["dictionary-file"];
    const file = field.files[0];
    field.value = ""; // so that the same file can be chosen again
    if (!file) return;
    const entries = await readEntries(file);
    if (!window.confirm(t("dictionary.import.question", { n: entries.length, old: this.#entries.length }))) return;
    this.#take(await this.#api.replace(entries));
    this.#tell(t("dictionary.imported", { n: this.#entries.length }));
  }

  // ---------------------------------------------------------------- the trial

  #tryText() {
    return this.#try(this.#page["try-text"].value.trim(), this.#voices.id);
  }

  /** Show what is spoken for a text, and speak it. */
  async #try(input, voice) {
    if (!input) return;
    const spoken = await this.#api.spoken({ input, voice });
    this.#page["try-spoken"].textContent = t("dictionary.spoken", { spoken: spoken.join(" ") });
    this.#page["try-stop"].hidden = false;
    try {
      await this.#speaker.speak({ input, voice });
    } finally {
      const had_focus = document.activeElement === this.#page["try-stop"];
      this.#page["try-stop"].hidden = true;
      if (had_focus) this.#page["try-text"].focus();
    }
  }

  /** Who can speak an entry: its own voice, one of its language, or the chosen one. */
  #voiceOf({ language, voice }) {
    const speaks = ({ languages }) => languages.some((tag) => `${tag.toLowerCase()}-`.startsWith(`${language}-`));
    return voice || (language && this.#voices.all.find(speaks)?.id) || this.#voices.id;
  }
}

/** The entries of a file that was exported. */
async function readEntries(file) {
  if (file.size > MOST_FILE_BYTES) throw new Error(t("dictionary.file_too_large"));
  try {
    const { entries } = JSON.parse(await file.text());
    if (Array.isArray(entries)) return entries;
  } catch {
    // Not JSON: the same words.
  }
  throw new Error(t("dictionary.no_entries"));
}
