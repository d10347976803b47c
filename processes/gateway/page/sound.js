// The sound of the page: plays 24 kHz PCM as it arrives and draws its waveform.
//
// Owns: decoding, gapless scheduling through WebAudio, peaks and bars.
// Refuses to know: where the bytes come from, and every element but its canvas.
//
// AudioContext and buffer sources work on plain http; an AudioWorklet would demand HTTPS.

const SAMPLE_RATE_HZ = 24_000; // of response_format "pcm"; int16 little-endian mono
const BYTES_PER_FRAME = 2;
const LEAD_S = 0.03; // between scheduling the first sound and its playing
const LONGEST_AHEAD_S = 120; // audio kept unplayed; beyond it the network has to wait
const PEAK_FRAMES = 240; // one peak of the waveform per 10 ms
const BAR_PX = 4; // a bar of the waveform with the gap behind it

/** Plays PCM bytes as they come, one buffer behind the other without gaps. */
export class Player {
  #context = null;
  #sources = new Set();
  #odd = null; // first byte of a PCM frame whose second byte is still on its way
  #startedAt = 0; // on the context's clock, moved on by every gap
  #stoppedAt_s = null; // position at the last stop
  #wakeReader = () => {};
  scheduled_s = 0;
  gaps = 0;

  /** Open the sound device, which takes 0.1 s and more; only in a click or key press will a browser do it. */
  prepare() {
    if (this.#context) return;
    this.#context = new AudioContext({ sampleRate: SAMPLE_RATE_HZ, latencyHint: "interactive" });
    this.rest();
  }

  /** Begin anew. */
  async start() {
    this.stop();
    this.prepare();
    this.#odd = null;
    this.#stoppedAt_s = null;
    this.scheduled_s = 0;
    this.gaps = 0;
    await this.#context.resume();
  }

  /** Schedule bytes; returns their PCM frames as floats, and in how many seconds they will sound. */
  push(bytes) {
    const samples = this.#decode(bytes);
    if (!samples.length) return { samples, in_s: 0 };
    const now = this.#context.currentTime;
    if (!this.scheduled_s) {
      this.#startedAt = now + LEAD_S;
    } else if (this.#startedAt + this.scheduled_s < now) {
      this.gaps += 1;
      this.#startedAt = now + LEAD_S - this.scheduled_s;
    }
    const starts_at = this.#startedAt + this.scheduled_s;
    this.#schedule(samples, starts_at);
    this.scheduled_s += samples.length / SAMPLE_RATE_HZ;
    return { samples, in_s: starts_at - now + (this.#context.outputLatency || 0) };
  }

  /** Resolve once less than LONGEST_AHEAD_S is left to play, or at a stop. */
  async room() {
    while (this.scheduled_s - this.position_s > LONGEST_AHEAD_S && this.#sources.size) {
      await new Promise((resolve) => { this.#wakeReader = resolve; });
    }
  }

  /** Resolve once everything scheduled has been played, or at a stop. */
  async drained() {
    while (this.#sources.size) {
      await new Promise((resolve) => { this.#wakeReader = resolve; });
    }
  }

  /** Be silent at once. */
  stop() {
    this.#stoppedAt_s ??= this.position_s;
    for (const source of this.#sources) {
      source.onended = null;
      source.stop();
    }
    this.#sources.clear();
    this.#wakeReader();
  }

  /** Let the sound device go until the next start. */
  rest() {
    return this.#context?.suspend();
  }

  /** Seconds of audio that have been heard. */
  get position_s() {
    if (this.#stoppedAt_s !== null) return this.#stoppedAt_s;
    const played_s = this.#context ? this.#context.currentTime - this.#startedAt : 0;
    return Math.min(Math.max(played_s, 0), this.scheduled_s);
  }

  #decode(bytes) {
    const joined = new Uint8Array((this.#odd === null ? 0 : 1) + bytes.length);
    if (this.#odd !== null) joined[0] = this.#odd;
    joined.set(bytes, joined.length - bytes.length);
    const frames = Math.floor(joined.length / BYTES_PER_FRAME);
    this.#odd = joined.length % BYTES_PER_FRAME ? joined[joined.length - 1] : null;
    const view = new DataView(joined.buffer);
    const samples = new Float32Array(frames);
    for (let i = 0; i < frames; i += 1) samples[i] = view.getInt16(i * BYTES_PER_FRAME, true) / 32_768;
    return samples;
  }

  #schedule(samples, starts_at) {
    const buffer = this.#context.createBuffer(1, samples.length, SAMPLE_RATE_HZ);
    buffer.copyToChannel(samples, 0);
    const source = this.#context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.#context.destination);
    source.onended = () => {
      this.#sources.delete(source);
      this.#wakeReader();
    };
    this.#sources.add(source);
    source.start(starts_at);
  }
}

/** Draws peaks as bars over the whole width: what was heard in the accent colour, a cursor, the rest. */
export class Waveform {
  #canvas;
  #peaks = [];
  #peak = 0;
  #filled = 0;

  constructor(canvas) {
    this.#canvas = canvas;
  }

  clear() {
    this.#peaks = [];
    this.#peak = 0;
    this.#filled = 0;
  }

  add(samples) {
    for (const sample of samples) {
      this.#peak = Math.max(this.#peak, Math.abs(sample));
      this.#filled += 1;
      if (this.#filled === PEAK_FRAMES) {
        this.#peaks.push(this.#peak);
        this.#peak = 0;
        this.#filled = 0;
      }
    }
  }

  /** Draw anew; `played` is the part that was heard, 0 to 1. */
  draw(played) {
    const scale = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    this.#canvas.width = Math.round(width * scale); // also wipes it
    this.#canvas.height = Math.round(height * scale);
    const brush = this.#canvas.getContext("2d");
    brush.scale(scale, scale);
    const style = getComputedStyle(this.#canvas);
    const [accent, wave, ink] = ["--accent", "--wave", "--ink"].map((name) => style.getPropertyValue(name));
    const bars = Math.floor(width / BAR_PX);
    for (let bar = 0; bar < bars; bar += 1) {
      const tall = Math.max(2, this.#highest(bar / bars, (bar + 1) / bars) * (height - 16));
      const heard = this.#peaks.length > 0 && (bar + 0.5) / bars < played;
      brush.fillStyle = heard ? accent : wave;
      brush.fillRect(bar * BAR_PX + 1, (height - tall) / 2, BAR_PX - 1.5, tall);
    }
    if (played > 0 && played < 1) {
      brush.fillStyle = ink;
      brush.fillRect(Math.round(played * width) - 1, 4, 2, height - 8);
    }
  }

  #highest(from, to) {
    const count = this.#peaks.length;
    if (!count) return 0;
    const first = Math.floor(from * count);
    return Math.max(...this.#peaks.slice(first, Math.max(first + 1, Math.ceil(to * count))));
  }
}
