// The page at /: text in, streamed speech out, over the same public API that every client uses.
//
// Owns: which view is shown, the form that two of them share, health, the voices, what is remembered.
// Refuses to know: how speech is made, and what the views do. No outside resource, no inline script or style (the page's
// Content-Security-Policy forbids both), nothing that needs HTTPS: on a LAN this is plain http.
//
// document.body's data-view tells tests and style sheets which view it is; for others see playground.js.

import { askJson } from "./api.js";
import { Clients } from "./clients.js";
import { Dictionary } from "./dictionary.js";
import { hasDictionary } from "./dictionary_api.js";
import { Gallery } from "./gallery.js";
import { JobsView } from "./jobs.js";
import { Playground } from "./playground.js";
import { Speaker } from "./speaking.js";
import { leaveDraft, recallChoices, recallKey, rememberChoices, rememberKey, rememberLanguage, takeDraft } from "./storage.js";
import { decimal, hasText, LANGUAGE, t, translate } from "./texts.js";
import { TextField } from "./text_field.js";
import { VoiceChoice } from "./voices.js";

const HEALTHY_INTERVAL_MS = 10_000; // between two looks at /health
const WAITING_INTERVAL_MS = 2_000; // the same while there is no worker
const FORMATS = ["mp3", "opus", "aac", "flac", "wav", "pcm"]; // each is its file's extension, too
const VIEWS = ["speak", "jobs", "voices", "clients", "dictionary"];

translate(document);
document.documentElement.lang = LANGUAGE;

const page = Object.fromEntries(
  [...document.querySelectorAll("[id]")].map((element) => [element.id, element]),
);
const state = document.body.dataset;
const speaker = new Speaker();
const voices = new VoiceChoice(page);
const field = new TextField(page);
const playground = new Playground(page, { voices, field, speaker, complain });
const jobs = new JobsView(page, voices, complain);
const gallery = new Gallery(page, { voices, speaker, choose: chooseVoice });
const clients = new Clients(page, voices);
const dictionary = new Dictionary(page, { voices, speaker });
let max_chars = Infinity; // that may be spoken at once
let asked_for_key = false; // once: later answers of 401 leave the cursor where it is

// ---------------------------------------------------------------- telling

function complain(error) {
  page.message.textContent = error.message;
  page.message.hidden = false;
  if (error.status === 401 && !asked_for_key) {
    asked_for_key = true;
    page["key-details"].open = true;
    page.key.focus();
  }
}

/** As complain, but silent where a key is missing and was asked for: nobody wants to hear it every 10 s. */
function complainOnce(error) {
  if (error.status !== 401 || !asked_for_key) complain(error);
}

function showSpeed() {
  page["speed-text"].textContent = `${decimal(Number(page.speed.value), 2)}×`;
}

// ---------------------------------------------------------------- health and voices

/** Show the appliance's health; returns how many workers are ready. */
async function showHealth() {
  let health = { status: "unreachable" };
  try {
    health = await (await fetch("/health", { cache: "no-store" })).json();
  } catch {
    // Unreachable: the dot says so.
  }
  const name = `health.${health.status}`;
  const words = hasText(name) ? t(name) : health.status;
  const { ready = 0, total = 0 } = health.worker ?? {};
  page.health.dataset.status = health.status;
  page["health-text"].textContent = health.worker ? t("health.workers", { words, ready, n: total }) : words;
  if (health.version) page.version.textContent = t("version", { version: health.version });
  return ready;
}

async function loadVoices() {
  const answer = await askJson("/v1/audio/voices");
  max_chars = answer.max_input_chars ?? Infinity;
  voices.take(answer, recallChoices().voice);
  page.text.lang = voices.language;
  page.speak.disabled = page.download.disabled = page.order.disabled = !voices.is_filled;
  limitText();
  if (state.view === "voices") gallery.show();
  if (state.view === "clients") clients.show();
}

/** Look at the health again and again, and get the voices as soon as there are any. */
async function watch() {
  const ready = document.hidden ? 0 : await showHealth();
  if (ready && !voices.is_filled) await loadVoices().catch(complainOnce);
  setTimeout(watch, ready ? HEALTHY_INTERVAL_MS : WAITING_INTERVAL_MS);
}

function remember() {
  rememberChoices({
    voice: voices.id,
    speed: page.speed.value,
    format: page.format.value,
    job_format: page["job-format"].value,
    captions: page["job-captions"].checked,
    chapters: page["job-chapters"].checked,
  });
}

/** Take a voice of the gallery over to where texts are typed. */
function chooseVoice({ id, name }) {
  voices.choose(id);
  page.text.lang = voices.language;
  remember();
  location.hash = "#speak";
  showView(); // before the browser tells of it, so that the text can have the focus
  page.status.textContent = t("speak.voice", { name });
  page.text.focus();
}

function takeKey() {
  rememberKey(page.key.value.trim());
  loadVoices().catch(complain);
  if (state.view === "jobs") jobs.reload();
}

/** Open the page anew in another language. */
function takeLanguage() {
  rememberLanguage(page["page-language"].value);
  location.reload();
}

/** Keep what was typed for the page that this tab shows next. */
function keepText() {
  if (page.text.value !== t("text.first")) leaveDraft(page.text.value);
}

// ---------------------------------------------------------------- views

/** How much may be spoken at once; what a job may have, the appliance says. */
function limitText() {
  field.most_chars = state.view === "jobs" ? Infinity : max_chars;
  field.tell();
}

/** Be silent, and forget what was wrong; inside a view it may be why another job is shown. */
function leaveView() {
  page.message.hidden = true;
  speaker.stop();
  window.scrollTo(0, 0);
}

/** Show what the address names, as #voices, #jobs or #jobs/ID; else the view that speaks at once. */
function showView() {
  const [name, id] = location.hash.slice(1).split("/");
  const view = VIEWS.includes(name) ? name : "speak";
  if (view !== state.view) leaveView();
  state.view = view;
  for (const part of document.querySelectorAll("[data-in]")) part.hidden = !part.dataset.in.split(" ").includes(view);
  for (const link of page.views.children) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (view === "jobs") {
    jobs.show(id);
  } else {
    jobs.hide();
    page["text-field"].hidden = false;
  }
  if (view === "voices") gallery.show();
  if (view === "clients") clients.show();
  if (view === "dictionary") dictionary.show();
  limitText();
}

/** Lead to the dictionary where there is one. */
async function offerDictionary() {
  page["dictionary-link"].hidden = !(await hasDictionary());
}

// ---------------------------------------------------------------- begin

/** What the form is there for, in the view that is shown. */
function submit() {
  page.message.hidden = true;
  if (state.view === "speak") playground.speak();
  else if (voices.is_filled && (jobs.has_file || playground.isTextFine())) jobs.order();
}

function listen() {
  page.form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  page.text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) page.form.requestSubmit();
  });
  page.speed.addEventListener("input", showSpeed);
  page.form.addEventListener("change", remember);
  page.language.addEventListener("change", () => { page.text.lang = voices.language; });
  page.key.addEventListener("change", takeKey);
  page["page-language"].addEventListener("change", takeLanguage);
  window.addEventListener("hashchange", showView);
  window.addEventListener("pagehide", keepText);
}

function begin() {
  const { speed, format, captions = true, chapters = true } = recallChoices();
  if (speed) page.speed.value = speed;
  if (FORMATS.includes(format)) page.format.value = format;
  page["job-captions"].checked = captions;
  page["job-chapters"].checked = chapters;
  page.key.value = recallKey();
  page.text.value = takeDraft() ?? t("text.first");
  page["page-language"].value = LANGUAGE;
  page["base-url"].textContent = `${location.origin}/v1`;
  showSpeed();
  listen();
  showView();
  watch();
  offerDictionary().catch(() => {}); // the health says that nothing can be reached
}

begin();
