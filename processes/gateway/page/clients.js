// The view for other programs: what to type into them, and whether they would get on with the appliance.
//
// Owns: the cards, the address that is filled in, the steps of a test as they go.
// Refuses to know: what is asked in a step (client_checks.js), what each program calls its fields (client_settings.js).

import { apiKey } from "./api.js";
import { CHECKS } from "./client_checks.js";
import { CLIENTS } from "./client_settings.js";
import { copy } from "./copying.js";
import { element, instantiate } from "./elements.js";
import { sampleOf } from "./samples.js";
import { t } from "./texts.js";
import { primary } from "./voices.js";

const COPIED_MS = 2_000; // as long as a button says so
const OWN_NAMES = ["localhost", "127.0.0.1", "[::1]"];
const HIDDEN_KEY = "••••••••";
const DEFAULT_PORTS = { "http:": 80, "https:": 443 };

/** An address without its slash, or nothing if it is none. */
function readAddress(text) {
  try {
    const url = new URL(text.trim());
    const is_web = url.protocol in DEFAULT_PORTS;
    return is_web ? { address: url.origin, host: url.hostname, port: Number(url.port || DEFAULT_PORTS[url.protocol]) } : null;
  } catch {
    return null;
  }
}

class ClientCard {
  #client;
  #parts;
  #facts;
  #heard_url = "";
  element;

  /** @param {() => object} facts What settings and checks are made of, as it is now. */
  constructor(client, facts) {
    const { root, parts } = instantiate("client-card");
    this.#client = client;
    this.#parts = parts;
    this.#facts = facts;
    this.element = root;
    root.dataset.client = client.id;
    parts.name.textContent = client.name;
    parts.where.textContent = t(`client.${client.id}.where`);
    parts.audio.setAttribute("aria-label", t("client.heard.label", { name: client.name }));
    parts.test.setAttribute("aria-label", t("client.test.label", { name: client.name }));
    parts.test.addEventListener("click", () => this.#test());
  }

  showSettings() {
    this.#parts.settings.replaceChildren(...this.#client.settings(this.#facts()).map((setting) => this.#row(setting)));
  }

  #row({ label, value, is_secret }) {
    const { root, parts } = instantiate("client-setting");
    const { key } = this.#facts();
    root.toggleAttribute("data-block", value.includes("\n"));
    parts.label.textContent = label;
    parts.value.textContent = is_secret ? value.replaceAll(key, HIDDEN_KEY) : value;
    parts.copy.setAttribute("aria-label", t("client.copy.label", { label, name: this.#client.name }));
    parts.copy.addEventListener("click", () => this.#copy(value, parts.copy));
    return root;
  }

  async #copy(value, button) {
    const told = t((await copy(value)) ? "client.copied" : "client.not_copied");
    button.textContent = told;
    this.#parts.copied.textContent = told;
    setTimeout(() => { button.textContent = t("client.copy"); }, COPIED_MS);
  }

  async #test() {
    const { test, steps, verdict } = this.#parts;
    if (this.element.dataset.test === "running") return;
    test.setAttribute("aria-disabled", "true"); // a disabled button would lose the focus
    this.element.dataset.test = "running";
    this.#show(null);
    verdict.textContent = t("client.testing");
    steps.replaceChildren();
    steps.hidden = false;
    const facts = { ...this.#facts(), keep: (blob) => this.#show(blob) };
    const checks = CHECKS[this.#client.id];
    let passed = 0;
    for (const [name, check] of checks) passed += await this.#take(name, () => check(facts));
    const all = passed === checks.length;
    this.element.dataset.test = all ? "passed" : "failed";
    verdict.textContent = t(all ? "client.passed" : "client.failed", { n: checks.length, passed, name: this.#client.name });
    test.removeAttribute("aria-disabled");
  }

  /** Take one step and say how it went; returns whether it did. */
  async #take(name, check) {
    const item = element("li", "");
    const asked = element("strong", t(name));
    const seen = element("span", t("client.asking"));
    item.append(asked, seen);
    this.#parts.steps.append(item);
    try {
      seen.textContent = await check();
      item.dataset.step = "passed";
    } catch (error) {
      seen.textContent = error.message;
      item.dataset.step = "failed";
    }
    const mark = element("span", t(`client.step.${item.dataset.step}`), "mark");
    item.prepend(mark);
    return item.dataset.step === "passed";
  }

  /** Offer the audio of the last answer to be heard. */
  #show(blob) {
    const { audio } = this.#parts;
    URL.revokeObjectURL(this.#heard_url);
    audio.hidden = !blob;
    this.#heard_url = blob ? URL.createObjectURL(blob) : "";
    if (blob) audio.src = this.#heard_url;
    else audio.removeAttribute("src");
  }
}

export class Clients {
  #page;
  #voices;
  #address = readAddress(location.origin);
  #cards;

  constructor(page, voices) {
    this.#page = page;
    this.#voices = voices;
    this.#cards = CLIENTS.map((client) => new ClientCard(client, () => this.#facts()));
    page["client-list"].replaceChildren(...this.#cards.map((card) => card.element));
    page["client-address"].value = location.origin;
    page["client-own"].hidden = !OWN_NAMES.includes(location.hostname);
    page["client-address"].addEventListener("input", () => this.#takeAddress());
  }

  /** Show the settings as they follow from what is chosen now. */
  show() {
    if (!this.#voices.is_filled) return;
    for (const card of this.#cards) card.showSettings();
  }

  #takeAddress() {
    const field = this.#page["client-address"];
    const address = readAddress(field.value);
    field.setAttribute("aria-invalid", String(!address));
    this.#address = address ?? this.#address;
    this.show();
  }

  #facts() {
    const { id, voice_id, all } = this.#voices;
    const language = all.find((voice) => voice.id === voice_id).language;
    const speaking = all.filter(({ languages }) => languages.map(primary).includes(primary(language)));
    const said = { language, sentence: sampleOf(primary(language)), voices: speaking.map((voice) => voice.id) };
    return { ...this.#address, ...said, voice: id, voice_id, key: apiKey() };
  }
}
