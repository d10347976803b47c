"""A voice from nothing to its first sound: `make voice-demo`.

Owns: what is shown, in which order.
Refuses to know: how a checkpoint is made, a voice imported, an appliance started.

The voice has random weights, so that nothing has to be downloaded: it takes as long as a trained one and
sounds like noise.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from openai import OpenAI

from appliance.settings import ROOT
from loadtests.appliance import running_appliance
from loadtests.neural.voices import FULL, checkpoint, data_dir, place, voice
from processes.ttsctl.voice_bench.texts import CHARS_150

FILE = ROOT / "build" / "voice-demo.mp3"
PIECE_BYTES = 4096


def main() -> int:
    """Make a voice, speak with it, and stop everything again; return the exit code."""
    _say("a VITS checkpoint of full size, with random weights")
    _say(f"it lies in {checkpoint(FULL).relative_to(ROOT)}")
    _say("its import, some two minutes" if not place(FULL).exists() else "it has been imported before")
    for reason in voice(FULL).reasons:
        _say(reason)
    _say("an appliance with this voice")
    with running_appliance(WORKERS_VITS=1, VOICES_DEFAULT=FULL, DATA_DIR=data_dir(FULL)) as appliance:
        _say(f"it listens on port {appliance.port}; 150 characters, streamed by the package openai:")
        first_s, whole_s = stream(appliance.port, FILE)
    _say(f"first audio after {1000 * first_s:.0f} ms, all of it after {whole_s:.1f} s")
    _say(f"{FILE.relative_to(ROOT)}, {FILE.stat().st_size:,} bytes; the appliance has stopped")
    return 0


def stream(port: int, file: Path) -> tuple[float, float]:
    """Stream a speech into a file with OpenAI's package; return the seconds to its begin and its end."""
    client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=0)
    begun_s = time.perf_counter()
    first_s = 0.0
    with (
        client.audio.speech.with_streaming_response.create(
            model="tts-1", voice=FULL, input=CHARS_150
        ) as response,
        file.open("wb") as written,
    ):
        for piece in response.iter_bytes(PIECE_BYTES):
            first_s = first_s or time.perf_counter() - begun_s
            written.write(piece)
    return first_s, time.perf_counter() - begun_s


def _say(text: str) -> None:
    print(f"-- {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
