// What is asked of the appliance for its pronunciation dictionary.
//
// Owns: the requests, and the admin key that goes with them.
// Refuses to know: elements, and what an entry may hold: the appliance says.
//
// An entry is {word, spoken, language, voice}; the last two may be empty. Each word has one for a language and voice.

import { ask, askJson, posted } from "./api.js";

const PATH = "/admin/dictionary";

/** Whether two entries are of the same word, language and voice. */
export function samePlace(a, b) {
  return a.word === b.word && a.language.toLowerCase() === b.language.toLowerCase() && a.voice === b.voice;
}

/** Whether this appliance has a dictionary, by its own description: to ask for what isn't there would be an error. */
export async function hasDictionary() {
  return PATH in (await askJson("/openapi.json")).paths;
}

export class DictionaryApi {
  key = "";

  /** All entries. */
  async list() {
    return (await askJson(PATH, { headers: this.#headers })).entries;
  }

  /** Add entries, or change those in the same places; returns all. */
  async put(entries) {
    return (await askJson(PATH, posted({ entries }, this.#headers))).entries;
  }

  /** Have entries in the place of all; returns them. */
  async replace(entries) {
    return (await askJson(PATH, { ...posted({ entries }, this.#headers), method: "PUT" })).entries;
  }

  async remove({ word, language, voice }) {
    await ask(`${PATH}?${new URLSearchParams({ word, language, voice })}`, { method: "DELETE", headers: this.#headers });
  }

  /** What an engine gets for a request of speech, utterance by utterance. */
  async spoken(body) {
    return (await askJson(`${PATH}/try`, posted(body, this.#headers))).spoken;
  }

  get #headers() {
    return { Authorization: `Bearer ${this.key}` };
  }
}
