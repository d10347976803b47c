// Jobs in words: states, reasons, durations, sizes.
//
// Owns: what a person reads about a job.
// Refuses to know: elements and requests.

import { DATES, decimal, hasText, t } from "./texts.js";

export const ENDED = ["completed", "failed", "cancelled"];
const PLAIN_REASONS = ["", "requested", "client"]; // the state says it all
const KILO = 1000;
const MOST_MINUTES = 90; // longer is told in hours

/** How far an order is on its way to the appliance: the share of it that is sent, 0 to 1. */
export function sendingWords(share) {
  return share < 1 ? t("job.sending", { percent: Math.floor(100 * share) }) : t("job.handing_in");
}

/** Whether a job waits for something that passes, and goes on by itself. */
export function isHeld(job) {
  return job.state === "paused" && job.reason !== "requested";
}

/** What a job does now. */
export function stateWords(job) {
  if (isHeld(job)) return t("job.state.held");
  const names = [...(job.state === "running" ? [`job.step.${job.step}`] : []), `job.state.${job.state}`];
  const name = names.find(hasText);
  return name ? t(name) : job.state;
}

/** Why it is in its state; nothing where that needs no word. */
export function reasonWords(job) {
  if (PLAIN_REASONS.includes(job.reason)) return "";
  const lasts = ENDED.includes(job.state) ? [] : [t("job.goes_on")];
  const code = job.reason === "operator" ? [] : [`(${job.reason})`];
  const name = `reason.${job.reason}`;
  return [...(hasText(name) ? [t(name)] : []), ...lasts, ...code].join(" ");
}

/** What was asked for, and when. */
export function orderWords(job) {
  const speed = job.speed === 1 ? [] : [`${job.speed}×`];
  const chars = t("text.count", { n: job.chars });
  return [job.voice, job.format.toUpperCase(), ...speed, chars, moment(job.created_at)].join(" · ");
}

/** How far it is, and when it is likely to end. */
export function progressWords(job) {
  if (job.state === "completed") return `${audioWords(job)} · ${size(job.bytes)}`;
  const words = [];
  if (job.utterances) words.push(t("job.utterances", { n: job.utterances, done: job.utterances_done }));
  if (job.audio_s > 0) words.push(audioWords(job));
  if (job.left_s !== null) words.push(leftWords(job.left_s));
  return words.join(" · ");
}

function audioWords(job) {
  return t("job.audio", { clock: clock(job.audio_s) });
}

function leftWords(left_s) {
  return t("job.left", { time: roughly(left_s), end: moment(Date.now() + left_s * 1000) });
}

function roughly(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < MOST_MINUTES ? `${minutes} min` : `${decimal(seconds / 3600, 1)} h`;
}

/** A moment in the visitor's own time; the day only where it isn't today. */
export function moment(when) {
  const date = new Date(when);
  const time = date.toLocaleTimeString(DATES, { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.toLocaleDateString(DATES, { day: "numeric", month: "short" })}, ${time}`;
}

/** A position in audio, as 0:07 or 1:23:45. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** Bytes, as 12.3 MB. */
export function size(bytes) {
  if (bytes < KILO ** 2) return `${Math.ceil(bytes / KILO)} kB`;
  return bytes < KILO ** 3 ? `${decimal(bytes / KILO ** 2, 1)} MB` : `${decimal(bytes / KILO ** 3, 2)} GB`;
}
