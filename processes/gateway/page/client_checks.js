// What other programs ask of the appliance, asked from here.
//
// Owns: the very requests that each of them makes, and what each must find in the answers.
// Refuses to know: elements; what is typed into these programs (client_settings.js).
//
// Each step returns what it saw, in words, or throws a RefusedError that says what was wrong. Requests carry what
// the program sends and nothing of this page: no key where it sends none.
// Source: docs/clients.md; the programs' own sources, as of 2024 to 2026.

import { readMp3, readWav } from "./audio_files.js";
import { posted, RefusedError, sendAs } from "./api.js";
import { decimal, t } from "./texts.js";

const PARTS_AT_ONCE = 3; // sentences of an answer, which Open WebUI sends all at once
const FIRST_PART_BYTES = 1024; // that a player may ask for
const SPEECH = "/v1/audio/speech";

function fail(name, values) {
  throw new RefusedError(t(name, values));
}

function bearer(key) {
  return { Authorization: `Bearer ${key}` };
}

async function bytesOf(answer) {
  return new Uint8Array(await answer.arrayBuffer());
}

/** Check an answer's type and its frames; returns the bytes and what is in them. */
async function takeMp3(answer, it) {
  const bytes = await bytesOf(answer);
  const found = readMp3(bytes);
  if (!answer.headers.get("Content-Type")?.startsWith("audio/mpeg") || !found) fail("check.no_mp3");
  if (!found.is_plain) fail("check.mp3_not_plain");
  it.keep(new Blob([bytes], { type: "audio/mpeg" }));
  return { bytes, ...found };
}

async function takeWav(answer, it) {
  const bytes = await bytesOf(answer);
  const found = readWav(bytes);
  if (!found) fail("check.no_wav");
  if (!found.is_exact) fail("check.wav_size");
  it.keep(new Blob([bytes], { type: "audio/wav" }));
  return found;
}

function mp3Words({ audio_s, rate_hz }) {
  return t("check.mp3", { audio_s: decimal(audio_s, 1), rate_hz });
}

function wavWords({ audio_s, rate_hz }) {
  return t("check.wav", { audio_s: decimal(audio_s, 1), rate_hz });
}

// ---------------------------------------------------------------- Open WebUI

async function openWebUiModels() {
  const { models } = await (await sendAs("/v1/audio/models")).json();
  if (!models?.some(({ id }) => id === "tts-1")) fail("check.no_model");
  return t("check.models", { n: models.length, names: models.map(({ id }) => id).join(", ") });
}

async function openWebUiVoices(it) {
  const { voices } = await (await sendAs("/v1/audio/voices")).json();
  const known = voices?.find(({ id }) => id === it.voice_id);
  if (!known?.name) fail("check.no_voice", { voice: it.voice_id });
  return t("check.voices", { n: voices.length, name: known.name, voice: known.id });
}

async function openWebUiSpeech(it) {
  const begun_at = performance.now();
  const numbers = Array.from({ length: PARTS_AT_ONCE }, (_, place) => place + 1);
  const speak = async (number) => {
    const body = { input: `${it.sentence} ${number}.`, voice: it.voice, model: "tts-1" };
    return takeMp3(await sendAs(SPEECH, posted(body, bearer(it.key || "any"))), it);
  };
  const found = await Promise.all(numbers.map(speak));
  const audio_s = decimal(found.reduce((sum, each) => sum + each.audio_s, 0), 1);
  return t("check.at_once", { n: PARTS_AT_ONCE, audio_s, took_s: decimal((performance.now() - begun_at) / 1000, 1) });
}

// ---------------------------------------------------------------- Home Assistant

async function homeAssistantMary(it) {
  const form = {
    INPUT_TEXT: it.sentence, OUTPUT_TYPE: "AUDIO", INPUT_TYPE: "TEXT", LOCALE: "en_US", AUDIO: "WAVE_FILE", VOICE: it.voice,
  };
  const headers = { "Content-Type": "application/x-www-form-urlencoded" };
  const answer = await sendAs("/process", { method: "POST", headers, body: new URLSearchParams(form) });
  return wavWords(await takeWav(answer, it));
}

function address(it) {
  return `${SPEECH}?${new URLSearchParams({ text: it.sentence, voice: it.voice })}`;
}

async function homeAssistantPlay(it) {
  const answer = await sendAs(address(it), { cache: "no-store" });
  const length = Number(answer.headers.get("Content-Length"));
  const found = await takeMp3(answer, it);
  if (length !== found.bytes.length) fail("check.no_length");
  return mp3Words(found);
}

async function homeAssistantPart(it) {
  const answer = await sendAs(address(it), { cache: "no-store", headers: { Range: `bytes=0-${FIRST_PART_BYTES - 1}` } });
  const { length } = await bytesOf(answer);
  if (answer.status !== 206 || length !== FIRST_PART_BYTES) fail("check.no_part");
  return t("check.part", { n: length });
}

// ---------------------------------------------------------------- SillyTavern

async function sillyTavernSpeech(it) {
  const body = { input: it.sentence, response_format: "mp3", voice: it.voice, speed: 1, model: "tts-1" };
  return mp3Words(await takeMp3(await sendAs(SPEECH, posted(body, bearer(it.key))), it));
}

async function xttsSpeakers(it) {
  const speakers = await (await sendAs("/speakers")).json();
  if (!speakers.some(({ voice_id }) => voice_id === it.voice_id)) fail("check.no_voice", { voice: it.voice_id });
  return t("check.speakers", { n: speakers.length, voice: it.voice_id });
}

async function xttsSettings() {
  const settings = { stream_chunk_size: 100, temperature: 0.75, speed: 1, length_penalty: 1, top_p: 0.85, top_k: 50 };
  await sendAs("/set_tts_settings", posted(settings, { "Cache-Control": "no-cache" }));
  return t("check.settings");
}

async function xttsSpeech(it) {
  const body = { text: it.sentence, speaker_wav: it.voice, language: it.language.split("-")[0] };
  return wavWords(await takeWav(await sendAs("/tts_to_audio/", posted(body, { "Cache-Control": "no-cache" })), it));
}

// ---------------------------------------------------------------- LibreChat

function libreChatPart(it, input) {
  return sendAs(SPEECH, posted({ input, model: "tts-1", voice: it.voice }, bearer(it.key || "any")));
}

async function libreChatSpeech(it) {
  return mp3Words(await takeMp3(await libreChatPart(it, it.sentence), it));
}

/** A long text goes out in parts, and their mp3 files are joined as they are. */
async function libreChatJoined(it) {
  const parts = [];
  for (const number of [1, 2]) parts.push(await bytesOf(await libreChatPart(it, `${it.sentence} ${number}.`)));
  const joined = new Response(new Blob(parts, { type: "audio/mpeg" }));
  return mp3Words(await takeMp3(joined, it));
}

/** The steps of each program: the name of what is asked, and how. */
export const CHECKS = {
  open_webui: [
    ["check.open_webui.models", openWebUiModels],
    ["check.open_webui.voices", openWebUiVoices],
    ["check.open_webui.speech", openWebUiSpeech],
  ],
  home_assistant: [
    ["check.home_assistant.mary", homeAssistantMary],
    ["check.home_assistant.play", homeAssistantPlay],
    ["check.home_assistant.part", homeAssistantPart],
  ],
  sillytavern: [
    ["check.sillytavern.speech", sillyTavernSpeech],
    ["check.sillytavern.speakers", xttsSpeakers],
    ["check.sillytavern.settings", xttsSettings],
    ["check.sillytavern.xtts", xttsSpeech],
  ],
  librechat: [
    ["check.librechat.speech", libreChatSpeech],
    ["check.librechat.joined", libreChatJoined],
  ],
};
