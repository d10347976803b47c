// Speaking at once what stands in the form.
//
// Owns: the buttons for it, the states below, waveform and running words, the download.
// Refuses to know: how speech comes (speaking.js), other views.
//
// document.body's data attributes tell tests and style sheets what goes on:
//   state      idle → loading → playing → ended | stopped | error
//   download   idle → loading → done | error
//   audioS, firstSoundMs, gaps   of the last speech

import { ask, posted, RefusedError } from "./api.js";
import { RunningWords } from "./running_words.js";
import { fileStem, save } from "./saving.js";
import { Waveform } from "./sound.js";
import { decimal, t } from "./texts.js";

const state = document.body.dataset;

export class Playground {
  #page;
  #voices;
  #field;
  #speaker;
  #complain;
  #waveform;
  #words;
  #run = null; // of the speech that is shown, as long as it is heard
  #audio_s = 0; // of that speech so far
  #at_s = 0; // its position when it was last drawn; the player may be at something else by now

  constructor(page, { voices, field, speaker, complain }) {
    this.#page = page;
    this.#voices = voices;
    this.#field = field;
    this.#speaker = speaker;
    this.#complain = complain;
    this.#waveform = new Waveform(page.waveform);
    this.#words = new RunningWords(page.captions);
    page.stop.addEventListener("click", () => this.stop());
    page.download.addEventListener("click", () => this.#download());
    new ResizeObserver(() => this.#draw()).observe(page.waveform);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  async speak() {
    if (!this.#voices.is_filled || !this.isTextFine()) return;
    const run = {};
    this.#begin(run);
    try {
      const is_whole = await this.#speaker.speak(this.#fields(), this.#told());
      if (this.#run !== run) return;
      if (is_whole) this.#at_s = this.#audio_s;
      const told = { audio_s: decimal(this.#at_s, 1), ms: state.firstSoundMs };
      const phase = is_whole ? "ended" : "stopped";
      this.#end(phase, t(`speak.${phase}`, told));
    } catch (error) {
      if (this.#run !== run) return;
      this.#end("error", "");
      this.#complain(error);
    }
  }

  stop() {
    if (this.#run) this.#speaker.stop();
  }

  /** Whether the text may be spoken; if not, say so instead of asking the appliance. */
  isTextFine() {
    const { fault } = this.#field;
    this.#field.mark(fault !== "");
    this.#page.message.hidden = true;
    if (!fault) return true;
    this.stop();
    this.#end("error", "");
    this.#complain(new RefusedError(fault));
    this.#page.text.focus();
    return false;
  }

  #fields() {
    return { input: this.#field.value, voice: this.#voices.id, speed: Number(this.#page.speed.value) };
  }

  #begin(run) {
    this.#run = run;
    this.#waveform.clear();
    this.#words.begin(this.#field.value, this.#voices.language);
    this.#audio_s = this.#at_s = 0;
    delete state.audioS;
    delete state.firstSoundMs;
    this.#enter("loading", t("speak.loading"));
    requestAnimationFrame(() => this.#drawWhilePlaying());
  }

  #told() {
    const { player } = this.#speaker;
    return {
      samples: (samples) => {
        this.#waveform.add(samples);
        this.#audio_s = player.scheduled_s;
        state.audioS = this.#audio_s.toFixed(3);
        state.gaps = player.gaps;
      },
      words: (words) => this.#words.add(words),
      began: (ms) => {
        state.firstSoundMs = ms;
        this.#enter("playing", t("speak.playing", { ms: String(ms) }));
      },
    };
  }

  #end(phase, told) {
    this.#run = null;
    this.#enter(phase, told);
    this.#draw();
  }

  #enter(phase, told) {
    const { status, stop, speak } = this.#page;
    const can_stop = phase === "loading" || phase === "playing";
    state.state = phase;
    status.textContent = told;
    if (!can_stop && document.activeElement === stop) speak.focus(); // a disabled button loses the focus
    stop.disabled = !can_stop;
  }

  // ---------------------------------------------------------------- what is seen of it

  #draw() {
    this.#waveform.draw(this.#audio_s ? this.#at_s / this.#audio_s : 0);
    this.#words.show(this.#run ? this.#at_s : -1);
    this.#page.time.textContent = this.#audio_s ? `${clock(this.#at_s)} / ${clock(this.#audio_s)}` : "";
  }

  #drawWhilePlaying() {
    if (!this.#run) return;
    this.#at_s = Math.min(this.#speaker.player.position_s, this.#audio_s);
    this.#draw();
    requestAnimationFrame(() => this.#drawWhilePlaying());
  }

  // ---------------------------------------------------------------- download

  async #download() {
    if (!this.#voices.is_filled || !this.isTextFine()) return;
    const format = this.#page.format.value;
    this.#markDownload("loading", t("download.loading"));
    try {
      const body = { model: "tts-1", ...this.#fields(), response_format: format };
      const answer = await ask("/v1/audio/speech", posted(body));
      save(await answer.blob(), `${fileStem(this.#field.value)}.${format}`);
      this.#markDownload("done", t("download"));
    } catch (error) {
      this.#markDownload("error", t("download"));
      const broken = new RefusedError(t("error.file_broken_off"));
      this.#complain(error instanceof RefusedError ? error : broken);
    }
  }

  #markDownload(phase, label) {
    state.download = phase;
    this.#page["download-text"].textContent = label;
    this.#page.download.disabled = phase === "loading";
  }
}

/** A position with its tenth, as 0:07.5. */
function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${decimal((tenths % 600) / 10, 1).padStart(4, "0")}`;
}
