"""`ttsctl voices bench`: what a voice costs on this machine, beside espeak-ng in the same run.

Owns: the measurement and its table.
Refuses to know: how the appliance schedules; it should have nothing else to do meanwhile.

Both voices speak the same text by turns, one request at a time, through the running appliance.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes.ttsctl.gateway_socket import SPEECH_S, ask, ask_json, pieces
from processes.ttsctl.outcome import CommandError, ExitCode, print_json
from processes.ttsctl.place import find_run_dir
from processes.ttsctl.table import format_delay, format_table
from processes.ttsctl.voices_sample import find_voice

TEXT = (
    "The library closes at eight this evening, so please bring back your books before then, "
    "or leave them in the box beside the front door on your way home."
)
"""A long sentence of 151 characters."""
REFERENCE_ENGINE = "espeak"
PCM_BYTES_PER_S = 48_000
"""`pcm` is 24 kHz, 16 bit, one channel. Source: OpenAI's speech API."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
COLUMNS = ("VOICE", "ENGINE", "AUDIO", "CPU PER AUDIO SECOND", "REAL-TIME FACTOR", "FIRST AUDIO")


@dataclass(slots=True)
class Figures:
    """What a voice's requests have shown so far."""

    voice: str
    engine: str
    audio_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    total_s: list[float] = field(default_factory=list)
    first_audio_s: list[float] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return medians, JSON-ready."""
        ratios = list(zip(self.cpu_s, self.total_s, self.audio_s, strict=True))
        return {
            "voice": self.voice,
            "engine": self.engine,
            "requests": len(ratios),
            "audio_s": round(statistics.median(self.audio_s), 3),
            "cpu_per_audio_s": round(statistics.median(cpu / audio for cpu, _, audio in ratios), 4),
            "rtf": round(statistics.median(total / audio for _, total, audio in ratios), 4),
            "first_audio_s": round(statistics.median(self.first_audio_s), 4),
        }


def run(arguments: argparse.Namespace) -> ExitCode:
    """Measure and print medians; blocks for `--count` requests of each voice.

    Raises:
        CommandError: A voice isn't there, or a request fails.
    """
    run_dir = find_run_dir(arguments.run_dir)
    wanted = find_voice(run_dir, arguments.voice)
    compared = [wanted, *_reference(run_dir, wanted)]
    figures = [Figures(voice["id"], voice["engine"]) for voice in compared]
    for each in figures:
        _speak(run_dir, Figures(each.voice, each.engine))  # the first one finds caches cold
    for _ in range(arguments.count):
        for each in figures:
            _speak(run_dir, each)
    results = [each.as_dict() for each in figures]
    if arguments.json:
        print_json({"text_chars": len(TEXT), "voices": results})
    else:
        print(format_table(COLUMNS, map(_row, results)))
        print(f"\nmedians of {arguments.count} requests of {len(TEXT)} characters, one at a time")
    return ExitCode.OK


def _reference(run_dir: Path, wanted: dict[str, Any]) -> list[dict[str, Any]]:
    """Return espeak-ng's voice of the same language; none where it is the one that is measured."""
    if wanted["engine"] == REFERENCE_ENGINE:
        return []
    answer = ask_json(run_dir, "GET", f"/v1/audio/voices?engine={REFERENCE_ENGINE}")
    voices = sorted(answer["voices"], key=lambda voice: voice["id"] != answer["default"])
    language = _language(wanted)
    return ([voice for voice in voices if _language(voice) == language] or voices)[:1]


def _language(voice: dict[str, Any]) -> str:
    return str(voice["languages"][0]).partition("-")[0].lower()


def _speak(run_dir: Path, figures: Figures) -> None:
    """Have the text spoken once, and add what it took."""
    body = {"input": TEXT, "voice": figures.voice, "response_format": "pcm"}
    cpu_before_s = _cpu_s(run_dir, figures.engine)
    begun_s = time.monotonic()
    size_bytes, first_s = 0, 0.0
    with ask(run_dir, "POST", "/v1/audio/speech", body, timeout_s=SPEECH_S) as answer:
        for piece in pieces(answer):
            first_s = first_s or time.monotonic() - begun_s
            size_bytes += len(piece)
    if not size_bytes:
        raise CommandError(f"{figures.voice} said nothing", code="no_audio")
    figures.total_s.append(time.monotonic() - begun_s)
    figures.first_audio_s.append(first_s)
    figures.cpu_s.append(max(0.0, _cpu_s(run_dir, figures.engine) - cpu_before_s))
    figures.audio_s.append(size_bytes / PCM_BYTES_PER_S)


def _cpu_s(run_dir: Path, engine: str) -> float:
    """Return the seconds of CPU that an engine's workers have used in their lives."""
    workers = ask_json(run_dir, "GET", "/admin/status")["workers"]
    return sum(_process_cpu_s(worker["pid"]) for worker in workers if worker["engine"] == engine)


def _process_cpu_s(pid: int) -> float:
    """Return a process's CPU in user and kernel mode. Source: proc(5), stat, fields 14 and 15."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _row(result: dict[str, Any]) -> tuple[object, ...]:
    return (
        result["voice"],
        result["engine"],
        f"{result['audio_s']:.1f} s",
        f"{result['cpu_per_audio_s']:.3f} s",
        f"{result['rtf']:.3f}",
        format_delay(result["first_audio_s"]),
    )
