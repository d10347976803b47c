// What is in an audio file, as a strict player sees it.
//
// Owns: reading the headers of mp3 and wav.
// Refuses to know: who asks, and how the audio sounds.
//
// Source: ISO/IEC 11172-3 and 13818-3 (headers of frames); RIFF/WAVE.

const LAYER_III = 1;
const KBITS = {
  1: [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
  2: [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
};
const RATES_HZ = [44_100, 48_000, 32_000];
const VERSIONS = { 3: { kbits: 1, part: 1 }, 2: { kbits: 2, part: 2 }, 0: { kbits: 2, part: 4 } }; // MPEG 1, 2, 2.5
const SAME = 0xfffe0c00; // bits of a header that players want alike in all frames: version, layer, rate
const WAV_HEADER_BYTES = 44;
const STREAMED = 0xffffffff; // a wav's size where nobody knew it

/**
 * Look through an mp3.
 *
 * @param {Uint8Array} bytes
 * @returns {{is_plain: boolean, audio_s: number, rate_hz: number}} Plain: nothing but frames of one kind, so that two
 *   such files behind each other play as one. Nothing of it if it is no mp3.
 */
export function readMp3(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let first = null;
  let audio_s = 0;
  while (at + 4 <= bytes.length) {
    const frame = readFrame(view.getUint32(at));
    if (!frame || (first && frame.kind !== first.kind)) break;
    first ??= frame;
    audio_s += frame.audio_s;
    at += frame.bytes;
  }
  if (!first) return null;
  const is_plain = at === bytes.length && !hasInfo(bytes.subarray(0, first.bytes));
  return { is_plain, audio_s, rate_hz: first.rate_hz };
}

function readFrame(header) {
  const version = VERSIONS[(header >>> 19) & 3];
  const is_frame = header >>> 21 === 0x7ff && version && ((header >>> 17) & 3) === LAYER_III;
  const rate = RATES_HZ[(header >>> 10) & 3];
  const kbits = is_frame && KBITS[version.kbits][(header >>> 12) & 15];
  if (!kbits || !rate) return null;
  const rate_hz = rate / version.part;
  const frames = version.kbits === 1 ? 1152 : 576; // PCM frames
  const bytes = Math.floor((frames / 8) * ((kbits * 1000) / rate_hz)) + ((header >>> 9) & 1);
  return { kind: (header & SAME) >>> 0, bytes, rate_hz, audio_s: frames / rate_hz };
}

/** Whether a first frame holds no sound but facts of the whole file, which is wrong for a part of one. */
function hasInfo(frame) {
  const text = String.fromCharCode(...frame.subarray(0, 64));
  return text.includes("Xing") || text.includes("Info");
}

/**
 * Look at a wav's header.
 *
 * @param {Uint8Array} bytes
 * @returns {{rate_hz: number, audio_s: number, is_exact: boolean}} Exact: its size is the true one, or openly unknown.
 *   Nothing of it if it is no wav.
 */
export function readWav(bytes) {
  const name = (from) => String.fromCharCode(...bytes.subarray(from, from + 4));
  if (bytes.length < WAV_HEADER_BYTES || name(0) !== "RIFF" || name(8) !== "WAVE") return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const bytes_per_s = view.getUint32(28, true);
  const said = view.getUint32(40, true);
  const there = bytes.length - WAV_HEADER_BYTES;
  return { rate_hz: view.getUint32(24, true), audio_s: there / bytes_per_s, is_exact: said === there || said === STREAMED };
}
