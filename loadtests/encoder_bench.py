"""What each encoder costs, beside the engine whose audio it encodes.

Owns: the section "Encoders" of docs/benchmarks.md. `python -m loadtests.encoder_bench` prints the table.
Refuses to know: HTTP and processes; everything runs in this one thread.

Each round speaks the text and encodes it in every format once, so that all share the machine's good and bad
moments; the ratios of the medians are the result, the milliseconds are an anchor only.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from functools import partial
from statistics import median

from appliance.audio.encoders import MEDIA_TYPES, create_encoder
from appliance.audio.pcm import PcmJoiner
from appliance.audio.resample import Resampler
from appliance.audio.tempo import TempoStretcher
from appliance.engines.espeak import EspeakEngine
from appliance.speech import AudioFormat, PcmChunk, SpokenText, Utterance

ROUNDS = 25
TEXT = (
    "The quick brown fox jumps over the lazy dog near the old river bank, while seven bright lanterns "
    "swing in the cold evening wind above a quiet stone bridge"
)[:150]

# Ratios to the engine's CPU that are left for the encoder alone, when all else costs 1.35 of it.
BUDGETS = {AudioFormat.MP3: 2.05, AudioFormat.OPUS: 4.65, AudioFormat.AAC: 4.65, AudioFormat.FLAC: 1.15}


def encode(audio_format: AudioFormat, chunks: list[PcmChunk]) -> int:
    """Encode as the gateway does while it streams; return the number of bytes."""
    encoder = create_encoder(audio_format, chunks[0].sample_rate_hz)
    return sum(len(encoder.encode(chunk.pcm)) for chunk in chunks) + len(encoder.finish())


def join(chunks: list[PcmChunk]) -> int:
    """Fade the utterance in and out."""
    joiner = PcmJoiner(chunks[0].sample_rate_hz)
    return sum(len(joiner.feed(chunk)) for chunk in chunks)


def resample(chunks: list[PcmChunk]) -> int:
    """Bring the utterance to 48 kHz."""
    resampler = Resampler(chunks[0].sample_rate_hz, 48_000)
    return sum(len(resampler.feed(chunk.pcm)) for chunk in chunks) + len(resampler.finish())


def stretch(chunks: list[PcmChunk]) -> int:
    """Slow the utterance down as speed 0.25 needs it on top of espeak's slowest."""
    stretcher = TempoStretcher(chunks[0].sample_rate_hz, 0.547)
    return sum(len(stretcher.feed(chunk.pcm)) for chunk in chunks) + len(stretcher.finish())


def first_bytes_after_ms(audio_format: AudioFormat, pcm: bytes, sample_rate_hz: int) -> int:
    """Return how much audio goes in, in steps of 5 ms, before bytes follow the header."""
    encoder = create_encoder(audio_format, sample_rate_hz)
    encoder.encode(b"")  # takes the header
    step_bytes = 2 * (sample_rate_hz // 200)
    for step in range(1, len(pcm) // step_bytes):
        if encoder.encode(pcm[(step - 1) * step_bytes : step * step_bytes]):
            return 5 * step
    return round(500 * len(pcm) / sample_rate_hz)


def measure(stages: dict[str, Callable[[], int]]) -> dict[str, float]:
    """Run all stages round by round; return the median CPU seconds of each."""
    spent_s: dict[str, list[float]] = {name: [] for name in stages}
    for _ in range(ROUNDS):
        for name, stage in stages.items():
            begun_at_s = time.process_time()
            stage()
            spent_s[name].append(time.process_time() - begun_at_s)
    return {name: median(seconds) for name, seconds in spent_s.items()}


def print_table(cpu_s: dict[str, float], chunks: list[PcmChunk]) -> None:
    """Print a row for each stage, the formats with their bit rate and first sound."""
    pcm = b"".join(chunk.pcm for chunk in chunks)
    rate_hz = chunks[0].sample_rate_hz
    audio_s = sum(chunk.audio_s for chunk in chunks)
    python = f"Python {platform.python_version()}"
    print(f"{len(TEXT)} characters, {audio_s:.2f} s of audio, {ROUNDS} rounds, {python}\n")
    print("| stage | CPU ms | ratio to espeak | allowed | kbit/s | first bytes after ms of audio |")
    print("|---|---|---|---|---|---|")
    for name, seconds in cpu_s.items():
        cells = [name, f"{1000 * seconds:.2f}", f"{seconds / cpu_s['espeak']:.2f}", "", "", ""]
        if name in MEDIA_TYPES:
            audio_format = AudioFormat(name)
            cells[3] = str(BUDGETS.get(audio_format, ""))
            cells[4] = f"{encode(audio_format, chunks) * 8 / audio_s / 1000:.1f}"
            cells[5] = str(first_bytes_after_ms(audio_format, pcm, rate_hz))
        print("| " + " | ".join(cells) + " |")


def main() -> None:
    """Print the table as Markdown."""
    engine = EspeakEngine()
    engine.warm_up()
    utterance = Utterance(0, 0, len(TEXT), SpokenText(TEXT), "espeak", "gmw/en-US")
    chunks = list(engine.synthesize(utterance))
    stages: dict[str, Callable[[], int]] = {
        "espeak": lambda: len(list(engine.synthesize(utterance))),
        "join": partial(join, chunks),
        "resample to 48 kHz": partial(resample, chunks),
        "stretch by 0.547": partial(stretch, chunks),
    }
    stages |= {audio_format.value: partial(encode, audio_format, chunks) for audio_format in AudioFormat}
    print_table(measure(stages), chunks)
    engine.close()


if __name__ == "__main__":
    main()
