// The page at /: text in, streamed speech out, over the same public API that every client uses.
//
// Owns: the form, which view is shown, the states below, the download.
// Refuses to know: how speech is made, and what becomes of jobs. No outside resource, no inline script or style (the page's
// Content-Security-Policy forbids both), nothing that needs HTTPS: on a LAN this is plain http.
//
// document.body's data attributes tell tests and style sheets what goes on:
//   view       speak | jobs
//   state      idle → loading → playing → ended | stopped | error
//   download   idle → loading → done | error
//   audioS, firstSoundMs, gaps   of the last speech

import { ask, askJson, posted, RefusedError } from "./api.js";
import { HEALTH_WORDS } from "./health_words.js";
import { JobsView } from "./jobs.js";
import { fileStem, save } from "./saving.js";
import { Player, Waveform } from "./sound.js";
import { recallChoices, recallKey, rememberChoices, rememberKey } from "./storage.js";
import { VoiceChoice } from "./voices.js";

const HEALTHY_INTERVAL_MS = 10_000; // between two looks at /health
const WAITING_INTERVAL_MS = 2_000; // the same while there is no worker
const DEVICE_TAIL_MS = 1_000; // the sound device may still play what it has buffered
const FORMATS = ["mp3", "opus", "aac", "flac", "wav", "pcm"]; // each is its file's extension, too

const page = Object.fromEntries(
  [...document.querySelectorAll("[id]")].map((element) => [element.id, element]),
);
const state = document.body.dataset;
const player = new Player();
const waveform = new Waveform(page.waveform);
const voices = new VoiceChoice(page);
const jobs = new JobsView(page, voices, complain);
let maxChars = Infinity;
let speech = null; // the AbortController of the request that is being heard
let asked_for_key = false; // once: later answers of 401 leave the cursor where it is

// ---------------------------------------------------------------- speak and stop

/** Ask for the text in the form as speech. */
function askForSpeech(format, signal) {
  const body = {
    model: "tts-1",
    input: page.text.value,
    voice: voices.id,
    response_format: format,
    speed: Number(page.speed.value),
  };
  return ask("/v1/audio/speech", { ...posted(body), signal });
}

async function speak() {
  if (!voices.is_filled || !textIsFine()) return;
  hush();
  const run = new AbortController();
  speech = run;
  waveform.clear();
  delete state.audioS;
  delete state.firstSoundMs;
  enter("loading", "Waiting for the first sound…");
  requestAnimationFrame(drawWhilePlaying);
  try {
    await hear(run.signal, performance.now());
    if (run.signal.aborted) return;
    const audio_s = player.scheduled_s.toFixed(1);
    enter("ended", `${audio_s} s of audio; the first sound came after ${state.firstSoundMs} ms.`);
  } catch (error) {
    if (run.signal.aborted) return;
    hush();
    enter("error", "");
    complain(error);
  }
  settle();
}

/** Ask for the text as PCM and play it to its end. */
async function hear(signal, asked_at) {
  const [answer] = await Promise.all([askForSpeech("pcm", signal), player.start()]);
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await readOn(reader);
    if (done || signal.aborted) break;
    const { samples, in_s } = player.push(value);
    waveform.add(samples);
    state.audioS = player.scheduled_s.toFixed(3);
    state.gaps = player.gaps;
    if (state.state === "loading" && samples.length) {
      state.firstSoundMs = Math.round(performance.now() - asked_at + in_s * 1000);
      enter("playing", `Playing; the first sound came after ${state.firstSoundMs} ms.`);
    }
    await player.room();
  }
  await player.drained();
}

async function readOn(reader) {
  try {
    return await reader.read();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RefusedError("The connection broke off before the speech was complete.");
  }
}

/** Stop what is being heard; closing the connection tells the appliance to stop working on it. */
function hush() {
  speech?.abort();
  speech = null;
  player.stop();
}

function stop() {
  if (!speech) return;
  hush();
  enter("stopped", `Stopped after ${player.position_s.toFixed(1)} s.`);
  settle();
}

function settle() {
  speech = null;
  draw();
  setTimeout(() => { if (!speech) player.rest(); }, DEVICE_TAIL_MS);
}

// ---------------------------------------------------------------- download

async function download() {
  if (!voices.is_filled || !textIsFine()) return;
  const format = page.format.value;
  markDownload("loading", "Preparing…");
  try {
    const answer = await askForSpeech(format);
    save(await answer.blob(), `${fileStem(page.text.value)}.${format}`);
    markDownload("done", "Download");
  } catch (error) {
    markDownload("error", "Download");
    const broken = new RefusedError("The connection broke off before the file was complete; nothing was saved.");
    complain(error instanceof RefusedError ? error : broken);
  }
}

function markDownload(phase, label) {
  state.download = phase;
  page["download-text"].textContent = label;
  page.download.disabled = phase === "loading";
}

// ---------------------------------------------------------------- telling

function enter(phase, told) {
  const can_stop = phase === "loading" || phase === "playing";
  state.state = phase;
  page.status.textContent = told;
  if (!can_stop && document.activeElement === page.stop) page.speak.focus(); // a disabled button loses the focus
  page.stop.disabled = !can_stop;
}

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

/** Whether there is a text within the limit; if not, say so instead of asking the appliance. */
function textIsFine() {
  const over = charCount() - mostChars();
  let fault = "";
  if (over > 0) fault = `The text has ${over.toLocaleString("en")} characters too many.`;
  if (!page.text.value.trim()) fault = "There is no text to speak yet.";
  page.text.setAttribute("aria-invalid", String(fault !== ""));
  page.message.hidden = true;
  if (!fault) return true;
  hush();
  enter("error", "");
  complain(new RefusedError(fault));
  page.text.focus();
  return false;
}

/** Code points, as the appliance counts; without an array of them, since a job's text may have millions. */
function charCount() {
  const pairs = page.text.value.match(/[\ud800-\udbff][\udc00-\udfff]/g);
  return page.text.value.length - (pairs?.length ?? 0);
}

/** How much may be spoken at once; what a job may have, the appliance says. */
function mostChars() {
  return state.view === "speak" ? maxChars : Infinity;
}

function countChars() {
  const count = charCount();
  const limit = mostChars() === Infinity ? "" : ` of ${maxChars.toLocaleString("en")}`;
  page.counter.textContent = `${count.toLocaleString("en")}${limit} characters`;
  page.text.setAttribute("aria-invalid", String(count > mostChars()));
}

function showSpeed() {
  page["speed-text"].textContent = `${Number(page.speed.value).toFixed(2)}×`;
}

function draw() {
  waveform.draw(player.scheduled_s ? player.position_s / player.scheduled_s : 0);
  page.time.textContent = player.scheduled_s ? `${clock(player.position_s)} / ${clock(player.scheduled_s)}` : "";
}

function drawWhilePlaying() {
  draw();
  if (speech) requestAnimationFrame(drawWhilePlaying);
}

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
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
  const words = HEALTH_WORDS[health.status] ?? health.status;
  const { ready = 0, total = 0 } = health.worker ?? {};
  page.health.dataset.status = health.status;
  page["health-text"].textContent = health.worker ? `${words} · ${ready} of ${total} workers` : words;
  if (health.version) page.version.textContent = `Version ${health.version}`;
  return ready;
}

async function loadVoices() {
  const answer = await askJson("/v1/audio/voices");
  maxChars = answer.max_input_chars ?? Infinity;
  voices.take(answer, recallChoices().voice);
  page.text.lang = voices.language;
  page.speak.disabled = page.download.disabled = page.order.disabled = !voices.is_filled;
  countChars();
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
  rememberKey(page.key.value.trim());
}

// ---------------------------------------------------------------- views

/** Show what the address names: #jobs, #jobs/ID, or else the view that speaks at once. */
function showView() {
  const [name, id] = location.hash.slice(1).split("/");
  const view = name === "jobs" ? "jobs" : "speak";
  if (view !== state.view) page.message.hidden = true; // inside a view it may be why another job is shown
  state.view = view;
  for (const part of document.querySelectorAll("[data-in]")) part.hidden = part.dataset.in !== state.view;
  for (const link of page.views.children) {
    const is_shown = link.dataset.view === state.view;
    if (is_shown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (state.view === "jobs") {
    stop();
    jobs.show(id);
  } else {
    jobs.hide();
    page["text-field"].hidden = false;
  }
  countChars();
}

// ---------------------------------------------------------------- begin

/** What the form is there for, in the view that is shown. */
function submit() {
  page.message.hidden = true;
  if (state.view === "speak") speak();
  else if (voices.is_filled && (jobs.has_file || textIsFine())) jobs.order();
}

function listen() {
  page.form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  page.text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) page.form.requestSubmit();
  });
  page.form.addEventListener("pointerdown", () => player.prepare(), { once: true });
  page.form.addEventListener("keydown", () => player.prepare(), { once: true });
  page.text.addEventListener("input", countChars);
  page.stop.addEventListener("click", stop);
  page.download.addEventListener("click", download);
  page.speed.addEventListener("input", showSpeed);
  page.form.addEventListener("change", remember);
  page.language.addEventListener("change", () => { page.text.lang = voices.language; });
  page.key.addEventListener("change", () => {
    loadVoices().catch(complain);
    if (state.view === "jobs") jobs.reload();
  });
  window.addEventListener("hashchange", showView);
  new ResizeObserver(draw).observe(page.waveform);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

function begin() {
  const { speed, format, captions = true, chapters = true } = recallChoices();
  if (speed) page.speed.value = speed;
  if (FORMATS.includes(format)) page.format.value = format;
  page["job-captions"].checked = captions;
  page["job-chapters"].checked = chapters;
  page.key.value = recallKey();
  page["base-url"].textContent = `${location.origin}/v1`;
  showSpeed();
  listen();
  showView();
  watch();
}

begin();
