// The operator's console at /admin: what the appliance does now, and a few buttons.
//
// Owns: the admin key of this tab, when which route is asked, the tiles and the buttons.
// Refuses to know: tables, plots and words. It asks only routes that everybody with the key may ask.
//
// document.body's data-console tells tests and style sheets what goes on:
//   signed-out → asking → live ⇄ broken (an answer is missing; asked again and again)

import { ask, askJson, posted } from "./api.js";
import { Past } from "./console_past.js";
import { drawBars, drawLines } from "./console_plots.js";
import { Failures, Jobs, Programs, Workers } from "./console_tables.js";
import { backupWords, databaseWords, diskWords, findings, percent, remedy, seconds } from "./console_words.js";
import { recallAdminKey, rememberAdminKey } from "./storage.js";
import { count, t } from "./texts.js";

const FAST_MS = 2_000; // between two looks at workers and queue
const SLOW_MS = 10_000; // between two looks at all else
const PATIENCE_MS = 10_000; // for an answer
const FIRST_REQUESTS = 1_000; // of the history, when nothing is known yet
const NEXT_REQUESTS = 200;
const LISTED = 10; // jobs, failures
const KEY_REFUSED = [401, 403, 404]; // 404: there is no admin key any more

const page = Object.fromEntries([...document.querySelectorAll("[id]")].map((element) => [element.id, element]));
const state = document.body.dataset;
const past = new Past();
const workers = new Workers(page.workers, restart);
const programs = new Programs(page.programs);
const jobs = new Jobs(page.jobs);
const failures = new Failures(page.failures);
let visit = null; // the AbortController of what is asked with this key
let is_draining = false;
let ahead_ms = 0; // how far the appliance's clock is before this one's
let seen_programs = [];
let diagnoses = null; // what doctor says of failures and faults; the same for as long as a version runs

function now_ms() {
  return Date.now() + ahead_ms;
}

// ---------------------------------------------------------------- the key

async function signIn(key) {
  signOut("");
  page.key.value = key;
  state.console = "asking";
  page.enter.disabled = true;
  const started = new AbortController();
  visit = started;
  try {
    await ask("/admin/status", patient(started.signal)); // alone: a wrong key counts with each question
    await lookFast(started.signal);
  } catch (error) {
    if (!started.signal.aborted) refuse(error, key);
    return;
  } finally {
    page.enter.disabled = false;
  }
  if (started.signal.aborted) return;
  rememberAdminKey(key);
  page["sign-in"].hidden = true;
  page.console.hidden = false;
  state.console = "live";
  page["findings-title"].focus(); // what had the focus is hidden
  again(lookFast, FAST_MS, started.signal);
  again(lookSlow, 0, started.signal);
}

/** Ask for a key again; one that nobody has refused is still the right one when the appliance is back. */
function refuse(error, key) {
  signOut(error.message);
  if (KEY_REFUSED.includes(error.status)) return;
  page.key.value = key;
  rememberAdminKey(key);
}

/** Stop all looks, forget the key and ask for one; says why where a message is given. */
function signOut(message) {
  visit?.abort();
  visit = null;
  rememberAdminKey("");
  page.key.value = "";
  page.console.hidden = true;
  page["sign-in"].hidden = false;
  page["health-text"].textContent = "Signed out";
  page.health.dataset.status = "unknown";
  page.said.textContent = "";
  state.console = "signed-out";
  complain(message);
  page.key.focus();
}

/** Show what went wrong; nothing hides it. */
function complain(message) {
  if (page.message.textContent !== message) page.message.textContent = message;
  page.message.hidden = !message;
}

// ---------------------------------------------------------------- looking

/** Look after some time and again and again, until the visit ends; nobody looks at a hidden page. */
function again(look, wait_ms, signal) {
  setTimeout(async () => {
    if (signal.aborted) return;
    if (!document.hidden) await attempt(look, signal);
    again(look, look === lookFast ? FAST_MS : SLOW_MS, signal);
  }, wait_ms);
}

async function attempt(look, signal) {
  try {
    await look(signal);
    if (look === lookFast && !signal.aborted && state.console === "broken") mend();
  } catch (error) {
    if (signal.aborted) return;
    if (KEY_REFUSED.includes(error.status)) refuse(error);
    else breakOff(error.message);
  }
}

/** Say that what is shown is old. */
function breakOff(message) {
  if (state.console === "broken") return; // once is enough for who has it read aloud
  state.console = "broken";
  page.health.dataset.status = "unreachable";
  page["health-text"].textContent = t("health.unreachable");
  complain(`${message} What is shown here is from before.`);
}

function mend() {
  state.console = "live";
  complain("");
}

/** Options of a request that ends with the visit, or when nobody has answered in time. */
function patient(signal) {
  return { signal: AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]) };
}

async function lookFast(signal) {
  const [status, listed] = await Promise.all([
    ask("/admin/status", patient(signal)).then((answer) => { takeTime(answer); return answer.json(); }),
    askJson("/admin/programs", patient(signal)),
  ]);
  if (signal.aborted) return;
  seen_programs = listed.programs;
  showStatus(status);
  workers.show(status.workers, seen_programs);
  programs.show(seen_programs);
  past.look(Date.now(), status.queue.waiting);
  drawWaiting();
}

/** Learn the appliance's clock, by which its history goes. */
function takeTime(answer) {
  const said_ms = Date.parse(answer.headers.get("Date") ?? "");
  if (!Number.isNaN(said_ms)) ahead_ms = said_ms - Date.now();
}

async function lookSlow(signal) {
  if (diagnoses === null) await tellIn(page["findings-note"], learn, signal);
  const looks = [
    [lookHealth, "findings-note"],
    [lookHistory, "note-history"],
    [lookJobs, "note-jobs"],
    [lookFailures, "note-failures"],
  ];
  await Promise.all(looks.map(([look, note]) => tellIn(page[note], look, signal)));
}

/** Look, and say beside what isn't shown why; another look may go well meanwhile. */
async function tellIn(note, look, signal) {
  try {
    await look(signal);
    if (!signal.aborted) note.textContent = "";
  } catch (error) {
    if (!signal.aborted) note.textContent = error.message;
  }
}

async function learn(signal) {
  diagnoses = await askJson("/admin/diagnoses", patient(signal));
}

/** Ask for a state whose 503 is an answer, too. */
async function askState(path, signal) {
  const answer = await fetch(path, patient(signal)).catch(() => null);
  if (!answer || ![200, 503].includes(answer.status)) throw new Error(`${path} doesn't answer.`);
  return answer.json();
}

async function lookHealth(signal) {
  const [health, tts] = await Promise.all([askState("/health", signal), askState("/health/tts", signal)]);
  if (signal.aborted) return;
  page["tile-workers"].textContent = `${health.worker.ready} of ${health.worker.total}`;
  page["tile-disk"].textContent = diskWords(health.disk);
  page["tile-database"].textContent = databaseWords(health.db);
  page["tile-backup"].textContent = backupWords(health.backup, now_ms());
  page.findings.replaceChildren(...findings(health, tts, seen_programs).map(finding));
}

function finding(found) {
  const item = document.createElement("li");
  const [dot, text] = [document.createElement("span"), document.createElement("span")];
  dot.className = "dot";
  text.textContent = found.words;
  if (found.fault) text.append(...verdict(found));
  item.dataset.level = found.level;
  item.append(dot, text);
  return item;
}

/** What doctor calls it and would do. */
function verdict(found) {
  const { advice, command } = remedy(diagnoses, found);
  const [words, code] = [document.createElement("span"), document.createElement("code")];
  words.className = "quiet";
  words.textContent = ` Doctor's ${found.fault}: ${advice}. `;
  code.textContent = command;
  return [words, code];
}

/** Ask for what is new in the history; for more of it where that doesn't reach what is known. */
async function lookHistory(signal) {
  let rows = (await askJson(`/v1/history?limit=${NEXT_REQUESTS}`, patient(signal))).data;
  const is_gap = rows.length === NEXT_REQUESTS && !rows.some(({ id }) => past.knows(id));
  if (is_gap) rows = (await askJson(`/v1/history?limit=${FIRST_REQUESTS}`, patient(signal))).data;
  if (signal.aborted) return;
  past.take(rows);
  drawPast();
}

async function lookJobs(signal) {
  const { data } = await askJson(`/v1/jobs?limit=${LISTED}`, patient(signal));
  if (!signal.aborted) jobs.show(data, now_ms());
}

async function lookFailures(signal) {
  const { data } = await askJson(`/v1/history?state=failed&limit=${LISTED}`, patient(signal));
  if (!signal.aborted) failures.show(data, now_ms(), diagnoses);
}

// ---------------------------------------------------------------- showing

function showStatus(status) {
  is_draining = status.draining;
  page.drain.textContent = is_draining ? "Take requests again" : "Drain";
  page.health.dataset.status = status.status;
  page["health-text"].textContent = t(`health.${status.status}`);
  page.version.textContent = `Version ${status.version}, running for ${hours(status.uptime_s)}`;
  const { first, rest, background } = status.queue.waiting_by_class;
  page["tile-waiting"].textContent = `${first} first · ${rest} rest · ${background} jobs`;
  page["tile-success"].textContent = percent(status.success_ratio);
  page["tile-ttfa"].textContent = `${seconds(status.latency.ttfa_p50_s)} · p90 ${seconds(status.latency.ttfa_p90_s)}`;
  page["tile-requests"].textContent = `${count(status.requests.accepted)} · ${status.requests.in_flight} now`;
}

function hours(uptime_s) {
  return uptime_s < 5400 ? `${Math.round(uptime_s / 60)} min` : `${Math.round(uptime_s / 3600)} h`;
}

function drawPast() {
  const minutes = past.minutes(now_ms());
  const [from_ms, to_ms] = [minutes[0].at_ms, minutes.at(-1).at_ms + 60_000];
  const [completed, failed] = ["completed", "failed"].map((name) => minutes.reduce((sum, minute) => sum + minute[name], 0));
  const worst_s = Math.max(...minutes.map(({ p90_s }) => p90_s ?? 0));
  drawLines(page["plot-ttfa"], [
    { kind: "p90", points: minutes.map(({ at_ms, p90_s }) => [at_ms + 30_000, p90_s]) },
    { kind: "p50", points: minutes.map(({ at_ms, p50_s }) => [at_ms + 30_000, p50_s]) },
  ], { from_ms, to_ms, least_top: 0.05, words: seconds, summary: `First audio in the last 30 minutes: the worst minute's p90 was ${seconds(worst_s)}` });
  drawBars(page["plot-requests"], minutes.map((minute) => ({
    at_ms: minute.at_ms,
    parts: [{ kind: "good", value: minute.completed }, { kind: "bad", value: minute.failed }],
  })), { from_ms, to_ms, least_top: 4, words: whole, summary: `Requests in the last 30 minutes: ${completed} completed, ${failed} failed` });
}

/** A number on the axis of what comes in ones. */
function whole(value) {
  return Number.isInteger(value) ? count(value) : "";
}

function drawWaiting() {
  const points = past.looks;
  const [[from_ms], [to_ms, waiting]] = [points[0], points.at(-1)];
  const frame = { from_ms, to_ms, least_top: 4, words: whole, summary: `Utterances that wait: ${waiting} now` };
  drawLines(page["plot-waiting"], [{ kind: "waiting", points }], frame);
}

// ---------------------------------------------------------------- buttons

/** Do what a button is there for, say what came of it, and look at once. */
async function act(button, said, change) {
  if (visit === null || button?.getAttribute("aria-disabled") === "true") return;
  const { signal } = visit;
  button?.setAttribute("aria-disabled", "true");
  page.said.textContent = "";
  try {
    const done = await change();
    if (signal.aborted) return;
    page.said.textContent = said(done);
    await attempt(lookFast, signal);
  } catch (error) {
    if (!signal.aborted) page.said.textContent = error.message;
  } finally {
    button?.removeAttribute("aria-disabled");
  }
}

function drain() {
  const is_on = !is_draining;
  if (is_on && !window.confirm("Refuse every new request until you take requests again? What runs is finished.")) return;
  const said = ({ in_flight }) => (is_on ? `New requests are refused; ${in_flight} still run.` : "New requests are taken again.");
  act(page.drain, said, () => askJson("/admin/drain", posted({ on: is_on })));
}

function restart(name) {
  if (!window.confirm(`Restart ${name}? It finishes what it speaks; without another worker of its engine, requests wait until it is back.`)) return;
  const path = `/admin/workers/${encodeURIComponent(name)}/restart`;
  act(null, () => `${name} will be restarted as soon as it may go.`, () => askJson(path, { method: "POST" }));
}

function restartAll() {
  if (!window.confirm("Restart all workers, one after the other? No request fails.")) return;
  const said = ({ workers: names }) => `${names.length} workers will be restarted, one after the other.`;
  act(page["restart-all"], said, () => askJson("/admin/workers/restart", { method: "POST" }));
}

function backUp() {
  act(page["back-up"], ({ file }) => `Made the backup ${file}.`, () => askJson("/admin/backups", { method: "POST" }));
}

function begin() {
  page["sign-in"].addEventListener("submit", (event) => {
    event.preventDefault();
    const key = page.key.value.trim();
    if (key) signIn(key);
  });
  page.drain.addEventListener("click", drain);
  page["restart-all"].addEventListener("click", restartAll);
  page["back-up"].addEventListener("click", backUp);
  page.leave.addEventListener("click", () => signOut(""));
  document.addEventListener("visibilitychange", () => { if (visit && !document.hidden && state.console !== "asking") attempt(lookFast, visit.signal); });
  new ResizeObserver(() => { if (!page.console.hidden && past.looks.length) { drawWaiting(); drawPast(); } }).observe(page.plots);
  const known = recallAdminKey();
  if (known) signIn(known);
}

begin();
