// The page at /: text in, streamed speech out, over the same public API that every client uses.
//
// Owns: the form, asking the appliance, the states below, the download.
// Refuses to know: how speech is made. No outside resource, no inline script or style (the page's
// Content-Security-Policy forbids both), nothing that needs HTTPS: on a LAN this is plain http.
//
// document.body's data attributes tell tests and style sheets what goes on:
//   state      idle → loading → playing → ended | stopped | error
//   download   idle → loading → done | error
//   audioS, firstSoundMs, gaps   of the last speech

import { Player, Waveform } from "./sound.js";
import { VoiceChoice } from "./voices.js";

const HEALTHY_INTERVAL_MS = 10_000; // between two looks at /health
const WAITING_INTERVAL_MS = 2_000; // the same while there is no worker
const DEVICE_TAIL_MS = 1_000; // the sound device may still play what it has buffered
const FORMATS = ["mp3", "opus", "aac", "flac", "wav", "pcm"]; // each is its file's extension, too
const KEY_ITEM = "api-key";
const CHOICES_ITEM = "choices";
const HEALTH_WORDS = {
  ok: "Ready",
  degraded: "Degraded",
  starting: "Starting",
  draining: "Draining",
  overloaded: "Overloaded",
  down: "Down",
  unreachable: "Unreachable",
};

const page = Object.fromEntries(
  [...document.querySelectorAll("[id]")].map((element) => [element.id, element]),
);
const state = document.body.dataset;
const player = new Player();
const waveform = new Waveform(page.waveform);
const voices = new VoiceChoice(page);
let maxChars = Infinity;
let speech = null; // the AbortController of the request that is being heard
let asked_for_key = false; // once: later answers of 401 leave the cursor where it is

// ---------------------------------------------------------------- asking the appliance

/** What the appliance or the network refused, in words for a person. */
class RefusedError extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** Fetch a path with the API key, if one was typed; anything but success is a RefusedError. */
async function ask(path, options = {}) {
  const headers = { ...options.headers };
  const key = page.key.value.trim();
  if (key) headers.Authorization = `Bearer ${key}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RefusedError("The appliance can't be reached. Is it running?");
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

/** Turn an error answer ({"error": {"message", …}}) into a RefusedError. */
async function refusal(answer) {
  let message = "This isn't an answer of the appliance.";
  try {
    message = (await answer.json()).error.message;
  } catch {
    // Not our error shape (a proxy's page, say): the status is all there is to tell.
  }
  const wait_s = answer.headers.get("Retry-After");
  if (wait_s) message += ` Try again in ${wait_s} s.`;
  const id = answer.headers.get("X-Request-ID");
  message += ` (status ${answer.status}${id ? `, request ${id}` : ""})`;
  return new RefusedError(message, answer.status);
}

/** Ask for the text in the form as speech. */
function askForSpeech(format, signal) {
  return ask("/v1/audio/speech", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    signal,
    body: JSON.stringify({
      model: "tts-1",
      input: page.text.value,
      voice: voices.id,
      response_format: format,
      speed: Number(page.speed.value),
    }),
  });
}

// ---------------------------------------------------------------- speak and stop

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

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A file name from the first words of the text, in any script. */
function fileStem(text) {
  const words = text.slice(0, 200).match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
  return words.slice(0, 6).join("-").slice(0, 60).toLowerCase() || "speech";
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
  const over = charCount() - maxChars;
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

function charCount() {
  return [...page.text.value].length; // code points, as the appliance counts
}

function countChars() {
  const count = charCount();
  const limit = maxChars === Infinity ? "" : ` of ${maxChars.toLocaleString("en")}`;
  page.counter.textContent = `${count.toLocaleString("en")}${limit} characters`;
  page.text.setAttribute("aria-invalid", String(count > maxChars));
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
  const answer = await (await ask("/v1/audio/voices")).json();
  maxChars = answer.max_input_chars ?? Infinity;
  voices.take(answer, recall().voice);
  page.text.lang = voices.language;
  page.speak.disabled = page.download.disabled = !voices.is_filled;
  countChars();
}

/** Look at the health again and again, and get the voices as soon as there are any. */
async function watch() {
  const ready = document.hidden ? 0 : await showHealth();
  if (ready && !voices.is_filled) await loadVoices().catch(complainOnce);
  setTimeout(watch, ready ? HEALTHY_INTERVAL_MS : WAITING_INTERVAL_MS);
}

// ---------------------------------------------------------------- what is remembered

function remember() {
  const choices = { voice: voices.id, speed: page.speed.value, format: page.format.value };
  keep(() => localStorage.setItem(CHOICES_ITEM, JSON.stringify(choices)));
  keep(() => sessionStorage.setItem(KEY_ITEM, page.key.value.trim()));
}

function recall() {
  return keep(() => JSON.parse(localStorage.getItem(CHOICES_ITEM))) ?? {};
}

/** Use the browser's storage; some browsers are set to forbid it, and the page works without. */
function keep(use) {
  try {
    return use();
  } catch {
    return null;
  }
}

// ---------------------------------------------------------------- begin

function listen() {
  page.form.addEventListener("submit", (event) => {
    event.preventDefault();
    speak();
  });
  page.text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) page.form.requestSubmit(page.speak);
  });
  page.form.addEventListener("pointerdown", () => player.prepare(), { once: true });
  page.form.addEventListener("keydown", () => player.prepare(), { once: true });
  page.text.addEventListener("input", countChars);
  page.stop.addEventListener("click", stop);
  page.download.addEventListener("click", download);
  page.speed.addEventListener("input", showSpeed);
  page.form.addEventListener("change", remember);
  page.language.addEventListener("change", () => { page.text.lang = voices.language; });
  page.key.addEventListener("change", () => loadVoices().catch(complain));
  new ResizeObserver(draw).observe(page.waveform);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

function begin() {
  const { speed, format } = recall();
  if (speed) page.speed.value = speed;
  if (FORMATS.includes(format)) page.format.value = format;
  page.key.value = keep(() => sessionStorage.getItem(KEY_ITEM)) ?? "";
  page["base-url"].textContent = `${location.origin}/v1`;
  showSpeed();
  countChars();
  listen();
  watch();
}

begin();
