// Jobs in words: states, reasons, durations, sizes.
//
// Owns: what a person reads about a job.
// Refuses to know: elements and requests.

export const ENDED = ["completed", "failed", "cancelled"];
const STATES = {
  queued: "Waiting",
  running: "Running",
  paused: "Paused",
  completed: "Completed",
  failed: "Failed",
  cancelled: "Cancelled",
};
const STEPS = { waiting: "Starting", splitting: "Reading the text", speaking: "Speaking", encoding: "Encoding" };
const REASONS = {
  storage_full: "The disk is full.",
  storage_failed: "The database can't be read or written.",
  storage_busy: "Another process holds the database.",
  storage_readonly: "The disk can't be written to.",
  storage_corrupt: "The appliance's database is damaged; it is being mended.",
  storage_slow: "The database takes too long to answer.",
  no_workers: "No worker of this voice's engine is ready.",
  draining: "The appliance is stopping.",
  maintenance: "The appliance is being maintained.",
  voice_not_found: "Its voice isn't there any more.",
  nothing_to_speak: "The text holds nothing that can be spoken.",
  unspeakable_text: "The voice has no sound for anything in the text.",
  utterance_too_long: "A sentence is longer than the voice can speak in one go.",
  engine_failed: "The engine refused the text or failed while speaking it.",
  synthesis_failed: "The text couldn't be spoken.",
  synthesis_timeout: "The engine stopped in the middle of the text, again and again.",
  worker_lost: "Its worker died while speaking, again and again.",
  poison_request: "A part of the text has killed workers again and again.",
  encoder_failed: "The audio couldn't be encoded.",
  audio_too_large: "A wav file can't hold so much audio.",
  job_files_gone: "Its files are gone: somebody has deleted them, or its entry is that of an older backup.",
  job_damaged: "What was stored of it is damaged or gone.",
  internal_error: "Something in the appliance failed; its log says what.",
  operator: "By an operator.",
};
const PLAIN_REASONS = ["", "requested", "client"]; // the state says it all
const KILO = 1000;
const MOST_MINUTES = 90; // longer is told in hours

/** How far an order is on its way to the appliance: the share of it that is sent, 0 to 1. */
export function sendingWords(share) {
  return share < 1 ? `Sending… ${Math.floor(100 * share)} %` : "Handing in…";
}

/** Whether a job waits for something that passes, and goes on by itself. */
export function isHeld(job) {
  return job.state === "paused" && job.reason !== "requested";
}

/** What a job does now. */
export function stateWords(job) {
  if (isHeld(job)) return "On hold";
  if (job.state === "running") return STEPS[job.step] ?? STATES.running;
  return STATES[job.state] ?? job.state;
}

/** Why it is in its state; nothing where that needs no word. */
export function reasonWords(job) {
  if (PLAIN_REASONS.includes(job.reason)) return "";
  const lasts = ENDED.includes(job.state) ? [] : ["It goes on by itself."];
  const code = job.reason === "operator" ? [] : [`(${job.reason})`];
  return [...(REASONS[job.reason] ? [REASONS[job.reason]] : []), ...lasts, ...code].join(" ");
}

/** What was asked for, and when. */
export function orderWords(job) {
  const speed = job.speed === 1 ? [] : [`${job.speed}×`];
  const chars = `${count(job.chars)} characters`;
  return [job.voice, job.format.toUpperCase(), ...speed, chars, moment(job.created_at)].join(" · ");
}

/** How far it is, and when it is likely to end. */
export function progressWords(job) {
  if (job.state === "completed") return `${clock(job.audio_s)} of audio · ${size(job.bytes)}`;
  const words = [];
  if (job.utterances) words.push(`${count(job.utterances_done)} of ${count(job.utterances)} utterances`);
  if (job.audio_s > 0) words.push(`${clock(job.audio_s)} of audio`);
  if (job.left_s !== null) words.push(leftWords(job.left_s));
  return words.join(" · ");
}

function leftWords(left_s) {
  return `about ${roughly(left_s)} left, until ${moment(Date.now() + left_s * 1000)}`;
}

function roughly(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < MOST_MINUTES ? `${minutes} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A moment in the visitor's own time; the day only where it isn't today. */
export function moment(when) {
  const date = new Date(when);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${time}`;
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
  return bytes < KILO ** 3 ? `${(bytes / KILO ** 2).toFixed(1)} MB` : `${(bytes / KILO ** 3).toFixed(2)} GB`;
}

/** A whole number, as 1,234. */
export function count(number) {
  return number.toLocaleString("en");
}
