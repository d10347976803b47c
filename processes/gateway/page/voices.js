// The choice of a voice: language, then voice, then variant.
//
// Owns: the three selects.
// Refuses to know: how the list was fetched, and what the choice is used for.

import { LANGUAGE, languageName, t } from "./texts.js";

const GENDERS = ["female", "male", "unknown"];

/** The first part of a BCP 47 tag, as in "en". */
export function primary(tag) {
  return tag.split("-")[0].toLowerCase();
}

/** The tag of a language where most of its people live, as the browser knows it: "fr-fr" for "fr". */
function usualTag(language) {
  try {
    return `${language}-${new Intl.Locale(language).maximize().region}`.toLowerCase();
  } catch {
    return language; // not a well-formed tag
  }
}

function fill(select, options, chosen) {
  select.replaceChildren(...options);
  select.value = chosen;
  if (select.selectedIndex < 0) select.selectedIndex = 0;
  select.disabled = false;
}

/** Three selects that depend on each other, from the left to the right. */
export class VoiceChoice {
  #language;
  #voice;
  #variant;
  #voices = [];
  #variants = [];
  #default = "";

  constructor({ language, voice, variant }) {
    this.#language = language;
    this.#voice = voice;
    this.#variant = variant;
    language.addEventListener("change", () => this.#fillVoices());
    voice.addEventListener("change", () => this.#fillVariants(variant.value));
  }

  /** Whether there is a voice to choose at all. */
  get is_filled() {
    return this.#voices.length > 0;
  }

  /** The chosen primary language, as in "en". */
  get language() {
    return this.#language.value;
  }

  /** The chosen voice, without its variant. */
  get voice_id() {
    return this.#voice.value;
  }

  /** All voices, as the API lists them. */
  get all() {
    return this.#voices;
  }

  /** The choice as the API wants it: "en-us", or "en-us+f3" with a variant. */
  get id() {
    return this.#variant.value ? `${this.#voice.value}+${this.#variant.value}` : this.#voice.value;
  }

  /** Take the answer of GET /v1/audio/voices; `wanted` is an earlier `id`, if there is one. */
  take(answer, wanted = "") {
    this.#voices = answer.voices;
    this.#variants = answer.variants ?? [];
    if (!this.is_filled) return;
    const named = (answer.default ?? "").toLowerCase();
    const [default_voice, default_variant] = (answer.aliases?.[named] ?? named).toLowerCase().split("+");
    this.#default = default_voice;
    const [wanted_voice, wanted_variant] = wanted.split("+");
    const language = primary(default_voice); // all that is known of a voice that is still to be imported
    const usual = this.#usual(this.#speaking(language), language);
    const of_default = this.#find(default_voice) ?? usual ?? this.#voices[0];
    const chosen = this.#find(wanted_voice) ?? this.#ofVisitor(of_default);
    this.#fillLanguages(primary(chosen.languages[0]));
    this.#fillVoices(chosen.id);
    if (chosen === of_default) this.#fillVariants(default_variant);
    if (chosen === this.#find(wanted_voice)) this.#fillVariants(wanted_variant);
  }

  /** Choose a voice by its id, without a variant. */
  choose(id) {
    const voice = this.#find(id.toLowerCase());
    this.#fillLanguages(primary(voice.languages[0]));
    this.#fillVoices(voice.id);
    this.#fillVariants("");
  }

  /** The voice to begin with: the default one, unless the page is in a language that it doesn't speak. */
  #ofVisitor(of_default) {
    const speaks = of_default.languages.map(primary).includes(LANGUAGE) || LANGUAGE === "en";
    return speaks ? of_default : this.#usual(this.#speaking(LANGUAGE), LANGUAGE) ?? of_default;
  }

  #speaking(language) {
    return this.#voices.filter((voice) => voice.languages.map(primary).includes(language));
  }

  #find(id) {
    return this.#voices.find((voice) => voice.id.toLowerCase() === id);
  }

  /** The voice that a language begins with: the appliance's default, the plain one, or the usual region's. */
  #usual(voices, language) {
    const of_default = voices.find((voice) => voice.id.toLowerCase() === this.#default);
    const of_tag = (tag) => voices.find((voice) => voice.languages[0].toLowerCase() === tag);
    return of_default ?? of_tag(language) ?? of_tag(usualTag(language)) ?? voices[0];
  }

  #fillLanguages(chosen) {
    const names = new Map();
    for (const voice of this.#voices) {
      for (const language of voice.languages.map(primary)) {
        if (!names.has(language)) names.set(language, languageName(language, voice.name));
      }
    }
    const sorted = [...names].sort((a, b) => a[1].localeCompare(b[1], LANGUAGE));
    fill(this.#language, sorted.map(([language, name]) => new Option(name, language)), chosen);
  }

  #fillVoices(chosen) {
    const several = new Set(this.#voices.map((voice) => voice.engine)).size > 1;
    const voices = this.#speaking(this.language);
    const options = voices.map((voice) => {
      const label = several ? `${voice.name} · ${voice.engine}` : voice.name;
      return new Option(label, voice.id);
    });
    fill(this.#voice, options, chosen ?? this.#usual(voices, this.language).id);
    this.#fillVariants(this.#variant.value);
  }

  #fillVariants(chosen = "") {
    const engine = this.#voices.find((voice) => voice.id === this.#voice.value)?.engine;
    const variants = this.#variants.filter((variant) => variant.engine === engine);
    const groups = GENDERS.map((gender) => {
      const group = document.createElement("optgroup");
      group.label = t(`gender.${gender}`);
      const members = variants.filter((variant) => variant.gender === gender);
      group.append(...members.map((variant) => new Option(variant.name, variant.id)));
      return group;
    });
    const filled = groups.filter((group) => group.children.length > 0);
    fill(this.#variant, [new Option(t("variant.none"), ""), ...filled], chosen);
  }
}
