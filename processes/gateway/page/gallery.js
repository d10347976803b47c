// The gallery: every voice on a card, to be heard and chosen.
//
// Owns: the cards, the filter, which one is being heard.
// Refuses to know: how a voice is spoken, and what it is used for once it is chosen.
//
// The appliance lists each speaker of an imported voice as a voice of its own, whose `engine_voice` begins
// with the id of the voice that it belongs to; here they share a card.

import { instantiate } from "./elements.js";
import { sampleOf } from "./samples.js";
import { LANGUAGE, languageName, t } from "./texts.js";
import { primary } from "./voices.js";

/** Voices with their speakers: each list begins with the voice itself. */
function grouped(voices) {
  const groups = new Map(voices.map((voice) => [voice.id, [voice]]));
  for (const voice of voices) {
    const whole = groups.get(voice.engine_voice.split("/")[0]);
    if (!whole || whole[0] === voice || whole[0].engine !== voice.engine) continue;
    whole.push(voice);
    groups.delete(voice.id);
  }
  return [...groups.values()];
}

/** The languages of voices in words, each once; the voice's own name where the browser has no word for any. */
function languagesOf(voices) {
  const names = voices.flatMap(({ languages }) => languages.map((tag) => languageName(tag, "")));
  const known = [...new Set(names.filter(Boolean))];
  return known.length ? known : [voices[0].name];
}

class VoiceCard {
  #voices;
  #parts;
  #told;
  element;
  languages; // first parts of tags
  label;
  #searched;

  constructor(voices, told) {
    const { root, parts } = instantiate("voice-card");
    const [voice] = voices;
    this.#voices = voices;
    this.#parts = parts;
    this.#told = told;
    this.element = root;
    this.languages = [...new Set(voices.flatMap((each) => each.languages.map(primary)))];
    this.label = voice.name;
    const languages = languagesOf(voices);
    const gender = voice.gender === "unknown" ? [] : [t(`gender.${voice.gender}`)];
    const known = [...languages.slice(0, 3), ...gender, voice.engine];
    parts.name.textContent = voice.name;
    parts.about.textContent = known.join(" · ");
    parts.id.textContent = voice.id;
    this.#fillSpeakers();
    const searched = [...languages, voice.engine, ...gender, ...voices.flatMap(({ id, name }) => [id, name])];
    this.#searched = searched.join("\n").toLocaleLowerCase(LANGUAGE);
    parts.sample.addEventListener("click", () => told.hear(this));
    parts.use.addEventListener("click", () => told.choose(this.voice));
    this.mark("idle");
  }

  /** The voice, or the speaker of it that is chosen. */
  get voice() {
    return this.#voices[Math.max(0, this.#parts.speaker.selectedIndex)];
  }

  has(id) {
    return this.#voices.some((voice) => voice.id === id);
  }

  /** Show the card if it fits: every word is somewhere in what is known of the voice. */
  filter(language, words) {
    const fits = (!language || this.languages.includes(language)) && words.every((word) => this.#searched.includes(word));
    this.element.hidden = !fits;
    return fits;
  }

  /** Show whether it is idle, loading or playing. */
  mark(state) {
    const { sample } = this.#parts;
    const label = state === "idle" ? "voice.hear" : "voice.stop";
    this.element.dataset.sample = state;
    sample.textContent = t(label);
    sample.setAttribute("aria-label", t(`${label}.label`, { name: this.label }));
  }

  /** Show whether it is the playground's. */
  markChosen(id) {
    const is_chosen = this.has(id);
    const { use } = this.#parts;
    this.element.toggleAttribute("data-chosen", is_chosen);
    use.textContent = t(is_chosen ? "voice.chosen" : "voice.use");
    use.setAttribute("aria-label", t(is_chosen ? "voice.chosen.label" : "voice.use.label", { name: this.label }));
  }

  complain(error) {
    this.#parts.trouble.textContent = error?.message ?? "";
    this.#parts.trouble.hidden = !error;
  }

  #fillSpeakers() {
    const [whole, ...speakers] = this.#voices;
    this.#parts["speaker-field"].hidden = speakers.length === 0;
    this.#parts.speaker.replaceChildren(
      new Option(t("voice.first_speaker"), whole.id),
      ...speakers.map(({ id, name }) => new Option(name.replace(`${whole.name}, `, ""), id)),
    );
  }
}

export class Gallery {
  #page;
  #voices;
  #speaker;
  #choose;
  #cards = [];
  #listed = []; // what the cards are made of
  #sounding = null;

  constructor(page, { voices, speaker, choose }) {
    this.#page = page;
    this.#voices = voices;
    this.#speaker = speaker;
    this.#choose = choose;
    page["gallery-language"].addEventListener("change", () => this.#filter());
    page["gallery-search"].addEventListener("input", () => this.#filter());
  }

  /** Show the cards, which are made when they are seen for the first time. */
  show() {
    if (this.#listed !== this.#voices.all) this.#fill();
    for (const card of this.#cards) card.markChosen(this.#voices.voice_id);
  }

  #fill() {
    this.#listed = this.#voices.all;
    const told = { hear: (card) => this.#hear(card), choose: (voice) => this.#choose(voice) };
    this.#cards = grouped(this.#listed).map((voices) => new VoiceCard(voices, told));
    this.#cards.sort((a, b) => a.label.localeCompare(b.label, LANGUAGE));
    this.#page["voice-list"].replaceChildren(...this.#cards.map((card) => card.element));
    this.#page["gallery-language"].replaceChildren(new Option(t("gallery.every_language"), ""), ...this.#languages());
    this.#filter();
  }

  /** A choice for each language that there is a card for, by name. */
  #languages() {
    const names = new Map();
    for (const { languages, label } of this.#cards) {
      for (const language of languages) if (!names.has(language)) names.set(language, languageName(language, label));
    }
    const sorted = [...names].sort((a, b) => a[1].localeCompare(b[1], LANGUAGE));
    return sorted.map(([language, name]) => new Option(name, language));
  }

  #filter() {
    const words = this.#page["gallery-search"].value.toLocaleLowerCase(LANGUAGE).split(/\s+/).filter(Boolean);
    const language = this.#page["gallery-language"].value;
    const shown = this.#cards.filter((card) => card.filter(language, words)).length;
    this.#page["gallery-count"].textContent = t("gallery.count", { n: this.#cards.length, shown });
  }

  /** Speak a card's sample, or stop it. */
  async #hear(card) {
    if (this.#sounding === card) {
      this.#speaker.stop();
      return;
    }
    const { voice } = card;
    this.#sounding = card;
    card.complain(null);
    card.mark("loading");
    try {
      const body = { input: sampleOf(primary(voice.languages[0])), voice: voice.id };
      await this.#speaker.speak(body, { began: () => card.mark("playing") });
    } catch (error) {
      card.complain(error);
    }
    card.mark("idle");
    if (this.#sounding === card) this.#sounding = null;
  }
}
