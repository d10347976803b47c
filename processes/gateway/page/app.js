// The page at /: text in, streamed speech out, over the same public API that every client uses.
//
// Owns: the form, playing 24 kHz PCM as it arrives, the waveform, the download.
// Refuses to know: how speech is made. No outside resource, no inline script or style (the page's
// Content-Security-Policy forbids both), nothing that needs HTTPS: on a LAN this is plain http.
//
// document.body's data attributes tell tests and style sheets what goes on:
//   state      idle → loading → playing → ended | stopped | error
//   download   idle → loading → done | error
//   audioS, firstSoundMs, gaps   of the last speech

const SAMPLE_RATE_HZ = 24_000; // of response_format "pcm"; int16 little-endian mono
const BYTES_PER_FRAME = 2;
const LEAD_S = 0.03; // between scheduling the first sound and its playing
const LONGEST_AHEAD_S = 120; // audio kept unplayed; beyond it the network has to wait
const PEAK_FRAMES = 240; // one peak of the waveform per 10 ms
const HEALTH_INTERVAL_MS = 10_000;
const EXTENSIONS = { mp3: "mp3", opus: "opus", aac: "aac", flac: "flac", wav: "wav", pcm: "pcm" };
const KEY_ITEM = "api-key";
const CHOICES_ITEM = "choices";

const page = Object.fromEntries(
  [...document.querySelectorAll("[id]")].map((element) => [element.id, element]),
);
const state = document.body.dataset;
const catalog = { voices: [], variants: [], maxChars: Infinity };
let speech = null; // the AbortController of the request that is being heard

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
  let message = `The appliance answered ${answer.status} ${answer.statusText}`.trim();
  try {
    message = (await answer.json()).error.message;
  } catch {
    // Not our error shape (a proxy's page, say): the status is all there is to tell.
  }
  const wait_s = answer.headers.get("Retry-After");
  if (wait_s) message += ` Try again in ${wait_s} s.`;
  const id = answer.headers.get("X-Request-ID");
  return new RefusedError(id ? `${message} (status ${answer.status}, request ${id})` : message, answer.status);
}

/** Ask for the text in the form as speech. */
function askForSpeech(format, signal) {
  const variant = page.variant.value;
  return ask("/v1/audio/speech", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    signal,
    body: JSON.stringify({
      model: "tts-1",
      input: page.text.value,
      voice: variant ? `${page.voice.value}+${variant}` : page.voice.value,
      response_format: format,
      speed: Number(page.speed.value),
    }),
  });
}

// ---------------------------------------------------------------- playing

// ---------------------------------------------------------------- waveform

const player = new Player();
const waveform = new Waveform(page.waveform);

function drawNow() {
  waveform.draw(player.scheduled_s ? player.position_s / player.scheduled_s : 0);
  page.time.textContent = player.scheduled_s ? `${clock(player.position_s)} / ${clock(player.scheduled_s)}` : "";
}

function drawWhilePlaying() {
  drawNow();
  if (state.state === "playing" || state.state === "loading") requestAnimationFrame(drawWhilePlaying);
}

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

// ---------------------------------------------------------------- speak, stop, download

async function speak() {
  if (!textIsFine()) return;
  hush();
  const run = new AbortController();
  speech = run;
  waveform.clear();
  delete state.audioS;
  delete state.firstSoundMs;
  enter("loading", "Asking for the first sound…");
  requestAnimationFrame(drawWhilePlaying);
  try {
    await hear(run.signal, performance.now());
    if (!run.signal.aborted) {
      enter("ended", `${player.scheduled_s.toFixed(1)} s of audio, first sound after ${state.firstSoundMs} ms.`);
    }
  } catch (error) {
    if (run.signal.aborted) return;
    player.stop();
    enter("error", "");
    complain(error);
  }
  if (speech === run) settle();
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
      enter("playing", `Playing; first sound after ${state.firstSoundMs} ms.`);
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
  const heard_s = player.position_s;
  hush();
  enter("stopped", `Stopped after ${heard_s.toFixed(1)} s.`);
  settle();
}

function settle() {
  speech = null;
  drawNow();
  player.rest();
}

async function download() {
  if (state.download === "loading" || !textIsFine()) return;
  const format = page.format.value;
  markDownload("loading", "Preparing…");
  try {
    const blob = await (await askForSpeech(format)).blob();
    save(blob, `${fileStem(page.text.value)}.${EXTENSIONS[format]}`);
    markDownload("done", "Download");
  } catch (error) {
    markDownload("error", "Download");
    complain(error instanceof RefusedError ? error : new RefusedError("The download broke off; nothing was saved."));
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
  state.state = phase;
  page.status.textContent = told;
  page.stop.disabled = phase !== "loading" && phase !== "playing";
  if (phase === "loading") page.message.hidden = true;
}

function complain(error) {
  page.message.textContent = error.message;
  page.message.hidden = false;
  if (error.status === 401) {
    page["key-details"].open = true;
    page.key.focus();
  }
}

function textIsFine() {
  const length = charCount();
  let fault = "";
  if (!page.text.value.trim()) fault = "There is no text to speak yet.";
  if (length > catalog.maxChars) fault = `The text has ${length - catalog.maxChars} characters too many.`;
  page.text.setAttribute("aria-invalid", String(Boolean(fault)));
  page.message.hidden = true;
  if (!fault) return true;
  hush();
  enter("error", "");
  settle();
  complain(new RefusedError(fault));
  page.text.focus();
  return false;
}

function charCount() {
  let count = 0;
  for (const _ of page.text.value) count += 1; // code points, as the appliance counts
  return count;
}

function countChars() {
  const limit = catalog.maxChars === Infinity ? "" : ` of ${catalog.maxChars.toLocaleString("en")}`;
  page.counter.textContent = `${charCount().toLocaleString("en")}${limit} characters`;
  page.text.setAttribute("aria-invalid", String(charCount() > catalog.maxChars));
}

// ---------------------------------------------------------------- voices

// ---------------------------------------------------------------- health

const HEALTH_WORDS = {
  ok: "Ready",
  degraded: "Degraded",
  starting: "Starting",
  draining: "Draining",
  overloaded: "Overloaded",
  down: "Down",
};

async function showHealth() {
  let health = { status: "unreachable" };
  try {
    health = await (await fetch("/health", { cache: "no-store" })).json();
  } catch {
    // Unreachable: the dot says so.
  }
  const { ready = 0, total = 0 } = health.worker ?? {};
  const words = HEALTH_WORDS[health.status] ?? "Unreachable";
  page.health.dataset.status = health.status;
  page["health-text"].textContent = health.worker ? `${words} · ${ready} of ${total} workers` : words;
  if (health.version) page.version.textContent = `Version ${health.version}`;
  return ready > 0;
}

/** Look at the health, and get the voices as soon as there are any. */
async function lookAround() {
  const is_ready = await showHealth();
  if (!catalog.voices.length && is_ready) await loadVoices().catch(complain);
}

// ---------------------------------------------------------------- what is remembered

function remember() {
  const { voice, variant, speed, format } = page;
  const choices = { voice: voice.value, variant: variant.value, speed: speed.value, format: format.value };
  localStorage.setItem(CHOICES_ITEM, JSON.stringify(choices));
}

function recall() {
  return JSON.parse(localStorage.getItem(CHOICES_ITEM) ?? "{}");
}

function showSpeed() {
  page["speed-text"].textContent = `${Number(page.speed.value).toFixed(2)}×`;
}

function begin() {
  const known = recall();
  if (known.speed) page.speed.value = known.speed;
  if (known.format in EXTENSIONS) page.format.value = known.format;
  page.key.value = sessionStorage.getItem(KEY_ITEM) ?? "";
  page["base-url"].textContent = `${location.origin}/v1`;
  showSpeed();
  countChars();
  drawNow();

  page.form.addEventListener("submit", (event) => {
    event.preventDefault();
    speak();
  });
  page.text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) page.form.requestSubmit();
  });
  page.text.addEventListener("input", countChars);
  page.stop.addEventListener("click", stop);
  page.download.addEventListener("click", download);
  page.speed.addEventListener("input", showSpeed);
  page.language.addEventListener("change", () => { fillVoices(); fillVariants(page.variant.value); });
  page.voice.addEventListener("change", () => fillVariants(page.variant.value));
  page.form.addEventListener("change", remember);
  page.key.addEventListener("change", () => {
    sessionStorage.setItem(KEY_ITEM, page.key.value.trim());
    loadVoices().catch(complain);
  });
  new ResizeObserver(drawNow).observe(page.waveform);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawNow);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) lookAround(); });
  setInterval(() => { if (!document.hidden) lookAround(); }, HEALTH_INTERVAL_MS);
  lookAround();
}

begin();
