"""A full-size VITS voice with random weights on one core, beside Coqui's own server.

Owns: the section `neural` of the measurements: its order, and what only a checkpoint at hand can show.
Refuses to know: how anything is asked or read; names and bounds, which `ttsctl voices bench` has, too.

Whatever is measured runs on core 0, the clients on the others. The appliance and Coqui's server take turns,
so that both share the machine's good and bad moments.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path

from loadtests.appliance import Appliance, on_cores
from loadtests.client import Client, speech_request
from loadtests.figures import Figure
from loadtests.neural import voices, windows
from loadtests.neural.alone import CORE, one_core, other_cores
from loadtests.neural.clients import clients
from processes.ttsctl.voice_bench import course, figures
from processes.ttsctl.voice_bench.coqui_server import running_coqui_server
from processes.ttsctl.voice_bench.crowds import Heard
from processes.ttsctl.voice_bench.texts import sentences
from processes.ttsctl.voice_bench.worker_start import hello_s

ROUNDS = {False: 7, True: 2}
FIRST_AUDIO_ROUNDS = {False: 20, True: 5}
LISTEN_S = {False: 420.0, True: 60.0}
SIZES = (figures.LISTENERS, figures.CROWD)
"""Workers: as many as listeners, the appliance that is promised; and one for each request at once."""
CROWD_ROUNDS = {False: 12, True: 3}
STARTS = {False: 7, True: 3}
TEXTS = {False: 5, True: 2}
UTTERANCES = {False: 5_000, True: 1_000}
STEPS = 20
WARM_UP_UTTERANCES = 250


class _Measured:
    """An appliance with the full-size voice, as the course of the measurement sees it."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._ask = clients(appliance.port, voices.FULL)

    def speak(self, place: int, text: str) -> Heard:
        return self._ask(place, text)

    def cpu_s(self) -> float:
        return self._appliance.cpu_s()

    def shared_out_bytes(self) -> int:
        return self._appliance.shared_out_bytes()

    def workers_own_bytes(self) -> list[int]:
        used = self._appliance.memory_bytes()
        return [own for name, own in used.items() if name.startswith("worker-vits-")]


def run(*, is_short: bool) -> list[Figure]:
    """Measure the section; takes half an hour, or six minutes.

    At first two voices are imported, which takes torch and Coqui and can fail as `voices.voice` does.
    """
    for name in (voices.FULL, voices.HUNDRED):
        voices.voice(name)
    with on_cores(other_cores()):
        return [
            *_beside_coqui(is_short=is_short),
            *(figure for workers in SIZES for figure in _several(workers, is_short=is_short)),
            *_starts(is_short=is_short),
            *_windows(is_short=is_short),
            *_long_run(is_short=is_short),
        ]


def _beside_coqui(*, is_short: bool) -> list[Figure]:
    with ExitStack() as stack:
        with on_cores({CORE}):
            coqui = stack.enter_context(running_coqui_server(voices.checkpoint(voices.FULL)))
        appliance = _Measured(stack.enter_context(one_core(WORKERS_VITS=1)))
        rounds, first_rounds = ROUNDS[is_short], FIRST_AUDIO_ROUNDS[is_short]
        return list(course.alone(appliance, coqui, rounds, first_rounds, _tell))


def _several(workers: int, *, is_short: bool) -> Iterator[Figure]:
    """Measure several clients at a time, listeners only with the workers that are promised for them."""
    listen_s = LISTEN_S[is_short] if workers == figures.LISTENERS else None
    with one_core(WORKERS_VITS=workers) as appliance:
        yield from course.together(_Measured(appliance), listen_s, CROWD_ROUNDS[is_short], _tell)


def _starts(*, is_short: bool) -> list[Figure]:
    with on_cores({CORE}):
        taken_s = [hello_s(voices.data_dir(voices.FULL), voices.FULL) for _ in range(STARTS[is_short])]
    return [figures.worker_start(taken_s)]


def _windows(*, is_short: bool) -> list[Figure]:
    seeds = range(TEXTS[is_short])
    manifest = voices.voice(voices.FULL)
    assert manifest.vits is not None
    chosen = [windows.largest_difference(voices.place(voices.FULL), manifest.vits, seed) for seed in seeds]
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        windows.export_fp32(voices.checkpoint(voices.FULL), Path(folder))
        plain = [windows.largest_difference(Path(folder), manifest.vits, seed) for seed in seeds]
    return [figures.windows(manifest.variant, max(chosen)), figures.windows("fp32", max(plain))]


def _long_run(*, is_short: bool) -> list[Figure]:
    """Many utterances over many speakers of a tiny voice, by one worker."""
    speakers = cycle([voice.id for voice in voices.voice(voices.HUNDRED).voices()])
    count = UTTERANCES[is_short]
    with one_core(voices.HUNDRED, WORKERS_VITS=1) as appliance, Client(appliance.port) as client:
        asked = (speech_request(text, next(speakers), "wav") for text in sentences())
        for request in islice(asked, WARM_UP_UTTERANCES):
            client.send(request)
        resident_bytes = []
        for step in range(STEPS):
            _tell(f"{count:,} utterances, part {step + 1} of {STEPS}")
            for request in islice(asked, count // STEPS):
                client.send(request)
            resident_bytes.append(appliance.resident_bytes("worker-vits-1"))
    return [figures.growth(f"{count:,} utterances over 100 speakers (tiny voice)", resident_bytes)]


def _tell(what: str) -> None:
    print(f"-- {what}", file=sys.stderr, flush=True)
