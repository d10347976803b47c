// What the console says: ages, shares, and what the answers of the health routes mean.
//
// Owns: what a person reads.
// Refuses to know: elements and requests.

import { size } from "./job_words.js";

const NOTHING = "–";
const DB_WORDS = {
  ok: "well",
  opening: "opening",
  busy: "held by another process",
  full: "disk full",
  readonly: "can't be written",
  corrupt: "damaged",
  failed: "failed",
};
const DISK_WORDS = {
  ok: "",
  evict: "kept answers make room",
  alert: "filling up",
  refuse: "so full that jobs are refused",
  readonly: "can't be written to",
};
const SAYING_NOTHING = ["busy", "draining", "maintenance"]; // causes of a failed probe that another finding names
const DISK_FAULTS = { alert: "disk_filling", refuse: "disk_full", readonly: "disk_readonly" };

/** Seconds, in the unit that suits them. */
export function seconds(value_s) {
  if (value_s === null || value_s === undefined) return NOTHING;
  if (value_s < 1) return `${Math.round(value_s * 1000)} ms`;
  return value_s < 10 ? `${value_s.toFixed(1)} s` : `${Math.round(value_s)} s`;
}

/** A share from 0 to 1, in percent; never rounded up to all of it. */
export function percent(share) {
  if (share === null || share === undefined) return NOTHING;
  return `${(Math.floor(share * 1000) / 10).toFixed(1)} %`;
}

/** How long ago a moment was by the appliance's clock, both in milliseconds. */
export function ago(when_ms, now_ms) {
  const past_s = Math.max(0, (now_ms - when_ms) / 1000);
  if (past_s < 90) return `${Math.round(past_s)} s ago`;
  if (past_s < 90 * 60) return `${Math.round(past_s / 60)} min ago`;
  return past_s < 48 * 3600 ? `${Math.round(past_s / 3600)} h ago` : `${Math.round(past_s / 86400)} days ago`;
}

/** Bytes, or a dash where nobody knows. */
export function memory(bytes) {
  return bytes ? size(bytes) : NOTHING;
}

/** The database's state. */
export function databaseWords(db) {
  return DB_WORDS[db.state] ?? db.state;
}

/** How full the disk is. */
export function diskWords(disk) {
  const words = DISK_WORDS[disk.state] ?? disk.state;
  return words ? `${percent(disk.used_ratio)}, ${words}` : percent(disk.used_ratio);
}

/** When the newest backup was made, and whether the last one failed. */
export function backupWords(backup, now_ms) {
  const newest = backup.newest ? ago(Date.parse(backup.newest), now_ms) : "none";
  return ["failed", "damaged"].includes(backup.last) ? `${newest}; the last ${backup.last}` : newest;
}

/** What a failed request points to, as {verdict, command}; dashes where nobody has told. */
export function failureWords(diagnoses, { ended_by, request_id }) {
  const found = diagnoses?.failures[ended_by] ?? diagnoses?.other_failure;
  if (!found) return { verdict: NOTHING, command: NOTHING };
  const command = found.command.replaceAll("{request_id}", request_id);
  return { verdict: `${found.fault}: ${found.cause}; ${found.advice}`, command };
}

/** What to do about a finding, as {advice, command}: of what only a look at the machine tells, doctor. */
export function remedy(diagnoses, { fault, name = "" }) {
  const found = diagnoses?.faults[fault] ?? { advice: "see what it finds", command: "ttsctl doctor" };
  const [advice, command] = [found.advice, found.command].map((text) => text.replaceAll("{name}", name));
  return { advice, command };
}

/**
 * What the gateway knows to be wrong, as {level: good | warn | bad, words, fault, name}, the worst first. The
 * fault is what `ttsctl doctor` calls it, the name a program's; both may be missing.
 *
 * @param {object} health answer of GET /health
 * @param {object} tts answer of GET /health/tts
 * @param {object[]} programs of GET /admin/programs
 */
export function findings(health, tts, programs) {
  const found = [...probes(tts), ...surroundings(health), ...troubled(programs)];
  if (health.worker.ready < health.worker.total) {
    found.push(warn(`${health.worker.ready} of ${health.worker.total} workers can speak.`, "worker_missing"));
  }
  if (health.status === "draining") found.push(warn("New requests are refused, since somebody has said drain.", "draining"));
  if (health.status === "maintenance") found.push(warn("Maintenance is on: new requests are refused.", "maintenance"));
  if (health.status === "overloaded") found.push(warn("More is asked for than can be spoken; newcomers are refused.", "overloaded"));
  if (health.status === "down") found.unshift(bad("Nobody can speak for the default voice.", "down"));
  const order = { bad: 0, warn: 1 };
  found.sort((one, other) => order[one.level] - order[other.level]);
  return found.length ? found : [{ level: "good", words: "Nothing that the gateway knows of." }];
}

function probes(tts) {
  const failed = Object.entries(tts.engines).filter(([, probe]) => probe.cause && !SAYING_NOTHING.includes(probe.cause));
  const found = failed.map(([engine, probe]) => {
    const fault = engine === tts.engine ? "probe_failed" : "engine_probe_failed";
    return bad(`The probe of ${engine} failed ${seconds(probe.age_s)} ago: ${probe.cause}.`, fault);
  });
  if (tts.cause === "voice_not_found") found.push(bad("There is no voice for voices.default.", "default_voice_missing"));
  return found;
}

function surroundings({ db, disk, backup }) {
  const found = [];
  if (!["ok", "opening"].includes(db.state)) found.push(bad(`The database is not well: ${databaseWords(db)} (${db.state}).`, `store_${db.state}`));
  if (disk.state in DISK_FAULTS) found.push(warn(`The disk: ${diskWords(disk)}.`, DISK_FAULTS[disk.state]));
  if (backup.last === "damaged") found.push(bad("The last backup found the database damaged.", "backup_found_damage"));
  if (backup.last === "failed") found.push(warn("The last backup failed.", "backup_failed"));
  return found;
}

function troubled(programs) {
  const now = ({ held }) => (held ? "held before its next start" : "started again");
  return [
    ...programs.filter((each) => each.degraded).map((each) => warn(`${each.name} ends again and again (${each.last_exit}); ${now(each)}.`, "program_held", each.name)),
    ...programs.filter((each) => each.state === "FATAL").map((each) => bad(`${each.name} could not be started (FATAL).`, "program_given_up", each.name)),
  ];
}

function warn(words, fault, name) {
  return { level: "warn", words, fault, name };
}

function bad(words, fault, name) {
  return { level: "bad", words, fault, name };
}
