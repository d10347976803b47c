// The choice of a voice: language, then voice, then variant.
//
// Owns: the three selects, and readable names for languages.
// Refuses to know: how the list was fetched, and what the choice is used for.

const GENDERS = { female: "Female", male: "Male", unknown: "Other" };

const languageNames = new Intl.DisplayNames(["en"], { type: "language" });

/** A readable name for the first part of a BCP 47 tag; `fallback` where the browser knows none. */
function languageName(language, fallback) {
  try {
    const name = languageNames.of(language);
    return name && name !== language ? name : fallback;
  } catch {
    return fallback; // not a well-formed tag
  }
}

function primary(tag) {
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
    const chosen = this.#find(wanted_voice) ?? this.#find(default_voice) ?? usual ?? this.#voices[0];
    this.#fillLanguages(primary(chosen.languages[0]));
    this.#fillVoices(chosen.id);
    this.#fillVariants(this.#find(wanted_voice) ? wanted_variant : default_variant);
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
    const sorted = [...names].sort((a, b) => a[1].localeCompare(b[1], "en"));
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
    const groups = Object.entries(GENDERS).map(([gender, label]) => {
      const group = document.createElement("optgroup");
      group.label = label;
      const members = variants.filter((variant) => variant.gender === gender);
      group.append(...members.map((variant) => new Option(variant.name, variant.id)));
      return group;
    });
    const filled = groups.filter((group) => group.children.length > 0);
    fill(this.#variant, [new Option("None", ""), ...filled], chosen);
  }
}
