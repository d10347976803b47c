// Speaking aloud: one speech at a time, whichever part of the page asks for it.
//
// Owns: the request as a stream of events, the player that is fed with it.
// Refuses to know: elements, and what is shown meanwhile.

import { ask, posted, RefusedError } from "./api.js";
import { eventsOf } from "./server_events.js";
import { Player } from "./sound.js";
import { t } from "./texts.js";

const DEVICE_TAIL_MS = 1_000; // the sound device may still play what it has buffered

export class Speaker {
  #run = null; // the AbortController of what is being heard
  player = new Player();

  constructor() {
    for (const event of ["pointerdown", "keydown"]) {
      document.addEventListener(event, () => this.player.prepare(), { once: true });
    }
  }

  /**
   * Speak a text; what was being heard is silent from then on.
   *
   * @param {object} body Of POST /v1/audio/speech: input, voice, speed.
   * @param {object} told Each may be missing: `samples(floats)` as they come, `words(words)` with their times,
   *   `began(first_sound_ms)` once.
   * @returns {Promise<boolean>} Whether it was heard to its end, and neither stopped nor followed by another.
   * @throws {RefusedError} The appliance refused, or the connection broke off.
   */
  async speak(body, told = {}) {
    this.stop();
    const run = new AbortController();
    this.#run = run;
    try {
      await this.#hear(body, run.signal, told);
      return !run.signal.aborted;
    } catch (error) {
      if (run.signal.aborted) return false;
      this.player.stop();
      throw error;
    } finally {
      if (this.#run === run) this.#run = null;
      this.#restSoon();
    }
  }

  /** Be silent at once; closing the connection tells the appliance to stop working on it. */
  stop() {
    this.#run?.abort();
    this.#run = null;
    this.player.stop();
  }

  async #hear(body, signal, told) {
    const asked_at = performance.now();
    const fields = { model: "tts-1", ...body, response_format: "pcm", stream_format: "sse", timestamps: "word" };
    const asked = ask("/v1/audio/speech", { ...posted(fields), signal });
    const [answer] = await Promise.all([asked, this.player.start()]);
    let is_whole = false;
    let has_begun = false;
    const take = (event) => {
      if (event.type === "speech.audio.words") told.words?.(event.words);
      if (event.type === "speech.audio.done") is_whole = true;
      if (event.type !== "speech.audio.delta") return;
      const { samples, in_s } = this.player.push(bytesOf(event.audio));
      told.samples?.(samples);
      if (has_begun || !samples.length) return;
      has_begun = true;
      told.began?.(Math.round(performance.now() - asked_at + in_s * 1000));
    };
    for await (const events of whole(eventsOf(answer.body))) {
      if (signal.aborted) return;
      events.forEach(take);
      await this.player.room();
    }
    if (!is_whole) throw brokenOff();
    await this.player.drained();
  }

  #restSoon() {
    setTimeout(() => { if (!this.#run) this.player.rest(); }, DEVICE_TAIL_MS);
  }
}

/** The same events; a connection that breaks off is said in words. */
async function* whole(events) {
  try {
    yield* events;
  } catch (error) {
    throw error.name === "AbortError" ? error : brokenOff();
  }
}

function brokenOff() {
  return new RefusedError(t("error.speech_broken_off"));
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}
